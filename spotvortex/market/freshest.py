"""Several sources of prices as one.

Comes in: sources, the one preferred among equals first. Goes out: for every offering the quote of
the source whose Spot price is the youngest, completed by the others. May not mix two Spot prices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from spotvortex.core.domain.cloud.launches import NO_LAUNCHES
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.market.health import SPOT_MAX_AGE_S, prices_health
from spotvortex.ports.market import Market


class FreshestMarket:
    """Implements `ports.Market` by others: of each offering the youngest price counts."""

    def __init__(self, sources: Sequence[Market], spot_max_age_s: float = SPOT_MAX_AGE_S) -> None:
        self._sources = tuple(sources)
        self._spot_max_age_s = spot_max_age_s

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering. See `ports.Market.facts`."""
        asked = tuple(offerings)
        found = [source.facts(asked, now) for source in self._sources]
        quotes = {offering: _best([f.quotes[offering] for f in found]) for offering in asked}
        age_s = min(health.age_s for facts in found for health in facts.inputs)
        launches = next((f.launches for f in found if f.launches != NO_LAUNCHES), NO_LAUNCHES)
        health = prices_health(quotes.values(), age_s, self._spot_max_age_s)
        return MarketFacts(quotes=quotes, inputs=(health,), launches=launches)


def _best(quotes: Sequence[SpotQuote]) -> SpotQuote:
    """Return the quote with the youngest Spot price; on-demand and a longer history may be lent."""
    best = min(quotes, key=lambda q: (q.spot_usd_per_hour is None, q.age_s))
    longest = max(quotes, key=lambda q: len(q.history_usd_per_hour))
    if len(longest.history_usd_per_hour) > len(best.history_usd_per_hour):
        best = dataclasses.replace(
            best,
            history_usd_per_hour=longest.history_usd_per_hour,
            step_s=longest.step_s,
        )
    lender = next((q for q in quotes if q.on_demand_usd_per_hour is not None), None)
    if best.on_demand_usd_per_hour is not None or lender is None:
        return best
    source = lender.source if best.source == "none" else f"{best.source}; {lender.source}"
    return dataclasses.replace(
        best, on_demand_usd_per_hour=lender.on_demand_usd_per_hour, source=source
    )
