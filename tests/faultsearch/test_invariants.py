"""The observer: each promise, broken by a request made by hand, and kept by the same made right."""

from dataclasses import dataclass, field, replace

import pytest

from spotvortex.core.domain.types import CapacityType, Freeze
from spotvortex.core.drain.calls import DeletePlaceholders, EvictPod, ReleaseNode, UnmarkNode
from spotvortex.faultsearch.episode import START_AT
from spotvortex.faultsearch.invariants import EpisodeBounds, InvariantChecker
from spotvortex.sim.cluster.scenario import WorkloadKind
from spotvortex.sim.runtime.coordination import CoordinationObjects
from tests.sim.small import (
    Clock,
    anchor,
    app,
    eviction,
    journal,
    mark,
    node_of,
    placeholder,
    pool,
    step,
    world_of,
)

BOUNDS = EpisodeBounds(
    writes=True,
    settle_s=300.0,
    max_pool_ratio=0.34,
    max_cluster_ratio=0.34,
    floor_nodes=0,
    max_input_age_s=20.0,
    drain_deadline_s=900.0,
    longest_order_s=2000.0,
)


@dataclass
class Replica:
    name: str = "replica-0"
    lag_now_s: float = 0.3
    blind_for_s: float = 0.0

    def blind_s(self, _at):
        return self.blind_for_s


@dataclass
class Scene:
    """A world with an observer, and a replica that leads."""

    world: object
    clock: Clock
    observer: InvariantChecker
    shelf: CoordinationObjects
    replica: Replica = field(default_factory=Replica)

    def send(self, call):
        """Send a request; returns the promises that it broke."""
        self.renew()
        return self.late(call)

    def renew(self):
        """Let who holds the lease renew it."""
        self.shelf.renew(self.shelf.holder, self.clock.at)

    def late(self, call):
        """Let a request of before be carried out now."""
        n_before = len(self.observer.breaches)
        self.observer.asked(self.replica, call, self.clock.at)
        answer = self.world.apply(call)
        self.observer.answered(self.replica, call, answer)
        return {breach.promise for breach in self.observer.breaches[n_before:]}

    def wait(self, seconds):
        step(self.world, seconds)
        self.clock.at += seconds
        self.observer.look()

    def concluded(self, *, all_dead=False):
        self.observer.all_dead = all_dead
        self.observer.conclude()
        return {breach.promise for breach in self.observer.breaches}

    def give_room(self, node):
        """Ask for the room of a node's pods, and wait until it is Ready."""
        for pod in node.movable:
            assert self.send(placeholder(pod, node)) == set()
        self.wait(300.0)


def scene(bounds=BOUNDS, **changes):
    clock = Clock()
    world = world_of(clock, **changes)
    shelf = CoordinationObjects()
    shelf.renew("replica-0", START_AT)
    observer = InvariantChecker(
        cluster=world.cluster, record=shelf, bounds=bounds, clock=clock.now, zero_at=START_AT
    )
    observer.look()
    clock.at += 1.0
    return Scene(world, clock, observer, shelf)


@pytest.fixture
def seen():
    return scene()


@pytest.fixture
def node(seen):
    return node_of(seen.world)


def to_spot(pod, node, plan="plan-1"):
    order = journal(node, plan_id=plan)
    return placeholder(
        pod,
        node,
        capacity_type=CapacityType.SPOT,
        plan_id=plan,
        order=order,
        name=f"{plan}-{pod.name}",
    )


@pytest.mark.parametrize(
    ("word", "broken"),
    [("", False), ("0", False), ("25%", False), ("6", True), ("100%", True), ("most", True)],
)
def test_no_move_to_spot_takes_more_than_the_owner_lets_a_loss_take(word, broken):
    """Six pods on three nodes, of which two are Spot; one more node may go by the default."""
    place = scene(
        workloads=(app(min_available_after_loss=word, max_unavailable=None),),
        pools=(pool(n_spot=0, n_on_demand=3),),
    )
    node = node_of(place.world, CapacityType.ON_DEMAND)
    pod = next(p for p in node.movable if p.ready)
    assert (13 in place.send(to_spot(pod, node))) is broken


def test_all_nodes_of_a_plan_count_together():
    place = scene(workloads=(app(max_unavailable=None),), pools=(pool(n_spot=0, n_on_demand=3),))
    found = []
    for node in list(place.world.cluster.nodes.values()):
        pod = next(p for p in node.movable if p.ready)
        found.append(13 in place.send(to_spot(pod, node)))
    assert found == [False, True, True]


