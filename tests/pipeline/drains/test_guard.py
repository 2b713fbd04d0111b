"""What the hand that writes asks itself right before each write, and what it sees."""

import asyncio
import math
from dataclasses import replace

import pytest

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import WriteAuthority
from spotvortex.core.domain.types import CapacityType, Freeze
from spotvortex.core.drain.calls import (
    Again,
    ClearRisk,
    CreateAnchor,
    CreateRoom,
    DeleteAnchors,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    MarkNode,
    NoteRisk,
    Refused,
    ReleaseNode,
    RoomShape,
    UnmarkNode,
)
from spotvortex.core.drain.messages import DrainEnd
from spotvortex.core.drain.orders import to_text
from spotvortex.core.drain.views import Halt
from spotvortex.pipeline.drains.guard import LEAST_SENDING, MAX_ASKING, MAX_SENDING
from tests.core.builders import AT, HEALTHY, cluster, health, on_demand, pool
from tests.core.in_flight import anchor, loss, order, placeholder, placeholder_call
from tests.pipeline.drains.test_drainer_beside import script
from tests.pipeline.live import Live, guarded, plan_on
from tests.pipeline.world import now, pod, run


def mark(name="web-s0", *, version="1", **changes):
    made = order(name)
    values = {"node": name, "uid": made.uid, "plan_id": "p1", "order": to_text(made)}
    return MarkNode(**(values | {"resource_version": version} | changes))


def room(name="web-s0"):
    made = order(name)
    return placeholder_call(name=f"room-{name}", for_uid=made.uid, order=to_text(made))


UNDOING_CALLS = (
    UnmarkNode(node="web-s0", uid="uid-web-s0", plan_id="p1"),
    DeletePlaceholders(plan_id="p1", for_uid="uid-web-s0"),
    DeleteAnchors(node="web-s0", node_uid="uid-web-s0"),
    ClearRisk(node="web-s0", uid="uid-web-s0"),
)
OTHER_CALLS = (
    mark(),
    room(),
    EvictPod(namespace="shop", name="a", uid="uid-a", node_uid="uid-web-s0", plan_id="p1"),
    ReleaseNode(claim="claim-web-s0", node="web-s0", plan_id="p1"),
    CreateAnchor(
        name="a", node="web-d0", node_uid="uid-web-d0", pool="web", plan_id="p1", expires_s=9
    ),
    NoteRisk(node="web-s0", uid="uid-web-s0", until=AT),
)
ALL_CALLS = UNDOING_CALLS + OTHER_CALLS
LOSS_CALLS = (
    *(replace(call, urgent=True) for call in OTHER_CALLS if hasattr(call, "urgent")),
    CreateRoom(
        plan_id="p1",
        for_uids=("uid-web-s0",),
        pool="web",
        capacity_type=CapacityType.UNKNOWN,
        sides=("web",),
        shapes=(RoomShape(pods=(pod("web-s0-a"),), zone="", avoid=()),),
        expires_s=1800,
    ),
)


def frozen(freeze):
    return WriteAuthority(leader=True, freeze=freeze)


def apply(guard, *calls):
    async def main():
        return [await guard.apply(c) for c in calls]

    return run(main)


def written(guard):
    return [kind for _, kind in guard.cluster.live.log]


@pytest.mark.parametrize("call", ALL_CALLS, ids=lambda c: type(c).__name__)
def test_every_call_goes_through_where_nothing_speaks_against_it(call):
    guard = guarded()
    assert apply(guard, call) == [Done()]
    assert written(guard) == [type(call).__name__]
    assert guard.telemetry.of("calls") == [(0.0, type(call).__name__, "Done")]


@pytest.mark.parametrize("call", ALL_CALLS, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (WriteAuthority(), "this replica does not hold the lease"),
        (WriteAuthority(leader=False, freeze=Freeze.SOFT), "this replica does not hold the lease"),
        (WriteAuthority(leader=True, freeze=Freeze.HARD), "frozen: hard"),
        (WriteAuthority(leader=True, freeze=Freeze.UNKNOWN), "frozen: unknown"),
    ],
)
def test_nothing_at_all_is_written_without_the_lease_or_in_a_hard_freeze(call, standing, words):
    guard = guarded()
    guard.authority.now = standing
    (answer,) = apply(guard, call)
    assert (answer, answer.is_sent) == (Again(words), False)
    assert written(guard) == []
    assert guard.telemetry.of("calls") == [(0.0, type(call).__name__, "Again")]


