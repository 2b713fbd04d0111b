"""What the controller may ask of a cluster, one value a request, and what may be answered.

Comes in: nothing. Goes out: `Call` and `Answer`, the whole vocabulary of writing. An actuator
carries a call out, or only records it; nothing else in the product can change a cluster. Each call
can be made twice without harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spotvortex.core.domain.types import Blocker, CapacityType, Offering, short_digest
from spotvortex.core.drain.group_calls import GrowGroup, RestoreGroup, SettleGroup, SteerGroup
from spotvortex.core.drain.keeping import FreeNode, KeepNode


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePlaceholder:
    """Create a low-priority pod that asks the provisioner for capacity.

    It asks as the pod would that will take its room: the actuator reads that pod's spec anew.

    Attributes:
        name: the placeholder's own name.
        plan_id: the decision that asks for it.
        for_uid: uid of the node that is to be emptied.
        pool: the workload pool.
        capacity_type: what capacity it asks for; UNKNOWN means any.
        sides: the groups of the pool that may give the room; at least one.
        for_pod: `namespace/name` of the pod that will take its room.
        pod_uid: that pod's uid.
        cpu_milli: that pod's CPU request as the decision saw it, in thousandths of a core.
        memory_bytes: that pod's memory request as the decision saw it.
        zone: the zone that it must be in, "" where any will do.
        avoid: the Spot offerings that it must not get, sorted.
        order: the order, as JSON.
        expires_s: seconds after which it expires by itself.
        n_pods: pods like that one for whose room it stands; CPU and memory are those of all.
    """

    name: str
    plan_id: str
    for_uid: str
    pool: str
    capacity_type: CapacityType
    sides: tuple[str, ...]
    for_pod: str
    pod_uid: str
    cpu_milli: int
    memory_bytes: int
    zone: str
    avoid: tuple[Offering, ...]
    order: str
    expires_s: int
    n_pods: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One pod of a node that is drained.

    Attributes:
        namespace: the pod's namespace.
        name: the pod's name.
        uid: the pod's uid.
        cpu_milli: its CPU request, in thousandths of a core.
        memory_bytes: its memory request.
        grace_s: its termination grace period, in seconds.
        stays: a drain leaves it: a DaemonSet, mirror or finished pod, or one that the controller
            made.
        terminating: it is being deleted.
        blockers: why it cannot be moved freely.
        owner: who makes pods like it, `namespace/Kind/name` of its controller; "" of a bare pod.
    """

    namespace: str
    name: str
    uid: str
    cpu_milli: int
    memory_bytes: int
    grace_s: float
    stays: bool
    terminating: bool = False
    blockers: tuple[Blocker, ...] = ()
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomShape:
    """Pods that are alike, so that one template asks for the room of all.

    Attributes:
        pods: the pods, at least one; they have one owner and one size.
        zone: the zone that their room must be in, "" where any will do.
        avoid: the Spot offerings that it must not get, sorted.
        n_extra: pods for which room is asked beyond these, on other nodes than theirs.
        together: pods for whose room one placeholder stands; a divisor of both numbers.
    """

    pods: tuple[PodView, ...]
    zone: str
    avoid: tuple[Offering, ...]
    n_extra: int = 0
    together: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRoom:
    """Create placeholders for all pods of lost nodes of a plan: one Job a shape makes them.

    They are nobody's own: no placeholder names a node, and the pods of the plan take any of them.
    None is made again once it is gone. Their label `for` is the plan.

    Attributes:
        plan_id: the plan that asks for it.
        for_uids: uids of the nodes that are to be emptied.
        pool: the workload pool.
        capacity_type: what capacity they ask for; UNKNOWN means any.
        sides: the groups of the pool that may give the room; at least one.
        shapes: the pods that will take their room, by shape.
        expires_s: seconds after which they expire by themselves.
    """

    plan_id: str
    for_uids: tuple[str, ...]
    pool: str
    capacity_type: CapacityType
    sides: tuple[str, ...]
    shapes: tuple[RoomShape, ...]
    expires_s: int

    @property
    def pod_uids(self) -> frozenset[str]:
        """The uids of the pods whose room it asks for."""
        return frozenset(pod.uid for shape in self.shapes for pod in shape.pods)

    def single(self, shape: RoomShape, pod: PodView, name: str = "") -> CreatePlaceholder:
        """Return what one of them asks for: of no single node, and without a journal."""
        return CreatePlaceholder(
            name=name,
            plan_id=self.plan_id,
            for_uid=self.plan_id,
            pool=self.pool,
            capacity_type=self.capacity_type,
            sides=self.sides,
            for_pod=f"{pod.namespace}/{pod.name}",
            pod_uid=pod.uid,
            cpu_milli=pod.cpu_milli * shape.together,
            memory_bytes=pod.memory_bytes * shape.together,
            zone=shape.zone,
            avoid=shape.avoid,
            order="",
            expires_s=self.expires_s,
            n_pods=shape.together,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkNode:
    """Cordon a node and write the controller's journal annotation and label, in one patch.

    Attributes:
        node: the node's name.
        uid: the node's uid.
        plan_id: the decision that it carries out.
        order: the journal: the order, as JSON.
        resource_version: the precondition of the patch.
        urgent: the node is lost anyway, so no budget of the controller speaks against it.
    """

    node: str
    uid: str
    plan_id: str
    order: str
    resource_version: str
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmarkNode:
    """Remove the journal annotation and label, and uncordon unless a person wants it cordoned.

    Attributes:
        node: the node's name.
        uid: the node's uid.
        plan_id: the plan whose journal is removed; "" means one that names none, no other.
        uncordon: false leaves the cordon as it is.
    """

    node: str
    uid: str
    plan_id: str
    uncordon: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictPod:
    """Evict one pod by the Eviction API, with its uid as precondition and its own grace period.

    Attributes:
        namespace: the pod's namespace.
        name: the pod's name.
        uid: the pod's uid, the precondition.
        node_uid: uid of the node that it is evicted from.
        plan_id: the decision that it carries out.
        urgent: the node is lost anyway.
    """

    namespace: str
    name: str
    uid: str
    node_uid: str
    plan_id: str
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseNode:
    """Let the drained node's provisioner end it: of Karpenter, delete its NodeClaim by its uid.

    The actuator reads the uid anew, and refuses where the claim names another node. Cluster
    Autoscaler ends it by itself: what the controller keeps it by is taken off. Of an Auto Scaling
    group, its instance is terminated and the group's desired size goes down by one.

    Attributes:
        claim: by what name the provisioner releases the node.
        node: the node's name.
        plan_id: the decision that it carries out.
        urgent: the node is lost anyway.
    """

    claim: str
    node: str
    plan_id: str
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePlaceholders:
    """Delete what is left of the placeholders that one node's move asked for.

    Attributes:
        plan_id: the plan that asked for them.
        for_uid: uid of the node; the plan itself means those of no single node, "" all of the plan.
        unbound: those alone that have no node yet.
    """

    plan_id: str
    for_uid: str
    unbound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAnchor:
    """Put a tiny pod on a node, so that the node's provisioner keeps it for a while.

    Attributes:
        name: the anchor's own name; it differs with every renewal.
        node: name of the node to keep.
        node_uid: that node's uid.
        pool: the workload pool.
        plan_id: the decision that it serves.
        expires_s: seconds after which it expires by itself.
    """

    name: str
    node: str
    node_uid: str
    pool: str
    plan_id: str
    expires_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAnchors:
    """Delete every anchor that the controller put on one node."""

    node: str
    node_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteRisk:
    """Write on a node that a rebalance was recommended.

    Attributes:
        node: the node's name.
        uid: the node's uid.
        until: wall time until which the recommendation counts.
    """

    node: str
    uid: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearRisk:
    """Remove the note of `NoteRisk`."""

    node: str
    uid: str


Call = (
    CreatePlaceholder
    | CreateRoom
    | MarkNode
    | UnmarkNode
    | EvictPod
    | ReleaseNode
    | DeletePlaceholders
    | CreateAnchor
    | DeleteAnchors
    | NoteRisk
    | ClearRisk
    | SteerGroup
    | RestoreGroup
    | GrowGroup
    | SettleGroup
    | KeepNode
    | FreeNode
)

UNDOING = (
    UnmarkNode,
    DeletePlaceholders,
    DeleteAnchors,
    ClearRisk,
    RestoreGroup,
    FreeNode,
    SettleGroup,
)
"""Calls that only take away what the controller made: a freeze and a weaker mode allow them."""


def empties_lost_node(call: Call) -> bool:
    """Tell whether a call is made for a node that is lost anyway: a soft freeze lets it pass."""
    if isinstance(call, MarkNode | EvictPod | ReleaseNode):
        return call.urgent
    return isinstance(call, CreateRoom)


@dataclass(frozen=True, slots=True)
class Done:
    """The request was carried out, now or before."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The object is no longer there, or is another one of the same name."""


@dataclass(frozen=True, slots=True)
class BlockedByBudget:
    """A budget allows no eviction now; `retry_s` is what the server asks for, 0 where nothing."""

    retry_s: float


@dataclass(frozen=True, slots=True)
class Again:
    """It may work later: a conflict, a busy or silent server, a write rate that is used up.

    Attributes:
        reason: why it did not work now.
        retry_s: seconds that the server asks to wait, 0 where it asks for none.
        is_sent: the server may have had it, and may have carried it out.
        is_outdated: what it rested on has changed meanwhile, so that another look may be enough.
    """

    reason: str
    retry_s: float = 0.0
    is_sent: bool = field(default=True, compare=False)
    is_outdated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """The request will not succeed as it is; `reason` is the server's own word."""

    reason: str


Answer = Done | Gone | BlockedByBudget | Again | Refused


def anchor_call(
    node: str, uid: str, pool: str, plan_id: str, at: float, *, expires_s: int
) -> CreateAnchor:
    """Build the request for an anchor; its name differs with every plan and node."""
    digest = short_digest(f"{plan_id}|{uid}|{int(at)}")
    return CreateAnchor(
        name=f"spotvortex-anchor-{digest}",
        node=node,
        node_uid=uid,
        pool=pool,
        plan_id=plan_id,
        expires_s=expires_s,
    )