def test_a_mode_that_does_not_write_may_send_nothing(node, seen):
    assert seen.send(anchor(node)) == set()
    shadow = scene(replace(BOUNDS, writes=False))
    assert 1 in shadow.send(anchor(node_of(shadow.world)))


def test_no_pod_is_evicted_before_room_is_ready(seen, node):
    pod = node.movable[0]
    assert seen.send(eviction(pod, node)) == {2}
    assert "room for 0 pods" in str(seen.observer.breaches[0])


def test_a_pod_that_has_room_may_go(seen, node):
    seen.give_room(node)
    assert seen.send(eviction(node.movable[0], node)) == set()
    assert seen.observer.checks[2] == 1


def test_one_placeholder_is_room_for_one_pod(seen):
    seen = scene(workloads=(app(max_unavailable=None),))
    node = node_of(seen.world)
    first, second = node.movable[:2]
    assert seen.send(placeholder(first, node)) == set()
    seen.wait(300.0)
    assert seen.send(eviction(first, node)) == set()
    assert seen.send(eviction(second, node)) == {2}


def test_a_node_that_is_lost_needs_no_room(seen, node):
    seen.world.cluster.give_notice(node, START_AT + 120.0)
    assert seen.send(eviction(node.movable[0], node)) == set()


def test_more_nodes_than_the_budget_may_not_be_on_the_move(seen):
    first, second = list(seen.world.cluster.nodes.values())[:2]
    assert seen.send(mark(first)) == set()
    assert seen.send(mark(second)) == {3}


def test_nodes_that_others_have_long_been_moving_count(seen):
    first, second = list(seen.world.cluster.nodes.values())[:2]
    seen.world.cluster.cordon(first, cordoned=True)
    seen.observer.look()
    seen.clock.at += 60.0
    assert seen.send(mark(second)) == {3}


def test_nodes_that_others_have_just_begun_to_move_cannot_be_known(seen):
    first, second = list(seen.world.cluster.nodes.values())[:2]
    seen.world.cluster.cordon(first, cordoned=True)
    seen.observer.look()
    assert seen.send(mark(second)) == set()


def test_a_node_that_is_lost_counts_for_no_budget(seen):
    for node in list(seen.world.cluster.nodes.values()):
        assert seen.send(mark(node, urgent=True)) == set()


@pytest.mark.parametrize(("floor", "broken"), [(1, {4}), (0, set())])
def test_the_floor_is_kept(floor, broken):
    seen = scene(replace(BOUNDS, floor_nodes=floor))
    assert seen.send(mark(node_of(seen.world, CapacityType.ON_DEMAND))) == broken


def test_the_floor_that_a_node_pool_asks_for_is_kept():
    seen = scene(pools=(pool(annotations=(("spotvortex.io/on-demand-floor", "1"),)),))
    assert seen.send(mark(node_of(seen.world, CapacityType.ON_DEMAND))) == {4}


def test_a_node_that_counts_for_no_floor_may_go():
    seen = scene(replace(BOUNDS, floor_nodes=1), pools=(pool(n_on_demand=2),))
    node = node_of(seen.world, CapacityType.ON_DEMAND)
    seen.world.cluster.taint(node)
    assert seen.send(mark(node)) == set()


def test_a_cordon_carries_the_order_of_its_node(seen, node):
    assert seen.send(mark(node, order="")) == {5}
    assert 5 in seen.send(mark(node, order=journal(node_of(seen.world, CapacityType.ON_DEMAND))))


def test_no_journal_stays_longer_than_an_order_lives(seen, node):
    seen.send(mark(node))
    seen.wait(5.0)
    seen.wait(1990.0)
    assert not seen.observer.breaches
    seen.wait(20.0)
    assert {breach.promise for breach in seen.observer.breaches} == {5}


def test_nothing_is_marked_at_the_end(seen, node):
    seen.send(mark(node))
    assert not seen.observer.is_clear()
    assert 5 in seen.concluded()


def test_a_mark_that_is_taken_away_leaves_a_good_end(seen, node):
    seen.send(mark(node))
    seen.wait(10.0)
    undo = UnmarkNode(node=node.name, uid=node.uid, plan_id="")
    assert seen.send(replace(undo, plan_id="plan-1")) == set()
    seen.wait(10.0)
    assert seen.observer.is_clear()
    assert seen.concluded() == set()


