"""What we may ever ask of a cluster, one value a request, and what it may answer.

Comes in: nothing. Goes out: `Call` and `Answer`, the whole vocabulary of writing. An actuator
carries a call out, or only records it; nothing else in the product can change a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

from spotvortex.core.types import Blocker, CapacityType


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePlaceholder:
    """Create a low-priority pod of ours that asks the provisioner for capacity.

    It carries the requests of the one pod that will take its room, and expires by itself.
    `for_uid` is the uid of the node that is to be emptied.
    """

    name: str
    plan_id: str
    for_uid: str
    pool: str
    capacity_type: CapacityType
    node_pool: str
    cpu_milli: int
    memory_bytes: int
    expires_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkNode:
    """Cordon a node and write our journal annotation, in one patch."""

    node: str
    uid: str
    plan_id: str
    reason: str
    deadline: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmarkNode:
    """Uncordon a node that we cordoned and remove our journal annotation, in one patch."""

    node: str
    uid: str
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictPod:
    """Evict one pod by the Eviction API, with its uid as precondition and its own grace period."""

    namespace: str
    name: str
    uid: str
    node_uid: str
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteNodeClaim:
    """Delete the drained node's NodeClaim, with a precondition, so that its provisioner ends it."""

    node_claim: str
    node: str
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePlaceholders:
    """Delete what is left of the placeholders that one node's move asked for."""

    plan_id: str
    for_uid: str


Call = CreatePlaceholder | MarkNode | UnmarkNode | EvictPod | DeleteNodeClaim | DeletePlaceholders


@dataclass(frozen=True, slots=True)
class Done:
    """The request was carried out."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The object is no longer there, or is another one of the same name."""


@dataclass(frozen=True, slots=True)
class BlockedByBudget:
    """A PodDisruptionBudget allows no eviction now; try again after `retry_s`."""

    retry_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The request will not succeed as it is; `reason` is the server's own word."""

    reason: str


Answer = Done | Gone | BlockedByBudget | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One pod of a node that is drained.

    `stays` is true for DaemonSet, mirror and finished pods: a drain leaves them.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One node and its pods, as the next step of its drain sees them.

    `bound` counts this order's placeholders that have a Ready node. `present` is false once the
    node is gone or another one of its name has taken its place.
    """

    node: str
    uid: str
    present: bool
    cordoned: bool
    pods: tuple[PodView, ...]
    bound: int
