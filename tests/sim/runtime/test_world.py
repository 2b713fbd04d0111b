"""The simulated cluster: consistent at every step, repeatable, calm, then stressed, then calm."""

import asyncio
import os
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.observation import NodeLoad
from spotvortex.core.domain.types import Blocker, CapacityType
from spotvortex.core.drain.calls import BlockedByBudget, Done, Gone
from spotvortex.core.pool.blocking import pdb_blocked_nodes
from spotvortex.core.pool.summary import summary_of
from spotvortex.core.pool.survival.zone_loss import pick_safe
from spotvortex.report.doctor.diagnosis import diagnose, verdict_on
from spotvortex.sim.cluster.demo_scenario import demo
from spotvortex.sim.cluster.facts import blockers
from spotvortex.sim.cluster.scenario import STEP_S, WHEN_EMPTY, WorkloadKind
from spotvortex.sim.market.hazard_supply import CALM, STRESS, RegimePhase
from spotvortex.sim.market.instance_types import MACHINES
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop
from spotvortex.sim.runtime.world import World
from tests.examples import examples

HARSH = replace(STRESS, hazard_per_hour=1.0, shortages_per_hour=20.0, hit_ratio=1.0)


class StoppedClock:
    """A clock that stands: the test steps the world itself."""

    def now(self):
        return 0.0


def unconsolidated(scenario):
    """The scenario with NodePools that end empty nodes only, so that losses alone change it."""
    groups = tuple(replace(group, consolidation=WHEN_EMPTY) for group in scenario.groups)
    return replace(scenario, groups=groups)


def world_of(seed=1, *regimes):
    scenario = unconsolidated(demo())
    if regimes:
        phases = tuple(RegimePhase(starts_s=3600.0 * k, regime=r) for k, r in enumerate(regimes))
        scenario = replace(scenario, phases=phases)
    market = SimulatedMarket(seed=seed, start_at=scenario.start_at)
    return World(scenario=scenario, seed=seed, clock=StoppedClock(), market=market)


def step(world, hours):
    for _ in range(round(hours * 3600.0 / STEP_S)):
        world.step()


def nodes_of(world):
    return {n.name: n for pool in world.snapshot(world.at).pools for n in pool.nodes}


def naive_load(pods):
    moved = [pod for pod in pods if pod.workload.kind is not WorkloadKind.DAEMON_SET]
    blocked = {(b, pod.workload.key) for pod in moved for b in blockers(pod.workload)}
    load = NodeLoad(
        n_pods=len(pods),
        n_workload_pods=len(moved),
        cpu_milli=sum(pod.workload.cpu_milli for pod in pods),
        memory_bytes=sum(pod.workload.memory_bytes for pod in pods),
        workload_cpu_milli=sum(pod.workload.cpu_milli for pod in moved),
        workload_memory_bytes=sum(pod.workload.memory_bytes for pod in moved),
        largest_cpu_milli=max((pod.workload.cpu_milli for pod in moved), default=0),
        largest_memory_bytes=max((pod.workload.memory_bytes for pod in moved), default=0),
        n_stateful_pods=sum(pod.workload.kind is WorkloadKind.STATEFUL_SET for pod in moved),
    )
    return load, blocked


def check(world):
    """Recompute from the pods alone what the world keeps by increments, and what it shows."""
    cluster, facts = world.cluster, world.snapshot(world.at)
    nodes = {n.name: n for pool in facts.pools for n in pool.nodes}
    assert nodes.keys() == cluster.nodes.keys()
    for pod in cluster.pods.values():
        assert (pod.node == "") == (pod.key in cluster.pending)
        assert pod.node in ("", *cluster.nodes)
        assert pod.promised in ("", *cluster.nodes)
        assert not (pod.node and pod.promised)
    on, held_on = defaultdict(list), defaultdict(list)
    for pod in cluster.pods.values():
        on[pod.node].append(pod)
        for name in {pod.node, pod.promised}:
            held_on[name].append(pod)
    for name, node in nodes.items():
        load, blocked = naive_load(on[name])
        assert replace(node.load, blocked=()) == load
        assert {(b.blocker, b.workload) for b in node.load.blocked} == blocked
        held = held_on[name]
        assert cluster.nodes[name].cpu_used == sum(p.workload.cpu_milli for p in held)
        assert cluster.nodes[name].cpu_used <= MACHINES[node.offering.instance_type].cpu_milli
        assert cluster.nodes[name].memory_used == sum(p.workload.memory_bytes for p in held)
    check_budgets(world, facts)
    check_workloads(world, facts)
    check_owners(world)
    assert facts.n_pods == len(cluster.pods)


