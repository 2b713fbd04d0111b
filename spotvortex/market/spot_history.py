"""Spot prices from a history that is asked for the types in use, about once an hour.

Comes in: changes of prices since the last answer. Goes out: quotes. A price stays in force until
its next change, so every price is as old as the last whole answer about its type. On-demand prices
are another source's. May not know whom it asks.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Sequence
from random import Random
from typing import Final

from spotvortex.aio import Retries, pause, retried
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.errors import PriceSourceError
from spotvortex.market.health import SPOT_MAX_AGE_S, prices_health
from spotvortex.market.price_file import SpotChanges
from spotvortex.market.price_series import STEP_S, PriceSeries
from spotvortex.ports.cluster import WallClock
from spotvortex.ports.prices import SpotPriceHistory, SpotPriceRecord

SOURCE: Final = "aws"
EVERY_S: Final = 3600.0
"""Time between two answers about a type; Spot prices move about every six hours."""

AGAIN_S: Final = 300.0
"""Time after an answer that could not be had."""

BACK_S: Final = 7 * 24 * 3600.0
"""How far back a type is first asked about: what a model reads."""

OVERLAP_S: Final = 900.0
"""A change may be told a little after it was made."""

LOOK_S: Final = 1.0
"""How often it is looked whether another type is in use."""

MAX_CHANGES: Final = 512
"""Price changes kept of an offering; a week has some thirty."""

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


class SpotHistoryMarket:
    """Implements `ports.Market` from recorded changes; `run` has to be running.

    Attributes:
        first: set when the types in use have been asked about once, however that went.
        trouble: why the last answer could not be had, "" where it could.
    """

    def __init__(
        self, clock: WallClock, rng: Random, spot_max_age_s: float = SPOT_MAX_AGE_S
    ) -> None:
        self._clock, self._rng = clock, rng
        self._spot_max_age_s = spot_max_age_s
        self._changes: dict[Offering, dict[float, float]] = {}
        self._series: dict[Offering, PriceSeries] = {}
        self._confirmed_at: dict[str, float] = {}
        self._wanted: dict[str, None] = {}
        self.first = asyncio.Event()
        self.trouble = ""

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering. See `ports.Market.facts`."""
        asked = tuple(offerings)
        for offering in asked:
            if len(self._wanted) < MAX_TYPES:
                self._wanted.setdefault(offering.instance_type)
        quotes = {offering: self._quote(offering, now) for offering in asked}
        age_s = now - max(self._confirmed_at.values(), default=-math.inf)
        return MarketFacts(
            quotes=quotes, inputs=(prices_health(quotes.values(), age_s, self._spot_max_age_s),)
        )

    def _quote(self, offering: Offering, now: float) -> SpotQuote:
        series = self._series_of(offering)
        at = series.index_at(now) if series is not None else -1
        if series is None or at < 0:
            return SpotQuote(offering=offering)
        age_s = now - self._confirmed_at.get(offering.instance_type, -math.inf)
        return SpotQuote(
            offering=offering,
            spot_usd_per_hour=float(series.prices[at]) if age_s <= self._spot_max_age_s else None,
            history_usd_per_hour=series.history(now),
            step_s=STEP_S,
            age_s=age_s,
            source=SOURCE,
        )

    def _series_of(self, offering: Offering) -> PriceSeries | None:
        changes = self._changes.get(offering)
        if changes is None:
            return None
        if offering not in self._series:
            kept = SpotChanges()
            for time in sorted(changes):
                kept.times.append(time)
                kept.prices.append(changes[time])
            self._series[offering] = PriceSeries(kept)
        return self._series[offering]

    def give_up(self, why: str) -> None:
        """Take note that nobody can be asked."""
        log.error("spot_prices.unread", extra={"error": why})
        self.trouble = why
        self.first.set()

    async def run(self, history: SpotPriceHistory, stop: asyncio.Event) -> None:
        """Ask until told to stop: for what is new at once, for the rest about once an hour."""
        again_at = -math.inf
        while not stop.is_set():
            now = self._clock.now()
            due = [t for t in self._wanted if now - self._known_at(t) >= EVERY_S]
            if due and now >= again_at:
                await self._ask(history, due, now)
                again_at = now + AGAIN_S if self.trouble else -math.inf
                self.first.set()
            await pause(stop, LOOK_S)

    def _known_at(self, instance_type: str) -> float:
        return self._confirmed_at.get(instance_type, -math.inf)

    async def _ask(self, history: SpotPriceHistory, types: Sequence[str], now: float) -> None:
        """Ask for new types a week back, for the others since their last answer."""
        known = [t for t in types if t in self._confirmed_at]
        new = [t for t in types if t not in self._confirmed_at]
        try:
            if new:
                await self._take(history, new, now - BACK_S)
            if known:
                since = min(self._confirmed_at[t] for t in known) - OVERLAP_S
                await self._take(history, known, since)
        except PriceSourceError as error:
            if not self.trouble:
                log.warning("spot_prices.unread", extra={"error": str(error)})
            self.trouble = str(error)
            return
        if self.trouble:
            log.info("spot_prices.read_again")
        self.trouble = ""

    async def _take(self, history: SpotPriceHistory, types: Sequence[str], start_at: float) -> None:
        asked_at = self._clock.now()

        async def request() -> list[SpotPriceRecord]:
            return await history.since(types, start_at)

        for record in await retried(request, RETRIES, self._rng):
            self._note(record)
        self._confirmed_at |= dict.fromkeys(types, asked_at)

    def _note(self, record: SpotPriceRecord) -> None:
        changes = self._changes.setdefault(record.offering, {})
        if changes.get(record.at) == record.usd_per_hour:
            return
        changes[record.at] = record.usd_per_hour
        if len(changes) > MAX_CHANGES:
            del changes[min(changes)]
        self._series.pop(record.offering, None)
