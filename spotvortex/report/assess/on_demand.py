"""The on-demand nodes of a pool, by what keeps them there.

Comes in: a pool, its prices and what commitments pay for. Goes out: an `OnDemand`. May not decide
anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.autoscaling import is_autoscaled
from spotvortex.core.domain.cloud.hosting import BUILT_IN_POOLS
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.observation import NodeFact, PoolFacts
from spotvortex.core.domain.types import Blocker, CapacityType
from spotvortex.core.pool.blocking import blockers_of, capacity_types_of, pdb_blocked_nodes
from spotvortex.core.pool.commitments.coverage import Coverage
from spotvortex.core.scoring.features import price_ratio

ORDER_OF_BLAME: Final = (
    Blocker.SINGLE_REPLICA,
    Blocker.PDB_ALLOWS_ZERO,
    Blocker.TWO_PDBS,
    Blocker.DO_NOT_DISRUPT,
    Blocker.BARE_POD,
    Blocker.LOCAL_STORAGE,
)
"""A node held for several reasons is counted under the first of these."""


_PINNED: Final = Blocker.PINNED_ON_DEMAND


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemand:
    """The on-demand nodes of one pool, by what keeps them there.

    Attributes:
        pool: the workload pool.
        n_nodes: on-demand nodes.
        n_free: nodes that nothing holds.
        n_priced: free nodes whose both prices are known.
        saving_usd_per_hour: what these would save on Spot at list price.
        oldest_at: start of the oldest free node, seconds since the epoch, None without one.
        n_paid_for: nodes that nothing else holds, and that a commitment pays for, if in part.
        n_pinned: nodes that something asks to be on-demand.
        pinned: what asks for it, "" where nothing does.
        held: nodes by what holds them.
    """

    pool: str
    n_nodes: int
    n_free: int
    n_priced: int
    saving_usd_per_hour: float
    oldest_at: float | None
    n_paid_for: int
    n_pinned: int
    pinned: str
    held: tuple[tuple[Blocker, int], ...]


def on_demand_of(pool: PoolFacts, market: MarketFacts, coverage: Coverage) -> OnDemand:
    """Sort the on-demand nodes of one pool."""
    nodes = [n for n in pool.nodes if n.capacity_type is CapacityType.ON_DEMAND]
    pinned_by_pool = _pinned_by_pool(pool)
    pdb_blocked = pdb_blocked_nodes(pool)
    blockers = {n.name: blockers_of(n, pdb_blocked) for n in nodes}
    pinned = nodes if pinned_by_pool else [n for n in nodes if _PINNED in blockers[n.name]]
    pinned_names = {n.name for n in pinned}
    held: Counter[Blocker] = Counter()
    free: list[NodeFact] = []
    paid_for: list[NodeFact] = []
    for node in nodes:
        if node.name in pinned_names:
            continue
        reason = next((b for b in ORDER_OF_BLAME if b in blockers[node.name]), None)
        if reason is None:
            (paid_for if node.uid in coverage.shares else free).append(node)
        else:
            held[reason] += 1
    savings = [s for n in free if (s := _saving(n, market)) is not None]
    return OnDemand(
        pool=pool.name,
        n_nodes=len(nodes),
        n_free=len(free),
        n_priced=len(savings),
        saving_usd_per_hour=sum(s for s in savings if s > 0.0),
        oldest_at=min((n.created_at for n in free), default=None),
        n_paid_for=len(paid_for),
        n_pinned=len(pinned),
        pinned=pinned_by_pool or ("pods that ask for on-demand" if pinned else ""),
        held=tuple(sorted(held.items())),
    )


def _pinned_by_pool(pool: PoolFacts) -> str:
    """Say what keeps a whole pool on-demand, "" where nothing does."""
    if CapacityType.SPOT in capacity_types_of(pool):
        return ""
    if any(is_autoscaled(group.name) for group in pool.node_groups):
        return "none of its node groups buys Spot; add a twin that does (docs/node-groups.md)"
    if any(group.auto_mode and group.name in BUILT_IN_POOLS for group in pool.node_groups):
        return "EKS Auto Mode's own NodePool buys on-demand only; Spot needs one of your own"
    if pool.node_groups:
        return "its NodePool allows on-demand only"
    return "a node group has one capacity type; no driver moves its nodes"


def _saving(node: NodeFact, market: MarketFacts) -> float | None:
    quote = market.quotes.get(node.offering)
    if quote is None or quote.spot_usd_per_hour is None or quote.on_demand_usd_per_hour is None:
        return None
    if not price_ratio(quote) > 0.0:
        return None
    return quote.on_demand_usd_per_hour - quote.spot_usd_per_hour