def check_budgets(world, facts):
    for pool in facts.pools:
        for pdb in pool.pdbs:
            workload = world.cluster.workloads[pdb.workload]
            ready = [
                p.node for p in world.cluster.pods.values() if p.workload is workload and p.ready
            ]
            assert dict(pdb.healthy_by_node) == Counter(ready)
            assert pdb.disruptions_allowed == max(0, len(ready) - pdb.desired_healthy)
            assert workload.pool == pool.name


def check_workloads(world, facts):
    for work in facts.workloads:
        pods = [p for p in world.cluster.pods.values() if p.workload.key == work.key]
        live = [p for p in pods if not p.terminating]
        assert work.n_replicas == len(live)
        assert dict(work.healthy_by_node) == Counter(p.node for p in live if p.ready)
        on_spot = [
            n.offering
            for p in live
            if p.ready and (n := world.cluster.nodes[p.node]).capacity_type is CapacityType.SPOT
        ]
        assert {s.offering: s.n_pods for s in work.spot_by_offering} == Counter(on_spot)


def check_owners(world):
    for workload in world.cluster.workloads.values():
        pods = [p for p in world.cluster.pods.values() if p.workload is workload]
        live = [p for p in pods if not p.terminating]
        match workload.kind:
            case WorkloadKind.DEPLOYMENT:
                assert len(live) == workload.replicas
            case WorkloadKind.STATEFUL_SET:
                assert len(pods) == workload.replicas
            case WorkloadKind.DAEMON_SET:
                assert sorted(p.node for p in pods) == sorted(world.cluster.nodes)
            case WorkloadKind.BARE:
                assert len(pods) <= 1


def test_demo_starts_with_sixty_nodes_in_six_pools_and_nothing_pending():
    world = world_of()
    facts = world.snapshot(world.at)
    assert [pool.name for pool in facts.pools] == [
        "api",
        "batch",
        "gpu-next",
        "legacy",
        "stateful",
        "web",
    ]
    assert sum(len(pool.nodes) for pool in facts.pools) == 61
    assert not world.cluster.pending
    assert all(node.ready and not node.moving for node in nodes_of(world).values())
    assert all(n.created_at < world.at for n in nodes_of(world).values())
    assert {h.name: (h.state, h.required) for h in facts.inputs} == {
        "nodes": (InputState.OK, True),
        "pods": (InputState.OK, True),
        "pdbs": (InputState.OK, False),
        "owners": (InputState.OK, False),
        "statefulsets": (InputState.OK, False),
        "namespaces": (InputState.OK, False),
        "nodepools": (InputState.OK, False),
    }
    check(world)


@pytest.mark.parametrize("seed", range(5))
def test_demo_has_room_for_more_spot_in_web_and_none_in_api(seed):
    shapes = {pool.name: summary_of(pool) for pool in world_of(seed).snapshot(0.0).pools}
    safe = {
        name: len(
            pick_safe([n.name for n in shape.movable_on_demand], shape.pods_on, shape.margins, 99)
        )
        for name, shape in shapes.items()
    }
    assert safe["web"] >= 2
    assert safe["api"] == 0


def limited_world(**limits):
    """The NodePool `batch` of the demo, with limits: 14 nodes of 8 vCPU, stressed at once."""
    scenario = demo()
    groups = tuple(replace(g, **limits) for g in scenario.groups if g.name == "batch")
    harsh = (RegimePhase(starts_s=0.0, regime=HARSH),)
    scenario = replace(
        scenario,
        groups=groups,
        fleets=tuple(f for f in scenario.fleets if f.group == "batch"),
        workloads=tuple(w for w in scenario.workloads if w.pool == "batch"),
        phases=harsh,
    )
    market = SimulatedMarket(seed=1, start_at=scenario.start_at)
    return World(scenario=scenario, seed=1, clock=StoppedClock(), market=market)


def batch_of(world):
    pools = {pool.name: pool for pool in world.snapshot(world.at).pools}
    return pools["batch"].node_groups[0], len(pools["batch"].nodes)


def test_what_the_limits_of_a_node_pool_leave_is_shown():
    world = limited_world(cpu_limit_milli=150_000, memory_limit_bytes=1 << 30, node_limit=15)
    node_pool, n_nodes = batch_of(world)
    assert n_nodes == 14
    assert node_pool.cpu_left_milli == 150_000 - 14 * 7920
    assert (node_pool.memory_left_bytes, node_pool.nodes_left) == (0, 1)


@pytest.mark.trial
def test_nothing_is_bought_over_a_limit():
    world, lost = limited_world(node_limit=3), 0
    while batch_of(world)[1] > 3 or lost == 0:
        before = batch_of(world)[1]
        step(world, 0.1)
        after = batch_of(world)[1]
        lost += before > after
        assert after <= before
    # Half an hour of chances to buy, of which each is like the first: nothing else changes.
    for _ in range(10):
        step(world, 0.05)
        assert batch_of(world)[1] <= 3


