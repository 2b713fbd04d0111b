"""On-demand list prices of the types in use, each asked for once a day.

Comes in: answers for one instance type each. Goes out: quotes with an on-demand price alone, for
the zones of one region. List prices change a few times in a year. May not know whom it asks.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable
from random import Random
from typing import Final

from spotvortex.aio import Retries, pause, retried
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.errors import PriceSourceError
from spotvortex.market.health import SPOT_MAX_AGE_S, prices_health
from spotvortex.market.zones import region_of
from spotvortex.ports.cluster import WallClock
from spotvortex.ports.prices import OnDemandPrices

SOURCE: Final = "aws list"
EVERY_S: Final = 24 * 3600.0
"""Time between two answers about a type."""

AGAIN_S: Final = 300.0
"""Time after an answer that could not be had."""

LOOK_S: Final = 1.0
"""How often it is looked whether another type is in use."""

MAX_TYPES: Final = 400
"""Instance types that are asked about; those that come later have no price."""

RETRIES: Final = Retries(
    n_attempts=4,
    within_s=60.0,
    first_s=1.0,
    longest_s=10.0,
    is_worth=lambda error: isinstance(error, PriceSourceError) and error.is_passing,
)

log = logging.getLogger(__name__)


class OnDemandMarket:
    """Implements `ports.Market` from list prices; `run` has to be running.

    Attributes:
        first: set when the types in use have been asked about once, however that went.
        trouble: why the last answer could not be had, "" where it could.
    """

    def __init__(
        self, region: str, clock: WallClock, rng: Random, spot_max_age_s: float = SPOT_MAX_AGE_S
    ) -> None:
        self._region, self._clock, self._rng = region, clock, rng
        self._spot_max_age_s = spot_max_age_s
        self._prices: dict[str, float | None] = {}
        self._asked_at: dict[str, float] = {}
        self._wanted: dict[str, None] = {}
        self.first = asyncio.Event()
        self.trouble = ""

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:  # noqa: ARG002
        """Return a quote for every offering. See `ports.Market.facts`."""
        quotes = {offering: self._quote(offering) for offering in offerings}
        health = prices_health(quotes.values(), math.inf, self._spot_max_age_s)
        return MarketFacts(quotes=quotes, inputs=(health,))

    def _quote(self, offering: Offering) -> SpotQuote:
        if region_of(offering.zone) != self._region:
            return SpotQuote(offering=offering)
        if len(self._wanted) < MAX_TYPES:
            self._wanted.setdefault(offering.instance_type)
        price = self._prices.get(offering.instance_type)
        source = "none" if price is None else SOURCE
        return SpotQuote(offering=offering, on_demand_usd_per_hour=price, source=source)

    def give_up(self, why: str) -> None:
        """Take note that nobody can be asked."""
        log.error("on_demand_prices.unread", extra={"error": why})
        self.trouble = why
        self.first.set()

    async def run(self, prices: OnDemandPrices, stop: asyncio.Event) -> None:
        """Ask until told to stop: for what is new at once, for the rest once a day."""
        again_at = -math.inf
        while not stop.is_set():
            now = self._clock.now()
            due = [t for t in self._wanted if now - self._asked_at.get(t, -math.inf) >= EVERY_S]
            if due and now >= again_at:
                await self._ask(prices, due, stop)
                again_at = self._clock.now() + AGAIN_S if self.trouble else -math.inf
                self.first.set()
            await pause(stop, LOOK_S)

    async def _ask(self, prices: OnDemandPrices, types: list[str], stop: asyncio.Event) -> None:
        """Ask for one type after the other, and no further after the first that fails."""
        for instance_type in types:
            if stop.is_set():
                return
            try:
                found = await self._price(prices, instance_type)
            except PriceSourceError as error:
                if not self.trouble:
                    log.warning("on_demand_prices.unread", extra={"error": str(error)})
                self.trouble = str(error)
                return
            self._prices[instance_type] = found
            self._asked_at[instance_type] = self._clock.now()
        if self.trouble:
            log.info("on_demand_prices.read_again")
        self.trouble = ""

    async def _price(self, prices: OnDemandPrices, instance_type: str) -> float | None:
        async def request() -> float | None:
            return await prices.price(instance_type)

        return await retried(request, RETRIES, self._rng)
