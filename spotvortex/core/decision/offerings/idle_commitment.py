"""Whether held Spot nodes should become on-demand, because a commitment that nothing uses pays.

Comes in: the reduced input of a pool and the limits. Goes out: the offering with most to gain, for
how many of its nodes, and every term in dollars an hour. On-demand under an unused commitment costs
nothing at the margin: what is paid for anyhow. May not move anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from spotvortex.core.decision.offerings.choice import choice_of, move_cost_ratio
from spotvortex.core.decision.offerings.expected_cost import HORIZON_MINUTES, OfferingCost
from spotvortex.core.decision.offerings.shift import MARGIN_MINUTES
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Offering, short, whole
from spotvortex.core.pool.input import PoolInput


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleCommitment:
    """What one Spot node saves by becoming on-demand that is paid for already, in US dollars.

    Attributes:
        offering: of the node.
        n_nodes: nodes of it that what is unused pays for, at least one.
        spot: what the node is expected to cost as Spot.
        on_demand_usd_per_hour: what it would cost at the margin as on-demand.
        move_usd: what the move costs, once.
    """

    offering: Offering
    n_nodes: int
    spot: OfferingCost
    on_demand_usd_per_hour: float
    move_usd: float

    @property
    def gain_usd_per_hour(self) -> float:
        """What it is expected to save an hour, before the move is paid."""
        return self.spot.usd_per_hour - self.on_demand_usd_per_hour


def idle_commitment_of(pool: PoolInput, limits: Limits) -> IdleCommitment | None:
    """Return the offering whose nodes gain most by on-demand that is paid for; None of none.

    One of which no node may move is left out: it would stand before all that the pool could do.
    """
    movable = {c.offering for c in pool.to_on_demand if c.in_scope}
    held = (o for o in pool.offerings if o.n_spot and o.offering in movable)
    idle = {o.offering: o.idle_nodes for o in held if o.idle_nodes > 0.0}
    if not idle:
        return None
    costs = (c for c in choice_of(pool, limits).spot if c.offering in idle)
    found = [f for c in costs if (f := _of(c, idle[c.offering], limits)) is not None]
    return min(found, key=lambda f: (-f.gain_usd_per_hour, f.offering), default=None)


def _of(spot: OfferingCost, n_idle: float, limits: Limits) -> IdleCommitment | None:
    """Weigh one node; where less than a node is paid for, the rest of its price counts."""
    listed = spot.on_demand_usd_per_hour
    found = IdleCommitment(
        offering=spot.offering,
        n_nodes=max(1, whole(n_idle)),
        spot=spot,
        on_demand_usd_per_hour=short(listed * (1.0 - min(1.0, n_idle))),
        move_usd=short(listed * limits.move_minutes / 60.0),
    )
    least = move_cost_ratio(0.0, limits) + MARGIN_MINUTES / HORIZON_MINUTES
    return found if found.gain_usd_per_hour > least * listed else None
