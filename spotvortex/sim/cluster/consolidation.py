"""The provisioner's other half: it drains what it ends, and ends what is not needed.

Comes in: the cluster, prices, the time. Goes out: nodes drained and removed: those that are being
deleted, those whose interruption it has heard of, and those that its consolidation finds, in the
manner of Karpenter 1.15: empty ones at once, underutilised ones by deletion where their pods fit
elsewhere, or replacement first by a cheaper Spot node; within the budget of each NodePool; never a
node with a pod that keeps it; and, in groups of Cluster Autoscaler, one that nobody has needed for
ten minutes. May not buy anything but such a replacement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from spotvortex.core.domain.types import CapacityType, Offering, ProvisionerKind
from spotvortex.sim.cluster.objects import SimNode, SimPod
from spotvortex.sim.cluster.scenario import WHEN_UNDERUTILIZED, NodeGroup, WorkloadKind
from spotvortex.sim.cluster.scheduler import Scheduler, may_be_on
from spotvortex.sim.cluster.state import ClusterObjects
from spotvortex.sim.market.instance_types import instance_type_of
from spotvortex.sim.market.prices import PricedMarket

NOMINATED_S: Final = 20.0
"""Seconds for which Karpenter spares a node that it has chosen for pods: two batch windows."""

LOOK_EVERY_S: Final = 10.0
"""Karpenter looks for something to disrupt every ten seconds (disruption controller)."""

LOOK_AGAIN_S: Final = 300.0
"""A cluster in which nothing has changed is looked at again every five minutes."""

UNNEEDED_RATIO: Final = 0.5
"""Cluster Autoscaler's `scale-down-utilization-threshold`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replacement:
    """A node that is deleted once its replacement is Ready."""

    uid: str
    node: str
    by: str