@pytest.mark.parametrize("seed", range(3))
def test_budgets_count_their_pods_on_spot_and_hold_what_the_doctor_says(seed):
    world = world_of(seed, HARSH)
    for _ in range(40):
        world.step()
        facts = world.snapshot(world.at)
        nodes = {n.name: n for n in facts.nodes}
        budgets = {pdb.key: pdb for pdb in facts.pdbs}
        for pdb in budgets.values():
            where = [nodes[name] for name, n in pdb.healthy_by_node for _ in range(n)]
            on_spot = Counter(n.offering for n in where if n.capacity_type is CapacityType.SPOT)
            assert {s.offering: s.n_pods for s in pdb.spot_by_offering} == on_spot
            assert pdb.n_leaving == sum(1 for n in where if n.moving or n.cordoned)
            assert all(nodes[name].pool in pdb.pools for name, _ in pdb.healthy_by_node)
        for pool in facts.pools:
            refused = {
                n.name
                for n in pool.nodes
                for pod in world.standings_on(n.name)
                if verdict_on(pod, budgets) is not None
            }
            assert refused == pdb_blocked_nodes(pool)
    assert world.standings_on("nowhere") == ()


def test_the_doctor_finds_what_holds_the_demos_nodes():
    world = world_of()
    found = diagnose(world.snapshot(world.at), world.standings_on, world.at, "demo")
    troubles = {finding.trouble for finding in found.findings}
    assert {"bare-pod", "single-replica", "do-not-disrupt", "volume"} <= troubles
    assert sum(share.n_nodes for share in found.shares) == found.n_nodes == 61


def test_demo_shows_what_cannot_be_moved():
    pools = {pool.name: pool for pool in world_of().snapshot(0.0).pools}
    found = {
        name: {b.blocker for n in pool.nodes for b in n.load.blocked}
        for name, pool in pools.items()
    }
    assert found["legacy"] == {Blocker.BARE_POD, Blocker.DO_NOT_DISRUPT, Blocker.SINGLE_REPLICA}
    assert found["stateful"] == {Blocker.VOLUME, Blocker.PINNED_ON_DEMAND}
    assert found["web"] == found["batch"] == set()
    assert pools["legacy"].node_groups == ()
    assert [p.name for p in pools["api"].node_groups] == ["api-od", "api-spot"]


@pytest.mark.trial
@examples(12)
@given(st.integers(0, 10_000))
def test_world_is_consistent_at_every_turn(seed):
    world = world_of(seed, HARSH, CALM)
    for _ in range(20):
        step(world, 0.06)
        check(world)
    assert world.tally.n_lost > 0
    assert world.tally.launches.n_launched > 0


@pytest.mark.trial
@pytest.mark.parametrize("seed", range(4))
def test_stress_raises_losses_and_calm_ends_them(seed):
    world = world_of(seed)
    lost = []
    for hours in (1.25, 1.75, 2.0):
        before = world.tally.n_lost
        step(world, hours)
        lost.append(world.tally.n_lost - before)
    assert lost[0] <= 1
    assert lost[1] >= 6
    assert lost[2] <= 3
    assert not world.cluster.pending
    assert 50 <= len(world.cluster.nodes) <= 72


@pytest.mark.trial
def test_lost_nodes_vanish_unmarked_or_within_two_minutes_of_their_mark():
    world = world_of(2, HARSH)
    marked_at, n_unmarked, n_marked = {}, 0, 0
    before = nodes_of(world)
    for _ in range(720):
        world.step()
        after = nodes_of(world)
        for name in before.keys() - after.keys():
            n_marked += name in marked_at
            n_unmarked += name not in marked_at
            assert before[name].ready
            assert before[name].capacity_type is CapacityType.SPOT
            assert world.at - marked_at.get(name, world.at) <= 120.0 + STEP_S
        for name, node in after.items():
            if node.moving:
                marked_at.setdefault(name, world.at)
        before = after
    assert n_marked > 0
    assert n_unmarked > 0
    assert n_marked + n_unmarked == world.tally.n_lost


def test_on_demand_takes_over_where_spot_is_short_everywhere():
    blackout = replace(HARSH, hazard_per_hour=5.0, launch_failure_ratio=1.0)
    world = world_of(3, blackout)
    step(world, 1.0)
    tally = world.tally
    assert tally.launches.n_fallbacks == tally.launches.n_launched > 0
    assert tally.launches.n_failed > 0
    assert all(
        n.created_at < world.at - 3600.0 or n.capacity_type is CapacityType.ON_DEMAND
        for n in nodes_of(world).values()
    )


def test_lost_pods_wait_for_a_node_and_come_back():
    world = world_of(4, HARSH, CALM)
    step(world, 1.0)
    assert world.tally.pending_pod_s > 0.0
    step(world, 0.9)
    assert not world.cluster.pending
    assert not world.cluster.starting
    pools = world.snapshot(world.at).pools
    assert all(p.healthy >= p.desired_healthy for pool in pools for p in pool.pdbs)


