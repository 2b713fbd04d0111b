"""The objects of a simulated cluster: pods, nodes, and what has happened to them.

Comes in: nothing. Goes out: values that `cluster` changes and everybody reads. They keep values
that are read often, and decide nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.sim.cluster.scenario import NodeGroup, Workload, WorkloadKind
from spotvortex.sim.market.instance_types import instance_type_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What makes a pod one of the controller's: see `core.drain.calls`.

    Attributes:
        kind: a placeholder or an anchor.
        plan_id: the plan that asked for it.
        for_uid: uid of the node that is emptied, or kept.
        expires_at: time at which it is gone by itself, seconds since the epoch.
        order: the order of a placeholder, as JSON; "" of an anchor.
        sides: the node groups that a placeholder is kept to; none where it is kept to none.
        avoid: the Spot offerings that it must not get.
        n_pods: pods for whose room a placeholder stands.
        extra: it is room beyond what was lost, and keeps off the nodes of its plan's other room.
    """

    kind: PodKind
    plan_id: str
    for_uid: str
    expires_at: float
    order: str = ""
    sides: tuple[str, ...] = ()
    avoid: tuple[Offering, ...] = ()
    extra: bool = False
    n_pods: int = 1

    def is_of(self, kind: PodKind, for_uid: str, plan_id: str = "") -> bool:
        """Tell whether it is of a kind, for a node and of a plan; "" means any."""
        return self.kind is kind and for_uid in ("", self.for_uid) and plan_id in ("", self.plan_id)


@dataclass(slots=True, kw_only=True, eq=False)
class SimPod:
    """One pod.

    Attributes:
        name: the pod's name.
        uid: the pod's uid.
        workload: the workload that it belongs to.
        created_at: time of its creation, seconds since the epoch, as all times here.
        zone: the zone that it must run in, "" for any.
        node: name of its node, "" while it is pending.
        promised: name of the node that it waits for, "" of none.
        ready: its Ready condition.
        ready_at: when it becomes Ready.
        bound_at: when it was bound, 0 while it has not been.
        running: its phase is Running; before, it is Pending.
        terminating: it is being deleted.
        gone_at: when a pod that is being deleted is gone.
        own: what the controller wants of a pod that it made, None of any other.
        reason: the scheduler's word on a pod that it cannot place, "" of any other.
        key: `namespace/name`.
        stays: a drain leaves it.
        keeps_node: a provisioner does not disrupt its node of its own accord.
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
    bound_at: float = 0.0
    running: bool = False
    terminating: bool = False
    gone_at: float = 0.0
    own: Own | None = None
    reason: str = ""
    key: str = field(init=False)
    stays: bool = field(init=False)
    keeps_node: bool = field(init=False)

    def __post_init__(self) -> None:
        """Compute the values that are read often."""
        workload = self.workload
        self.key = f"{workload.namespace}/{self.name}"
        self.stays = workload.kind in (WorkloadKind.DAEMON_SET, WorkloadKind.OURS)
        self.keeps_node = workload.do_not_disrupt or workload.kind is WorkloadKind.OURS


@dataclass(slots=True, kw_only=True, eq=False)
class SimNode:
    """One node. Times are seconds since the epoch.

    Attributes:
        name: the node's name.
        uid: the node's uid.
        group: the node group that it belongs to.
        offering: its instance type and zone.
        capacity_type: how it is bought.
        created_at: when it was launched.
        instance_id: the instance that it runs on, `i-...`.
        claim: by what name its provisioner releases it, "" where none does.
        ready_at: when it becomes Ready.
        ready: its Ready condition.
        cordoned: `spec.unschedulable`.
        moving: somebody is taking it away, and its taints show it.
        leaves_at: when its instance is taken, None before an interruption notice.
        is_told_of: the provisioner has said of it that the cloud takes it.
        deleting: its NodeClaim is being deleted: it is drained and then ends.
        ends_at: when a node that is being deleted ends, None while that is not known.
        mark: the controller's drain journal on it, "" without one.
        labelled: it carries the controller's label of cordoned nodes.
        at_risk: the controller's note of a rebalance recommendation, "" without one.
        kept: the controller's note of the plan that it is kept for, "" without one.
        scale_down_disabled: it says that Cluster Autoscaler must not remove it.
        emptied_at: when it last lost a pod.
        moved: a pod was evicted from it although nothing was about to take the node.
        version: its resource version.
        cpu_used: CPU requests of its pods and of those promised to it, in thousandths of a core.
        memory_used: memory requests of the same pods, in bytes.
        pods: its pods, by key.
        rooms: placeholders of each plan on it and promised to it, apart by whether they are extra.
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
    is_told_of: bool = False
    deleting: bool = False
    ends_at: float | None = None
    mark: str = ""
    labelled: bool = False
    at_risk: str = ""
    kept: str = ""
    scale_down_disabled: bool = False
    emptied_at: float = 0.0
    moved: bool = False
    version: int = 1
    cpu_used: int = 0
    memory_used: int = 0
    pods: dict[str, SimPod] = field(default_factory=dict)
    rooms: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def hold(self, pod: SimPod, sign: int = 1) -> None:
        """Count what a pod takes of the node, or with a sign of -1 what it gives back."""
        self.cpu_used += sign * pod.workload.cpu_milli
        self.memory_used += sign * pod.workload.memory_bytes
        if pod.own is not None and pod.own.kind is PodKind.PLACEHOLDER:
            self.rooms[pod.own.plan_id, pod.own.extra] += sign

    def keeps_off(self, own: Own) -> bool:
        """Tell whether a placeholder may not be beside what its plan has here."""
        return self.rooms[own.plan_id, not own.extra] > 0

    @property
    def movable(self) -> list[SimPod]:
        """The pods that a drain would move."""
        return [pod for pod in self.pods.values() if not pod.stays]

    @property
    def placeholders(self) -> list[SimPod]:
        """The controller's placeholders on it."""
        pods = self.pods.values()
        return [pod for pod in pods if pod.own and pod.own.kind is PodKind.PLACEHOLDER]

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
    """What has happened since the accounts last took note.

    Attributes:
        removed: nodes, each with the time of its end.
        moved: nodes of which a first pod was evicted although nothing was about to take them.
        workloads: keys of the workloads whose pods have changed.
    """

    removed: list[tuple[SimNode, float]] = field(default_factory=list)
    moved: list[SimNode] = field(default_factory=list)
    workloads: set[str] = field(default_factory=set)

    def clear(self) -> None:
        """Forget all of it."""
        self.removed.clear()
        self.moved.clear()
        self.workloads.clear()
