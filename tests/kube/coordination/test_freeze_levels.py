"""How strict a freeze is follows from what its ConfigMap holds, by key or by value."""

import pytest

from spotvortex.core.domain.types import Freeze
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.coordination.freeze import _Freezes


@pytest.mark.parametrize(
    ("data", "level"),
    [
        (None, Freeze.SOFT),
        ({}, Freeze.SOFT),
        ({"reason": "an audit"}, Freeze.SOFT),
        ({"hard": "true"}, Freeze.HARD),
        ({"hard": ""}, Freeze.HARD),
        ({"hard": "false"}, Freeze.SOFT),
        ({"level": "hard"}, Freeze.HARD),
        ({"hard": "false", "level": "hard"}, Freeze.HARD),
        ({"leave": "true"}, Freeze.LEAVE),
        ({"level": "leave"}, Freeze.LEAVE),
        ({"leave": "true", "hard": "true"}, Freeze.HARD),
        ({"leave": "false"}, Freeze.SOFT),
    ],
)
def test_a_freeze_is_as_strict_as_the_strictest_word_in_it(data, level):
    freezes = _Freezes()
    freezes.put("spotvortex-freeze", wire.ConfigMap(wire.Meta(name="f"), data))
    assert freezes.found == {"spotvortex-freeze": level}
    freezes.remove("spotvortex-freeze")
    assert freezes.keys() == set()
