"""The provisioner's other half: consolidation within its budget, and who keeps a node from it."""

import pytest

from spotvortex.core.domain.types import CapacityType
from spotvortex.sim.cluster.scenario import WHEN_UNDERUTILIZED
from tests.sim.small import anchor, app, node_of, placeholder, pool, step, world_of

BUSY = {"cpu_milli": 1800, "replicas": 6, "max_unavailable": None}
"""Two such pods fill a node of the smaller kind."""


def kinds(world):
    nodes = world.cluster.nodes.values()
    return sorted(n.capacity_type.value for n in nodes if not n.moving)


def eager(**changes):
    return pool(consolidation=WHEN_UNDERUTILIZED, consolidate_after_s=0.0, **changes)


def test_a_node_that_has_long_been_empty_goes_at_once():
    world = world_of(pools=(pool(n_on_demand=0, n_spot=2),), workloads=(app(replicas=1),))
    empty = next(n for n in world.cluster.nodes.values() if not n.movable)
    assert step(world, 10.0) == {empty.name}


def test_a_node_is_not_empty_before_its_last_pod_has_been_gone_for_so_long():
    world = world_of(pools=(pool(n_on_demand=0, n_spot=2),), workloads=(app(replicas=2),))
    node = node_of(world)
    step(world, 400.0)
    (pod,) = node.movable
    world.cluster.cordon(node, cordoned=True)
    world.cluster.delete_pod(pod, world.at)
    assert step(world, 290.0) == set()
    assert step(world, 30.0) == {node.name}


def test_only_as_many_nodes_go_at_once_as_the_node_pool_lets():
    world = world_of(pools=(pool(n_spot=8, n_on_demand=0, consolidate_after_s=0.0),), workloads=())
    world.step()
    world.step()
    assert len(world.cluster.nodes) == 7
    assert sum(n.deleting for n in world.cluster.nodes.values()) <= 1


def test_an_underutilised_node_goes_where_its_pods_fit_elsewhere():
    world = world_of(pools=(eager(n_spot=3, n_on_demand=0),), workloads=(app(replicas=3),))
    gone = step(world, 900.0)
    assert len(gone) == 2
    assert len(world.cluster.pods_of["web/Deployment/app"]) == 3
    assert all(pod.ready for pod in world.cluster.pods.values())


def test_it_waits_for_the_budgets_of_the_pods():
    blocked = app(replicas=3, max_unavailable=0)
    world = world_of(pools=(eager(n_spot=3, n_on_demand=0),), workloads=(blocked,))
    assert step(world, 600.0) == set()


def test_a_dear_node_is_replaced_by_a_cheaper_spot_node_before_it_goes():
    world = world_of(pools=(eager(n_spot=0, n_on_demand=3),), workloads=(app(**BUSY),))
    world.step()
    world.step()
    assert kinds(world).count("spot") == 1
    assert len(world.cluster.nodes) == 4
    replaced = next(n for n in world.cluster.nodes.values() if n.moving)
    assert not replaced.deleting
    step(world, 1800.0)
    assert set(kinds(world)) == {"spot"}
    assert all(pod.node for pod in world.cluster.pods.values())


def test_a_replacement_that_vanishes_gives_the_node_back():
    world = world_of(pools=(eager(n_spot=0, n_on_demand=3),), workloads=(app(**BUSY),))
    world.step()
    world.step()
    replaced = next(n for n in world.cluster.nodes.values() if n.moving)
    world.cluster.remove_node(node_of(world), world.at)
    world.step()
    assert replaced.name in world.cluster.nodes
    assert not replaced.deleting


def test_spot_is_not_replaced_by_spot_and_pinned_pods_stay():
    pinned = app(capacity_type=CapacityType.ON_DEMAND, **BUSY)
    world = world_of(pools=(eager(n_spot=0, n_on_demand=3),), workloads=(pinned,))
    assert step(world, 600.0) == set()
    spot = world_of(pools=(eager(n_spot=3, n_on_demand=0),), workloads=(app(**BUSY),))
    assert step(spot, 600.0) == set()


@pytest.mark.parametrize("held", [app(do_not_disrupt=True, replicas=1), app(replicas=1)])
def test_a_pod_that_must_not_be_disrupted_keeps_its_node(held):
    world = world_of(pools=(eager(n_spot=2, n_on_demand=0),), workloads=(held,))
    (pod,) = world.cluster.pods.values()
    node = pod.node
    if not held.do_not_disrupt:
        world.apply(anchor(world.cluster.nodes[node], expires_s=1800))
    step(world, 600.0)
    assert node in world.cluster.nodes


def test_an_anchor_keeps_an_empty_node_until_it_expires():
    world = world_of(pools=(pool(n_spot=2, n_on_demand=0),), workloads=(app(replicas=1),))
    empty = next(n for n in world.cluster.nodes.values() if not n.movable)
    world.apply(anchor(empty, expires_s=600))
    assert step(world, 600.0) == set()
    assert step(world, 330.0) == {empty.name}


def test_a_claim_that_is_deleted_is_drained_first():
    world = world_of(workloads=(app(max_unavailable=1, grace_s=30.0),))
    node = node_of(world)
    world.cluster.delete_claim(node)
    world.step()
    assert node.name in world.cluster.nodes
    assert sum(pod.terminating for pod in node.movable) == 1
    assert step(world, 600.0) == {node.name}
    assert all(pod.node != node.name for pod in world.cluster.pods.values())


