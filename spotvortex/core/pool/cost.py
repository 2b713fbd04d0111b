"""What a pool costs an hour, and what the same nodes would cost on-demand.

Comes in: what was read of a pool. Goes out: sums at list price. A node whose prices are not all
known is left out of every sum and counted. May not guess a price.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from spotvortex.core.pool.input import PoolInput

HOURS_A_MONTH: Final = 730.0
"""A twelfth of a year of 8,760 hours, by which a rate is told as a month's money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCost:
    """Sums over the nodes whose prices are known, in USD/h.

    Attributes:
        spot_usd_per_hour: what the Spot nodes cost.
        on_demand_usd_per_hour: what all other nodes cost, capacity reservations at list price.
        all_on_demand_usd_per_hour: what the same nodes would cost if all were on-demand.
        n_priced: nodes in the sums.
        n_unpriced: nodes that are left out, since a price is unknown or the offering is not listed.
    """

    spot_usd_per_hour: float = 0.0
    on_demand_usd_per_hour: float = 0.0
    all_on_demand_usd_per_hour: float = 0.0
    n_priced: int = 0
    n_unpriced: int = 0

    @property
    def usd_per_hour(self) -> float:
        """What the nodes cost."""
        return self.spot_usd_per_hour + self.on_demand_usd_per_hour

    @property
    def saved_usd_per_hour(self) -> float:
        """What Spot saves of it, beside the same nodes on-demand."""
        return self.all_on_demand_usd_per_hour - self.usd_per_hour


def cost_of(pool: PoolInput) -> PoolCost:
    """Sum up the prices of a pool's nodes."""
    spot = other = whole = 0.0
    n_priced = 0
    for held in pool.offerings:
        on_demand_usd, spot_usd = held.on_demand_usd_per_hour, held.spot_usd_per_hour
        if on_demand_usd is None:
            continue
        other += held.n_on_demand * on_demand_usd
        n_counted = held.n_on_demand
        if spot_usd is not None:
            spot += held.n_spot * spot_usd
            n_counted += held.n_spot
        whole += n_counted * on_demand_usd
        n_priced += n_counted
    return PoolCost(
        spot_usd_per_hour=spot,
        on_demand_usd_per_hour=other,
        all_on_demand_usd_per_hour=whole,
        n_priced=n_priced,
        n_unpriced=pool.n_counted + pool.n_unknown - n_priced,
    )


def total_of(costs: Iterable[PoolCost]) -> PoolCost:
    """Add up what pools cost."""
    found = tuple(costs)
    return PoolCost(
        spot_usd_per_hour=sum(c.spot_usd_per_hour for c in found),
        on_demand_usd_per_hour=sum(c.on_demand_usd_per_hour for c in found),
        all_on_demand_usd_per_hour=sum(c.all_on_demand_usd_per_hour for c in found),
        n_priced=sum(c.n_priced for c in found),
        n_unpriced=sum(c.n_unpriced for c in found),
    )
