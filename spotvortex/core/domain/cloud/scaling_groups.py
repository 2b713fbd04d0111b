"""An Auto Scaling group as AWS describes it, and what speaks against moving nodes by it.

Comes in: what an edge has read. Goes out: `ScalingGroup`, whether it may grow and give nodes up,
in words where it may not, and how many nodes it has left. A group of an EKS managed node group is
one too. May not ask anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.types import CapacityType

LONGEST_HOOK_S: Final = 900.0
"""Half of the usual deadline of a drain: a node that a hook holds longer would be given back while
its instance ends."""

_ENDS: Final = ("Terminate", "HealthCheck")
"""Processes without which a group does not end, or replace, an instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingInstance:
    """One instance of a group.

    Attributes:
        id: the instance's id.
        leaving: it is on its way out.
        protected: its owner protects it from scale-in.
    """

    id: str
    leaving: bool = False
    protected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingGroup:
    """One group at one instant.

    Attributes:
        name: the Auto Scaling group's own name.
        node_group: by which name its nodes belong to it; see `core.domain.autoscaling`.
        pool: the workload pool that it serves.
        capacity_type: how its nodes are bought; UNKNOWN where that is not one way.
        managed: the EKS managed node group that it is of, "" of none.
        cluster: the EKS cluster of that group, "" of none.
        smallest: nodes that it always has.
        largest: nodes that it has at most.
        desired: nodes that it is to have now.
        instances: its instances, those of a warm pool left out.
        suspended: its processes that somebody has suspended.
        protects: it protects new instances from scale-in.
        warm_pool: it keeps instances in a warm pool.
        hook_s: how long a hook may hold an instance that ends, 0.0 without one.
        n_zones: over how many zones it spreads its instances.
        status: what it is busy with, "" where it is in order.
        trouble: what contradicts itself in its description, with the fix; "" where nothing does.
        no_launch: why nothing that it launches would come up, "" where nothing is known to speak
            against it.
        room_nodes: nodes for which addresses and quota are left, None where not known.
        room_words: what bounds them, "" where nothing does.
    """

    name: str
    node_group: str
    pool: str
    capacity_type: CapacityType
    managed: str = ""
    cluster: str = ""
    smallest: int = 0
    largest: int = 0
    desired: int = 0
    instances: tuple[ScalingInstance, ...] = ()
    suspended: tuple[str, ...] = ()
    protects: bool = False
    warm_pool: bool = False
    hook_s: float = 0.0
    n_zones: int = 1
    status: str = ""
    trouble: str = ""
    no_launch: str = ""
    room_nodes: int | None = None
    room_words: str = ""

    @property
    def living(self) -> tuple[ScalingInstance, ...]:
        """The instances that are not on their way out."""
        return tuple(i for i in self.instances if not i.leaving)


def no_growth(group: ScalingGroup) -> str:
    """Return why a group must not be grown, "" where it may be."""
    said = _unfit(group) or group.no_launch
    if not said and "Launch" in group.suspended:
        said = "its process Launch is suspended: resume it"
    return f"{group.name}: {said}" if said else ""


def no_release(group: ScalingGroup) -> str:
    """Return why none of a group's nodes must be ended, "" where they may be."""
    said = _unfit(group) or _holds_its_nodes(group)
    return f"{group.name}: {said}" if said else ""


def may_rebalance(group: ScalingGroup) -> str:
    """Return what AWS may do to a group's nodes of its own accord, "" where it does nothing.

    EKS drains what it ends of a managed group.
    """
    if group.managed or group.n_zones < 2 or "AZRebalance" in group.suspended:
        return ""
    return (
        f"{group.name} spreads over {group.n_zones} zones: to even them out AWS may end instances "
        "that nobody has drained; suspend its process AZRebalance, or make one group a zone"
    )


def _unfit(group: ScalingGroup) -> str:
    if group.trouble:
        return group.trouble
    if group.status:
        return f"it is {group.status}"
    if group.capacity_type is CapacityType.UNKNOWN:
        return "it buys Spot and on-demand both: which comes next is EC2's choice; use two groups"
    if group.warm_pool:
        return "it has a warm pool, whose instances are neither nodes nor gone: remove the pool"
    return ""


def _holds_its_nodes(group: ScalingGroup) -> str:
    held = next((name for name in _ENDS if name in group.suspended), "")
    if held:
        return f"its process {held} is suspended: resume it"
    kept = next((i.id for i in group.instances if i.protected), "")
    if kept or group.protects:
        return f"{kept or 'what it launches'} is protected from scale-in by its owner"
    if not group.managed and group.hook_s > LONGEST_HOOK_S:
        return f"a lifecycle hook may hold what ends for {group.hook_s:.0f} s: shorten it"
    return ""


def nodes_left(group: ScalingGroup) -> tuple[int, str]:
    """Return how many nodes may be added, and what bounds them, for people."""
    by_size = max(0, group.largest - group.desired)
    if group.room_nodes is not None and group.room_nodes < by_size:
        return max(0, group.room_nodes), group.room_words
    return by_size, f"largest size {group.largest} of {group.name}"
