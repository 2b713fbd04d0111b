"""A small world that a test steps itself, and the requests that a controller would send to it."""

from dataclasses import replace

from spotvortex.core.domain.types import CapacityType, Mode, PolicyMode
from spotvortex.core.drain import orders
from spotvortex.core.drain.calls import (
    CreateAnchor,
    CreatePlaceholder,
    EvictPod,
    MarkNode,
    ReleaseNode,
)
from spotvortex.core.drain.messages import DrainOrder, OrderKind
from spotvortex.faultsearch.episode import START_AT, Episode, scenario_of
from spotvortex.faultsearch.pools import PoolSpec
from spotvortex.sim.cluster.scenario import STEP_S, WHEN_EMPTY, Workload, WorkloadKind
from spotvortex.sim.market.hazard_supply import CALM
from spotvortex.sim.market.instance_types import GIB
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.runtime.world import World
from tests.core.builders import capped

PLAN = "plan-1"
CALMEST = replace(CALM, hazard_per_hour=0.0, launch_failure_ratio=0.0, shortages_per_hour=0.0)


class Clock:
    """A clock that a test sets."""

    def __init__(self, at=START_AT):
        self.at = at

    def now(self):
        return self.at


def pool(**changes):
    usual = PoolSpec(
        name="web", n_spot=2, n_on_demand=1, consolidation=WHEN_EMPTY, consolidate_after_s=300.0
    )
    return replace(usual, **changes)


def app(**changes):
    usual = Workload(
        namespace="web",
        name="app",
        kind=WorkloadKind.DEPLOYMENT,
        pool="web",
        replicas=6,
        cpu_milli=600,
        memory_bytes=GIB,
        grace_s=5.0,
        max_unavailable=1,
    )
    return replace(usual, **changes)


def episode(**changes):
    usual = Episode(
        seed=1,
        n_ticks=20,
        tick_s=10.0,
        pools=(pool(),),
        workloads=(app(),),
        regime=CALMEST,
        script=((0.0, 0.03),),
        limits=capped(mode=Mode.ACTIVE, policy_mode=PolicyMode.DETERMINISTIC, min_confidence=0.0),
        terminate_s=0.0,
    )
    return replace(usual, **changes)


def world_of(clock=None, of_groups=None, **changes):
    """A world as of an episode; `of_groups` changes its NodePools in what no episode varies."""
    drawn = episode(**changes)
    market = SimulatedMarket(seed=drawn.seed, start_at=START_AT)
    scenario = scenario_of(drawn)
    groups = tuple(replace(group, **(of_groups or {})) for group in scenario.groups)
    scenario = replace(scenario, groups=groups)
    return World(
        scenario=scenario,
        seed=drawn.seed,
        clock=clock or Clock(),
        market=market,
        captures=True,
    )


def step(world, seconds):
    """Let time pass; returns the nodes that went."""
    before = set(world.cluster.nodes)
    for _ in range(round(seconds / STEP_S)):
        world.step()
    return before - set(world.cluster.nodes)


def node_of(world, capacity_type=CapacityType.SPOT):
    return next(n for n in world.cluster.nodes.values() if n.capacity_type is capacity_type)


def journal(node, plan_id=PLAN, deadline=START_AT + 900.0, reason="HIGH"):
    return orders.to_text(
        DrainOrder(
            plan_id=plan_id,
            kind=OrderKind.DRAIN,
            mode=Mode.ACTIVE,
            pool=node.group.pool,
            node=node.name,
            uid=node.uid,
            claim=node.claim,
            sides=(node.group.name,),
            to=CapacityType.ON_DEMAND,
            avoid=(),
            reason=reason,
            deadline=deadline,
            bind_by=deadline,
            traceparent="",
        )
    )


def mark(target, **changes):
    usual = MarkNode(
        node=target.name,
        uid=target.uid,
        plan_id=PLAN,
        order=journal(target),
        resource_version=str(target.version),
    )
    return replace(usual, **changes)


def eviction(pod, node, **changes):
    usual = EvictPod(
        namespace=pod.workload.namespace,
        name=pod.name,
        uid=pod.uid,
        node_uid=node.uid,
        plan_id=PLAN,
    )
    return replace(usual, **changes)


def placeholder(pod, node, **changes):
    usual = CreatePlaceholder(
        name=f"room-{pod.name}",
        plan_id=PLAN,
        for_uid=node.uid,
        pool=node.group.pool,
        capacity_type=CapacityType.ON_DEMAND,
        sides=(node.group.name,),
        for_pod=pod.key,
        pod_uid=pod.uid,
        cpu_milli=pod.workload.cpu_milli,
        memory_bytes=pod.workload.memory_bytes,
        zone="",
        avoid=(),
        order=journal(node),
        expires_s=600,
    )
    return replace(usual, **changes)


def anchor(target, **changes):
    usual = CreateAnchor(
        name=f"anchor-{target.name}",
        node=target.name,
        node_uid=target.uid,
        pool=target.group.pool,
        plan_id=PLAN,
        expires_s=600,
    )
    return replace(usual, **changes)


def claim_of(target, **changes):
    usual = ReleaseNode(claim=target.claim, node=target.name, plan_id=PLAN)
    return replace(usual, **changes)
