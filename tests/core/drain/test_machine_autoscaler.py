"""A node of Cluster Autoscaler: its receivers are kept, and its removal is waited for."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.answers import MAX_TRIES
from spotvortex.core.drain.calls import Again, Gone, Refused, ReleaseNode
from spotvortex.core.drain.keeping import KeepNode
from spotvortex.core.drain.messages import DrainEnd
from tests.core.drain.drains import LOSS, ORDER, Script, pod, run

GROWN = {"claim": "node/0123456789", "sides": ("nodegroup/web-od",)}
OUT = replace(ORDER, **GROWN)
BACK = replace(OUT, to=CapacityType.SPOT, sides=("nodegroup/web-spot",))


def test_receivers_are_kept_and_anchored_before_the_node_is_marked():
    script = Script([pod("a")])
    assert run(script, OUT)[0] is DrainEnd.DONE
    assert script.kinds() == [
        "CreatePlaceholder",
        "KeepNode",
        "CreateAnchor",
        "MarkNode",
        "EvictPod",
        "ReleaseNode",
        "DeletePlaceholders",
    ]
    assert script.calls[1] == KeepNode(node="r1", uid="uid-r1", plan_id="p1")


def test_receivers_on_spot_are_kept_too_and_need_no_anchor():
    script = Script([pod("a")])
    run(script, BACK)
    assert script.kinds()[1:3] == ["KeepNode", "MarkNode"]


def test_a_receiver_that_is_kept_for_the_plan_already_is_not_written_to_again():
    script = Script([pod("a")], kept={"uid-r1"})
    run(script, BACK)
    assert "KeepNode" not in script.kinds()


def test_karpenters_nodes_and_lost_ones_keep_no_receiver():
    for order in (ORDER, replace(LOSS, **GROWN)):
        script = Script([pod("a")])
        run(script, order)
        assert "KeepNode" not in script.kinds()


@pytest.mark.parametrize("answer", [Refused("no"), [Again("busy")] * (MAX_TRIES + 1)])
def test_without_a_kept_receiver_nothing_is_marked(answer):
    script = Script([pod("a")], answers={KeepNode: answer})
    assert run(script, OUT)[0] is DrainEnd.NO_REPLACEMENT
    assert "MarkNode" not in script.kinds()
    assert script.room == {}


def test_a_receiver_that_has_gone_needs_no_keeping():
    script = Script([pod("a")], answers={KeepNode: Gone()})
    assert run(script, OUT)[0] is DrainEnd.DONE


def test_a_drained_node_that_nobody_removes_is_given_back_once_and_named():
    script = Script([pod("a")], takes=False)
    end, reason, now, _ = run(script, OUT)
    assert (end, script.cordoned) == (DrainEnd.ABORTED, False)
    assert reason == "drained, but its provisioner has not removed it: n1 is uncordoned"
    assert script.kinds().count("ReleaseNode") == script.kinds().count("UnmarkNode") == 1
    assert 0.0 <= now - OUT.deadline <= 5.0
    (release,) = [call for call in script.calls if isinstance(call, ReleaseNode)]
    assert release.claim == "node/0123456789"