def test_a_placeholder_gets_its_room_from_the_provisioner_and_gives_way_to_a_workload():
    large = app(cpu_milli=2500, replicas=2)
    world = world_of(pools=(pool(n_spot=2, n_on_demand=0),), workloads=(large,))
    node = node_of(world)
    pod = node.movable[0]
    world.apply(placeholder(pod, node, capacity_type=CapacityType.ON_DEMAND))
    step(world, 300.0)
    (room,) = world.cluster.own.values()
    receiver = world.cluster.nodes[room.node]
    assert receiver.capacity_type is CapacityType.ON_DEMAND
    world.cluster.cordon(node, cordoned=True)
    world.cluster.evict(pod, world.at, 1.0)
    step(world, 60.0)
    assert not world.cluster.own
    assert any(p.workload.name == "app" for p in receiver.pods.values())


def test_as_few_placeholders_as_will_do_give_way():
    small = app(cpu_milli=500, replicas=2, max_unavailable=None)
    world = world_of(pools=(pool(n_spot=1, n_on_demand=1),), workloads=(small,))
    node = node_of(world, CapacityType.ON_DEMAND)
    pod = next(iter(world.cluster.pods.values()))
    for number in range(3):
        room = placeholder(pod, node, name=f"room-{number}", cpu_milli=1000)
        world.apply(room)
    step(world, 30.0)
    assert {p.node for p in world.cluster.own.values()} == {node.name}
    spot = node_of(world)
    world.cluster.cordon(spot, cordoned=True)
    for moved in list(spot.movable):
        world.cluster.evict(moved, world.at, 1.0)
    step(world, 10.0)
    assert len(world.cluster.own) >= 2


def test_a_placeholder_never_takes_the_room_of_another():
    world = world_of(pools=(pool(n_spot=1, n_on_demand=0),), workloads=(app(replicas=1),))
    node = node_of(world)
    pod = node.movable[0]
    wide = placeholder(pod, node, name="room-wide", cpu_milli=2500, capacity_type=CapacityType.SPOT)
    world.apply(wide)
    world.step()
    world.apply(
        placeholder(pod, node, name="room-late", cpu_milli=2500, capacity_type=CapacityType.SPOT)
    )
    step(world, 300.0)
    assert len({p.node for p in world.cluster.own.values()}) == 2


def test_room_that_cannot_be_had_says_why():
    world = world_of()
    node = node_of(world)
    world.apply(placeholder(node.movable[0], node, cpu_milli=900_000))
    world.step()
    (room,) = world.cluster.own.values()
    assert room.reason.endswith("none can be bought")


def test_an_offering_that_is_to_be_avoided_is_not_bought():
    world = world_of(pools=(pool(n_spot=1, n_on_demand=0),), workloads=(app(replicas=1),))
    node = node_of(world)
    spot = {"capacity_type": CapacityType.SPOT, "cpu_milli": 3500, "zone": node.offering.zone}
    world.apply(placeholder(node.movable[0], node, avoid=(node.offering,), **spot))
    step(world, 300.0)
    (room,) = world.cluster.own.values()
    assert room.node != node.name
    assert world.cluster.nodes[room.node].offering != node.offering


def test_an_emptied_node_is_there_until_its_instance_has_ended():
    world = world_of(
        pools=(pool(n_on_demand=0, n_spot=2),), workloads=(app(replicas=1),), terminate_s=40.0
    )
    empty = next(n for n in world.cluster.nodes.values() if not n.movable)
    assert step(world, 40.0) == set()
    assert empty.moving
    assert step(world, 10.0) == {empty.name}


@pytest.mark.parametrize("eager_at_notice", [True, False])
def test_an_interrupted_node_is_emptied_at_the_notice_or_once_its_replacement_is_ready(
    eager_at_notice,
):
    world = world_of(
        pools=(pool(n_spot=2, n_on_demand=0, consolidate_after_s=0.0),),
        workloads=(app(replicas=4, cpu_milli=1800, max_unavailable=2),),
        of_groups={"evicts_at_notice": eager_at_notice},
    )
    known = set(world.cluster.nodes)
    node = node_of(world)
    world.interrupt(node, world.at + 3600.0)
    world.step()
    going = [pod.terminating for pod in node.movable]
    assert going == [eager_at_notice] * 2
    while not any(pod.terminating for pod in node.movable):
        assert node.movable, "the replacement was Ready, and no pod went"
        world.step()
    others = [n for name, n in world.cluster.nodes.items() if name not in known]
    assert eager_at_notice or [n.ready for n in others] == [True]
    step(world, 600.0)
    # It was not taken for an empty node while it waited for its pods.
    assert [len(n.movable) for n in world.cluster.nodes.values() if n is not node] == [2, 2]


def test_a_lazy_provisioner_that_can_buy_nothing_does_not_wait():
    world = world_of(
        pools=(pool(n_spot=2, n_on_demand=0),),
        workloads=(app(replicas=4, cpu_milli=1800, max_unavailable=2),),
        of_groups={"evicts_at_notice": False, "node_limit": 2},
    )
    node = node_of(world)
    world.interrupt(node, world.at + 120.0)
    world.step()
    assert all(pod.terminating for pod in node.movable)