def test_pods_that_must_not_be_disrupted_stay():
    for workload in (app(do_not_disrupt=True), app(kind=WorkloadKind.BARE, replicas=1)):
        seen = scene(workloads=(workload,))
        pod = next(p for p in seen.world.cluster.pods.values() if p.workload.name == "app")
        node = seen.world.cluster.nodes[pod.node]
        assert 6 in seen.send(eviction(pod, node))


def test_a_budget_that_the_server_forgets_is_seen(seen, node):
    seen.give_room(node)
    first, second = [p for p in seen.world.cluster.pods.values() if p.own is None][:2]
    assert seen.send(eviction(first, seen.world.cluster.nodes[first.node])) == set()
    seen.world.cluster.disruptions_allowed = lambda _workload: 1
    assert 6 in seen.send(eviction(second, seen.world.cluster.nodes[second.node]))


def test_an_eviction_of_a_pod_that_is_gone_breaks_nothing(seen, node):
    pod = node.movable[0]
    assert seen.send(eviction(pod, node, uid="other")) == set()
    call = EvictPod(namespace="web", name="nobody", uid="", node_uid="", plan_id="")
    assert seen.send(call) == set()


def test_who_does_not_lead_may_send_nothing(seen, node):
    seen.replica.name = "replica-1"
    assert seen.send(anchor(node)) == {7}


@pytest.mark.parametrize(("late_s", "broken"), [(14.9, set()), (15.0, {7})])
def test_nothing_is_carried_out_once_another_may_lead(seen, node, late_s, broken):
    seen.renew()
    seen.clock.at += late_s
    assert seen.late(anchor(node)) == broken


def test_nothing_is_carried_out_once_the_lease_was_given_back(seen, node):
    seen.renew()
    seen.shelf.release("replica-0")
    assert seen.late(anchor(node)) == {7}


def test_a_mark_needs_its_precondition(seen, node):
    assert seen.send(mark(node, resource_version="")) == {7}


@pytest.mark.parametrize(("blind_s", "broken"), [(20.0, set()), (22.0, {7})])
def test_nothing_but_undoing_follows_from_inputs_that_are_too_old(seen, node, blind_s, broken):
    seen.replica.blind_for_s = blind_s
    assert seen.send(anchor(node)) == broken
    assert seen.send(DeletePlaceholders(plan_id="plan-1", for_uid=node.uid)) == set()


@pytest.mark.parametrize(
    ("freeze", "since_s", "made", "undone"),
    [
        (Freeze.SOFT, 60.0, {7}, set()),
        (Freeze.HARD, 60.0, {7}, {7}),
        (Freeze.HARD, 1.0, set(), set()),
        (Freeze.NONE, 60.0, set(), set()),
    ],
)
def test_a_freeze_that_could_be_known_is_obeyed(seen, node, freeze, since_s, made, undone):
    seen.shelf.freezes.append((seen.clock.at - since_s, freeze))
    assert seen.send(anchor(node)) == made
    assert seen.send(DeletePlaceholders(plan_id="plan-1", for_uid=node.uid)) == undone


@pytest.mark.parametrize(
    ("freeze", "is_lost", "broken"),
    [
        (Freeze.SOFT, True, set()),
        (Freeze.SOFT, False, {7}),
        (Freeze.LEAVE, True, {7}),
        (Freeze.HARD, True, {7}),
    ],
)
def test_a_soft_freeze_lets_a_node_be_emptied_that_is_lost_anyway(
    seen, node, freeze, is_lost, broken
):
    seen.shelf.freezes.append((seen.clock.at - 60.0, freeze))
    if is_lost:
        node.leaves_at = seen.clock.at + 100.0
    assert seen.send(mark(node, urgent=True)) == broken
    assert seen.send(ReleaseNode(claim=node.claim, node=node.name, plan_id="plan-1")) == broken


def rooms(seen, node, plan_id, decided_at, reason="HIGH"):
    order = journal(node, plan_id, decided_at + BOUNDS.drain_deadline_s, reason)
    pod = node.movable[0]
    return seen.send(placeholder(pod, node, name=f"room-{plan_id}", plan_id=plan_id, order=order))


