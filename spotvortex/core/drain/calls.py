"""What we may ever ask of a cluster, one value a request, and what it may answer.

Comes in: nothing. Goes out: `Call` and `Answer`, the whole vocabulary of writing. An actuator
carries a call out, or only records it; nothing else in the product can change a cluster. Each call
can be made twice without harm.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from spotvortex.core.domain.types import Blocker, CapacityType


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePlaceholder:
    """Create a low-priority pod of ours that asks the provisioner for capacity.

    It asks as the one pod would that will take its room: `for_pod` names it, and the actuator
    reads its requests, selectors, affinity and tolerations anew. `for_uid` is the uid of the node
    that is to be emptied, `order` the order as JSON. UNKNOWN as `capacity_type` means any; `zone`
    is "" where any will do; `avoid` is an offering that it must not get, "type/zone" or "". It
    expires by itself after `expires_s`.
    """

    name: str
    plan_id: str
    for_uid: str
    pool: str
    capacity_type: CapacityType
    node_group: str
    for_pod: str
    pod_uid: str
    cpu_milli: int
    memory_bytes: int
    zone: str
    avoid: str
    order: str
    expires_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkNode:
    """Cordon a node and write our journal annotation and label, in one patch.

    `order` is the journal, the order as JSON; `resource_version` is the precondition. `urgent` is
    true where the node is lost anyway, so that no budget of ours speaks against it.
    """

    node: str
    uid: str
    plan_id: str
    order: str
    resource_version: str
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmarkNode:
    """Remove our journal annotation and label, and uncordon unless a person wants it cordoned.

    A `plan_id` of "" means a journal that cannot be read; one that can be is left alone.
    """

    node: str
    uid: str
    plan_id: str
    uncordon: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictPod:
    """Evict one pod by the Eviction API, with its uid as precondition and its own grace period."""

    namespace: str
    name: str
    uid: str
    node_uid: str
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseNode:
    """Delete the drained node's NodeClaim, with its uid as precondition: its provisioner ends it.

    The actuator reads the uid anew, and refuses where the claim names another node.
    """

    claim: str
    node: str
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePlaceholders:
    """Delete what is left of the placeholders that one node's move asked for."""

    plan_id: str
    for_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAnchor:
    """Put a tiny pod of ours on a node, so that its provisioner keeps the node for a while.

    `name` differs with every renewal; it expires by itself after `expires_s`.
    """

    name: str
    node: str
    node_uid: str
    pool: str
    plan_id: str
    expires_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAnchors:
    """Delete every anchor of ours on one node."""

    node: str
    node_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteRisk:
    """Write on a node that it was recommended to leave it, and until when that counts."""

    node: str
    uid: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearRisk:
    """Take that note away again."""

    node: str
    uid: str


Call = (
    CreatePlaceholder
    | MarkNode
    | UnmarkNode
    | EvictPod
    | ReleaseNode
    | DeletePlaceholders
    | CreateAnchor
    | DeleteAnchors
    | NoteRisk
    | ClearRisk
)

UNDOING = (UnmarkNode, DeletePlaceholders, DeleteAnchors, ClearRisk)
"""Calls that only take away what is ours: a freeze and a weaker mode let them through."""


@dataclass(frozen=True, slots=True)
class Done:
    """The request was carried out, now or before."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The object is no longer there, or is another one of the same name."""


@dataclass(frozen=True, slots=True)
class BlockedByBudget:
    """A PodDisruptionBudget allows no eviction now.

    `retry_s` is the time that the server asks for, 0 where it asks for none, which is usual.
    """

    retry_s: float


@dataclass(frozen=True, slots=True)
class Again:
    """It may work later: a conflict, a busy or silent server, a write rate that is used up."""

    reason: str
    retry_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """The request will not succeed as it is; `reason` is the server's own word."""

    reason: str


Answer = Done | Gone | BlockedByBudget | Again | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One pod of a node that is drained.

    `stays` is true for DaemonSet, mirror and finished pods and for pods of ours: a drain leaves
    them.
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


class Halt(StrEnum):
    """Why an order must not go on as planned."""

    NONE = "none"
    UNDO = "undo"
    """Undo it: a freeze, a weaker mode, inputs too old."""
    DROP = "drop"
    """Leave everything as it is: we may not write at all now; whoever may will find it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A node that a placeholder of an order is bound to, and until when anchors of ours keep it."""

    node: str
    uid: str
    anchored_until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveView:
    """How the nodes that are drained together stand, the one that looks among them.

    `asking` while one of them has not asked for all its room, `room` counts the placeholders that
    are there, `bound` those that are bound, `left` the pods that still need some. Room is nobody's
    own: the pods of one node may take what was asked for those of another. `known` once every one
    of them has been looked at, `marking` while one of them is not marked yet. `trouble` says why
    one of them never gets its room.
    """

    asking: bool
    bound: int
    left: int
    room: int = 0
    known: bool = True
    marking: bool = False
    trouble: str = ""

    @property
    def has_room(self) -> bool:
        """Tell whether there is room for every pod of the wave."""
        return not self.asking and self.is_enough

    @property
    def is_enough(self) -> bool:
        """Tell whether no more room need be asked for."""
        return self.known and self.bound >= self.left


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One node and its pods, as the next step of its drain sees them.

    `n_room` counts this order's placeholders, `bound` those that have a Ready node, `receivers` are
    those nodes;
    `pending_reason` is the scheduler's word on one that has none. `present` is false once the node
    is gone or another one of its name has taken its place. `marked` is true while our journal for
    this very plan is on it. `zone` is where it is. `halt` and `halt_reason` say whether the order
    may go on. `wave` is None where the node is drained by itself.
    """

    node: str
    uid: str
    present: bool
    cordoned: bool
    pods: tuple[PodView, ...]
    bound: int
    n_room: int = 0
    marked: bool = False
    receivers: tuple[Receiver, ...] = ()
    pending_reason: str = ""
    resource_version: str = ""
    zone: str = ""
    halt: Halt = Halt.NONE
    halt_reason: str = ""
    wave: WaveView | None = None


def anchor_call(
    node: str, uid: str, pool: str, plan_id: str, at: float, *, expires_s: int
) -> CreateAnchor:
    """Build the request for an anchor; its name differs with every plan and node."""
    digest = hashlib.sha256(f"{plan_id}|{uid}|{int(at)}".encode()).hexdigest()[:16]
    return CreateAnchor(
        name=f"spotvortex-anchor-{digest}",
        node=node,
        node_uid=uid,
        pool=pool,
        plan_id=plan_id,
        expires_s=expires_s,
    )
