"""Scheduler and provisioner in one: finds a node for every pending pod, or buys one.

Comes in: the cluster, the hidden capacity, prices and the time. Goes out: bound and promised pods
and launched nodes, in the manner of Karpenter: the cheapest offering for the room that is needed,
zones in balance, on-demand where Spot is short, an offering that failed left alone for 3 minutes.
A workload's pod takes the room of the controller's placeholders where it finds no other. May not
interrupt anything, and never removes a node.

Timing after published EKS logs: launch to Ready 50 s in the median and 140 s at p99; image pull
and readiness 30 s and 120 s.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Final

from spotvortex.core.domain.autoscaling import claim_of, instance_claim, is_autoscaled
from spotvortex.core.domain.types import CapacityType, Offering, ProvisionerKind
from spotvortex.sim.cluster.launch_memory import LaunchMemory
from spotvortex.sim.cluster.objects import Own, SimNode, SimPod
from spotvortex.sim.cluster.scenario import NodeGroup, Workload, WorkloadKind
from spotvortex.sim.cluster.state import ClusterObjects
from spotvortex.sim.market.instance_types import instance_type_of
from spotvortex.sim.market.prices import PricedMarket
from spotvortex.sim.market.supply import Supply

_BOOT_MEDIAN_S: Final = 50.0
_BOOT_SIGMA: Final = 0.443
_START_MEDIAN_S: Final = 30.0
_START_SIGMA: Final = 0.596


@dataclass(slots=True, kw_only=True)
class LaunchLog:
    """What the provisioner did so far.

    Attributes:
        n_launched: nodes that it launched.
        n_failed: launches that failed for lack of capacity.
        n_fallbacks: on-demand nodes launched because Spot was short.
    """

    n_launched: int = 0
    n_failed: int = 0
    n_fallbacks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """One kind of node that can be bought."""

    group: NodeGroup
    capacity_type: CapacityType
    offering: Offering


class Scheduler:
    """Places pods. Nothing but `place`, `replace` and `launch` changes the cluster."""

    def __init__(
        self,
        cluster: ClusterObjects,
        supply: Supply,
        market: PricedMarket,
        chance: Random,
        boot_factor: float = 1.0,
    ) -> None:
        """Start with no memory of failed launches."""
        self._boot_factor = boot_factor
        self._cluster = cluster
        self._supply = supply
        self._market = market
        self._chance = chance
        self.memory = LaunchMemory()
        daemons = [w for w in cluster.workloads.values() if w.kind is WorkloadKind.DAEMON_SET]
        self._daemon_cpu = sum(w.cpu_milli for w in daemons)
        self._daemon_memory = sum(w.memory_bytes for w in daemons)
        self.launches = LaunchLog()

    def place(self, groups: tuple[NodeGroup, ...], at: float) -> None:
        """Find a node for every pending pod, workloads first, then oldest; buy nodes for the rest.

        Placeholders have a lower priority than any workload, and give way to it.
        """
        for pod in sorted(self._cluster.pending.values(), key=lambda p: p.own is not None):
            if pod.key not in self._cluster.pending:
                continue  # it gave way to a pod before it
            node = self._node_for(pod) or self._preempt(pod, at) or self._buy_for(pod, groups, at)
            if node is None:
                n_nodes = len(self._cluster.nodes)
                pod.reason = f"0/{n_nodes} nodes are available, and none can be bought"
            elif node.ready:
                self._cluster.bind(pod, node, at, at + self._start_s(pod))
            elif not pod.promised:
                self._cluster.promise(pod, node)

    def _start_s(self, pod: SimPod) -> float:
        """Return how long a pod takes from its binding to Ready; the pause image takes a second."""
        return 1.0 if pod.own is not None else self._draw(_START_MEDIAN_S, _START_SIGMA)

    def _preempt(self, pod: SimPod, at: float) -> SimNode | None:
        """Make room for a workload's pod by ending placeholders, of one node, as few as will do."""
        if pod.own is not None:
            return None
        options = []
        for node in self._cluster.nodes.values():
            if node.ready and may_be_on(node, pod):
                victims = self._victims(node, pod)
                if victims is not None:
                    options.append((len(victims), node.name, node, victims))
        if not options:
            return None
        _, _, node, victims = min(options, key=lambda option: option[:2])
        for victim in victims:
            self._cluster.delete_pod(victim, at)
        return node

    def _victims(self, node: SimNode, pod: SimPod) -> list[SimPod] | None:
        """Return the placeholders whose end makes room for a pod, None where that is not enough."""
        machine = instance_type_of(node.offering.instance_type)
        cpu = machine.cpu_milli - node.cpu_used - pod.workload.cpu_milli
        memory = machine.memory_bytes - node.memory_used - pod.workload.memory_bytes
        victims = []
        for placeholder in sorted(node.placeholders, key=lambda p: (p.workload.cpu_milli, p.name)):
            if cpu >= 0 and memory >= 0:
                break
            victims.append(placeholder)
            cpu += placeholder.workload.cpu_milli
            memory += placeholder.workload.memory_bytes
        return victims if cpu >= 0 and memory >= 0 else None

    def replace(self, node: SimNode, at: float) -> SimNode | None:
        """Buy a node of the same group with room for all that would move, None where none is."""
        pods = node.movable
        if not pods:
            return None
        cpu = sum(pod.workload.cpu_milli for pod in pods)
        memory = sum(pod.workload.memory_bytes for pod in pods)
        choices = self._choices(max(pods, key=lambda p: bool(p.zone)), (node.group,), at)
        fitting = (c for c in choices if self.holds(c.offering.instance_type, cpu, memory))
        return self._buy(fitting, at)

    def launch(
        self, group: NodeGroup, capacity_type: CapacityType, offering: Offering, at: float
    ) -> SimNode:
        """Start a node; it is Ready after its boot."""
        cluster = self._cluster
        is_karpenter = group.provisioner is ProvisionerKind.KARPENTER
        name, uid = cluster.draw_node_name(), cluster.draw_uid()
        instance_id = f"i-{self._chance.getrandbits(68):017x}"
        autoscaled = claim_of(uid) if is_autoscaled(group.known_as) else ""
        autoscaled = autoscaled if group.largest is None else instance_claim(instance_id)
        node = SimNode(
            name=name,
            uid=uid,
            group=group,
            offering=offering,
            capacity_type=capacity_type,
            created_at=at,
            ready_at=at + self._boot_factor * self._draw(_BOOT_MEDIAN_S, _BOOT_SIGMA),
            instance_id=instance_id,
            claim=f"{group.name}-{cluster.draw_suffix()}" if is_karpenter else autoscaled,
        )
        cluster.add_node(node)
        self.launches.n_launched += 1
        return node

    def _node_for(self, pod: SimPod) -> SimNode | None:
        """Return the promised node, else the best with room: Ready first, spread, then roomy."""
        if pod.promised:
            promised = self._cluster.nodes[pod.promised]
            if promised.takes_pods:
                return promised
            self._cluster.break_promise(pod)
        workload = pod.workload
        siblings = [p for p in self._cluster.pods_of[workload.key].values() if p.node or p.promised]
        on_node = Counter(p.node or p.promised for p in siblings)
        in_zone = Counter(self._zone_of(p) for p in siblings)
        return min(
            (node for node in self._cluster.nodes.values() if _may_host(node, pod)),
            key=lambda n: (
                not n.ready,
                in_zone[n.offering.zone],
                on_node[n.name],
                n.cpu_used / instance_type_of(n.offering.instance_type).cpu_milli,
                n.name,
            ),
            default=None,
        )

    def _zone_of(self, pod: SimPod) -> str:
        return self._cluster.nodes[pod.node or pod.promised].offering.zone

    def _buy_for(self, pod: SimPod, groups: tuple[NodeGroup, ...], at: float) -> SimNode | None:
        return self._buy(self._choices(pod, groups, at), at)

    def _buy(self, choices: Iterable[_Choice], at: float) -> SimNode | None:
        """Try what may be bought, best first; Spot may be short, on-demand never is."""
        short: NodeGroup | None = None
        for choice in choices:
            group = choice.group
            if choice.capacity_type is CapacityType.SPOT:
                if not self.try_spot(group, choice.offering, at):
                    short = group
                    continue
                return self.launch(group, CapacityType.SPOT, choice.offering, at)
            if short is not None and self.memory.waits(short, at):
                return None
            self.launches.n_fallbacks += short is not None
            late_s = 0.0 if short is None else self.memory.fallback_s(short, at)
            return self.launch(group, choice.capacity_type, choice.offering, at + late_s)
        return None

    def try_spot(self, group: NodeGroup, offering: Offering, at: float) -> bool:
        """Ask for one Spot node, and remember for a while where there was none."""
        if not self.memory.may_ask(group, offering, at):
            return False
        if self._supply.launch_fails(offering, self._n_held(offering), at):
            self.memory.failed(group, offering, at)
            self.launches.n_failed += 1
            return False
        self.memory.came(group, offering)
        return True

    def _n_held(self, offering: Offering) -> int:
        """Count the Spot nodes of an offering that are not leaving."""
        return sum(
            node.offering == offering
            and node.capacity_type is CapacityType.SPOT
            and node.leaves_at is None
            for node in self._cluster.nodes.values()
        )

    def _choices(self, pod: SimPod, groups: tuple[NodeGroup, ...], at: float) -> list[_Choice]:
        """List what may be bought for a pod, in the order of trying."""
        workload, pool = pod.workload, pod.workload.pool
        own = sorted(
            (
                group
                for group in groups
                if group.largest is None
                and workload.runs_in(group.pool)
                and (not pod.own or _is_within(pod.own, group))
            ),
            key=lambda g: (-g.weight, g.pool != pool, g.name),
        )
        nodes = self._cluster.nodes.values()
        in_zone = Counter(n.offering.zone for n in nodes if workload.runs_in(n.group.pool))
        needed = sum(p.workload.cpu_milli for p in self._waiting(pool))
        found = []
        for group in own:
            for capacity_type in group.capacity_types:
                choices = self._choices_of(group, capacity_type, pod)
                found += sorted(
                    choices,
                    key=lambda c: (
                        self.memory.is_last(c.group, c.offering),
                        in_zone[c.offering.zone],
                        self._cost(c, needed, at),
                    ),
                )
        return found

    def _waiting(self, pool: str) -> list[SimPod]:
        pending = self._cluster.pending.values()
        return [p for p in pending if p.workload.pool == pool and not p.promised]

    def _choices_of(
        self, group: NodeGroup, capacity_type: CapacityType, pod: SimPod
    ) -> list[_Choice]:
        if pod.workload.capacity_type not in (None, capacity_type):
            return []
        left = self._cluster.left(group)
        own = pod.own
        return [
            _Choice(group=group, capacity_type=capacity_type, offering=offering)
            for instance_type in group.instance_types
            if self._has_room(instance_type, pod.workload) and left.takes(instance_type)
            for zone in group.zones
            for offering in (Offering(instance_type=instance_type, zone=zone),)
            if pod.zone in ("", zone)
            and (own is None or not _is_avoided(own, capacity_type, offering))
        ]

    def _has_room(self, instance_type: str, workload: Workload) -> bool:
        return self.holds(instance_type, workload.cpu_milli, workload.memory_bytes)

    def holds(self, instance_type: str, cpu_milli: int, memory_bytes: int) -> bool:
        """Tell whether a new node of a type, with its DaemonSet pods, has room for so much."""
        machine = instance_type_of(instance_type)
        return (
            self._daemon_cpu + cpu_milli <= machine.cpu_milli
            and self._daemon_memory + memory_bytes <= machine.memory_bytes
        )

    def _cost(self, choice: _Choice, needed_cpu_milli: int, at: float) -> tuple[float, Offering]:
        """Return the price per hour and useful milli-core; a tight Spot offering weighs more."""
        machine = instance_type_of(choice.offering.instance_type)
        useful = min(machine.cpu_milli - self._daemon_cpu, max(needed_cpu_milli, 1))
        if choice.capacity_type is not CapacityType.SPOT:
            price = self._market.on_demand_usd_per_hour(choice.offering)
            return price / useful, choice.offering
        price = self._market.spot_usd_per_hour(choice.offering, at)
        return price * (1.0 + self._supply.tightness(choice.offering)) / useful, choice.offering

    def _draw(self, median_s: float, sigma: float) -> float:
        return self._chance.lognormvariate(math.log(median_s), sigma)


def _is_avoided(own: Own, capacity_type: CapacityType, offering: Offering) -> bool:
    """Tell whether a placeholder may not get an offering: it avoids some of Spot alone."""
    return capacity_type is CapacityType.SPOT and offering in own.avoid


def _is_within(own: Own, group: NodeGroup) -> bool:
    """Tell whether a pod of the controller's may be in a group; an anchor is kept to none."""
    return not own.sides or group.known_as in own.sides


def _may_host(node: SimNode, pod: SimPod) -> bool:
    return may_be_on(node, pod) and node.fits(pod.workload)


def may_be_on(node: SimNode, pod: SimPod) -> bool:
    """Tell whether a node suits a pod in everything but room."""
    workload, own = pod.workload, pod.own
    return (
        workload.runs_in(node.group.pool)
        and node.takes_pods
        and workload.capacity_type in (None, node.capacity_type)
        and pod.zone in ("", node.offering.zone)
        and (own is None or _is_within(own, node.group))
        and (own is None or not _is_avoided(own, node.capacity_type, node.offering))
        and (own is None or not node.keeps_off(own))
    )
