"""One node's planned move: steps in their safe order against a node that does as it likes."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import HARD_BLOCKERS, Blocker, CapacityType, Offering
from spotvortex.core.drain.answers import FIRST_RETRY_S, MAX_TRIES, MAX_WAIT_S, advance
from spotvortex.core.drain.calls import (
    Again,
    BlockedByBudget,
    CreateAnchor,
    CreatePlaceholder,
    DeletePlaceholders,
    Done,
    EvictPod,
    MarkNode,
    NoteRisk,
    Refused,
    ReleaseNode,
    UnmarkNode,
)
from spotvortex.core.drain.machine import POLL_S, Do, Finish, Wait, next_step
from spotvortex.core.drain.messages import DrainEnd
from spotvortex.core.drain.orders import to_text
from spotvortex.core.drain.progress import begin, proceed
from spotvortex.core.drain.remaining import DrainPhase, DrainProgress
from spotvortex.core.drain.views import Halt
from tests.core.builders import AT
from tests.core.drain.drains import ORDER, Script, pod, run, view


def evicting(*pods, **changes):
    """An order whose room is there and whose node is marked."""
    asked = frozenset(p.uid for p in pods)
    return DrainProgress(
        phase=DrainPhase.EVICTING, moving=pods, asked=asked, marked=True, **changes
    )


def marked_view(*pods, **changes):
    return view(*pods, **({"cordoned": True, "marked": True, "bound": len(pods)} | changes))


def test_a_calm_node_is_moved_in_the_safe_order():
    script = Script([pod("a"), pod("b", grace_s=60.0), pod("ds", stays=True)])
    end, reason, _, progress = run(script)
    assert (end, reason, progress.n_calls) == (DrainEnd.DONE, "drained", 8)
    assert script.kinds() == [
        "CreatePlaceholder",
        "CreatePlaceholder",
        "CreateAnchor",
        "MarkNode",
        "EvictPod",
        "EvictPod",
        "ReleaseNode",
        "DeletePlaceholders",
    ]
    assert script.evicted() == ["b", "a"]


def test_calls_carry_the_order():
    script = Script([pod("a", blockers=(Blocker.VOLUME,))], seen={"zone": "z1"})
    order = replace(ORDER, avoid=(Offering(instance_type="m6i.large", zone="z9"),), leftover_s=90)
    run(script, order)
    placeholder, anchor, mark, evict, claim, clean = script.calls
    assert placeholder.name.startswith("spotvortex-placeholder-")
    assert (placeholder.capacity_type, placeholder.cpu_milli) == (CapacityType.ON_DEMAND, 100)
    assert (placeholder.for_pod, placeholder.pod_uid) == ("shop/a", "uid-a")
    assert (placeholder.zone, placeholder.avoid) == ("z1", order.avoid)
    assert (placeholder.order, placeholder.expires_s) == (to_text(order), 90)
    assert (anchor.node_uid, anchor.expires_s) == ("uid-r1", 90)
    assert (mark.uid, mark.order, mark.urgent) == (ORDER.uid, to_text(order), False)
    assert (evict.uid, evict.node_uid) == ("uid-a", ORDER.uid)
    assert (claim.claim, clean.for_uid) == ("claim-1", ORDER.uid)


def test_the_zone_is_asked_for_only_where_a_volume_is_bound_to_it():
    script = Script([pod("a")], seen={"zone": "z1"})
    run(script)
    assert script.calls[0].zone == ""


def test_placeholders_have_names_that_a_second_asking_would_not_double():
    def names():
        script = Script([pod("a"), pod("b")])
        run(script)
        return [c.name for c in script.calls if isinstance(c, CreatePlaceholder)]

    assert names() == names()
    assert len(set(names())) == 2


def test_an_empty_node_is_marked_and_released_only():
    script = Script([pod("ds", stays=True)])
    assert run(script)[0] is DrainEnd.DONE
    assert script.kinds() == ["MarkNode", "ReleaseNode"]


def test_a_drained_node_that_nobody_can_remove_is_given_back_at_once_and_named():
    script = Script([pod("a")])
    end, reason, now, _ = run(script, replace(ORDER, claim=""))
    assert end is DrainEnd.ABORTED
    assert reason == "drained, but nobody is known to remove it: n1 is uncordoned"
    assert script.kinds()[-3:] == ["EvictPod", "UnmarkNode", "DeletePlaceholders"]
    assert (script.cordoned, now < ORDER.deadline) == (False, True)


def test_a_released_node_that_nobody_removes_is_given_back_at_the_deadline():
    script = Script([pod("a")], takes=False)
    end, reason, now, _ = run(script)
    assert (end, script.cordoned) == (DrainEnd.ABORTED, False)
    assert reason == "drained, but its provisioner has not removed it: n1 is uncordoned"
    assert script.kinds().count("ReleaseNode") == script.kinds().count("UnmarkNode") == 1
    assert 0.0 <= now - ORDER.deadline <= POLL_S


def test_a_stop_does_not_wait_for_the_provisioner():
    script = Script([], takes=False, cordoned=True, marked=True, seen={"halt": Halt.UNDO})
    progress = replace(begin(ORDER, script.look()), phase=DrainPhase.RELEASING, released=True)
    assert run(script, progress=replace(progress, cleaned=True))[0] is DrainEnd.DONE
    assert script.calls == []


def test_a_move_without_a_side_to_ask_ends_before_anything_is_written():
    script = Script([pod("a")])
    end, reason, _, _ = run(script, replace(ORDER, sides=()))
    assert (end, reason) == (DrainEnd.NO_REPLACEMENT, "no driver makes nodes for pool web")
    assert script.calls == []


@pytest.mark.parametrize(
    ("bind_by", "said", "reason"),
    [
        (AT + 900.0, "", "not all room was bound in time"),
        (AT + 90.0, "0/3 nodes fit", "not all room was bound in time: 0/3 nodes fit"),
    ],
)
def test_without_room_in_time_nothing_is_marked_and_the_placeholders_go(bind_by, said, reason):
    script = Script([pod("a")], binds=False, seen={"pending_reason": said})
    end, found, now, _ = run(script, replace(ORDER, bind_by=bind_by))
    assert (end, found) == (DrainEnd.NO_REPLACEMENT, reason)
    assert script.kinds() == ["CreatePlaceholder", "DeletePlaceholders"]
    assert 0.0 <= now - min(bind_by, ORDER.deadline) <= POLL_S


def test_room_that_was_bound_in_time_is_not_asked_about_again():
    script = Script([pod("a")], pods_end=False)
    end, reason, now, _ = run(script, replace(ORDER, bind_by=AT + 90.0))
    assert (end, reason) == (DrainEnd.ABORTED, "not done by its deadline, in phase waiting")
    assert now >= ORDER.deadline


@pytest.mark.parametrize(
    ("call", "end", "kinds"),
    [
        (CreatePlaceholder, DrainEnd.NO_REPLACEMENT, ["CreatePlaceholder"]),
        (CreateAnchor, DrainEnd.NO_REPLACEMENT, ["CreateAnchor", "DeletePlaceholders"]),
        (MarkNode, DrainEnd.REFUSED, ["MarkNode", "DeletePlaceholders"]),
        (EvictPod, DrainEnd.REFUSED, ["EvictPod", "UnmarkNode", "DeletePlaceholders"]),
        (
            ReleaseNode,
            DrainEnd.REFUSED,
            ["ReleaseNode", "UnmarkNode", "DeletePlaceholders"],
        ),
        (DeletePlaceholders, DrainEnd.DONE, ["ReleaseNode", "DeletePlaceholders"]),
    ],
)
def test_a_refusal_is_undone_and_told(call, end, kinds):
    script = Script([pod("a")], answers={call: Refused("forbidden")})
    assert run(script)[:2] == (end, "forbidden")
    assert script.kinds()[-len(kinds) :] == kinds
    assert script.cordoned is (end is DrainEnd.DONE)


def test_what_cannot_be_undone_is_told_too():
    script = Script([pod("a")], answers={EvictPod: Refused("no"), UnmarkNode: Refused("never")})
    assert run(script)[:2] == (DrainEnd.REFUSED, "no; never")


def test_a_budget_on_anything_but_an_eviction_is_a_refusal():
    script = Script([pod("a")], answers={MarkNode: BlockedByBudget(1.0)})
    end, reason, *_ = run(script)
    assert (end, reason) == (DrainEnd.REFUSED, "a budget blocks what is no eviction")


def test_a_call_that_no_drain_makes_is_a_fault_of_ours():
    with pytest.raises(AssertionError, match="a drain makes no NoteRisk"):
        advance(DrainProgress(), NoteRisk(node="n1", uid="u", until=AT), Done(), AT)


@pytest.mark.parametrize("answer", [BlockedByBudget, lambda s: Again("busy", s)])
@pytest.mark.parametrize(("asked_s", "waited_s"), [(2.5, 2.5), (7200.0, MAX_WAIT_S), (0.01, 0.1)])
def test_a_blocked_pod_is_tried_again_when_the_server_says(answer, asked_s, waited_s):
    progress, seen = evicting(pod("a")), marked_view(pod("a"))
    evict = next_step(ORDER, progress, seen, AT).call
    blocked = advance(progress, evict, answer(asked_s), AT)
    assert next_step(ORDER, blocked, seen, AT) == Wait(pytest.approx(waited_s, abs=1e-6))


@pytest.mark.parametrize("asked_s", [0.0, -1.0, float("nan")])
def test_a_pod_blocked_without_a_time_is_tried_after_pauses_that_double_within_bounds(asked_s):
    progress, seen, now, pauses = evicting(pod("a")), marked_view(pod("a")), AT, []
    evict = next_step(ORDER, progress, seen, now).call
    for _ in range(6):
        progress = advance(progress, evict, BlockedByBudget(asked_s), now)
        pauses.append(next_step(ORDER, progress, seen, now).seconds)
        now += pauses[-1]
        assert next_step(ORDER, progress, seen, now) == Do(evict)
    doubled = [FIRST_RETRY_S, 4.0, 8.0, MAX_WAIT_S, MAX_WAIT_S, MAX_WAIT_S]
    assert all(0.8 * d <= p <= d + 1e-6 for p, d in zip(pauses, doubled, strict=True))


def test_other_pods_go_on_while_one_is_blocked():
    script = Script([pod("a", grace_s=99.0), pod("b")], answers={EvictPod: BlockedByBudget(30.0)})
    assert run(script)[0] is DrainEnd.DONE
    assert script.evicted() == ["a", "b", "a"]


@pytest.mark.parametrize(
    "call", [CreatePlaceholder, CreateAnchor, MarkNode, ReleaseNode, DeletePlaceholders]
)
def test_what_fails_for_now_is_tried_again_after_a_pause(call):
    script = Script([pod("a")], answers={call: [Again("busy"), Again("busy", 5.0)]})
    end, _, _, progress = run(script)
    assert (end, progress.tries) == (DrainEnd.DONE, {})
    tried = [at for at, c in zip(script.at, script.calls, strict=True) if isinstance(c, call)]
    assert 1.6 <= tried[1] - tried[0] <= 2.1
    assert tried[2] - tried[1] == pytest.approx(5.0, abs=0.06)


def test_half_a_second_that_the_server_asks_for_is_waited_too():
    seen = view(pod("a"))
    progress = begin(ORDER, seen)
    call = next_step(ORDER, progress, seen, AT).call
    busy = advance(progress, call, Again("busy", 0.5), AT)
    assert next_step(ORDER, busy, seen, AT) == Wait(pytest.approx(0.5, abs=1e-6))
    assert next_step(ORDER, busy, seen, AT + 0.5) == Do(call)


@pytest.mark.parametrize(
    ("call", "end"),
    [(CreatePlaceholder, DrainEnd.NO_REPLACEMENT), (MarkNode, DrainEnd.REFUSED)],
)
def test_what_never_works_is_given_up_after_so_many_tries(call, end):
    script = Script([pod("a")], answers={call: [Again("busy", 0.5)] * 99})
    assert run(script)[:2] == (end, "busy")
    assert sum(isinstance(c, call) for c in script.calls) == MAX_TRIES + 1
    assert script.room == {}


def test_a_mark_whose_answer_was_lost_is_seen_and_gone_on_with():
    script = Script([pod("a")], answers={MarkNode: (Again("timeout"),)})
    assert run(script)[0] is DrainEnd.DONE
    assert script.kinds().count("MarkNode") == 1


def test_an_eviction_whose_answer_was_lost_makes_its_pods_twin_no_reason_to_give_up():
    first, twin = pod("a"), pod("b")
    progress = evicting(first, twin)
    evict = next_step(ORDER, progress, marked_view(first, twin), AT).call
    progress = advance(progress, evict, Again("timeout"), AT)
    alone = replace(twin, blockers=(Blocker.SINGLE_REPLICA,))
    progress = proceed(ORDER, progress, marked_view(alone), AT)
    assert progress.phase is DrainPhase.EVICTING


def test_a_mark_whose_answer_was_lost_is_undone_even_where_no_view_shows_it():
    hidden = {"marked": False, "cordoned": False}
    script = Script([pod("a")], answers={MarkNode: [(Again("timeout"),)]}, seen=hidden)
    *_, progress = run(script, steps=5)
    assert script.kinds()[-1] == "MarkNode"
    end, *_ = run(script, progress=progress, at=ORDER.deadline)
    assert (end, script.kinds()[-2:]) == (DrainEnd.ABORTED, ["UnmarkNode", "DeletePlaceholders"])
    assert not script.cordoned


def test_room_whose_answer_was_lost_is_taken_away_again():
    script = Script([pod("a")], answers={CreatePlaceholder: (Again("timeout"),)})
    *_, progress = run(script, steps=1)
    run(script, progress=progress, at=ORDER.deadline)
    assert script.kinds() == ["CreatePlaceholder", "DeletePlaceholders"]


def test_a_pod_that_comes_before_the_mark_gets_room_of_its_own():
    script = Script([pod("a")])
    *_, progress = run(script, steps=1)
    script.pods.append(pod("late"))
    end, _, _, progress = run(script, progress=progress)
    assert (end, [p.name for p in progress.moving]) == (DrainEnd.DONE, ["a", "late"])
    assert script.kinds().count("CreatePlaceholder") == 2


def test_a_pod_that_goes_by_itself_needs_no_room():
    progress = proceed(ORDER, begin(ORDER, view(pod("a"), pod("b"))), view(pod("b")), AT)
    assert [p.name for p in progress.moving] == ["b"]


def test_a_pod_that_comes_after_the_first_eviction_is_never_evicted():
    waiting = evicting(pod("a"), begun=True, evicted=frozenset({"uid-a"}))
    seen = marked_view(pod("late"), bound=0)
    after = proceed(ORDER, waiting, seen, AT)
    assert next_step(ORDER, after, seen, AT) == Wait(POLL_S)


@pytest.mark.parametrize("blocker", sorted(HARD_BLOCKERS))
def test_a_hard_blocker_ends_the_order_before_it_begins(blocker):
    script = Script([pod("a", blockers=(blocker, Blocker.VOLUME))])
    end, reason, *_ = run(script)
    assert (end, script.calls) == (DrainEnd.REFUSED, [])
    assert reason == f"shop/a must not be moved: {blocker}"


@pytest.mark.parametrize(
    ("blocker", "phase"),
    [
        (Blocker.PDB_ALLOWS_ZERO, DrainPhase.EVICTING),
        (Blocker.SINGLE_REPLICA, DrainPhase.EVICTING),
        (Blocker.DO_NOT_DISRUPT, DrainPhase.UNDOING),
    ],
)
def test_what_our_own_evictions_bring_about_is_waited_for(blocker, phase):
    begun = evicting(pod("a"), pod("b"), begun=True, evicted=frozenset({"uid-a"}))
    seen = marked_view(pod("b", blockers=(blocker,)))
    after = proceed(ORDER, begun, seen, AT)
    assert after.phase is phase
    if phase is DrainPhase.EVICTING:
        assert next_step(ORDER, after, seen, AT) == Wait(POLL_S)


@pytest.mark.parametrize(
    ("marked", "reason"),
    [
        (True, "somebody else has uncordoned the node"),
        (False, "somebody else has cordoned the node"),
    ],
)
def test_a_persons_cordon_or_uncordon_ends_the_order(marked, reason):
    progress = DrainProgress(moving=(pod("a"),), asked=frozenset({"uid-a"}), marked=marked)
    after = proceed(ORDER, progress, view(pod("a"), cordoned=not marked, bound=1), AT)
    assert (after.phase, after.end, after.reason) == (DrainPhase.UNDOING, DrainEnd.ABORTED, reason)


def test_a_node_that_a_person_uncordons_right_after_our_mark_is_not_marked_again():
    asked = DrainProgress(moving=(pod("a"),), asked=frozenset({"uid-a"}))
    ready = proceed(ORDER, asked, view(pod("a"), bound=1), AT)
    mark = next_step(ORDER, ready, view(pod("a"), bound=1), AT).call
    assert isinstance(mark, MarkNode)
    marked = advance(ready, mark, Done(), AT)
    after = proceed(ORDER, marked, view(pod("a"), bound=1), AT)
    assert (after.end, after.reason) == (
        DrainEnd.ABORTED,
        "somebody else has uncordoned the node",
    )


def test_a_node_that_goes_when_drained_is_done_and_one_that_goes_before_is_gone():
    away = view(present=False)
    for phase, end in ((DrainPhase.RELEASING, DrainEnd.DONE), (DrainPhase.WAITING, DrainEnd.GONE)):
        progress = replace(evicting(pod("a"), released=True, cleaned=True), phase=phase)
        after = proceed(ORDER, progress, away, AT)
        assert next_step(ORDER, after, away, AT).end is end


def test_an_empty_node_that_somebody_uncordons_is_not_released():
    progress = replace(evicting(pod("a")), phase=DrainPhase.RELEASING)
    after = proceed(ORDER, progress, view(), AT)
    assert (after.phase, after.reason) == (
        DrainPhase.UNDOING,
        "somebody else has uncordoned the node",
    )


def test_a_pod_that_comes_back_to_a_drained_node_is_waited_for():
    progress = replace(
        evicting(pod("a"), begun=True, evicted=frozenset({"uid-a"})), phase=DrainPhase.RELEASING
    )
    after = proceed(ORDER, progress, marked_view(pod("a")), AT)
    assert after.phase is DrainPhase.WAITING


def test_a_drained_node_is_released_even_past_the_deadline():
    progress = replace(evicting(pod("a")), phase=DrainPhase.RELEASING)
    after = proceed(replace(ORDER, deadline=AT), progress, view(cordoned=True), AT + 1.0)
    assert after.phase is DrainPhase.RELEASING


def test_a_pod_that_does_not_end_leaves_the_node_uncordoned_at_the_deadline():
    script = Script([pod("a")], pods_end=False)
    end, reason, _, _ = run(script)
    assert (end, reason) == (DrainEnd.ABORTED, "not done by its deadline, in phase waiting")
    assert script.kinds()[-2:] == ["UnmarkNode", "DeletePlaceholders"]
    assert not script.cordoned


def test_an_order_that_must_stop_is_undone_and_one_that_may_not_write_is_left_as_it_is():
    for halt, end, kinds in (
        (Halt.UNDO, DrainEnd.ABORTED, ["UnmarkNode", "DeletePlaceholders"]),
        (Halt.DROP, DrainEnd.HANDED_OVER, []),
    ):
        script = Script([pod("a")], pods_end=False)
        *_, progress = run(script, steps=6)
        assert script.kinds()[-1] == "EvictPod"
        n, script.seen = len(script.calls), {"halt": halt, "halt_reason": "frozen"}
        found = run(script, progress=progress)
        assert found[:2] == (end, "frozen")
        assert script.kinds()[n:] == kinds


def test_what_is_undone_is_left_too_once_nothing_may_be_written():
    undoing = replace(evicting(pod("a")), phase=DrainPhase.UNDOING, end=DrainEnd.ABORTED)
    seen = marked_view(pod("a"), halt=Halt.DROP, halt_reason="no lease")
    assert next_step(ORDER, undoing, seen, AT) == Finish(DrainEnd.HANDED_OVER, "no lease")
