"""Orders for nodes that will be taken away, from notices; they travel like any other order.

Comes in: the notices of one observation, the cluster, and the limits of each pool. Goes out: orders
sorted by deadline, and which notices are settled. Fewer gates apply than to a decision: lease,
mode, and no freeze but one that stops everything, since the node goes in any case. May not decide
how much is Spot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from spotvortex.core.domain.cloud.notices import Notice, NoticeKind, instance_id_of
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import ClusterFacts, NodeFact, Observation, WriteAuthority
from spotvortex.core.domain.sides import receiving_sides
from spotvortex.core.domain.types import CapacityType, Offering, short_digest
from spotvortex.core.drain.hedge import Hedge, with_extras
from spotvortex.core.drain.messages import DrainOrder, InFlight, OrderKind, reason_of
from spotvortex.core.drain.orders import MAX_AVOIDED

LOSSES: Final = frozenset(
    {NoticeKind.INTERRUPTION, NoticeKind.STATE_CHANGE, NoticeKind.SCHEDULED_CHANGE}
)
"""Kinds after which a node is drained; a rebalance recommendation is evidence only."""

PLANNED_AHEAD_S: Final = 900.0
"""A node is drained this long before a scheduled change starts, not days ahead."""

NOTHING_AVOIDED: Final[Mapping[str, tuple[Offering, ...]]] = MappingProxyType({})
NO_HEDGES: Final[Mapping[str, Hedge]] = MappingProxyType({})

SHARED_S: Final = 120.0
"""Losses of a pool within this time share a plan."""


def nodes_by_instance(cluster: ClusterFacts) -> dict[str, NodeFact]:
    """Return the nodes by the id of the instance that they run on."""
    return {i: node for node in cluster.nodes if (i := instance_id_of(node.provider_id))}


def interruption_orders(
    observation: Observation,
    limits_of: Mapping[str, Limits],
    flying: InFlight,
    avoid: Mapping[str, tuple[Offering, ...]] = NOTHING_AVOIDED,
    hedges: Mapping[str, Hedge] = NO_HEDGES,
) -> tuple[DrainOrder, ...]:
    """Make an order for every pooled node that will be lost, the earliest deadline first.

    All nodes of a pool share one plan, and so one set of placeholders; a node that is drained
    already keeps its plan, and so the room that was asked for it. The room avoids every Spot
    offering of the pool that a notice is about, beside those that the pool avoids anyhow.

    Args:
        observation: what is seen, notices included.
        limits_of: the limits of each pool.
        flying: what is in flight.
        avoid: by pool, the Spot offerings that it avoids anyhow.
        hedges: by pool, what an extra node costs and spares.
    """
    if not observation.answers_notices or not _may_act(observation.standing):
        return ()
    nodes = nodes_by_instance(observation.cluster)
    groups = {pool.name: pool.node_groups for pool in observation.cluster.pools}
    known = {order.uid: order for order in flying.orders}
    plans = {o.pool: o.plan_id for o in flying.orders if o.kind is OrderKind.INTERRUPTION}
    orders: dict[str, DrainOrder] = {}
    for notice in _losses(observation):
        node = nodes.get(notice.instance_id)
        limits = limits_of.get(node.pool) if node is not None else None
        if node is None or limits is None or node.uid in orders:
            continue
        before = known.get(node.uid)
        if before is not None and before.kind is OrderKind.INTERRUPTION:
            continue
        plan = before.plan_id if before is not None else plans.get(node.pool)
        if plan is None:
            plan = plans[node.pool] = _plan_id(observation, node.pool)
        order = _order(notice, node, plan, limits, observation)
        sides = receiving_sides(node, groups[node.pool], order.to)
        orders[node.uid] = replace(order, sides=sides)
    struck: dict[str, set[Offering]] = {}
    for order in orders.values():
        struck.setdefault(order.pool, set()).update(order.avoid)
    found = (replace(o, avoid=_all_to_avoid(o.pool, struck, avoid)) for o in orders.values())
    ordered = with_extras(found, flying, observation, hedges)
    return tuple(sorted(ordered, key=lambda o: (o.deadline, o.node)))


def _all_to_avoid(
    pool: str, struck: Mapping[str, Set[Offering]], avoid: Mapping[str, tuple[Offering, ...]]
) -> tuple[Offering, ...]:
    lost = sorted(struck[pool])[:MAX_AVOIDED]
    others = (offering for offering in avoid.get(pool, ()) if offering not in struck[pool])
    return tuple(sorted((*lost, *others)[:MAX_AVOIDED]))


def _may_act(standing: WriteAuthority) -> bool:
    return standing.leader and standing.freeze.lets_losses_pass


def _losses(observation: Observation) -> list[Notice]:
    at = observation.at
    due = (
        n
        for n in observation.notices
        if n.kind in LOSSES and n.deadline is not None and n.deadline - at <= PLANNED_AHEAD_S
    )
    return sorted(due, key=lambda n: (n.deadline or 0.0, n.id))


def _plan_id(observation: Observation, pool: str) -> str:
    """Name the plan of a pool's losses, the same for a while.

    Notices of one event come over several cycles, and the first marks are seen later still.
    """
    text = f"{int(observation.at // SHARED_S)}|{pool!r}|notice"
    return short_digest(text)


def _order(
    notice: Notice, node: NodeFact, plan_id: str, limits: Limits, observation: Observation
) -> DrainOrder:
    deadline = notice.deadline
    assert deadline is not None
    return DrainOrder(
        plan_id=plan_id,
        pool=node.pool,
        node=node.name,
        uid=node.uid,
        claim=node.claim,
        sides=(),
        to=CapacityType.UNKNOWN,
        avoid=(node.offering,) if node.capacity_type is CapacityType.SPOT else (),
        reason=reason_of(notice.kind),
        deadline=deadline,
        traceparent=observation.traceparent,
        kind=OrderKind.INTERRUPTION,
        mode=limits.mode,
        leftover_s=limits.leftover_s,
    )


def settled(notices: Iterable[Notice], cluster: ClusterFacts, flying: InFlight) -> frozenset[str]:
    """Return the notices that need no keeping, by id.

    A notice is settled if its node carries the journal of an interruption, if its instance is no
    pooled node of this cluster, or if it is a rebalance recommendation that its node shows already.
    """
    nodes = nodes_by_instance(cluster)
    marked = {o.uid for o in flying.orders if o.kind is OrderKind.INTERRUPTION}
    return frozenset(n.id for n in notices if _is_settled(n, nodes.get(n.instance_id), marked))


def _is_settled(notice: Notice, node: NodeFact | None, marked: Set[str]) -> bool:
    if node is None or not node.pool:
        return True
    if notice.kind is NoticeKind.REBALANCE:
        return bool(node.at_risk)
    return bool(node.mark) and node.uid in marked