def test_a_soft_freeze_lets_only_undoing_through():
    guard = guarded()
    guard.authority.now = frozen(Freeze.SOFT)
    assert apply(guard, *UNDOING_CALLS) == [Done()] * 4
    assert apply(guard, *OTHER_CALLS) == [Refused("frozen by a person")] * 6


def test_a_soft_freeze_lets_what_empties_a_lost_node_through():
    assert {type(call) for call in LOSS_CALLS} == {MarkNode, EvictPod, ReleaseNode, CreateRoom}
    guard = guarded()
    guard.authority.now = frozen(Freeze.SOFT)
    assert apply(guard, *LOSS_CALLS) == [Done()] * 4


def test_an_uninstall_lets_only_undoing_through_and_saves_no_lost_node():
    guard = guarded()
    guard.authority.now = frozen(Freeze.LEAVE)
    assert apply(guard, *UNDOING_CALLS) == [Done()] * 4
    refused = Refused("frozen by an uninstall")
    assert apply(guard, *LOSS_CALLS, *OTHER_CALLS) == [refused] * 10


STALE = (
    (health("pods", state=InputState.STALE), "pods is not fresh"),
    (health("nodes", age_s=20.1), "nodes is not fresh"),
)


@pytest.mark.parametrize(("bad", "words"), STALE)
def test_on_stale_inputs_only_undoing_goes_through(bad, words):
    guard = guarded(Live(facts=cluster(pool(), inputs=(*HEALTHY, bad))))
    found = apply(guard, *OTHER_CALLS)
    assert (found, {a.is_sent for a in found}) == ([Again(words)] * 6, {False})
    assert apply(guard, *UNDOING_CALLS) == [Done()] * 4


def test_an_input_that_is_not_required_or_just_fresh_enough_stops_nothing():
    inputs = (health("prices", state=InputState.ABSENT, required=False), health(age_s=20.0))
    assert apply(guarded(Live(facts=cluster(pool(), inputs=inputs))), room()) == [Done()]


def busy(*changed, n=20):
    """A pool of 20 nodes, some of which somebody else is moving."""
    nodes = tuple(on_demand(f"d{i}", **(changed[i] if i < len(changed) else {})) for i in range(n))
    return Live(facts=cluster(pool(nodes=nodes)))


HALF = Limits(max_pool_disruption_ratio=0.1, max_cluster_disruption_ratio=1.0)


@pytest.mark.parametrize(
    ("changed", "objection"),
    [
        ([{"moving": True}], None),
        ([{"moving": True}, {"cordoned": True}], "2 nodes of pool web are on the move, at most 2"),
    ],
)
def test_moves_of_others_count_for_the_budget_of_the_pool(changed, objection):
    guard = guarded(busy(*changed), limits=HALF)
    (answer,) = apply(guard, mark("d9"))
    assert answer == Done() if objection is None else answer.reason.startswith(objection)
    assert objection is None or not answer.is_sent


def test_moves_in_other_pools_count_for_the_budget_of_the_cluster():
    other = pool("api", nodes=(on_demand("x1", pool="api", moving=True),))
    live = Live(facts=cluster(pool(), other))
    (answer,) = apply(guarded(live), mark())
    assert answer == Again("1 nodes of the cluster are on the move, at most 1 may be")


def test_only_the_budget_of_a_nodes_own_pool_counts():
    nodes = tuple(on_demand(f"x{i}", pool="api", moving=i < 2) for i in range(20))
    live = Live(facts=cluster(pool("api", nodes=nodes), pool("web")))
    guard = guarded(live, limits=HALF)
    assert apply(guard, mark("web-s0")) == [Done()]
    (answer,) = apply(guard, mark("x9"))
    assert answer == Again("2 nodes of pool api are on the move, at most 2 may be")


def most_at_once(*calls):
    """Apply calls side by side, each request taking a second; return the most at once."""

    async def main():
        guard = guarded()
        there, most = 0, 0

        class Slow:
            own_write = guard.writer.own_write

            async def apply(self, _call, _until):
                nonlocal there, most
                there += 1
                most = max(most, there)
                await asyncio.sleep(1.0)
                there -= 1
                return Done()

        guard.writer = Slow()
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(guard.apply(call))
        return most

    return run(main)


def test_so_many_requests_for_room_are_on_their_way_at_once_and_evictions_do_not_wait_for_them():
    n = MAX_ASKING + 5
    gone = EvictPod(namespace="s", name="a", uid="u", node_uid="uid-web-s0", plan_id="p1")
    assert most_at_once(*[room()] * n) == MAX_ASKING
    assert most_at_once(*[gone] * n) == n
    assert most_at_once(*[gone] * (MAX_SENDING + 5)) == MAX_SENDING


