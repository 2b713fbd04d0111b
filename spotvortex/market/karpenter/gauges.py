"""Prices and capacity as Karpenter sees them, as a source among others.

Comes in: scrapes, each with its time, and price changes of the past. Goes out: quotes with their
age, and what launches have shown. Karpenter renews its prices every 12 hours and never says when,
so that a price is as old as the last scrape in which any Spot price had changed, and one that is no
longer served as old as the last scrape that had it. May not take for capacity what changes for a
whole zone at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from spotvortex.core.domain.cloud.launches import LaunchFacts
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.market.health import SPOT_MAX_AGE_S, prices_health
from spotvortex.market.karpenter.exposition import Scrape
from spotvortex.market.price_file import SpotChanges
from spotvortex.market.price_series import STEP_S, PriceSeries

log = logging.getLogger(__name__)

SOURCE: Final = "karpenter"
SOURCE_OF_HISTORY: Final = "karpenter, by Prometheus"
"""What the source is called where only its past has been read."""

RENEWED_EVERY_S: Final = 12 * 3600.0
"""How often Karpenter asks for prices; at the first scrape they are taken to be as old."""

MAX_GAP_S: Final = 600.0
"""After a longer gap between two scrapes nothing is learned of capacity."""

FALL_KEPT_S: Final = 900.0
MAX_CHANGES: Final = 256
"""Price changes kept of an offering: two a day live, and those of a week's history."""

MAX_INTERRUPTIONS: Final = 64
MOST_OF_A_ZONE: Final = 0.5
FEW: Final = 20
"""More than this share of a zone, and more than so few, never fall by launches alone: one launch
names 60 types at most. A zone that is shifted away from, or a changed EC2NodeClass, does it."""


Change = tuple[float, float]
"""The wall time from which a price holds, and the price in USD per hour."""


def _series(changes: Sequence[Change]) -> PriceSeries:
    made = SpotChanges()
    for at, price in changes:
        made.times.append(at)
        made.prices.append(price)
    return PriceSeries(made)


class KarpenterMarket:
    """Implements `ports.Market` from Karpenter's gauges.

    Attributes:
        asked: the offerings that were asked for last: those in use.
        was_asked: set once there are any.
    """

    def __init__(self, spot_max_age_s: float = SPOT_MAX_AGE_S) -> None:
        self._spot_max_age_s = spot_max_age_s
        self.asked: frozenset[Offering] = frozenset()
        self.was_asked = asyncio.Event()
        self._last = Scrape()
        self._last_at = self._renewed_at = -math.inf
        self._changes: dict[Offering, list[Change]] = {}
        self._series: dict[Offering, PriceSeries] = {}
        self._on_demand: dict[Offering, float] = {}
        self._served_at: dict[Offering, float] = {}
        self._falls: dict[Offering, float] = {}
        self._interrupted: deque[float] = deque(maxlen=MAX_INTERRUPTIONS)

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering. See `ports.Market.facts`."""
        self.asked = frozenset(offerings)
        if self.asked:
            self.was_asked.set()
        quotes = {offering: self._quote(offering, now) for offering in sorted(self.asked)}
        age_s = now - self._renewed_at
        launches = LaunchFacts(
            falls={o: at for o, at in self._falls.items() if now - at <= FALL_KEPT_S},
            interrupted_at=tuple(self._interrupted),
        )
        health = prices_health(quotes.values(), age_s, self._spot_max_age_s)
        return MarketFacts(quotes=quotes, inputs=(health,), launches=launches)

    def _quote(self, offering: Offering, now: float) -> SpotQuote:
        on_demand = self._on_demand.get(offering)
        if offering not in self._changes:
            source = "none" if on_demand is None else self._source
            return SpotQuote(offering=offering, on_demand_usd_per_hour=on_demand, source=source)
        if offering not in self._series:
            self._series[offering] = _series(self._changes[offering])
        series = self._series[offering]
        age_s = now - min(self._renewed_at, self._served_at.get(offering, math.inf))
        at = series.index_at(now)
        is_fresh = at >= 0 and age_s <= self._spot_max_age_s
        return SpotQuote(
            offering=offering,
            spot_usd_per_hour=float(series.prices[at]) if is_fresh else None,
            on_demand_usd_per_hour=on_demand,
            history_usd_per_hour=series.history(now) if at >= 0 else (),
            step_s=STEP_S,
            age_s=age_s,
            source=self._source,
        )

    @property
    def _source(self) -> str:
        return SOURCE if math.isfinite(self._last_at) else SOURCE_OF_HISTORY

    def take(self, scrape: Scrape, at: float) -> None:
        """Take one scrape in: prices, and what has changed since the one before."""
        is_first = not math.isfinite(self._last_at)
        if is_first:
            self._renewed_at = max(self._renewed_at, at - RENEWED_EVERY_S)
        elif scrape.price_digest != self._last.price_digest:
            self._renewed_at = at
        if is_first or scrape.price_digest != self._last.price_digest:
            for offering, price in scrape.spot.items():
                self._note(offering, price, at)
        self._on_demand |= scrape.on_demand
        self._served_at |= dict.fromkeys(scrape.spot, at)
        self._compare(scrape, at)
        self._last, self._last_at = scrape, at

    def take_history(
        self,
        spot: Mapping[Offering, SpotChanges],
        on_demand: Mapping[Offering, float],
        renewed_at: float,
    ) -> None:
        """Take price changes of the past in; those seen live go on after them.

        Args:
            spot: changes by offering, rising in time.
            on_demand: prices in USD per hour, where none was seen live.
            renewed_at: wall time at which any Spot price had last changed.
        """
        self._renewed_at = max(self._renewed_at, renewed_at)
        self._on_demand = dict(on_demand) | self._on_demand
        for offering, past in spot.items():
            live = self._changes.get(offering, [])
            first = live[0][0] if live else math.inf
            kept = [(t, p) for t, p in zip(past.times, past.prices, strict=True) if t < first]
            self._served_at.setdefault(offering, renewed_at)
            if kept:
                self._changes[offering] = [*kept, *live]
                self._series.pop(offering, None)

    def _note(self, offering: Offering, price: float, at: float) -> None:
        changes = self._changes.get(offering)
        if changes is None:
            self._changes[offering] = [(at, price)]
        elif changes[-1][1] != price:
            changes.append((at, price))
            del changes[:-MAX_CHANGES]
            self._series.pop(offering, None)

    def _compare(self, scrape: Scrape, at: float) -> None:
        """Find what fell since the last scrape, if that was of the same process, and near."""
        last = self._last
        self._falls = {o: t for o, t in self._falls.items() if at - t <= FALL_KEPT_S}
        if at - self._last_at > MAX_GAP_S:
            return
        is_same = scrape.started_at == last.started_at
        before = (last.n_interrupted or 0.0) if is_same else 0.0
        if (scrape.n_interrupted or 0.0) > before:
            self._interrupted.append(at)
        if not is_same:
            return
        was = {offering for offering, is_there in last.available.items() if is_there}
        fell = [o for o, is_there in scrape.available.items() if not is_there and o in was]
        by_zone, fell_by_zone = Counter(o.zone for o in was), Counter(o.zone for o in fell)
        whole = {z for z, n in fell_by_zone.items() if n > max(FEW, MOST_OF_A_ZONE * by_zone[z])}
        if whole:
            log.warning("karpenter.zone_unavailable", extra={"zones": " ".join(sorted(whole))})
        self._falls |= dict.fromkeys((o for o in fell if o.zone not in whole), at)
