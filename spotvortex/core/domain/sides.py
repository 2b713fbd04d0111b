"""The sides of a pool: the node groups from which, and to which, its nodes may move.

Comes in: a node, and the groups that serve its pool. Goes out: whether a driver exists that moves
such a node at all, and the groups that its pods may go to. A move stays in the node's own group
where that can be bought as wanted, and else goes to the siblings that can: of `x-spot` and `x-od`
to the other one. It never leaves the pool, nor the kind of its groups. May not judge room.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spotvortex.core.domain.autoscaling import is_autoscaled
from spotvortex.core.domain.observation import NodeFact, NodeGroupFact
from spotvortex.core.domain.types import CapacityType, ProvisionerKind

BY_PODS: Final = frozenset({ProvisionerKind.CLUSTER_AUTOSCALER, ProvisionerKind.MANAGED_NODE_GROUP})
"""Whose nodes Cluster Autoscaler makes where it runs; their groups have names of its own."""

DRIVEN: Final = BY_PODS | {ProvisionerKind.KARPENTER}
"""Who makes the nodes that the controller has a driver for: an implementation of
`ports.provisioner.Provisioner` that asks for room there and releases what is drained."""

MAX_SIDES: Final = 8
"""Most groups that one move names: they are written into a journal of bounded length."""

_BOTH: Final = frozenset({CapacityType.SPOT, CapacityType.ON_DEMAND})


def is_driven(node: NodeFact) -> bool:
    """Tell whether a driver moves such a node: its provisioner has one, and its group is known.

    The group of a node that Cluster Autoscaler could grow is known only where it runs.
    """
    if node.provisioner not in DRIVEN or not node.node_group:
        return False
    return is_autoscaled(node.node_group) is (node.provisioner in BY_PODS)


def allows(group: NodeGroupFact, wanted: CapacityType) -> bool:
    """Tell whether a group may buy what is wanted; UNKNOWN stands for either, so it needs both."""
    if not group.capacity_types:
        return True
    if wanted is CapacityType.UNKNOWN:
        return set(group.capacity_types) >= _BOTH
    return wanted in group.capacity_types


def receiving_sides(
    node: NodeFact, groups: Iterable[NodeGroupFact], to: CapacityType
) -> tuple[str, ...]:
    """Return the names of the groups that may take a node's pods, the one to try first first.

    Args:
        node: the node that would move, or will be lost.
        groups: the groups that serve its pool; none where they cannot be read.
        to: what capacity is wanted; UNKNOWN where any will do.

    Returns:
        The node's own group where it may buy what is wanted, else at most `MAX_SIDES` of its
        siblings that may; of any capacity, all that there are. Empty without a driver.
    """
    if not is_driven(node):
        return ()
    alike = is_autoscaled(node.node_group)
    known = [group for group in groups if is_autoscaled(group.name) is alike]
    own = next((group for group in known if group.name == node.node_group), None)
    if not known or (own is not None and allows(own, to)):
        return (node.node_group,)
    may = known if to is CapacityType.UNKNOWN else [g for g in known if allows(g, to)]
    return tuple(g.name for g in sorted(may, key=lambda g: (-g.weight, g.name)))[:MAX_SIDES]