def test_an_urgent_mark_passes_the_budgets_and_a_node_on_the_move_does_not_count_itself():
    guard = guarded(busy(*[{"cordoned": True}] * 5), limits=HALF)
    assert apply(guard, mark("d9", urgent=True)) == [Done()]
    guard = guarded(busy({"cordoned": True}, {"cordoned": True}), limits=HALF)
    assert apply(guard, mark("d0")) == [Done()]


def test_a_node_that_is_gone_is_left_to_the_server():
    guard = guarded()
    assert apply(guard, mark("elsewhere")) == [Gone()]
    assert written(guard) == ["MarkNode"]


def test_marks_that_a_view_lacks_count_until_their_order_has_ended():
    guard = guarded(busy(), limits=HALF)
    guard.cluster.lag()
    answers = apply(guard, mark("d0"), mark("d1"), mark("d2"))
    assert answers[:2] == [Done()] * 2
    assert answers[2].reason.startswith("2 nodes of pool web")
    guard.forget(order("d0"))
    assert apply(guard, mark("d2")) == [Done()]


def test_a_mark_that_was_refused_does_not_count():
    guard = guarded(busy(), limits=HALF)
    guard.cluster.lag()
    answers = apply(guard, *(mark(f"d{i}", version="stale") for i in range(2)), mark("d3"))
    assert answers == [Refused("conflict"), Refused("conflict"), Done()]


def slow(guard):
    """Let each write of a guard take a second before it is carried out."""
    applied = guard.writer.apply

    class Slow:
        own_write = guard.writer.own_write

        async def apply(self, call, until):
            await asyncio.sleep(1.0)
            return await applied(call, until)

    guard.writer = Slow()


def applied_together(*calls):
    """Apply calls side by side, each request taking a second, before a view that lags."""

    async def main():
        guard = guarded(busy(), limits=HALF)
        guard.cluster.lag()
        slow(guard)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(guard.apply(call)) for call in calls]
        return [type(t.result()) for t in tasks], now()

    return run(main)


def test_marks_made_at_the_same_time_never_share_the_last_place_of_a_budget():
    marks = [mark(f"d{i}") for i in range(5)]
    assert applied_together(*marks) == ([Done, Done, Again, Again, Again], 2.0)


def test_marks_of_lost_nodes_do_not_wait_for_each_other():
    marks = [mark(f"d{i}", urgent=True) for i in range(5)]
    assert applied_together(*marks) == ([Done] * 5, 1.0)


def test_the_room_of_a_plan_is_asked_for_once_all_its_nodes_that_are_being_marked_are_so():
    async def main():
        guard = guarded()
        slow(guard)

        async def lost(name, starts_at):
            await asyncio.sleep(starts_at)
            await guard.apply(mark(name, urgent=True))
            pods = (pod(f"{name}-a"),)
            shape = replace(LOSS_CALLS[-1].shapes[0], pods=pods)
            await guard.apply(replace(LOSS_CALLS[-1], for_uids=(name,), shapes=(shape,)))

        async with asyncio.TaskGroup() as group:
            for i in range(4):
                group.create_task(lost(f"d{i}", i / 10.0))
        return guard.cluster.live.log

    log = run(main)
    assert [(at, kind) for at, kind in log[:4]] == [
        (pytest.approx(1.0 + i / 10.0), "MarkNode") for i in range(4)
    ]
    ((asked_at, kind),) = log[4:]
    assert (kind, 0.0 < asked_at - 2.3 < 0.1) == ("CreateRoom", True)


def test_a_mark_of_a_lost_node_that_is_on_its_way_takes_its_place_in_the_budget():
    urgent = [mark(f"d{i}", urgent=True) for i in range(2)]
    assert applied_together(*urgent, mark("d2")) == ([Done, Done, Again], 1.0)


def test_marks_of_lost_nodes_go_first_and_one_nodes_room_before_the_next_ones():
    async def main():
        guard = guarded(per_s=1.0, burst=1.0)
        gone = EvictPod(namespace="s", name="a", uid="u", node_uid="uid-web-s0", plan_id="p1")
        calls = [room("web-s0"), room("web-s1"), room("web-s0"), gone, mark(urgent=True)]
        await guard.apply(room("web-s0"))
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(guard.apply(call))
        return guard.cluster.live.log[1:], [p.for_uid for p in guard.cluster.live.facts.own_pods]

    log, asked_for = run(main)
    room_call = "CreatePlaceholder"
    assert [kind for _, kind in log] == ["MarkNode", "EvictPod", *[room_call] * 3]
    assert asked_for == ["uid-web-s0"] * 3 + ["uid-web-s1"]