class DisruptionController:
    """Ends nodes, and moves their pods first where the provisioner does."""

    def __init__(
        self, cluster: ClusterObjects, placement: Scheduler, market: PricedMarket, chance: Random
    ) -> None:
        """Start with nothing under way."""
        self._cluster = cluster
        self._placement = placement
        self._market = market
        self._chance = chance
        self._under_way: list[_Replacement] = []
        self._nominated_until: dict[str, float] = {}
        self._next_look = -math.inf
        self._looked: dict[str, tuple[int, float]] = {}
        self._unneeded_since: dict[str, float] = {}
        self._awaited: dict[str, str] = {}

    def step(self, groups: Iterable[NodeGroup], at: float) -> None:
        """Go on with what is under way, and look for more where it is time."""
        self._drain(at)
        self._go_on(at)
        if at >= self._next_look:
            self._next_look = at + LOOK_EVERY_S
            for group in groups:
                if group.provisioner is ProvisionerKind.KARPENTER and group.consolidation:
                    self._consolidate(group, at)
                elif group.provisioner is ProvisionerKind.CLUSTER_AUTOSCALER:
                    self._scale_down(group, at)

    def _drain(self, at: float) -> None:
        """Evict what the budgets let go; a node that is being deleted ends once it is empty.

        Karpenter evicts no pod with do-not-disrupt, and awaits it. Placeholders have it too;
        anchors tolerate every taint, so that nobody waits for them.
        """
        leaving = [
            n
            for n in self._cluster.nodes.values()
            if n.deleting or (n.leaves_at is not None and n.moving)
        ]
        for node in leaving:
            for pod in node.movable if self._may_evict(node, at) else ():
                if pod.terminating or pod.workload.do_not_disrupt:
                    continue
                stop_s = self._chance.uniform(1.0, max(1.0, pod.workload.grace_s))
                self._cluster.evict(pod, at, stop_s)
            if node.deleting and not (node.movable or node.placeholders):
                self._terminate(node, at)

    def _may_evict(self, node: SimNode, at: float) -> bool:
        """Tell whether an interrupted node's pods go now, or wait until a replacement is Ready.

        Where none can be bought, or it has gone itself, there is nothing to wait for.
        """
        if node.group.evicts_at_notice or node.deleting:
            return True
        if node.uid not in self._awaited:
            other = self._placement.replace(node, at)
            self._awaited[node.uid] = "" if other is None else other.name
        other = self._cluster.nodes.get(self._awaited[node.uid])
        if other is not None and node.leaves_at is not None:
            # Nobody may find the replacement empty meanwhile.
            self._nominated_until[other.name] = node.leaves_at + NOMINATED_S
        return other is None or other.ready or other.moving

    def _terminate(self, node: SimNode, at: float) -> None:
        """Let the instance of an emptied node end; until then the node is still there."""
        if node.ends_at is None:
            node.ends_at = at + node.group.terminate_s
        if node.ends_at <= at:
            self._cluster.remove_node(node, at)

    def _go_on(self, at: float) -> None:
        """Delete each node whose replacement is Ready; give up where the replacement has gone."""
        waiting = []
        for one in self._under_way:
            node, other = self._cluster.nodes.get(one.node), self._cluster.nodes.get(one.by)
            if node is None or node.uid != one.uid or node.deleting:
                continue
            if other is None or other.moving:
                self._cluster.taint(node, tainted=node.leaves_at is not None)
            elif other.ready:
                self._cluster.delete_claim(node)
                self._nominated_until[other.name] = at + NOMINATED_S
            else:
                waiting.append(one)
        self._under_way = waiting
        kept = self._nominated_until.items()
        self._nominated_until = {name: until for name, until in kept if until > at}

    def _consolidate(self, group: NodeGroup, at: float) -> None:
        seen, looked_at = self._looked.get(group.name, (-1, -math.inf))
        if seen == self._cluster.changes[group.pool] and at - looked_at < LOOK_AGAIN_S:
            return
        there = self._cluster.by_pool.get(group.pool, {})
        nodes = [n for n in there.values() if n.group is group]
        left = math.ceil(group.disruption_ratio * len(nodes)) - sum(n.moving for n in nodes)
        settled = self._settled(nodes, at)
        pods = [(node, node.movable) for node in settled]
        for node in [n for n, own in pods if not own][: max(0, left)]:
            left -= 1
            self._cluster.delete_claim(node)
        if left > 0 and group.consolidation == WHEN_UNDERUTILIZED:
            known: dict[str, bool] = {}
            self._shrink([(n, own) for n, own in pods if own and self._all_free(own, known)], at)
        if not self._nominated_until and all(_has_rested(node, at) for node in nodes):
            self._looked[group.name] = (self._cluster.changes[group.pool], at)

    def _scale_down(self, group: NodeGroup, at: float) -> None:
        """Delete one node that has been unneeded for long enough, as Cluster Autoscaler does.

        Unneeded: requests below half of it, and all its pods fit elsewhere; a bare pod, or one that
        says so, keeps it, and so does an annotation of its own (its FAQ: "How does scale-down
        work?", "What types of pods can prevent CA from removing a node?").
        """
        there = self._cluster.by_pool.get(group.pool, {})
        for node in [n for n in there.values() if n.group is group]:
            may_go = self._is_unneeded(node) and self._may_move(node)
            if not (may_go and self._fits_elsewhere(node, node.movable, self._room(group.pool))):
                self._unneeded_since.pop(node.uid, None)
            elif at - self._unneeded_since.setdefault(node.uid, at) >= group.unneeded_s:
                del self._unneeded_since[node.uid]
                self._cluster.delete_claim(node)
                return

    def _is_unneeded(self, node: SimNode) -> bool:
        machine = instance_type_of(node.offering.instance_type)
        used = max(node.cpu_used / machine.cpu_milli, node.memory_used / machine.memory_bytes)
        kept = any(p.keeps_node or p.workload.kind is WorkloadKind.BARE for p in node.pods.values())
        kept = kept or node.scale_down_disabled
        return node.ready and not node.moving and not kept and used < UNNEEDED_RATIO

    def _settled(self, nodes: list[SimNode], at: float) -> list[SimNode]:
        """Return the nodes that have been left alone for long enough, and that no pod keeps."""
        promised = {pod.promised for pod in self._cluster.pending.values()}
        return [
            node
            for node in nodes
            if node.ready
            and not node.moving
            and _has_rested(node, at)
            and node.name not in self._nominated_until
            and node.name not in promised
            and not any(pod.keeps_node for pod in node.pods.values())
        ]

    def _may_move(self, node: SimNode) -> bool:
        """Tell whether the budgets would let every pod of a node go now."""
        return self._all_free(node.movable, {})

    def _all_free(self, pods: Iterable[SimPod], known: dict[str, bool]) -> bool:
        """Tell whether the budgets would let every pod go now; `known` keeps what was found."""
        for pod in pods:
            workload = pod.workload
            free = known.get(workload.key)
            if free is None:
                free = not workload.has_budget or self._cluster.disruptions_allowed(workload) > 0
                known[workload.key] = free
            if not free:
                return False
        return True

    def _shrink(self, candidates: list[tuple[SimNode, list[SimPod]]], at: float) -> None:
        """Carry out the first thing that saves money, the emptiest node first.

        Args:
            candidates: nodes, each with its movable pods.
            at: now.
        """
        if not candidates:
            return
        room = self._room(candidates[0][0].group.pool)
        for node, pods in sorted(candidates, key=lambda c: (len(c[1]), c[0].created_at, c[0].name)):
            if self._fits_elsewhere(node, pods, room):
                self._cluster.delete_claim(node)
                return
            other = self._cheaper(node, pods, at)
            if other is not None:
                self._cluster.taint(node)
                self._under_way.append(_Replacement(uid=node.uid, node=node.name, by=other.name))
                return

    def _room(self, pool: str) -> dict[str, tuple[int, int]]:
        """Return the CPU and memory that are free on each node of a pool that takes pods."""
        return {
            n.name: (m.cpu_milli - n.cpu_used, m.memory_bytes - n.memory_used)
            for n in self._cluster.by_pool[pool].values()
            if n.ready and n.takes_pods
            for m in (instance_type_of(n.offering.instance_type),)
        }

    def _fits_elsewhere(
        self, node: SimNode, pods: list[SimPod], room: Mapping[str, tuple[int, int]]
    ) -> bool:
        """Tell whether all movable pods of a node find room on others that are there."""
        left = {node.name: (-1, -1)}
        for pod in sorted(pods, key=lambda p: (-p.workload.cpu_milli, p.name)):
            host = self._host(pod, room, left)
            if host is None:
                return False
            cpu, memory = left.get(host, room[host])
            left[host] = cpu - pod.workload.cpu_milli, memory - pod.workload.memory_bytes
        return True

    def _host(
        self, pod: SimPod, room: Mapping[str, tuple[int, int]], left: Mapping[str, tuple[int, int]]
    ) -> str | None:
        """Return the first node with room for a pod: what is `left`, else what was there."""
        cpu, memory = pod.workload.cpu_milli, pod.workload.memory_bytes
        for name, whole in room.items():
            if whole[0] >= cpu and whole[1] >= memory:
                now = left.get(name, whole)
                fits = now[0] >= cpu and now[1] >= memory
                if fits and may_be_on(self._cluster.nodes[name], pod):
                    return name
        return None

    def _cheaper(self, node: SimNode, pods: list[SimPod], at: float) -> SimNode | None:
        """Buy a cheaper Spot node that holds what an on-demand node holds, if there is one.

        Spot is not replaced by Spot: that is behind a feature gate of Karpenter.
        """
        group = node.group
        is_spot = node.capacity_type is CapacityType.SPOT
        if is_spot or CapacityType.SPOT not in group.capacity_types:
            return None
        if any(pod.workload.capacity_type is CapacityType.ON_DEMAND for pod in pods):
            return None
        cpu = sum(pod.workload.cpu_milli for pod in pods)
        memory = sum(pod.workload.memory_bytes for pod in pods)
        zones = {pod.zone for pod in pods if pod.zone} or set(group.zones)
        price = self._market.on_demand_usd_per_hour(node.offering)
        left = self._cluster.left(group)
        options = sorted(
            (self._market.spot_usd_per_hour(offering, at), offering)
            for instance_type in group.instance_types
            if self._placement.holds(instance_type, cpu, memory) and left.takes(instance_type)
            for zone in group.zones
            for offering in (Offering(instance_type=instance_type, zone=zone),)
            if zones == {zone} or len(zones) > 1
        )
        for spot_price, offering in options:
            if spot_price < price and self._placement.try_spot(group, offering, at):
                return self._placement.launch(group, CapacityType.SPOT, offering, at)
        return None


def _has_rested(node: SimNode, at: float) -> bool:
    """Tell whether a node has been left alone for as long as its group asks for."""
    return at - max(node.ready_at, node.emptied_at) >= node.group.consolidate_after_s
