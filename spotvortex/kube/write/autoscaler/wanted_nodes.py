"""Which nodes of Cluster Autoscaler a placeholder may get, in labels of nodes.

Comes in: a call. Goes out: what its node must be like. The groups that the call names are required,
so that a placeholder is only ever bound to a node of its own pool. Which type or zone of them is
bought is the group's own matter: an offering cannot be avoided. May not know any object of a
cluster.
"""

from __future__ import annotations

from typing import Final

from spotvortex.core.domain.autoscaling import labels_of, managed_name
from spotvortex.core.domain.labels import POOL
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.calls import CreatePlaceholder
from spotvortex.kube.api.node_labels import (
    NODEGROUP,
    NODEGROUP_CAPACITY_TYPE,
    POOL_CAPACITY_TYPE,
    SAFE_TO_EVICT,
    spellings,
)
from spotvortex.ports.provisioner import NodeRule, RuleOperator, Unable, WantedNodes

KEEPS_ITS_NODE: Final = {SAFE_TO_EVICT: "false"}
"""A placeholder keeps the node that it is bound to, whoever owns the pod."""

_OTHERS: Final = {
    CapacityType.SPOT: ("CAPACITY_BLOCK", "ON_DEMAND"),
    CapacityType.ON_DEMAND: ("CAPACITY_BLOCK", "SPOT"),
}
"""What EKS calls the nodes that are bought otherwise than wanted."""


def nodes_wanted_of_autoscaler(call: CreatePlaceholder) -> WantedNodes | Unable:
    """Return the rules by which Cluster Autoscaler grows a group for a placeholder, or keeps it."""
    managed = tuple(name for side in call.sides if (name := managed_name(side)))
    if managed:
        return _of_managed(managed, call.capacity_type)
    labelled = [found for side in call.sides if (found := labels_of(side))]
    if not labelled:
        return Unable(f"no node group of pool {call.pool} is known to ask for room")
    return _of_labelled(labelled, call.capacity_type)


def _of_managed(groups: tuple[str, ...], wanted: CapacityType) -> WantedNodes:
    """Name the managed groups, and rule out the capacity that is not wanted.

    IMPORTANT: ruled out, and not demanded. Of a group without a node Cluster Autoscaler knows the
    label with its name, and none with its capacity type (aws_wrapper.go, getManagedNodegroupInfo:
    it calls that `capacityType`): a demand would never be met by an empty group.
    """
    rules = [NodeRule(key=NODEGROUP, operator=RuleOperator.IN, values=groups)]
    if wanted in _OTHERS:
        others = _OTHERS[wanted]
        rules.append(
            NodeRule(key=NODEGROUP_CAPACITY_TYPE, operator=RuleOperator.NOT_IN, values=others)
        )
    return WantedNodes(all_of=tuple(rules), annotations=KEEPS_ITS_NODE)


def _of_labelled(groups: list[tuple[str, CapacityType]], wanted: CapacityType) -> WantedNodes:
    """Name the pool, and the capacity types of those of its groups that may receive."""
    pools = tuple(sorted({pool for pool, _ in groups}))
    kinds = {wanted} if wanted in _OTHERS else {kind for _, kind in groups}
    words = tuple(word for kind in sorted(kinds) for word in spellings(kind))
    pool = NodeRule(key=POOL, operator=RuleOperator.IN, values=pools)
    capacity = NodeRule(key=POOL_CAPACITY_TYPE, operator=RuleOperator.IN, values=words)
    return WantedNodes(all_of=(pool, capacity), annotations=KEEPS_ITS_NODE)