def test_a_server_that_does_not_keep_up_gets_less_at_once_and_then_more_again():
    gone = EvictPod(namespace="s", name="a", uid="u", node_uid="uid-web-s0", plan_id="p1")

    async def main():
        guard, answers, told = guarded(per_s=1000.0), [Again("no answer in time")] * 5, []

        class Slow:
            own_write = guard.writer.own_write

            async def apply(self, _call, _until):
                return answers.pop() if answers else Done()

        guard.writer = Slow()
        for _ in range(8):
            await guard.apply(gone)
            told.append(guard._sending.n)
        return told

    assert run(main) == [32, 16, 8, LEAST_SENDING, LEAST_SENDING, 9, 10, 11]


def test_what_saves_the_pods_of_lost_nodes_waits_for_no_rate():
    async def main():
        guard = guarded(per_s=1.0, burst=1.0)
        gone = EvictPod(namespace="s", name="a", uid="u", node_uid="uid-web-s0", plan_id="p1")
        calls = [replace(gone, urgent=True), mark(urgent=True), gone, gone]
        return [(type(await guard.apply(call)), now()) for call in calls]

    told = run(main)
    assert [at for _, at in told] == [0.0, 0.0, 0.0, 1.0]


def test_the_checks_come_after_the_wait_for_the_rate():
    async def main():
        guard = guarded(per_s=1.0, burst=1.0)
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, setattr, guard.authority, "now", WriteAuthority())
        return [await guard.apply(room()), await guard.apply(room("web-s1"))], now()

    answers, at = run(main)
    assert answers == [Done(), Again("this replica does not hold the lease")]
    assert at == 1.0


def look(guard, made=None):
    return run(guard.look, made or order("web-s0"))


def test_a_look_shows_the_node_with_its_pods_and_its_room():
    guard = guarded()
    made = order("web-s0")
    guard.cluster.live.own(
        placeholder(made, 0, node="web-d0"),
        placeholder(made, 1, pending_reason="0/9 nodes fit"),
        placeholder(made, 2, node="web-d0"),
        placeholder(made, 3, node="web-d1", terminating=True),
        placeholder(made, 4, node="web-d2", finished=True),
        placeholder(order("web-s0", plan_id="p2"), 5, node="web-d3"),
        anchor("web-d0", AT + 1700.0),
    )
    seen = look(guard)
    assert (seen.present, seen.cordoned, seen.marked) == (True, False, False)
    assert (seen.n_room, seen.bound, seen.pending_reason) == (4, 2, "0/9 nodes fit")
    assert [(r.node, r.anchored_until) for r in seen.receivers] == [("web-d0", AT + 1700.0)]
    assert (seen.zone, seen.resource_version) == ("us-east-1a", "1")
    assert [p.name for p in seen.pods] == ["web-s0-a"]


def test_room_on_a_node_that_is_not_ready_is_not_bound():
    guard = guarded()
    guard.cluster.live.own(placeholder(order("web-s0"), node="web-d0"))
    guard.cluster.live.change("uid-web-d0", ready=False)
    assert look(guard).bound == 0
    guard.cluster.live.change("uid-web-d0", ready=True)
    assert look(guard).bound == 1


@pytest.mark.parametrize("made", [order("gone"), order("web-s0", uid="another")])
def test_a_node_that_is_gone_or_another_is_not_present(made):
    seen = look(guarded(), made)
    assert (seen.present, seen.marked, seen.pods, seen.zone) == (False, False, (), "")


def test_our_own_write_is_laid_over_a_view_that_lacks_it():
    guard = guarded()
    guard.cluster.lag()
    apply(guard, mark())
    seen = look(guard)
    assert (seen.cordoned, seen.marked) == (True, True)
    assert not look(guard, order("web-s0", plan_id="p2")).marked
    apply(guard, UNDOING_CALLS[0])
    seen = look(guard)
    assert (seen.cordoned, seen.marked) == (False, False)


def test_a_view_that_is_newer_than_our_own_write_counts():
    guard = guarded()
    apply(guard, mark())
    guard.cluster.live.change("uid-web-s0", cordoned=False)
    seen = look(guard)
    assert (seen.cordoned, seen.marked) == (False, True)
    guard.cluster.live.change("uid-web-s0", mark="{")
    assert not look(guard).marked


