"""An order goes on where an earlier process was, or is undone, and cleans up what it found."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import Blocker
from spotvortex.core.drain.calls import CreatePlaceholder, CreateRoom, Refused, UnmarkNode
from spotvortex.core.drain.messages import DrainEnd
from spotvortex.core.drain.progress import EVICT_MARGIN_S, OVERDUE, begin
from spotvortex.core.drain.remaining import is_asking
from tests.core.builders import AT
from tests.core.drain.drains import LOSS, ORDER, Script, pod, run, view


def stopped_after(script, order, n_calls):
    """Drive an order until it has made so many calls, and lose its progress."""
    for steps in range(200):
        copy = Script([*script.pods], binds=script.binds, pods_end=script.pods_end)
        _, _, now, _ = run(copy, order, steps=steps)
        if len(copy.calls) == n_calls:
            return copy, now
    raise AssertionError("so many calls are never made")


@pytest.mark.parametrize(
    ("order", "n_calls"), [*((ORDER, n) for n in range(8)), *((LOSS, n) for n in range(6))]
)
def test_after_a_crash_at_any_call_the_end_is_the_same_and_no_pod_is_evicted_twice(order, n_calls):
    script, now = stopped_after(Script([pod("a"), pod("b")]), order, n_calls)
    end, *_ = run(script, order, at=now)
    assert end is DrainEnd.DONE
    assert sorted(script.evicted()) == ["a", "b"]
    assert script.room == {}
    names = {c.pod_uid: c.name for c in script.calls if isinstance(c, CreatePlaceholder)}
    assert {c.name for c in script.calls if isinstance(c, CreatePlaceholder)} == set(names.values())


def test_a_marked_node_of_a_planned_move_has_had_its_room():
    """What of the placeholders is gone was taken by the pods that it was for."""
    script = Script([pod("b")], cordoned=True, marked=True)
    progress = begin(ORDER, script.look())
    assert progress.begun
    assert not is_asking(progress)
    assert run(script)[0] is DrainEnd.DONE
    assert script.kinds()[0] == "EvictPod"


def test_a_marked_order_goes_on_when_the_time_for_binding_is_over():
    script = Script([pod("b")], cordoned=True, marked=True)
    order = replace(ORDER, bind_by=AT - 60.0)
    assert run(script, order)[0] is DrainEnd.DONE
    assert script.evicted() == ["b"]


def test_a_marked_interruption_asks_for_what_is_still_there():
    script = Script([pod("b")], cordoned=True, marked=True, room={"uid-a": True})
    assert run(script, LOSS)[0] is DrainEnd.DONE
    assert script.kinds()[0] == "CreateRoom"
    assert "MarkNode" not in script.kinds()


def test_a_marked_interruption_whose_plan_has_shared_room_asks_for_no_more():
    """What is there does not say for whom it was asked: it is taken for all that was needed."""
    script = Script([pod("b")], cordoned=True, marked=True, seen={"n_shared": 3, "bound": 1})
    run(script, LOSS, steps=4)
    assert script.kinds()[:2] == ["EvictPod", "ReleaseNode"]


@pytest.mark.parametrize("order", [ORDER, LOSS])
def test_an_order_that_is_overdue_is_undone_and_cleans_up_what_it_found(order):
    script = Script([pod("a")], cordoned=True, marked=True, room={"uid-a": True})
    end, *_ = run(script, replace(order, deadline=OVERDUE))
    assert end in (DrainEnd.ABORTED, DrainEnd.NO_REPLACEMENT)
    assert script.kinds() == ["UnmarkNode", "DeletePlaceholders"]


def test_placeholders_alone_are_asked_for_again_by_the_same_name_and_gone_on_with():
    script, now = stopped_after(Script([pod("a"), pod("b")]), ORDER, 1)
    assert run(script, at=now)[0] is DrainEnd.DONE
    names = [c.name for c in script.calls if isinstance(c, CreatePlaceholder)]
    assert (len(names), len(set(names))) == (3, 2)


def test_placeholders_of_a_node_that_a_person_has_cordoned_are_taken_away():
    script = Script([pod("a")], cordoned=True, room={"uid-a": True})
    assert run(script)[0] is DrainEnd.ABORTED
    assert (script.kinds(), script.room) == (["DeletePlaceholders"], {})


def test_placeholders_of_a_node_that_is_gone_are_taken_away():
    script = Script([], room={"uid-a": True}, seen={"present": False})
    assert run(script)[0] is DrainEnd.GONE
    assert script.kinds() == ["DeletePlaceholders"]


def test_a_drained_node_that_was_not_released_yet_is_released():
    script = Script([pod("ds", stays=True)], cordoned=True, marked=True, room={"uid-a": True})
    assert run(script)[0] is DrainEnd.DONE
    assert script.kinds() == ["ReleaseNode", "DeletePlaceholders"]


def test_a_pod_held_since_our_evictions_began_is_waited_for_after_a_restart_too():
    held = pod("b", blockers=(Blocker.PDB_ALLOWS_ZERO,))
    script = Script([held], cordoned=True, marked=True)
    end, _, now, progress = run(script, steps=5)
    assert (end, script.calls) == (None, [])
    script.pods = [pod("b")]
    assert run(script, at=now, progress=progress)[0] is DrainEnd.DONE


def test_room_is_kept_where_the_mark_cannot_be_taken_away():
    """Whoever finds the mark takes the room for granted."""
    script = Script([pod("a")], pods_end=False, answers={UnmarkNode: Refused("forbidden")})
    end, *_ = run(script)
    assert (end, script.marked, len(script.room)) == (DrainEnd.ABORTED, True, 1)
    end, *_ = run(script, replace(ORDER, deadline=OVERDUE))
    assert (end, script.marked, script.room) == (DrainEnd.ABORTED, False, {})


def test_a_new_order_has_asked_for_nothing_yet():
    progress = begin(ORDER, view(pod("a"), pod("ds", stays=True)))
    assert [p.name for p in progress.moving] == ["a"]
    assert (progress.asked, progress.found) == (frozenset(), False)
    assert (progress.marked, progress.begun) == (False, False)


def test_a_pod_that_ends_already_on_a_lost_node_gets_no_room():
    """Its successor asks for a node itself, and what was asked for it may have been given back."""
    script = Script([pod("a", terminating=True), pod("b")], marked=True, cordoned=True)
    script.pods_end = False
    *_, at, progress = run(script, LOSS, steps=2)
    assert [c.pod_uids for c in script.calls if isinstance(c, CreateRoom)] == [{"uid-b"}]
    script.pods.append(pod("c", terminating=True))
    run(script, LOSS, at=at, progress=progress, steps=4)
    assert script.kinds().count("CreateRoom") == 1
    # On a node that stays until it is drained, nobody knows why such a pod ends.
    planned = Script([pod("a", terminating=True), pod("b")])
    run(planned, ORDER, steps=3)
    assert planned.kinds().count("CreatePlaceholder") == 2


@pytest.mark.parametrize(("early_s", "asks"), [(1.0, 1), (0.0, 0)])
def test_an_order_taken_up_anew_asks_for_no_room_once_its_pods_must_go(early_s, asks):
    """The room of the process before may have been given back: it would be bought twice."""
    script = Script([pod("a")], marked=True, cordoned=True, binds=False)
    run(script, LOSS, at=LOSS.deadline - 30.0 - EVICT_MARGIN_S - early_s, steps=1)
    assert script.kinds() == ["CreateRoom" if asks else "EvictPod"]
    # One that had no process before it asks, however late its notice came.
    fresh = Script([pod("a")], binds=False)
    run(fresh, LOSS, at=LOSS.deadline - 1.0, steps=2)
    assert fresh.kinds() == ["MarkNode", "CreateRoom"]
