"""Which nodes of Karpenter a placeholder may get, in labels of nodes.

Comes in: a call. Goes out: what its node must be like. The NodePools that the call names are
required, so that a placeholder is only ever bound to a node of its own pool. May not know any
object of a cluster.
"""

from __future__ import annotations

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.drain.calls import CreatePlaceholder
from spotvortex.kube.api.node_labels import (
    CAPACITY_TYPE,
    INSTANCE_TYPE,
    NODEGROUP_CAPACITY_TYPE,
    NODEPOOL,
    ZONE,
)
from spotvortex.ports.provisioner import NodeRule, RuleOperator, WantedNodes


def nodes_wanted_of_karpenter(call: CreatePlaceholder) -> WantedNodes:
    """Return the labels and rules by which Karpenter launches, or keeps, what is asked for."""
    labels: dict[str, str] = {}
    if call.capacity_type is not CapacityType.UNKNOWN:
        labels[CAPACITY_TYPE] = call.capacity_type.value
    sides = NodeRule(key=NODEPOOL, operator=RuleOperator.IN, values=call.sides)
    return WantedNodes(labels=labels, all_of=(sides,), any_of=_anywhere_but(call.avoid))


def _anywhere_but(avoid: Offering | None) -> tuple[NodeRule, ...]:
    """Return the ways not to be one Spot offering: another type, another zone, or not Spot.

    Another type comes first: Karpenter tries required terms in turn, and only drops the first
    where it cannot be met. A pool may have one type and one zone, so the last way has to be there.
    """
    if avoid is None:
        return ()
    not_spot = (CapacityType.ON_DEMAND.value, CapacityType.RESERVED.value)
    return (
        NodeRule(key=INSTANCE_TYPE, operator=RuleOperator.NOT_IN, values=(avoid.instance_type,)),
        NodeRule(key=ZONE, operator=RuleOperator.NOT_IN, values=(avoid.zone,)),
        NodeRule(key=CAPACITY_TYPE, operator=RuleOperator.IN, values=not_spot),
        NodeRule(key=NODEGROUP_CAPACITY_TYPE, operator=RuleOperator.IN, values=("ON_DEMAND",)),
    )