@pytest.mark.parametrize(
    ("standing", "halt", "reason", "of_loss"),
    [
        (WriteAuthority(leader=True), Halt.NONE, "", Halt.NONE),
        (WriteAuthority(), Halt.DROP, "this replica does not hold the lease", Halt.DROP),
        (frozen(Freeze.SOFT), Halt.UNDO, "frozen by a person", Halt.NONE),
        (frozen(Freeze.LEAVE), Halt.UNDO, "frozen by an uninstall", Halt.UNDO),
        (frozen(Freeze.HARD), Halt.DROP, "frozen: hard", Halt.DROP),
        (frozen(Freeze.UNKNOWN), Halt.DROP, "frozen: unknown", Halt.DROP),
    ],
)
def test_a_look_says_whether_the_order_may_go_on(standing, halt, reason, of_loss):
    guard = guarded()
    guard.authority.now = standing
    seen = look(guard)
    assert (seen.halt, seen.halt_reason) == (halt, reason)
    assert run(guard.look, loss("web-s0")).halt is of_loss


def test_a_fresh_read_is_of_the_orders_node():
    guard = guarded()
    run(guard.refresh, order("web-s0"))
    assert guard.cluster.refreshed == ["web-s0"]


@pytest.mark.parametrize("made", [order("web-s0"), loss("web-s0")])
def test_a_whole_move_goes_through_the_guard(made):
    guard = guarded()
    live = guard.cluster.live
    ((_, end, result),) = script(guard, (0.0, made))
    assert (end, result.n_evicted) == (DrainEnd.DONE, 1)
    assert live.node("uid-web-s0").moving
    assert plan_on(live, "uid-web-s0") == "p1"
    kept = ["anchor"] if made.to is CapacityType.ON_DEMAND else []
    assert [p.kind for p in live.facts.own_pods] == kept


class Turning:
    """An authority that changes at one second."""

    def __init__(self, at, standing):
        self.at, self.then = at, standing

    def standing(self):
        return self.then if now() >= self.at else WriteAuthority(leader=True)

    def writes_until(self):
        return math.inf


def waiting_for_room():
    guard = guarded()
    guard.cluster.live.receiver = ""
    return guard


def test_a_soft_freeze_in_mid_move_leaves_nothing_of_ours():
    guard = waiting_for_room()
    guard.authority = Turning(10.0, frozen(Freeze.SOFT))
    ((at, end, result),) = script(guard, (0.0, order("web-s0")))
    assert (at, end, result.reason) == (10.0, DrainEnd.ABORTED, "frozen by a person")
    assert written(guard) == ["CreatePlaceholder", "DeletePlaceholders"]
    assert guard.cluster.live.facts.own_pods == ()


def test_a_soft_freeze_does_not_reach_a_node_that_is_lost():
    guard = waiting_for_room()
    guard.authority = Turning(10.0, frozen(Freeze.SOFT))
    ((_, end, result),) = script(guard, (0.0, loss("web-s0")))
    assert (end, result.n_evicted) == (DrainEnd.DONE, 1)
    assert guard.cluster.live.node("uid-web-s0").moving


def test_an_uninstall_gives_back_even_a_node_that_is_lost():
    guard = waiting_for_room()
    guard.authority = Turning(10.0, frozen(Freeze.LEAVE))
    ((_, end, result),) = script(guard, (0.0, loss("web-s0")))
    assert (end, result.reason) == (DrainEnd.ABORTED, "frozen by an uninstall")
    assert plan_on(guard.cluster.live, "uid-web-s0") == ""
    assert not guard.cluster.live.node("uid-web-s0").cordoned


def test_a_lost_lease_in_mid_move_leaves_everything_as_it_is_for_the_next_leader():
    guard = waiting_for_room()
    guard.authority = Turning(10.0, WriteAuthority())
    ((at, end, _),) = script(guard, (0.0, order("web-s0")))
    assert (at, end, written(guard)) == (10.0, DrainEnd.HANDED_OVER, ["CreatePlaceholder"])
    guard.cluster.live.receiver = "web-d7"
    guard.authority = Turning(0.0, WriteAuthority(leader=True))
    own = guard.cluster.live.facts.own_pods
    guard.cluster.live.facts = replace(
        guard.cluster.live.facts, own_pods=tuple(replace(p, node="web-d7") for p in own)
    )
    assert script(guard, (0.0, order("web-s0")))[-1][1] is DrainEnd.DONE
