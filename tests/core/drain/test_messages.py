"""How the end of an order is told."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import Mode
from spotvortex.core.drain.messages import DrainEnd, DrainResult
from tests.core.builders import AT
from tests.core.drain.drains import ORDER


@pytest.mark.parametrize(
    ("end", "mode", "word"),
    [
        (DrainEnd.DONE, Mode.ACTIVE, "done"),
        (DrainEnd.DONE, Mode.CANARY, "done"),
        (DrainEnd.DONE, Mode.SHADOW, "recorded"),
        (DrainEnd.GONE, Mode.SHADOW, "gone"),
        (DrainEnd.ABORTED, Mode.ACTIVE, "aborted"),
    ],
)
def test_a_move_that_was_only_written_down_is_told_as_recorded(end, mode, word):
    order = replace(ORDER, mode=mode)
    found = DrainResult(order=order, end=end, reason="", at=AT, n_calls=0, n_evicted=0)
    assert found.told_as == word
