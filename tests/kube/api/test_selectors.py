"""Label selectors as policy/v1 defines them."""

import pytest

from spotvortex.kube.api.selectors import check, matches
from spotvortex.kube.api.wire import objects as wire


def selector(labels=None, *rules):
    return wire.LabelSelector(labels, [wire.Requirement(*rule) for rule in rules])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, False),
        (wire.LabelSelector(), True),
        (selector({"app": "web"}), True),
        (selector({"app": "web", "tier": "x"}), False),
        (selector({"app": "db"}), False),
        (selector(None, ("app", "In", ["db", "web"])), True),
        (selector(None, ("app", "In", ["db"])), False),
        (selector(None, ("tier", "In", ["x"])), False),
        (selector(None, ("app", "NotIn", ["db"])), True),
        (selector(None, ("app", "NotIn", ["web"])), False),
        (selector(None, ("tier", "NotIn", ["x"])), True),
        (selector(None, ("app", "Exists")), True),
        (selector(None, ("tier", "Exists")), False),
        (selector(None, ("tier", "DoesNotExist")), True),
        (selector(None, ("app", "DoesNotExist")), False),
        (selector({"app": "web"}, ("tier", "Exists")), False),
    ],
)
def test_a_selector_matches_labels(found, expected):
    assert matches(found, {"app": "web"}) is expected


def test_an_unknown_operator_is_an_error():
    with pytest.raises(ValueError, match="unknown operator 'Gt'"):
        matches(selector(None, ("app", "Gt", ["1"])), {"app": "2"})


def test_a_selector_is_checked_whole_though_its_first_part_decides():
    found = selector({"app": "web"}, ("app", "In", ["web"]), ("app", "Gt", ["1"]))
    assert not matches(found, {})
    with pytest.raises(ValueError, match="unknown operator 'Gt'"):
        check(found)


@pytest.mark.parametrize("found", [None, wire.LabelSelector(), selector({"app": "web"})])
def test_a_selector_without_expressions_is_in_order(found):
    check(found)
