"""Before the mark: receivers are anchored, and a node waits for the others of its wave."""

from dataclasses import replace

import pytest

from spotvortex.core.calls import CreateAnchor
from spotvortex.core.messages import DrainEnd
from spotvortex.core.progress import ANCHOR_LEFT_S, Progress, has_room
from spotvortex.core.types import CapacityType
from tests.core.builders import AT
from tests.core.drains import ORDER, Script, pod, receiver, run, view

SPOT_ORDER = replace(ORDER, to=CapacityType.SPOT)


def test_receivers_are_anchored_before_the_mark_unless_an_anchor_keeps_them_long_enough():
    for until, anchors in ((AT + ANCHOR_LEFT_S - 1.0, 1), (AT + ANCHOR_LEFT_S + 30.0, 0)):
        script = Script([pod("a")], anchors={"uid-r1": until})
        run(script)
        kinds = script.kinds()
        assert kinds.count("CreateAnchor") == anchors
        assert "CreateAnchor" not in kinds[kinds.index("MarkNode") :]


def test_every_receiver_gets_one_anchor():
    both = (receiver("r1"), receiver("r2"))
    script = Script([pod("a")], seen={"receivers": both})
    run(script)
    anchored = [c.node for c in script.calls if isinstance(c, CreateAnchor)]
    assert anchored == ["r1", "r2"]
    assert len({c.name for c in script.calls if isinstance(c, CreateAnchor)}) == 2


def test_receivers_on_spot_are_not_anchored():
    script = Script([pod("a")])
    run(script, SPOT_ORDER)
    assert "CreateAnchor" not in script.kinds()


def test_a_node_waits_for_its_wave_before_the_mark():
    script = Script([pod("a")], seen={"wave_waits": True})
    end, _, now, progress = run(script, steps=10)
    assert (end, script.kinds()[-1]) == (None, "CreateAnchor")
    assert has_room(progress, script.look())
    script.seen = {}
    assert run(script, progress=progress, at=now)[0] is DrainEnd.DONE


def test_a_node_whose_wave_has_no_room_gives_up_before_the_mark_and_not_after():
    trouble = {"wave_trouble": "n2 of the same wave: no room"}
    script = Script([pod("a")], seen={"wave_waits": True})
    *_, progress = run(script, steps=10)
    script.seen = trouble
    assert run(script, progress=progress)[:2] == (DrainEnd.NO_REPLACEMENT, trouble["wave_trouble"])
    assert script.room == {}
    marked = Script([pod("a")])
    *_, progress = run(marked, steps=3)
    assert marked.kinds()[-1] == "MarkNode"
    marked.seen = trouble
    assert run(marked, progress=progress)[0] is DrainEnd.DONE


@pytest.mark.parametrize(
    ("changes", "seen", "room"),
    [
        ({}, {"bound": 1}, False),
        ({"asked": frozenset({"uid-a"})}, {"bound": 0}, False),
        ({"asked": frozenset({"uid-a"})}, {"bound": 1}, True),
        ({"begun": True}, {"bound": 0}, True),
        ({"marked": True}, {"bound": 0}, True),
    ],
)
def test_an_order_has_room_once_all_of_it_is_bound_or_taken(changes, seen, room):
    progress = Progress(moving=(pod("a"),), **changes)
    assert has_room(progress, view(pod("a"), **seen)) is room
