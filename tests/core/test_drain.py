"""One node's move: steps in their safe order against a node that does as it likes."""

import math
from dataclasses import dataclass, field, replace

import pytest

from spotvortex.core.calls import (
    BlockedByBudget,
    CreatePlaceholder,
    DeleteNodeClaim,
    DeletePlaceholders,
    Done,
    EvictPod,
    MarkNode,
    Refused,
    UnmarkNode,
)
from spotvortex.core.drain import (
    MAX_WAIT_S,
    MIN_RETRY_S,
    POLL_S,
    Do,
    Finish,
    Phase,
    Progress,
    Wait,
    advance,
    begin,
    next_step,
    proceed,
)
from spotvortex.core.messages import DrainEnd
from spotvortex.core.types import HARD_BLOCKERS, Blocker, CapacityType
from tests.core.builders import AT
from tests.core.drains import ORDER, pod, view


@dataclass(slots=True)
class Script:
    """A calm node that does as it is told; `answers` overrides by type of call, once each."""

    pods: list
    answers: dict = field(default_factory=dict)
    binds: bool = True
    pods_end: bool = True
    cordoned: bool = False
    bound: int = 0
    calls: list = field(default_factory=list)

    def look(self):
        return view(*self.pods, cordoned=self.cordoned, bound=self.bound)

    def answer(self, call):
        self.calls.append(call)
        given_answer = self.answers.pop(type(call), Done())
        if isinstance(given_answer, Done):
            self.carry_out(call)
        return given_answer

    def carry_out(self, call):
        match call:
            case CreatePlaceholder():
                self.bound += self.binds
            case MarkNode():
                self.cordoned = True
            case UnmarkNode():
                self.cordoned = False
            case EvictPod(uid=uid) if self.pods_end:
                self.pods = [p for p in self.pods if p.uid != uid]
            case DeletePlaceholders():
                self.bound = 0

    def kinds(self):
        return [type(c).__name__ for c in self.calls]


def run(script, order=ORDER, until=20_000):
    """Drive an order to its end as the drainer does; returns the end, its reason and the time."""
    progress, now = begin(script.look()), AT
    for _ in range(until):
        seen = script.look()
        progress = proceed(progress, seen, order.deadline, now)
        match next_step(order, progress, seen, now):
            case Do(call=call):
                progress = advance(progress, call, script.answer(call), now)
                now += 0.05
            case Wait(seconds=seconds):
                assert 0.0 < seconds <= MAX_WAIT_S
                now += seconds
            case Finish(end=end, reason=reason):
                return end, reason, now, progress
    raise AssertionError("the order does not end")


def test_a_calm_node_is_moved_in_the_safe_order():
    script = Script([pod("a"), pod("b", grace_s=60.0), pod("ds", stays=True)])
    end, reason, _, progress = run(script)
    assert (end, reason, progress.n_calls) == (DrainEnd.DONE, "drained", 7)
    assert script.kinds() == [
        "CreatePlaceholder",
        "CreatePlaceholder",
        "MarkNode",
        "EvictPod",
        "EvictPod",
        "DeleteNodeClaim",
        "DeletePlaceholders",
    ]
    assert [c.name for c in script.calls if isinstance(c, EvictPod)] == ["b", "a"]


def test_calls_carry_the_order():
    script = Script([pod("a")])
    run(script)
    placeholder, mark, evict, claim, clean = script.calls
    assert placeholder.name == "spotvortex-p1-01234567-0"
    assert (placeholder.capacity_type, placeholder.cpu_milli) == (CapacityType.ON_DEMAND, 100)
    assert (mark.uid, mark.reason, mark.deadline) == (ORDER.uid, ORDER.reason, ORDER.deadline)
    assert (evict.uid, evict.node_uid) == ("uid-a", ORDER.uid)
    assert (claim.node_claim, clean.for_uid) == ("claim-1", ORDER.uid)


def test_an_empty_node_is_marked_and_released_only():
    script = Script([pod("ds", stays=True)])
    assert run(script)[0] is DrainEnd.DONE
    assert script.kinds() == ["MarkNode", "DeleteNodeClaim"]


def test_a_node_without_a_claim_is_left_to_its_provisioner():
    script = Script([pod("a")])
    assert run(script, replace(ORDER, node_claim=""))[0] is DrainEnd.DONE
    assert script.kinds()[-2:] == ["EvictPod", "DeletePlaceholders"]


def test_without_room_in_time_nothing_is_marked_and_the_placeholders_go():
    script = Script([pod("a")], binds=False)
    end, reason, now, _ = run(script)
    assert (end, script.kinds()) == (
        DrainEnd.NO_REPLACEMENT,
        ["CreatePlaceholder", "DeletePlaceholders"],
    )
    assert reason == "not done by its deadline, in phase binding"
    assert now - ORDER.deadline <= POLL_S


def test_a_refused_placeholder_ends_the_order():
    script = Script([pod("a")], answers={CreatePlaceholder: Refused("exceeded quota")})
    assert run(script)[:2] == (DrainEnd.NO_REPLACEMENT, "exceeded quota")
    assert script.kinds() == ["CreatePlaceholder"]


