"""A node that will be taken away: marked first, and its pods go in time whatever is refused."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import HARD_BLOCKERS, Blocker, CapacityType
from spotvortex.core.drain.calls import (
    Again,
    BlockedByBudget,
    CreateAnchor,
    CreateRoom,
    DeletePlaceholders,
    EvictPod,
    MarkNode,
    Refused,
    ReleaseNode,
)
from spotvortex.core.drain.messages import DrainEnd, OrderKind
from spotvortex.core.drain.progress import (
    AFTER_LOSS_S,
    EVICT_MARGIN_S,
    EVICTIONS_PER_S,
    GIVE_BACK_S,
    OVERDUE,
    proceed,
)
from spotvortex.core.drain.remaining import DrainPhase, DrainProgress
from spotvortex.core.drain.views import Halt, NodeView, WaveView
from tests.core.builders import AT
from tests.core.drain.drains import LOSS, ORDER, Script, pod, run


def test_a_lost_node_that_nobody_makes_room_for_is_emptied_at_once():
    script = Script([pod("a"), pod("b")])
    end, _, now, _ = run(script, replace(LOSS, sides=(), claim=""))
    assert (end, now - AT < 5.0) == (DrainEnd.DONE, True)
    assert script.kinds() == ["MarkNode", "EvictPod", "EvictPod"]


PRESSING_AT = LOSS.deadline - 30.0 - EVICT_MARGIN_S
ALL_MOVED = ["EvictPod", "ReleaseNode", "DeletePlaceholders"]


def first(script, kind):
    """When the first call of a kind was made."""
    return next(at for at, c in zip(script.at, script.calls, strict=True) if isinstance(c, kind))


def test_the_node_is_marked_before_anything_is_asked_for():
    script = Script([pod("a"), pod("b")])
    assert run(script, LOSS)[0] is DrainEnd.DONE
    assert script.kinds() == [
        "MarkNode",
        "CreateRoom",
        "EvictPod",
        "EvictPod",
        "ReleaseNode",
        "DeletePlaceholders",
    ]
    assert script.calls[0].urgent
    assert script.calls[1].capacity_type is CapacityType.UNKNOWN
    (shape_a, shape_b) = script.calls[1].shapes
    assert {shape_a.avoid, shape_b.avoid} == {LOSS.avoid}


def test_room_for_pods_of_one_owner_and_size_is_one_shape_but_where_a_volume_ties_one():
    alike = [pod(name, owner="shop/ReplicaSet/web") for name in "abc"]
    other = [
        pod("d", owner="shop/ReplicaSet/web", cpu_milli=200),
        pod("e", owner="shop/ReplicaSet/web", blockers=(Blocker.VOLUME,)),
        pod("f", owner="shop/ReplicaSet/other"),
    ]
    script = Script([*alike, *other], seen={"zone": "us-east-1a"})
    run(script, LOSS)
    shapes = script.calls[1].shapes
    assert [([p.name for p in s.pods], s.zone) for s in shapes] == [
        (["a", "b", "c"], ""),
        (["d"], ""),
        (["e"], "us-east-1a"),
        (["f"], ""),
    ]


def test_it_waits_for_room_until_the_longest_grace_period_would_no_longer_end_in_time():
    script = Script([pod("a"), pod("b", grace_s=10.0)], binds=False)
    assert run(script, LOSS)[0] is DrainEnd.DONE
    assert 0.0 <= first(script, EvictPod) - PRESSING_AT <= 2.0


def test_a_short_notice_asks_for_room_and_does_not_wait_for_it():
    script = Script([pod("a", grace_s=600.0)], binds=False)
    run(script, LOSS)
    assert script.kinds() == ["MarkNode", "CreateRoom", *ALL_MOVED]
    assert first(script, EvictPod) < AT + 1.0


@pytest.mark.parametrize("blocker", sorted(HARD_BLOCKERS))
def test_no_blocker_holds_a_pod_on_a_node_that_is_lost(blocker):
    script = Script([pod("a", blockers=(blocker,))])
    assert run(script, LOSS)[0] is DrainEnd.DONE
    assert script.evicted() == ["a"]


def test_long_grace_periods_go_first_and_then_the_only_ones_of_their_workload():
    only = (Blocker.SINGLE_REPLICA,)
    script = Script([pod("a"), pod("b", blockers=only), pod("c", grace_s=60.0)])
    run(script, LOSS)
    assert script.evicted() == ["c", "b", "a"]


def test_a_node_that_somebody_has_cordoned_already_is_marked_all_the_same():
    script = Script([pod("a")], cordoned=True)
    assert run(script, LOSS)[0] is DrainEnd.DONE


def test_an_uncordon_by_a_person_ends_it():
    script = Script([pod("a")], binds=False)
    *_, progress = run(script, LOSS, steps=4)
    script.cordoned = False
    end, reason, *_ = run(script, LOSS, progress=progress)
    assert (end, reason) == (DrainEnd.ABORTED, "somebody else has uncordoned the node")
    assert script.kinds()[-2:] == ["UnmarkNode", "DeletePlaceholders"]


def test_a_node_that_is_still_there_long_after_its_deadline_is_given_back():
    script = Script([pod("a")], pods_end=False)
    end, _, now, _ = run(script, LOSS)
    assert (end, script.cordoned, script.room) == (DrainEnd.ABORTED, False, {})
    assert 0.0 <= now - LOSS.deadline - AFTER_LOSS_S <= 2.5


def test_a_freeze_undoes_it():
    script = Script([pod("a")], binds=False)
    *_, progress = run(script, LOSS, steps=4)
    script.seen = {"halt": Halt.UNDO, "halt_reason": "frozen by a person"}
    assert run(script, LOSS, progress=progress)[:2] == (DrainEnd.ABORTED, "frozen by a person")
    assert not script.cordoned


def test_an_overdue_one_is_undone_at_once_and_evicts_nothing():
    """A pool whose owner no longer wants us to write is not emptied in a hurry."""
    script = Script([pod("a")], binds=False)
    *_, progress = run(script, LOSS, steps=4)
    overdue = replace(LOSS, deadline=OVERDUE)
    assert run(script, overdue, progress=progress)[0] is DrainEnd.NO_REPLACEMENT
    assert (script.evicted(), script.cordoned, script.room) == ([], False, {})


@pytest.mark.parametrize("deadline", [AT + 120.0, AT + 900.0])
def test_refused_room_does_not_keep_the_pods_from_going(deadline):
    script = Script([pod("a"), pod("b")], answers={CreateRoom: [Refused("quota")] * 2})
    end, reason, *_ = run(script, replace(LOSS, deadline=deadline))
    assert (end, reason, script.evicted()) == (DrainEnd.DONE, "quota", ["a", "b"])
    assert 0.0 <= first(script, EvictPod) - (deadline - 30.0 - EVICT_MARGIN_S) <= 2.0


def test_a_server_that_takes_no_request_for_room_does_not_keep_the_pods_from_going():
    script = Script([pod("a")], answers={CreateRoom: [Again("busy")] * 99})
    end, *_ = run(script, LOSS)
    assert (end, script.evicted()) == (DrainEnd.DONE, ["a"])
    assert 0.0 <= first(script, EvictPod) - PRESSING_AT <= 15.0


def test_a_pod_that_cannot_be_evicted_does_not_keep_the_others():
    script = Script([pod("a", grace_s=60.0), pod("b")], answers={EvictPod: [Refused("two PDBs")]})
    end, _, _, progress = run(script, LOSS)
    assert (end, script.evicted()) == (DrainEnd.ABORTED, ["a", "b"])
    assert progress.evicted == {"uid-b"}


def test_a_blocked_pod_is_tried_again_until_the_end():
    script = Script([pod("a")], answers={EvictPod: [BlockedByBudget(0.0)] * 4})
    assert run(script, LOSS)[0] is DrainEnd.DONE
    assert script.evicted() == ["a"] * 5


def test_an_emptied_node_stays_cordoned_where_its_claim_cannot_be_deleted():
    script = Script([pod("a")], answers={ReleaseNode: Refused("forbidden")})
    assert run(script, LOSS)[:2] == (DrainEnd.DONE, "forbidden")
    assert script.cordoned


def test_a_refused_mark_ends_it():
    script = Script([pod("a")], answers={MarkNode: Refused("forbidden")})
    assert run(script, LOSS)[:2] == (DrainEnd.REFUSED, "forbidden")
    assert script.kinds() == ["MarkNode"]


def test_a_planned_move_that_becomes_an_interruption_goes_on_with_its_room():
    script = Script([pod("a"), pod("b")], binds=False)
    *_, progress = run(script, replace(ORDER, bind_by=AT + 60.0), steps=5)
    assert (progress.phase, len(script.room)) == (DrainPhase.BINDING, 2)
    upgraded = replace(LOSS, to=ORDER.to, bind_by=AT + 60.0, deadline=AT + 500.0)
    end, _, now, _ = run(script, upgraded, progress=progress)
    assert end is DrainEnd.DONE
    assert script.kinds().count("CreatePlaceholder") == 2
    assert now > AT + 300.0


def test_a_begun_move_that_becomes_an_interruption_loses_no_time():
    held = pod("b", blockers=(Blocker.PDB_ALLOWS_ZERO,))
    script = Script([pod("a"), pod("b")])
    *_, progress = run(script, steps=5)
    assert progress.begun
    script.pods = [held]
    assert run(script, LOSS, progress=progress, at=AT + 1.0)[0] is DrainEnd.DONE
    assert script.evicted() == ["a", "b"]


def test_a_refused_anchor_does_not_hold_an_upgraded_order():
    script = Script([pod("a")], answers={CreateAnchor: Refused("quota")})
    end, *_ = run(script, replace(LOSS, to=CapacityType.ON_DEMAND))
    assert (end, script.evicted()) == (DrainEnd.DONE, ["a"])


@pytest.mark.parametrize(
    ("made", "phase"), [(LOSS, DrainPhase.EVICTING), (ORDER, DrainPhase.BINDING)]
)
def test_a_lost_node_with_room_for_its_own_pods_does_not_wait_for_others(made, phase):
    view = NodeView(
        node=made.node,
        uid=made.uid,
        present=True,
        cordoned=made is LOSS,
        marked=made is LOSS,
        pods=(pod("a"),),
        bound=1,
        n_room=1,
        wave=WaveView(asking=True, bound=1, left=9),
    )
    asked = DrainProgress(moving=view.pods, asked=frozenset({view.pods[0].uid}))
    assert proceed(made, asked, view, AT).phase is phase


def test_pods_of_a_lost_node_go_one_by_one_as_room_is_set_aside_for_them():
    """Each pod waits for room of its own, and none for that of the others."""
    script = Script([pod("a"), pod("b"), pod("c")], binds=False)
    *_, at, progress = run(script, LOSS, steps=2)
    for evicted in (["a"], ["a", "b"]):
        script.seen = {"by_pod": True, "bound": 1}
        *_, at, progress = run(script, LOSS, at=at, progress=progress, steps=1)
        script.seen = {"by_pod": True, "bound": 0}
        *_, at, progress = run(script, LOSS, at=at, progress=progress, steps=3)
        assert (script.evicted(), progress.phase) == (evicted, DrainPhase.BINDING)
    assert run(script, LOSS, at=at, progress=progress)[0] is DrainEnd.DONE
    assert 0.0 <= script.at[script.kinds().index("ReleaseNode") - 1] - PRESSING_AT <= 2.0


def test_the_more_pods_its_plan_has_left_the_earlier_a_lost_nodes_own_ones_go():
    for n_left in (50, 1000):
        stands = WaveView(asking=False, bound=0, left=n_left, last=False)
        script = Script([pod("a")], binds=False, seen={"wave": stands})
        run(script, LOSS)
        early_s = PRESSING_AT - first(script, EvictPod)
        assert n_left / EVICTIONS_PER_S - 2.0 <= early_s <= n_left / EVICTIONS_PER_S


def test_a_pod_that_takes_long_to_end_takes_no_other_with_it():
    """At two minutes' notice one with ten minutes of grace goes at once, the others in time."""
    script = Script([pod("a"), pod("b", grace_s=600.0)], binds=False, seen={"by_pod": True})
    end, *_ = run(script, LOSS)
    assert (end, script.evicted()) == (DrainEnd.DONE, ["b", "a"])
    first_at, second_at = (
        at for at, c in zip(script.at, script.calls, strict=True) if isinstance(c, EvictPod)
    )
    assert first_at - AT < 5.0
    assert 0.0 <= second_at - PRESSING_AT <= 2.0


