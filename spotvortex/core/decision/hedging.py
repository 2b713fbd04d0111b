"""What a node more than was lost is worth at notices, in US dollars.

Comes in: a pool with its prices, its launches and what its owners say that an outage costs. Goes
out: what an extra node costs until it has been given back, and what it spares where it is needed.
An unknown price gives no extras. May not say how many are asked for: that depends on what is lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from spotvortex.core.decision.offerings.expected_cost import outage_minutes
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import short
from spotvortex.core.drain.hedge import (
    ASSUMED_SPREAD,
    LEAST_KNOWN,
    NO_HEDGE,
    Hedge,
    LaunchSpread,
    hedge_ratio,
)
from spotvortex.core.pool.input import PoolInput

EXTRA_LIFE_MINUTES: Final = 12.0
"""For so long an extra is paid: what was measured, from its launch to its end by consolidation."""


def hedge_of(pool: PoolInput, limits: Limits) -> Hedge:
    """Value an extra node of a pool.

    What losing a node costs is spread over the time for which its pods would be missing without
    any warning: a launch and their start. An extra that is needed spares as much of it as the node
    that it stands in for is late. It costs its price for `EXTRA_LIFE_MINUTES`, on-demand where
    Spot is refused.
    """
    most = hedge_ratio(pool.launches, limits.max_hedge_ratio)
    on_demand, spot = pool.spot_money.on_demand_usd_per_hour, pool.spot_money.spot_usd_per_hour
    if on_demand is None or spot is None or most <= 0.0:
        return NO_HEDGE
    launches = _counted(pool.launches)
    failed, late_s = launches.failed_ratio, launches.late_s
    outage_usd = on_demand * outage_minutes(pool, limits) / 60.0
    price = (1.0 - failed) * spot + failed * on_demand
    missing_s = launches.median_s + pool.startup_s
    return Hedge(
        most_ratio=most,
        in_time_ratio=short(launches.in_time_ratio),
        late_s=short(late_s),
        outage_usd=short(outage_usd),
        saved_usd=short(outage_usd * min(1.0, late_s / missing_s)),
        node_usd=short(price * EXTRA_LIFE_MINUTES / 60.0),
    )


def _counted(launches: LaunchSpread) -> LaunchSpread:
    """Return what is known of launches, or what is assumed while too few are."""
    if launches.n >= LEAST_KNOWN:
        return launches
    return replace(ASSUMED_SPREAD, failed_ratio=launches.failed_ratio)
