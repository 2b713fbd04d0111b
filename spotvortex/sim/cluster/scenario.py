"""What a simulated cluster looks like at its start, and what its market goes through.

Comes in: nothing. Goes out: a `Scenario`: groups of nodes, workloads and a timetable of regimes.
Declares only; what happens is drawn by the world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from spotvortex.core.domain.autoscaling import labelled_group, managed_group
from spotvortex.core.domain.types import CapacityType, ProvisionerKind
from spotvortex.sim.market.hazard_supply import RegimePhase
from spotvortex.sim.market.supply import ANNOUNCED, Signals

STEP_S: Final = 5.0
"""Seconds of a world's step, unless told otherwise."""

TERMINATE_S: Final = 40.0
"""Karpenter removes a node only once its instance has ended, which takes EC2 tens of seconds; the
figure is assumed. Its KWOK provider, which has no instances, removes nodes at once."""

UNNEEDED_S: Final = 600.0
"""Cluster Autoscaler's `scale-down-unneeded-time`."""

WHEN_EMPTY: Final = "WhenEmpty"
WHEN_UNDERUTILIZED: Final = "WhenEmptyOrUnderutilized"


class WorkloadKind(StrEnum):
    """Who owns a pod; BARE means nobody, so nothing brings it back, OURS the controller."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"
    BARE = "Pod"
    OURS = "Placeholder"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Pods of one kind; a DaemonSet has one pod on every node and no pool.

    Attributes:
        namespace: the namespace of the pods.
        name: the owner's name.
        kind: the owner's kind.
        pool: the pool that they run in at first, "" of a DaemonSet.
        replicas: number of pods.
        cpu_milli: CPU request of one pod, in thousandths of a core.
        memory_bytes: memory request of one pod.
        grace_s: termination grace period, in seconds.
        max_unavailable: pods that its PodDisruptionBudget lets be away, None for no such budget.
        max_unavailable_ratio: the same as a share of the pods, rounded up, None for no such budget.
        min_available_ratio: share of pods that its budget demands, 0..1, None for no such budget.
        zonal_volume: a volume keeps each pod in the zone of its first node.
        do_not_disrupt: the pods ask not to be disrupted.
        capacity_type: a node selector, None for any.
        other_pools: pools that they may run in as well.
        min_available_after_loss: the owner's word on what must stay after a loss, "" of none.
        outage_hours: the owner's word on what losing a node costs, in hours of its on-demand price,
            None where none is said.
    """

    namespace: str
    name: str
    kind: WorkloadKind = WorkloadKind.DEPLOYMENT
    pool: str = ""
    replicas: int = 1
    cpu_milli: int
    memory_bytes: int
    grace_s: float = 30.0
    max_unavailable: int | None = None
    max_unavailable_ratio: float | None = None
    min_available_ratio: float | None = None
    zonal_volume: bool = False
    do_not_disrupt: bool = False
    capacity_type: CapacityType | None = None
    other_pools: tuple[str, ...] = ()
    min_available_after_loss: str = ""
    outage_hours: float | None = None

    @cached_property
    def key(self) -> str:
        """`namespace/Kind/name`."""
        return f"{self.namespace}/{self.kind}/{self.name}"

    def runs_in(self, pool: str) -> bool:
        """Tell whether the pods may run in a pool."""
        return pool == self.pool or pool in self.other_pools

    @cached_property
    def has_budget(self) -> bool:
        """Tell whether a PodDisruptionBudget covers the pods."""
        said = self.max_unavailable, self.max_unavailable_ratio, self.min_available_ratio
        return any(value is not None for value in said)

    @cached_property
    def desired_healthy(self) -> int:
        """What the budget asks for, rounded up as the disruption controller does."""
        if self.max_unavailable is not None:
            return max(0, self.replicas - self.max_unavailable)
        if self.max_unavailable_ratio is not None:
            return max(0, self.replicas - math.ceil(self.replicas * self.max_unavailable_ratio))
        return math.ceil(self.replicas * (self.min_available_ratio or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """A Karpenter NodePool or a node group.

    Attributes:
        name: the group's name.
        pool: the workload pool that it serves.
        provisioner: who creates and removes its nodes.
        capacity_types: what it may buy, preferred kind first.
        instance_types: the types that it may launch.
        zones: where it may launch them.
        weight: of two groups that fit, the heavier is tried first.
        cpu_limit_milli: most CPU that its machines may offer to pods, None for no limit.
        memory_limit_bytes: the same of memory.
        node_limit: most nodes, None for no limit.
        consolidation: Karpenter's `consolidationPolicy`.
        consolidate_after_s: Karpenter's `consolidateAfter`, in seconds.
        disruption_ratio: Karpenter's budget: share of nodes that it may disrupt at once, 0..1.
        annotations: the owner's rules on the NodePool, name and value.
        terminate_s: seconds for which an emptied node is still there.
        evicts_at_notice: pods are evicted at an interruption's notice, as Karpenter does; else only
            once a replacement is there.
        unneeded_s: seconds after which Cluster Autoscaler removes a node that nobody needs.
        second_attempt_s: seconds from a launch that failed for lack of Spot to the next attempt,
            which then asks for on-demand; 0 where both are one request.
        remembers_interruptions: an offering of whose interruption the provisioner hears is left
            alone like one that failed, as Karpenter does.
        max_provision_s: Cluster Autoscaler's `max-node-provision-time`: for so long a group without
            capacity is waited for before another one is asked; 0 where a failure is known at once.
        lists_lost: offerings that failed or were lost are tried last until they come again, as
            SpotHedge does, and none is left alone for a time.
        largest: most nodes of a group that the controller itself grows by AWS, None of any other.
        labelled: such a group is known by the labels of its nodes, and not as EKS's.
    """

    name: str
    pool: str
    provisioner: ProvisionerKind = ProvisionerKind.KARPENTER
    capacity_types: tuple[CapacityType, ...]
    instance_types: tuple[str, ...]
    zones: tuple[str, ...]
    weight: int = 0
    cpu_limit_milli: int | None = None
    memory_limit_bytes: int | None = None
    node_limit: int | None = None
    consolidation: str = WHEN_EMPTY
    consolidate_after_s: float = 30.0
    disruption_ratio: float = 0.1
    annotations: tuple[tuple[str, str], ...] = ()
    terminate_s: float = TERMINATE_S
    evicts_at_notice: bool = True
    unneeded_s: float = UNNEEDED_S
    second_attempt_s: float = 0.0
    remembers_interruptions: bool = False
    max_provision_s: float = 0.0
    lists_lost: bool = False
    largest: int | None = None
    labelled: bool = False

    @property
    def known_as(self) -> str:
        """By what name its nodes name it, "" where no driver asks for nodes there."""
        match self.provisioner:
            case ProvisionerKind.KARPENTER:
                return self.name
            case ProvisionerKind.CLUSTER_AUTOSCALER:
                return managed_group(self.name)
            case ProvisionerKind.MANAGED_NODE_GROUP if self.largest is not None:
                kind = self.capacity_types[0]
                return (
                    labelled_group(self.pool, kind) if self.labelled else managed_group(self.name)
                )
            case _:
                return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Nodes of one group that exist at the start, dealt out over the group's zones in turn.

    Attributes:
        group: the group's name.
        instance_type: their instance type.
        capacity_type: how they are bought.
        count: number of nodes.
    """

    group: str
    instance_type: str
    capacity_type: CapacityType
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A cluster at its start and the regimes to come.

    Attributes:
        start_at: start of the simulation, seconds since the epoch.
        groups: the node groups.
        fleets: the nodes that exist at the start.
        workloads: the pods that exist at the start.
        phases: the regimes of the market, in order of time.
        hears_notices: the controller handles interruptions, and not the provisioner.
        announced: how losses are announced.
        step_s: seconds of one step of the world.
        boot_factor: a node takes this many times as long to come as published logs say.
    """

    start_at: float
    groups: tuple[NodeGroup, ...]
    fleets: tuple[Fleet, ...]
    workloads: tuple[Workload, ...]
    phases: tuple[RegimePhase, ...]
    hears_notices: bool = False
    announced: Signals = ANNOUNCED
    step_s: float = STEP_S
    boot_factor: float = 1.0