def test_what_has_not_come_is_given_back_once_the_last_pods_are_about_to_go_without():
    script = Script([pod("a"), pod("b", grace_s=60.0)], binds=False, marked=True, cordoned=True)
    asked = DrainProgress(moving=tuple(script.pods), asked=frozenset({"uid-a", "uid-b"}))
    for at, said in ((PRESSING_AT - 30.0, False), (PRESSING_AT - GIVE_BACK_S, True)):
        assert proceed(LOSS, asked, script.look(), at).pressed is said


def test_a_lost_node_says_a_few_seconds_ahead_that_its_pods_will_go_without_room():
    """So room that has not come is given back before the first of them goes."""
    for early_s, said in ((GIVE_BACK_S + 0.1, False), (GIVE_BACK_S, True)):
        script = Script([pod("a")], binds=False, marked=True, cordoned=True)
        asked = DrainProgress(moving=tuple(script.pods), asked=frozenset({"uid-a"}))
        progress = proceed(LOSS, asked, script.look(), PRESSING_AT - early_s)
        assert (progress.pressed, progress.phase) == (said, DrainPhase.BINDING)


HEDGED = replace(LOSS, hedged=True)
GIVES_BACK = WaveView(asking=False, bound=0, left=0, gives_back=True)


def test_an_order_that_is_to_ask_twice_asks_for_the_room_of_its_pods_once_more():
    script = Script([pod("a", owner="o"), pod("b", owner="o")])
    run(script, HEDGED)
    (shape,) = script.calls[1].shapes
    assert (len(shape.pods), shape.n_extra) == (2, 2)
    plain = Script([pod("a")])
    run(plain, LOSS)
    assert [s.n_extra for s in plain.calls[1].shapes] == [0]


