"""The simulated cluster behind `ClusterView`: it lives on its own while the controller watches.

Comes in: a scenario, a seed, a clock and a market. Goes out: snapshots, and a tally of what
happened. It steps on a fixed grid of simulated time, so its course depends on scenario and seed
alone, however the loop is paced. May not decide anything for the controller.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Final, Protocol

from spotvortex.aio import pause
from spotvortex.core.domain.inputs import InputHealth
from spotvortex.core.domain.observation import ClusterFacts, NodeFact, OwnPod
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.drain.calls import Answer, Call, PodView
from spotvortex.core.pool.survival.eviction import PodEvictability
from spotvortex.ports.cluster import WallClock
from spotvortex.sim.cluster.api_server import Seen, SimulatedApiServer
from spotvortex.sim.cluster.consolidation import DisruptionController
from spotvortex.sim.cluster.facts import inputs, node_fact, own_pods, pod_standing, pod_view
from spotvortex.sim.cluster.objects import SimNode
from spotvortex.sim.cluster.scenario import Fleet, Scenario, WorkloadKind
from spotvortex.sim.cluster.scheduler import LaunchLog, Scheduler
from spotvortex.sim.cluster.state import ClusterObjects
from spotvortex.sim.cluster.watch import History
from spotvortex.sim.groups.cloud import ScalingCloud
from spotvortex.sim.market.hazard_supply import HazardSupply
from spotvortex.sim.market.prices import PricedMarket
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.market.supply import Supply

log = logging.getLogger(__name__)

_SPOT_AGE_H: Final = (10.0, 1.0)
_ON_DEMAND_AGE_H: Final = (240.0, 0.7)
"""Median, and sigma of its logarithm, of the nodes' ages at the start."""


@dataclass(slots=True, kw_only=True)
class LossTally:
    """What happened since the start.

    Attributes:
        launches: what the provisioner did.
        n_lost: Spot nodes that were taken.
        pending_pod_s: seconds that pods have waited for a node, summed over pods.
    """

    launches: LaunchLog
    n_lost: int = 0
    pending_pod_s: float = 0.0


class WorldAccount(Protocol):
    """What keeps account of a world."""

    def step(self, at: float, seconds: float) -> None:
        """Take note of one step, which ends at a time."""
        ...

    def struck(self, node: SimNode, at: float) -> None:
        """Take note of a node that the provider takes away."""
        ...


