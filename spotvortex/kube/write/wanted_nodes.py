"""Which nodes of Karpenter a placeholder may get, in labels of nodes.

Comes in: a call. Goes out: what its node must be like. The NodePools that the call names are
required, so that a placeholder is only ever bound to a node of its own pool. May not know any
object of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    any_of = tuple(_anywhere_but(call.avoid, call.capacity_type)) if call.avoid else ()
    return WantedNodes(labels=labels, all_of=(sides,), any_of=any_of)


def _anywhere_but(
    avoid: tuple[Offering, ...], wanted: CapacityType
) -> Iterator[tuple[NodeRule, ...]]:
    """Yield the ways not to be any of some Spot offerings: another type, another zone, or not Spot.

    Another type comes first: Karpenter tries required terms in turn, and only drops the first
    where it cannot be met. A pool may have one type and one zone, so the last way has to be there,
    but where Spot alone is wanted. Together the ways are exactly what is not avoided: a zone in
    which only some of the types are avoided has a way of its own.
    """
    by_zone: dict[str, list[str]] = {}
    for offering in sorted(avoid):
        by_zone.setdefault(offering.zone, []).append(offering.instance_type)
    types = tuple(sorted({offering.instance_type for offering in avoid}))
    yield (NodeRule(key=INSTANCE_TYPE, operator=RuleOperator.NOT_IN, values=types),)
    yield (NodeRule(key=ZONE, operator=RuleOperator.NOT_IN, values=tuple(by_zone)),)
    for zone, there in by_zone.items():
        if len(there) < len(types):
            yield (
                NodeRule(key=ZONE, operator=RuleOperator.IN, values=(zone,)),
                NodeRule(key=INSTANCE_TYPE, operator=RuleOperator.NOT_IN, values=tuple(there)),
            )
    if wanted is CapacityType.SPOT:
        return
    not_spot = (CapacityType.ON_DEMAND.value, CapacityType.RESERVED.value)
    yield (NodeRule(key=CAPACITY_TYPE, operator=RuleOperator.IN, values=not_spot),)
    on_demand = ("ON_DEMAND",)
    yield (NodeRule(key=NODEGROUP_CAPACITY_TYPE, operator=RuleOperator.IN, values=on_demand),)
