"""On-demand list prices of the types in use, each asked for once a day.

Comes in: answers for one instance type each. Goes out: quotes with an on-demand price alone, for
the zones of one region. List prices change a few times in a year. May not know whom it asks.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from functools import partial
from random import Random
from typing import Final

from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.market.asked_types import AskedTypes
from spotvortex.market.health import SPOT_MAX_AGE_S, prices_health
from spotvortex.ports.cluster import WallClock
from spotvortex.ports.prices import OnDemandPrices

SOURCE: Final = "aws list"
EVERY_S: Final = 24 * 3600.0
"""Time between two answers about a type."""


class OnDemandMarket(AskedTypes):
    """Implements `ports.Market` from list prices; `run` has to be running."""

    def __init__(
        self, region: str, clock: WallClock, rng: Random, spot_max_age_s: float = SPOT_MAX_AGE_S
    ) -> None:
        super().__init__("on_demand_prices", EVERY_S, clock, rng)
        self._region, self._spot_max_age_s = region, spot_max_age_s
        self._prices: dict[str, float | None] = {}

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:  # noqa: ARG002
        """Return a quote for every offering. See `ports.Market.facts`."""
        quotes = {offering: self._quote(offering) for offering in offerings}
        health = prices_health(quotes.values(), math.inf, self._spot_max_age_s)
        return MarketFacts(quotes=quotes, inputs=(health,))

    def _quote(self, offering: Offering) -> SpotQuote:
        if region_of(offering.zone) != self._region:
            return SpotQuote(offering=offering)
        self.want(offering.instance_type)
        price = self._prices.get(offering.instance_type)
        source = "none" if price is None else SOURCE
        return SpotQuote(offering=offering, on_demand_usd_per_hour=price, source=source)

    async def run(self, prices: OnDemandPrices, stop: asyncio.Event) -> None:
        """Ask until told to stop: for what is new at once, for the rest once a day."""

        async def ask(types: list[str]) -> None:
            """Ask for one type after the other, and no further after the first that fails."""
            for instance_type in types:
                if stop.is_set():
                    return
                request = partial(prices.price, instance_type)
                self._prices[instance_type] = await self.patiently(request)
                self.known_at[instance_type] = self._clock.now()

        await self.keep(ask, stop)