@pytest.mark.parametrize(
    ("apart_s", "reason", "broken"),
    [
        (300.0, "HIGH", set()),
        (200.0, "HIGH", {8}),
        (200.0, "EMERGENCY_EXIT emergency_risk", set()),
    ],
)
def test_waves_of_a_pool_are_a_settling_time_apart(seen, node, apart_s, reason, broken):
    assert rooms(seen, node, "first", START_AT) == set()
    assert rooms(seen, node, "second", START_AT + apart_s, reason) == broken


def test_two_rooms_for_one_pod_are_asked_for_twice(seen, node):
    first, second = node.movable[:2]
    assert seen.send(placeholder(first, node, name="room-1")) == set()
    assert seen.send(placeholder(second, node, name="room-2")) == set()
    assert seen.send(placeholder(first, node, name="room-again")) == {9}


def test_a_room_for_a_pod_that_the_node_never_had_is_one_too_many(seen, node):
    pods = list(node.movable)
    for pod in pods:
        assert seen.send(placeholder(pod, node)) == set()
    other = next(p for n in seen.world.cluster.nodes.values() if n is not node for p in n.movable)
    assert seen.send(placeholder(other, node)) == {9}


def test_a_pod_that_has_gone_leaves_its_room_behind(seen, node):
    cluster, pods = seen.world.cluster, list(node.movable)
    for pod in pods:
        assert seen.send(placeholder(pod, node)) == set()
    cluster.delete_pod(pods[0], seen.world.at)
    (newcomer,) = [pod for pod in cluster.pending.values() if pod.own is None]
    cluster.bind(newcomer, node, seen.world.at, seen.world.at)
    assert newcomer.uid not in {pod.uid for pod in pods}
    assert seen.send(placeholder(newcomer, node)) == set()


def test_a_model_that_cannot_be_run_moves_nothing(seen, node):
    seen.observer.model_alone(is_mute=True)
    assert not seen.observer.breaches
    seen.give_room(node)
    seen.send(eviction(node.movable[0], node))
    seen.observer.model_alone(is_mute=True)
    assert {breach.promise for breach in seen.observer.breaches} == {10}


@pytest.mark.parametrize(
    ("capacity_type", "broken"), [(CapacityType.SPOT, {10}), (CapacityType.ON_DEMAND, set())]
)
def test_where_the_memory_answers_nothing_leaves_spot(seen, capacity_type, broken):
    node = node_of(seen.world, capacity_type)
    seen.give_room(node)
    seen.send(eviction(node.movable[0], node))
    seen.observer.model_alone(is_mute=False)
    assert {breach.promise for breach in seen.observer.breaches} == broken


@pytest.mark.parametrize(
    ("to", "broken"), [(CapacityType.SPOT, set()), (CapacityType.ON_DEMAND, {10})]
)
def test_a_shift_to_other_spot_leaves_no_spot(seen, to, broken):
    node = node_of(seen.world, CapacityType.SPOT)
    seen.send(placeholder(node.movable[0], node, capacity_type=to))
    seen.wait(300.0)
    seen.send(eviction(node.movable[0], node))
    seen.observer.model_alone(is_mute=False)
    # Whether a loss may take that much there is another promise.
    assert {breach.promise for breach in seen.observer.breaches} - {13} == broken


@pytest.mark.parametrize(("expires_s", "broken"), [(1800, set()), (1801, {11}), (0, {11})])
def test_what_we_make_lives_for_half_an_hour_at_most(seen, node, expires_s, broken):
    assert seen.send(anchor(node, expires_s=expires_s)) == broken
    assert seen.send(placeholder(node.movable[0], node, expires_s=expires_s)) == broken


def test_no_placeholder_is_left_at_the_end(seen, node):
    seen.send(placeholder(node.movable[0], node))
    assert not seen.observer.is_clear()
    assert 11 in seen.concluded()


def test_nothing_of_ours_but_cordons_outlives_us(seen, node):
    seen.send(mark(node))
    seen.send(anchor(node))
    assert seen.concluded(all_dead=True) == {11}
    assert not seen.observer.is_clear()
    later = scene()
    later.send(mark(node_of(later.world)))
    assert later.concluded(all_dead=True) == set()
    later.wait(5.0)
    later.wait(3000.0)
    assert later.observer.is_clear()
    assert not later.observer.breaches


def test_a_breach_says_which_promise_when_and_what(seen, node):
    seen.clock.at += 12.5
    seen.send(anchor(node, expires_s=0))
    assert str(seen.observer.breaches[0]).startswith("promise 11 at 13.50 s: lives too long")