class World:
    """A cluster with its provisioner, its Spot market's hidden side, and the losses that follow."""

    def __init__(
        self,
        *,
        scenario: Scenario,
        seed: int,
        clock: WallClock,
        market: PricedMarket,
        supply: Supply | None = None,
        captures: bool = False,
    ) -> None:
        """Build the cluster as it stands at the scenario's start, everything Ready.

        Args:
            scenario: shape and timetable.
            seed: the world's seed.
            clock: tells how far to step; starts at `scenario.start_at`.
            market: prices, also those of on-demand, of which the provisioner takes the best.
            supply: the market's hidden side; None makes one of the scenario's phases.
            captures: keep `frames` after each change, for watches that lag.
        """
        self._scenario = scenario
        self._clock = clock
        self._captures = captures
        self.step_s = scenario.step_s
        self.ledger: WorldAccount | None = None
        self.name = ""
        self._at = scenario.start_at
        self._chance = stream(seed, "world")
        self.cluster = ClusterObjects(stream(seed, "names"), scenario.workloads)
        self._supply = supply or HazardSupply(
            seed=seed,
            phases=scenario.phases,
            offerings=_spot_offerings(scenario),
            start_at=scenario.start_at,
            announced=scenario.announced,
        )
        self._placement = Scheduler(
            self.cluster, self._supply, market, self._chance, scenario.boot_factor
        )
        self._disruption = DisruptionController(self.cluster, self._placement, market, self._chance)
        self._unheard: list[SimNode] = []
        self._at_risk: list[SimNode] = []
        self._n_failures_told = 0
        self.tally = LossTally(launches=self._placement.launches)
        self._settle()
        self.server = SimulatedApiServer(cluster=self.cluster, chance=stream(seed, "server"))
        self.scaling = ScalingCloud(
            cluster=self.cluster,
            placement=self._placement,
            groups=scenario.groups,
            chance=stream(seed, "scaling"),
        )
        self.scaling.begin()
        self.frames = History(self.cluster, scenario.groups, self._at)

    @property
    def at(self) -> float:
        """The time of the last step, seconds since the epoch."""
        return self._at

    async def synced(self) -> None:
        """Return at once: the world is complete from the start."""

    def snapshot(self, now: float) -> ClusterFacts:
        """Return the cluster as of the last step."""
        self.frames.capture(self._at)
        return replace(self.frames.latest().facts, inputs=inputs(self._age_s(now)))

    def health(self, now: float) -> tuple[InputHealth, ...]:
        """Return the state and age of each watched resource."""
        return inputs(self._age_s(now))

    def node(self, name: str) -> NodeFact | None:
        """Return one node as of the last step."""
        found = self.cluster.nodes.get(name)
        return node_fact(found) if found else None

    def pods_on(self, node: str) -> tuple[PodView, ...]:
        """Return the pods bound to a node, sorted by namespace and name."""
        found = self.cluster.nodes.get(node)
        pods = found.pods.values() if found else ()
        ordered = sorted(pods, key=lambda pod: (pod.workload.namespace, pod.name))
        return tuple(pod_view(pod) for pod in ordered)

    def own_pods(self, for_uid: str) -> tuple[OwnPod, ...]:
        """Return the controller's pods that are about one node, sorted by name."""
        return tuple(pod for pod in own_pods(self.cluster) if pod.for_uid == for_uid)

    async def refresh(self, node: str) -> None:
        """Return at once: what is shown is the world itself."""

    def standings_on(self, node: str) -> tuple[PodEvictability, ...]:
        """Return the pods bound to a node with what holds them, sorted by namespace and name."""
        found = self.cluster.nodes.get(node)
        standings = (pod_standing(pod) for pod in (found.pods.values() if found else ()))
        return tuple(sorted(standings, key=lambda s: (s.namespace, s.name)))

    async def run(self, stop: asyncio.Event) -> None:
        """Step along with the clock until told to stop; steps that are late are made up for."""
        while not stop.is_set():
            while self._at + self.step_s <= self._clock.now() and not stop.is_set():
                self.step()
                await asyncio.sleep(0)
            await pause(stop, self._at + self.step_s - self._clock.now())

    def step(self) -> None:
        """Let one step of simulated time pass."""
        self._at += self.step_s
        self._supply.advance(self._at, self.step_s)
        self._reclaim()
        self._disruption.step(self._scenario.groups, self._at)
        self._finish_pods()
        self._boot_nodes()
        self.scaling.step(self._at)
        self._placement.place(self._scenario.groups, self._at)
        self.tally.pending_pod_s += self.step_s * len(self.cluster.pending)
        if self.ledger is not None:
            self.ledger.step(self._at, self.step_s)
        self.cluster.news.clear()
        if self._captures:
            self.frames.capture(self._at)

    def apply(self, call: Call, seen: Seen | None = None) -> Answer:
        """Let the API server carry out one call of the controller, on what it has read before."""
        now = max(self._at, self._clock.now())
        answer = self.server.apply(call, now, seen)
        if self._captures:
            self.frames.capture(now)
        return answer

    def _age_s(self, now: float) -> float:
        return max(0.0, now - self._at)

    def _reclaim(self) -> None:
        """Take the Spot nodes whose time has come, and tell those that the market strikes."""
        by_offering: defaultdict[Offering, list[SimNode]] = defaultdict(list)
        spot = CapacityType.SPOT
        there = [n for n in self.cluster.nodes.values() if n.capacity_type is spot and n.ready]
        for node in there:
            if node.leaves_at is None:
                by_offering[node.offering].append(node)
            elif node.leaves_at <= self._at:
                self._lose(node)
        for offering, nodes in by_offering.items():
            if self._supply.warns(offering, self._at, self.step_s):
                self._at_risk += nodes
            ages = [self._at - node.created_at for node in nodes]
            for strike in self._supply.strikes(offering, ages, self._at, self.step_s):
                self._strike(nodes[strike.index], strike.leaves_at)

    def _strike(self, node: SimNode, leaves_at: float) -> None:
        if leaves_at <= self._at:
            self._lose(node)
        else:
            self.interrupt(node, leaves_at)

    def interrupt(self, node: SimNode, leaves_at: float) -> None:
        """Give notice that a node goes; who hears of it is said by the scenario."""
        if self.ledger is not None:
            self.ledger.struck(node, self._at)
        is_heard = not self._scenario.hears_notices
        self.cluster.give_notice(node, leaves_at, is_heard=is_heard)
        if is_heard:
            self._placement.memory.interrupted(node, self._at)
        else:
            self._unheard.append(node)

    def take_at_risk(self) -> list[SimNode]:
        """Return the nodes that a rebalance recommendation was about since this was last asked."""
        found, self._at_risk = self._at_risk, []
        return found

    def take_unheard(self) -> list[SimNode]:
        """Return, once each, the nodes of whose interruption the provisioner does not hear."""
        found, self._unheard = self._unheard, []
        return found

    def scale(self, factor: float) -> None:
        """Scale every Deployment, to one replica at least."""
        for workload in list(self.cluster.workloads.values()):
            self.want(workload.key, max(1, round(workload.replicas * factor)))

    def want(self, key: str, replicas: int) -> None:
        """Let a Deployment want another number of pods; others have a fixed one."""
        workload = self.cluster.workloads[key]
        if workload.kind is WorkloadKind.DEPLOYMENT and workload.replicas != replicas:
            self.cluster.scale(workload, replicas, self._at)

    def take_failures(self) -> int:
        """Return how many launches have failed since this was last asked."""
        n_new = self._placement.launches.n_failed - self._n_failures_told
        self._n_failures_told += n_new
        return n_new

    def _lose(self, node: SimNode) -> None:
        self.tally.n_lost += 1
        if self.ledger is not None and node.leaves_at is None:
            self.ledger.struck(node, self._at)
        fields = {"node": node.name, "offering": str(node.offering), "noticed": node.moving}
        log.info("sim.node_lost", extra=fields | ({"under": self.name} if self.name else {}))
        self.cluster.remove_node(node, self._at, silent=True)

    def _finish_pods(self) -> None:
        for pod in list(self.cluster.own.values()):
            if pod.own is not None and pod.own.expires_at <= self._at:
                self.cluster.delete_pod(pod, self._at)
        for pod in list(self.cluster.terminating.values()):
            if pod.gone_at <= self._at:
                self.cluster.delete_pod(pod, self._at)
        for pod in list(self.cluster.starting.values()):
            if pod.ready_at <= self._at:
                self.cluster.make_pod_ready(pod)

    def _boot_nodes(self) -> None:
        for node in self.cluster.nodes.values():
            if not node.ready and node.ready_at <= self._at:
                self.cluster.make_ready(node)

    def _settle(self) -> None:
        """Buy the fleets, place every workload, and let all of it become Ready in the past."""
        for fleet in self._scenario.fleets:
            self._buy(fleet)
        for workload in self._scenario.workloads:
            if workload.kind is WorkloadKind.BARE:
                self.cluster.create_bare(workload, self._at)
            else:
                self.cluster.restore(workload, self._at)
        self._placement.place(self._scenario.groups, self._at)
        for pod in list(self.cluster.starting.values()):
            self.cluster.make_pod_ready(pod)
        self._placement.launches.n_launched = 0

    def _buy(self, fleet: Fleet) -> None:
        group = next(g for g in self._scenario.groups if g.name == fleet.group)
        is_spot = fleet.capacity_type is CapacityType.SPOT
        median_h, sigma = _SPOT_AGE_H if is_spot else _ON_DEMAND_AGE_H
        for _ in range(fleet.count):
            n_owned = sum(1 for n in self.cluster.nodes.values() if n.group is group)
            zone = group.zones[n_owned % len(group.zones)]
            offering = Offering(instance_type=fleet.instance_type, zone=zone)
            age_s = 3600.0 * self._chance.lognormvariate(math.log(median_h), sigma)
            node = self._placement.launch(group, fleet.capacity_type, offering, self._at - age_s)
            self.cluster.make_ready(node)


def _spot_offerings(scenario: Scenario) -> list[Offering]:
    return [
        Offering(instance_type=instance_type, zone=zone)
        for group in scenario.groups
        if CapacityType.SPOT in group.capacity_types
        for instance_type in group.instance_types
        for zone in group.zones
    ]