@pytest.mark.parametrize(
    ("call", "end", "kinds"),
    [
        (MarkNode, DrainEnd.REFUSED, ["MarkNode", "DeletePlaceholders"]),
        (EvictPod, DrainEnd.REFUSED, ["EvictPod", "UnmarkNode", "DeletePlaceholders"]),
        (
            DeleteNodeClaim,
            DrainEnd.REFUSED,
            ["DeleteNodeClaim", "UnmarkNode", "DeletePlaceholders"],
        ),
        (DeletePlaceholders, DrainEnd.DONE, ["DeleteNodeClaim", "DeletePlaceholders"]),
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


@pytest.mark.parametrize(
    ("retry_s", "waited_s"),
    [(2.0, 2.0), (0.0, MIN_RETRY_S), (math.nan, MIN_RETRY_S), (-1.0, MIN_RETRY_S), (7200.0, 15.0)],
)
def test_a_blocked_pod_is_tried_again_later_within_bounds(retry_s, waited_s):
    progress = Progress(phase=Phase.EVICTING, moving=(pod("a"),), n_asked=1, marked=True)
    evict = next_step(ORDER, progress, view(pod("a"), cordoned=True, bound=1), AT).call
    blocked = advance(progress, evict, BlockedByBudget(retry_s), AT)
    assert next_step(ORDER, blocked, view(pod("a"), cordoned=True, bound=1), AT) == Wait(waited_s)


def test_other_pods_go_on_while_one_is_blocked():
    script = Script([pod("a", grace_s=99.0), pod("b")], answers={EvictPod: BlockedByBudget(30.0)})
    assert run(script)[0] is DrainEnd.DONE
    assert [c.name for c in script.calls if isinstance(c, EvictPod)] == ["a", "b", "a"]


def test_a_pod_that_comes_before_the_mark_gets_room_of_its_own():
    script = Script([pod("a")])
    progress = begin(script.look())
    script.pods.append(pod("late"))
    seen = script.look()
    progress = proceed(progress, seen, ORDER.deadline, AT)
    assert [p.name for p in progress.moving] == ["a", "late"]
    assert run(script)[0] is DrainEnd.DONE
    assert script.kinds().count("CreatePlaceholder") == 2


def test_a_pod_that_comes_after_the_first_eviction_is_never_evicted():
    waiting = Progress(
        phase=Phase.EVICTING,
        moving=(pod("a"),),
        n_asked=1,
        marked=True,
        evicted=frozenset({"uid-a"}),
    )
    seen = view(pod("late"), cordoned=True)
    after = proceed(waiting, seen, ORDER.deadline, AT)
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
        (Blocker.PDB_ALLOWS_ZERO, Phase.EVICTING),
        (Blocker.SINGLE_REPLICA, Phase.EVICTING),
        (Blocker.DO_NOT_DISRUPT, Phase.UNDOING),
    ],
)
def test_what_our_own_evictions_bring_about_is_waited_for(blocker, phase):
    begun = Progress(
        phase=Phase.EVICTING,
        moving=(pod("a"), pod("b")),
        n_asked=2,
        marked=True,
        evicted=frozenset({"uid-a"}),
    )
    seen = view(pod("b", blockers=(blocker,)), cordoned=True)
    after = proceed(begun, seen, ORDER.deadline, AT)
    assert after.phase is phase
    if phase is Phase.EVICTING:
        assert next_step(ORDER, after, seen, AT) == Wait(POLL_S)


@pytest.mark.parametrize(
    ("marked", "reason"),
    [
        (True, "somebody else has uncordoned the node"),
        (False, "somebody else has cordoned the node"),
    ],
)
def test_a_persons_cordon_or_uncordon_ends_the_order(marked, reason):
    progress = Progress(moving=(pod("a"),), n_asked=1, marked=marked)
    after = proceed(progress, view(pod("a"), cordoned=not marked, bound=1), ORDER.deadline, AT)
    assert (after.phase, after.end, after.reason) == (Phase.UNDOING, DrainEnd.ABORTED, reason)


def test_a_node_that_goes_when_drained_is_done_and_one_that_goes_before_is_gone():
    away = view(present=False)
    for phase, end in ((Phase.RELEASING, DrainEnd.DONE), (Phase.WAITING, DrainEnd.GONE)):
        progress = Progress(
            phase=phase, moving=(pod("a"),), n_asked=1, marked=True, released=True, cleaned=True
        )
        after = proceed(progress, away, ORDER.deadline, AT)
        assert next_step(ORDER, after, away, AT).end is end


def test_a_drained_node_is_released_even_past_the_deadline():
    progress = Progress(phase=Phase.RELEASING, moving=(pod("a"),), n_asked=1, marked=True)
    after = proceed(progress, view(cordoned=True), AT, AT + 1.0)
    assert after.phase is Phase.RELEASING


def test_a_pod_that_does_not_end_leaves_the_node_uncordoned_at_the_deadline():
    script = Script([pod("a")], pods_end=False)
    end, reason, _, _ = run(script)
    assert (end, reason) == (DrainEnd.ABORTED, "not done by its deadline, in phase waiting")
    assert script.kinds()[-2:] == ["UnmarkNode", "DeletePlaceholders"]
    assert not script.cordoned
