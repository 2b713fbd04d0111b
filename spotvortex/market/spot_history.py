"""Spot prices from a history that is asked for the types in use, about once an hour.

Comes in: changes of prices since the last answer. Goes out: quotes. A price stays in force until
its next change, so every price is as old as the last whole answer about its type. On-demand prices
are another source's. May not know whom it asks.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence, Set
from functools import partial
from random import Random
from typing import Final

from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.market.asked_types import AskedTypes
from spotvortex.market.health import SPOT_MAX_AGE_S, prices_health
from spotvortex.market.price_file import SpotChanges
from spotvortex.market.price_series import STEP_S, PriceSeries
from spotvortex.ports.cluster import WallClock
from spotvortex.ports.prices import SpotPriceHistory, SpotPriceRecord

SOURCE: Final = "aws"
EVERY_S: Final = 3600.0
"""Time between two answers about a type; Spot prices move about every six hours."""

BACK_S: Final = 7 * 24 * 3600.0
"""How far back a type is first asked about: what a model reads."""

OVERLAP_S: Final = 900.0
"""A change may be told a little after it was made."""

A_BREATH: Final = 50
"""Histories made between two breaths of the loop, some 10 ms."""

MAX_CHANGES: Final = 512
"""Price changes kept of an offering; a week has some thirty."""


class SpotHistoryMarket(AskedTypes):
    """Implements `ports.Market` from recorded changes; `run` has to be running."""

    def __init__(
        self, clock: WallClock, rng: Random, spot_max_age_s: float = SPOT_MAX_AGE_S
    ) -> None:
        super().__init__("spot_prices", EVERY_S, clock, rng)
        self._spot_max_age_s = spot_max_age_s
        self._asked: frozenset[Offering] = frozenset()
        self._changes: dict[Offering, dict[float, float]] = {}
        self._series: dict[Offering, PriceSeries] = {}

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering. See `ports.Market.facts`."""
        asked = tuple(offerings)
        self._asked = frozenset(asked)
        for offering in asked:
            self.want(offering.instance_type)
        quotes = {offering: self._quote(offering, now) for offering in asked}
        age_s = now - max(self.known_at.values(), default=-math.inf)
        return MarketFacts(
            quotes=quotes, inputs=(prices_health(quotes.values(), age_s, self._spot_max_age_s),)
        )

    def _quote(self, offering: Offering, now: float) -> SpotQuote:
        series = self._series_of(offering)
        at = series.index_at(now) if series is not None else -1
        if series is None or at < 0:
            return SpotQuote(offering=offering)
        age_s = now - self.known_at.get(offering.instance_type, -math.inf)
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

    async def run(self, history: SpotPriceHistory, stop: asyncio.Event) -> None:
        """Ask until told to stop: for what is new at once, for the rest about once an hour."""
        await self.keep(partial(self._ask, history), stop)

    async def _ask(self, history: SpotPriceHistory, types: Sequence[str]) -> None:
        """Ask for new types a week back, for the others since their last answer."""
        known = [t for t in types if t in self.known_at]
        new = [t for t in types if t not in self.known_at]
        if new:
            await self.take(history, new, self._clock.now() - BACK_S)
        if known:
            since = min(self.known_at[t] for t in known) - OVERLAP_S
            await self.take(history, known, since)

    async def take(self, history: SpotPriceHistory, types: Sequence[str], start_at: float) -> None:
        """Ask about some types since an instant, and take in what has changed.

        Raises:
            PriceSourceError: it could not be had.
        """
        asked_at = self._clock.now()
        records = await self.patiently(partial(history.since, types, start_at))
        for record in records:
            self._note(record)
        self.known_at |= dict.fromkeys(types, asked_at)
        await self._prepare({record.offering for record in records} & self._asked)

    async def _prepare(self, changed: Set[Offering]) -> None:
        """Make the histories that have changed with breaths for the loop, not at the next look."""
        now = self._clock.now()
        for i, offering in enumerate(sorted(changed)):
            series = self._series_of(offering)
            if series is not None and series.index_at(now) >= 0:
                series.history(now)
            if i % A_BREATH == A_BREATH - 1:
                await asyncio.sleep(0)

    def _note(self, record: SpotPriceRecord) -> None:
        changes = self._changes.setdefault(record.offering, {})
        if changes.get(record.at) == record.usd_per_hour:
            return
        changes[record.at] = record.usd_per_hour
        if len(changes) > MAX_CHANGES:
            del changes[min(changes)]
        self._series.pop(record.offering, None)
