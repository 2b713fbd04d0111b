"""What Cluster Autoscaler is documented to do, and rebalance recommendations, in the world."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.cloud.notices import NoticeKind
from spotvortex.core.domain.types import CapacityType, ProvisionerKind
from spotvortex.core.drain.calls import Done, ReleaseNode
from spotvortex.faultsearch.episode import START_AT
from spotvortex.sim.cluster.api_server import SimulatedApiServer
from spotvortex.sim.cluster.scenario import Fleet, NodeGroup, Scenario, Workload, WorkloadKind
from spotvortex.sim.market.hazard_supply import CALM, RegimePhase
from spotvortex.sim.market.instance_types import GIB
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.market.supply import NoticeTiming, Signal, Signals
from spotvortex.sim.runtime.coordination import CoordinationObjects
from spotvortex.sim.runtime.external_actors import ExternalActors
from spotvortex.sim.runtime.faults import Schedule
from spotvortex.sim.runtime.world import World


class StoppedClock:
    def now(self):
        return START_AT


def world_of(*workloads, n_nodes=3, capacity_type=CapacityType.ON_DEMAND, announced=None):
    group = NodeGroup(
        name="jobs",
        pool="jobs",
        provisioner=ProvisionerKind.CLUSTER_AUTOSCALER,
        capacity_types=(capacity_type,),
        instance_types=("m6i.xlarge",),
        zones=("us-east-1a",),
    )
    fleet = Fleet(
        group="jobs", instance_type="m6i.xlarge", capacity_type=capacity_type, count=n_nodes
    )
    scenario = Scenario(
        start_at=START_AT,
        groups=(group,),
        fleets=(fleet,),
        workloads=workloads,
        phases=(RegimePhase(starts_s=0.0, regime=replace(CALM, hazard_per_hour=0.0)),),
        announced=announced or Signals(),
    )
    market = SimulatedMarket(seed=1, start_at=START_AT)
    return World(scenario=scenario, seed=1, clock=StoppedClock(), market=market)


def app(name="app", **changes):
    plain = Workload(namespace="jobs", name=name, pool="jobs", cpu_milli=1000, memory_bytes=GIB)
    return replace(plain, **changes)


def step(world, minutes):
    for _ in range(round(minutes * 12)):
        world.step()


def test_a_node_that_nobody_needs_goes_after_ten_minutes_one_at_a_time():
    world = world_of(app(replicas=2), n_nodes=4)
    step(world, 9.5)
    assert len(world.cluster.nodes) == 4
    step(world, 3)
    assert len(world.cluster.nodes) == 1
    assert not world.cluster.pending


@pytest.mark.parametrize(
    "kept",
    [
        app("held", do_not_disrupt=True),
        app("alone", kind=WorkloadKind.BARE),
        app("busy", replicas=3, cpu_milli=2500),
    ],
)
def test_a_node_is_kept_by_a_pod_that_says_so_a_bare_one_or_by_use(kept):
    world = world_of(kept)
    n_with_pods = len({p.node for p in world.cluster.pods.values()})
    step(world, 40)
    assert len(world.cluster.nodes) == n_with_pods


def test_a_node_is_kept_by_an_annotation_of_its_own_until_it_is_taken_off():
    world = world_of(n_nodes=2)
    kept = next(iter(world.cluster.nodes.values()))
    world.cluster.keep(kept, "{}")
    step(world, 40)
    assert list(world.cluster.nodes.values()) == [kept]
    world.cluster.keep(kept, "")
    step(world, 12)
    assert not world.cluster.nodes


def test_a_cordoned_node_that_is_released_goes_once_nobody_needs_it():
    world = world_of(app(replicas=2), n_nodes=3)
    released = next(n for n in world.cluster.nodes.values() if not n.movable)
    api = SimulatedApiServer(cluster=world.cluster, chance=stream(1, "api"))
    world.cluster.keep(released, "{}")
    world.cluster.mark(released, "{}")
    call = ReleaseNode(claim=released.claim, node=released.name, plan_id="p")
    assert api.apply(call, world.at) == Done()
    assert (released.cordoned, released.kept) == (True, "")
    step(world, 11)
    assert released.name not in world.cluster.nodes


def test_a_budget_that_allows_nothing_keeps_the_pods_where_they_are():
    world = world_of(app(replicas=2, max_unavailable=0), n_nodes=2)
    where = {p.name: p.node for p in world.cluster.pods.values()}
    step(world, 40)
    assert {p.name: p.node for p in world.cluster.pods.values()} == where


def test_a_rebalance_recommendation_reaches_the_queue_for_each_node_of_the_offering():
    signal = Signal(sensitivity_ratio=0.0, false_per_day=2000.0)
    announced = Signals(notices=NoticeTiming(), signal=signal)
    world = world_of(
        app(replicas=3, cpu_milli=2500), capacity_type=CapacityType.SPOT, announced=announced
    )
    shelf = CoordinationObjects()
    people = ExternalActors(
        world=world,
        shelf=shelf,
        schedule=Schedule(()),
        chance=stream(1, "people"),
        clock=lambda: world.at,
        zero_at=START_AT,
    )
    for _ in range(60):
        world.step()
        people.act()
    told = {n.instance_id for n in shelf.notices.values() if n.kind is NoticeKind.REBALANCE}
    assert told == {n.instance_id for n in world.cluster.nodes.values()}
