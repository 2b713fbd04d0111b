"""Until when anchors keep a node."""

from spotvortex.core.drain.keeping import anchored_until
from tests.core.builders import AT
from tests.core.in_flight import anchor, order, placeholder


def test_the_anchor_that_lasts_longest_keeps_its_node_and_one_that_is_over_keeps_none():
    pods = (
        anchor("d1", AT + 60.0),
        anchor("d1", AT + 90.0),
        anchor("d1", AT + 30.0),
        anchor("d2", AT),
        anchor("d3", AT + 1.0),
        anchor("d4", AT + 60.0, finished=True),
        anchor("d5", AT + 60.0, terminating=True),
        placeholder(order("d6"), node="d6"),
    )
    assert anchored_until(pods, AT) == {"uid-d1": AT + 90.0, "uid-d3": AT + 1.0}


def test_an_anchor_may_end_long_before_now():
    assert anchored_until([anchor("d1", 0.5)], 0.0) == {"uid-d1": 0.5}