def test_stateful_pods_come_back_in_the_zone_of_their_volume():
    world = world_of()
    cluster = world.cluster
    pod = cluster.pods["data/kafka-1"]
    zone = cluster.nodes[pod.node].offering.zone
    cluster.remove_node(cluster.nodes[pod.node], world.at)
    step(world, 0.2)
    again = cluster.pods["data/kafka-1"]
    assert again.uid != pod.uid
    assert isinstance(cluster.evict(pod, world.at, 1.0), Gone)
    assert cluster.nodes[again.node].offering.zone == zone
    check(world)


def test_eviction_obeys_the_budget_and_the_owner_restores_the_pod():
    world = world_of()
    cluster = world.cluster
    first, second = list(cluster.pods_of["api/Deployment/gateway"].values())[:2]
    assert isinstance(cluster.evict(first, world.at, 20.0), Done)
    assert isinstance(cluster.evict(first, world.at, 20.0), Gone)
    assert isinstance(cluster.evict(second, world.at, 20.0), BlockedByBudget)
    assert [view.terminating for view in world.pods_on(first.node) if view.uid == first.uid] == [
        True
    ]
    step(world, 0.2)
    assert first.key not in cluster.pods
    assert isinstance(cluster.evict(second, world.at, 20.0), Done)
    check(world)


def test_a_cordoned_node_gets_no_pods_and_keeps_its_own():
    world = world_of()
    cluster = world.cluster
    pod = next(iter(cluster.pods_of["shop/Deployment/cart"].values()))
    node = cluster.nodes[pod.node]
    cluster.cordon(node, cordoned=True)
    n_pods = len(node.pods)
    assert nodes_of(world)[node.name].cordoned
    assert isinstance(cluster.evict(pod, world.at, 1.0), Done)
    step(world, 0.1)
    assert len(node.pods) == n_pods - 1
    check(world)


def test_a_promise_on_a_node_that_is_cordoned_is_given_to_another():
    world = world_of(6, replace(HARSH, shortages_per_hour=0.0))
    cluster = world.cluster
    while not (promised := [p for p in cluster.pending.values() if p.promised]):
        world.step()
    pod = promised[0]
    cluster.cordon(cluster.nodes[pod.promised], cordoned=True)
    refused = pod.promised
    world.step()
    assert refused not in (pod.promised, pod.node)
    check(world)


def test_what_did_not_change_is_the_same_object():
    world = world_of()
    before = world.snapshot(world.at)
    step(world, 0.1)
    after = world.snapshot(world.at + 2.0)
    assert all(a is b for a, b in zip(after.pools, before.pools, strict=True))
    assert [h.age_s for h in after.inputs] == [2.0] * 7
    assert [h.age_s for h in world.health(world.at + 3.0)] == [3.0] * 7
    world.cluster.cordon(next(iter(world.cluster.nodes.values())), cordoned=True)
    changed = world.snapshot(world.at).pools
    assert sum(a is not b for a, b in zip(changed, before.pools, strict=True)) == 1


def test_pods_of_a_node_are_sorted_and_daemons_stay():
    world = world_of()
    name, node = next(iter(nodes_of(world).items()))
    views = world.pods_on(name)
    assert [(v.namespace, v.name) for v in views] == sorted((v.namespace, v.name) for v in views)
    assert sum(v.stays for v in views) == 3
    assert sum(not v.stays for v in views) == node.load.n_workload_pods
    assert world.pods_on("no-such-node") == ()
    assert world.node("no-such-node") is None
    assert world.node(name) == node


def test_run_steps_on_the_grid_makes_up_for_lost_time_and_stops_at_once():
    async def main():
        loop = asyncio.get_running_loop()
        scenario = demo()
        clock = SimClock(scenario.start_at, loop)
        market = SimulatedMarket(seed=1, start_at=scenario.start_at)
        await asyncio.sleep(33.0)
        world = World(scenario=scenario, seed=1, clock=clock, market=market)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(world.run(stop))
            await world.synced()
            await asyncio.sleep(0.5)
            late = world.at - scenario.start_at
            await asyncio.sleep(60.0)
            stop.set()
        return late, world.at - scenario.start_at, loop.time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == (30.0, 90.0, 93.5)


@pytest.mark.program
def test_same_seed_gives_the_same_snapshots_under_two_hash_seeds():
    def run(hash_seed, seed):
        done = subprocess.run(
            [sys.executable, "-m", "tests.sim.runtime.digest", str(seed), "4.2"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        return done.stdout.split()

    first, second, other = run("1", 7), run("2", 7), run("1", 8)
    assert first == second
    assert int(first[1]) > 0
    assert other[0] != first[0]