def test_what_is_not_bound_is_given_back_once_when_the_plan_has_enough():
    for order in (HEDGED, LOSS):
        script = Script([pod("a")], seen={"wave": GIVES_BACK, "n_waiting": 1})
        assert run(script, order)[0] is DrainEnd.DONE
        given = [c for c in script.calls if isinstance(c, DeletePlaceholders) and c.unbound]
        assert [(c.plan_id, c.for_uid) for c in given] == [(LOSS.plan_id, LOSS.plan_id)]


@pytest.mark.parametrize(
    ("made", "seen"),
    [
        (replace(HEDGED, kind=OrderKind.DRAIN), {"wave": GIVES_BACK, "n_waiting": 1}),
        (HEDGED, {"wave": replace(GIVES_BACK, gives_back=False), "n_waiting": 1}),
        (HEDGED, {"wave": GIVES_BACK, "n_waiting": 0}),
        (HEDGED, {"n_waiting": 1}),
    ],
)
def test_nothing_is_given_back_while_it_may_be_needed_or_of_a_planned_move(made, seen):
    script = Script([pod("a")], seen=seen)
    run(script, made)
    assert not [c for c in script.calls if isinstance(c, DeletePlaceholders) and c.unbound]


def test_extras_that_cannot_be_given_back_stop_nothing():
    script = Script(
        [pod("a")],
        answers={DeletePlaceholders: [Refused(reason="no")]},
        seen={"wave": GIVES_BACK, "n_waiting": 1},
    )
    assert run(script, HEDGED)[0] is DrainEnd.DONE
    assert script.kinds().count("EvictPod") == 1
