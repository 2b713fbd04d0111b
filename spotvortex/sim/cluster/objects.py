"""The objects of a simulated cluster: pods, nodes, and what has happened to them.

Comes in: nothing. Goes out: values that `cluster` changes and everybody reads. They keep what is
asked again and again, and decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spotvortex.core.domain.observation import OwnKind
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.sim.cluster.scenario import NodeGroup, Workload, WorkloadKind
from spotvortex.sim.market.instance_types import instance_type_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What makes a pod one of the controller's: see `core.drain.calls`."""

    kind: OwnKind
    plan_id: str
    for_uid: str
    expires_at: float
    order: str = ""
    node_group: str = ""
    avoid: str = ""


@dataclass(slots=True, kw_only=True, eq=False)
class SimPod:
    """One pod. `node` is empty while it is pending; `promised` names the node that it waits for.

    `key` is `namespace/name`; `running` is its phase, Pending before. A drain leaves a pod that
    `stays`; a provisioner does not disrupt, of its own accord, the node of one that `keeps_node`.
    `own` is what the controller wants of its own; `reason` is the scheduler's word on a pod that it
    cannot place.
    """

    name: str
    uid: str
    workload: Workload
    created_at: float
    zone: str = ""
    node: str = ""
    promised: str = ""
    ready: bool = False
    ready_at: float = 0.0
    running: bool = False
    terminating: bool = False
    gone_at: float = 0.0
    own: Own | None = None
    reason: str = ""
    key: str = field(init=False)
    stays: bool = field(init=False)
    keeps_node: bool = field(init=False)

    def __post_init__(self) -> None:
        """Keep what is asked again and again."""
        workload = self.workload
        self.key = f"{workload.namespace}/{self.name}"
        self.stays = workload.kind in (WorkloadKind.DAEMON_SET, WorkloadKind.OURS)
        self.keeps_node = workload.do_not_disrupt or workload.kind is WorkloadKind.OURS


@dataclass(slots=True, kw_only=True, eq=False)
class SimNode:
    """One node. `*_used` are requests of its pods and of those promised to it.

    `leaves_at` is set once an interruption notice was given, `deleting` once its NodeClaim is being
    deleted: it is drained and then ends, at `ends_at`. `mark`, `labelled` and `at_risk` are the
    controller's words on it. `emptied_at` is when it last lost a pod, `moved` whether one was
    evicted although nothing was about to take the node.
    """

    name: str
    uid: str
    group: NodeGroup
    offering: Offering
    capacity_type: CapacityType
    created_at: float
    instance_id: str
    claim: str = ""
    ready_at: float = 0.0
    ready: bool = False
    cordoned: bool = False
    moving: bool = False
    leaves_at: float | None = None
    deleting: bool = False
    ends_at: float | None = None
    mark: str = ""
    labelled: bool = False
    at_risk: str = ""
    emptied_at: float = 0.0
    moved: bool = False
    version: int = 1
    cpu_used: int = 0
    memory_used: int = 0
    pods: dict[str, SimPod] = field(default_factory=dict)

    @property
    def movable(self) -> list[SimPod]:
        """The pods that a drain would move."""
        return [pod for pod in self.pods.values() if not pod.stays]

    @property
    def placeholders(self) -> list[SimPod]:
        """The controller's placeholders on it."""
        pods = self.pods.values()
        return [pod for pod in pods if pod.own and pod.own.kind is OwnKind.PLACEHOLDER]

    @property
    def takes_pods(self) -> bool:
        """Tell whether pods may be bound, or promised, to it."""
        return not self.cordoned and not self.moving

    def fits(self, workload: Workload) -> bool:
        """Tell whether one more pod of a workload has room."""
        machine = instance_type_of(self.offering.instance_type)
        return (
            self.cpu_used + workload.cpu_milli <= machine.cpu_milli
            and self.memory_used + workload.memory_bytes <= machine.memory_bytes
        )


@dataclass(slots=True)
class ClusterChanges:
    """What has happened since somebody last took note: for accounts.

    `removed` are nodes with the time of their end, `moved` nodes of which a first pod was evicted
    although nothing was about to take them, `workloads` those whose pods have changed.
    """

    removed: list[tuple[SimNode, float]] = field(default_factory=list)
    moved: list[SimNode] = field(default_factory=list)
    workloads: set[str] = field(default_factory=set)

    def clear(self) -> None:
        """Forget it."""
        self.removed.clear()
        self.moved.clear()
        self.workloads.clear()
