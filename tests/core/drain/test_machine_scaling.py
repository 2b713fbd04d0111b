"""A node of a group that the controller grows: grown once the room of the node was asked for."""

from dataclasses import replace

import pytest

from spotvortex.core.drain.answers import MAX_TRIES
from spotvortex.core.drain.calls import Again, Refused, ReleaseNode
from spotvortex.core.drain.group_calls import GrowGroup
from spotvortex.core.drain.messages import DrainEnd
from spotvortex.core.drain.progress import begin
from tests.core.drain.drains import AT, LOSS, ORDER, Script, pod, run

GROWN = {"claim": "instance/i-0123456789", "sides": ("labels/web/on-demand",)}
OUT = replace(ORDER, n_wave=3, **GROWN)


def test_the_group_is_grown_for_the_whole_wave_after_the_room_and_before_the_mark():
    script = Script([pod("a")])
    assert run(script, OUT)[0] is DrainEnd.DONE
    assert script.kinds() == [
        "CreatePlaceholder",
        "GrowGroup",
        "CreateAnchor",
        "MarkNode",
        "EvictPod",
        "ReleaseNode",
        "DeletePlaceholders",
    ]
    assert script.calls[1] == GrowGroup(group="labels/web/on-demand", plan_id="p1", n_nodes=3)


def test_an_order_found_again_asks_the_group_again_unless_its_node_is_marked():
    script = Script([pod("a")], room={"a": False})
    run(script, OUT)
    assert "GrowGroup" in script.kinds()
    script = Script([pod("a")], cordoned=True, marked=True)
    run(script, OUT)
    assert "GrowGroup" not in script.kinds()


def test_karpenters_nodes_and_lost_ones_grow_no_group():
    for order in (ORDER, replace(LOSS, **GROWN)):
        script = Script([pod("a")])
        run(script, order)
        assert "GrowGroup" not in script.kinds()


@pytest.mark.parametrize("answer", [Refused("full"), [Again("busy")] * (MAX_TRIES + 1)])
def test_a_group_that_is_not_grown_ends_the_wave_before_any_mark(answer):
    script = Script([pod("a")], answers={GrowGroup: answer})
    assert run(script, OUT)[0] is DrainEnd.NO_REPLACEMENT
    assert "MarkNode" not in script.kinds()
    assert script.room == {}


def test_a_group_that_stays_busy_is_given_up_when_room_is():
    order = replace(OUT, bind_by=AT + 20.0)
    script = Script([pod("a")], answers={GrowGroup: [Again("busy", 15.0)] * MAX_TRIES})
    end, _, now, _ = run(script, order, progress=begin(order, script.look()))
    assert (end, now < AT + 40.0) == (DrainEnd.NO_REPLACEMENT, True)


def test_a_released_node_is_waited_for_and_given_back_where_it_stays():
    script = Script([pod("a")], takes=False)
    end, reason, _, _ = run(script, OUT)
    assert (end, script.cordoned) == (DrainEnd.ABORTED, False)
    assert "its provisioner has not removed it" in reason
    (release,) = [call for call in script.calls if isinstance(call, ReleaseNode)]
    assert release.claim == "instance/i-0123456789"
