"""What a simulated cluster looks like at its start, and what its market goes through.

Comes in: nothing. Goes out: a `Scenario`: groups of nodes, workloads and a timetable of regimes.
Declares only; what happens is drawn by the world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.types import CapacityType, Provisioner
from spotvortex.sim.market.hazard_supply import RegimePhase
from spotvortex.sim.market.supply import ANNOUNCED, Signals

STEP_S: Final = 5.0
"""Seconds of a world's step, unless told otherwise."""

TERMINATE_S: Final = 40.0
"""Karpenter removes a node only once its instance has ended, which takes EC2 tens of seconds; the
figure is assumed. Its KWOK provider, which has no instances, removes nodes at once."""

WHEN_EMPTY: Final = "WhenEmpty"
WHEN_UNDERUTILIZED: Final = "WhenEmptyOrUnderutilized"


class WorkloadKind(StrEnum):
    """Who owns a pod; BARE means nobody, so nothing brings it back, OURS the controller."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"
    BARE = "Pod"
    OURS = "Placeholder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Pods of one kind in one pool.

    A budget exists where `max_unavailable` or `min_available_ratio` is given. A zonal volume keeps
    a pod in the zone of its first node. `capacity_type` is a node selector, None for any. A
    DaemonSet has one pod on every node and no pool.
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
    min_available_ratio: float | None = None
    zonal_volume: bool = False
    do_not_disrupt: bool = False
    capacity_type: CapacityType | None = None

    @property
    def key(self) -> str:
        """`namespace/Kind/name`."""
        return f"{self.namespace}/{self.kind}/{self.name}"

    @property
    def has_budget(self) -> bool:
        """Tell whether a PodDisruptionBudget covers the pods."""
        return self.max_unavailable is not None or self.min_available_ratio is not None

    @property
    def desired_healthy(self) -> int:
        """What the budget asks for, rounded up as the disruption controller does."""
        if self.max_unavailable is not None:
            return max(0, self.replicas - self.max_unavailable)
        return math.ceil(self.replicas * (self.min_available_ratio or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """A Karpenter NodePool or a managed node group: what it may buy, preferred kind first.

    Limits count what a machine offers to pods, None for no limit. `consolidation`,
    `consolidate_after_s` and `disruption_ratio` are Karpenter's `consolidationPolicy`,
    `consolidateAfter` and its budget of nodes that it may disrupt at once. `annotations` are our
    rules on the NodePool, name and value. An emptied node is there for `terminate_s` more.
    Karpenter evicts at an interruption's notice; without `evicts_at_notice` it awaits a replacement
    first.
    """

    name: str
    pool: str
    provisioner: Provisioner = Provisioner.KARPENTER
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Nodes of one group that exist at the start, dealt out over the group's zones in turn."""

    group: str
    instance_type: str
    capacity_type: CapacityType
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A cluster at its start and the regimes to come. `start_at` is seconds since the epoch.

    `hears_notices` says that the controller handles interruptions, and not the provisioner;
    `announced` how losses are told. The world steps every `step_s` seconds; nodes take
    `boot_factor` times as long to come as published logs say.
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
