"""Recorded prices as provisioner, ledger and controller ask for them.

Comes in: the records of a price file. Goes out: a `PricedMarket`: to the controller exactly what
the recorded market shows, to the others the price of any second. May not make up a Spot price: an
offering has none before its first record. On-demand prices that the file lacks are those of the
shipped table.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable

import numpy as np

from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.types import Offering
from spotvortex.market.price_file import PriceRecords, SpotChanges
from spotvortex.market.recorded import RecordedMarket
from spotvortex.sim.market.instance_types import instance_type_of

MAX_AGE_S = 10.0 * 86_400.0
"""Prices of 2021 changed every six hours in the median, but some stood still for weeks: for a
backtest the last one holds."""


class ReplayMarket:
    """Implements `PricedMarket` from price records."""

    def __init__(self, records: PriceRecords, source: str) -> None:
        self._shown = RecordedMarket(records, source=source, spot_max_age_s=MAX_AGE_S)
        self._on_demand = records.on_demand
        self._tracks = {o: _Track(c) for o, c in records.spot.items() if len(c.times)}

    @property
    def offerings(self) -> tuple[Offering, ...]:
        """Those that have a price at some time, sorted."""
        return tuple(sorted(self._tracks))

    def span(self) -> tuple[float, float]:
        """Return when the first record begins and the last one does, seconds since the epoch."""
        tracks = self._tracks.values()
        return min(t.times[0] for t in tracks), max(t.times[-1] for t in tracks)

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return what the recorded market shows at a time."""
        return self._shown.facts(offerings, now)

    def spot_usd_per_hour(self, offering: Offering, now: float) -> float:
        """Return the price at a time, infinite before the first record."""
        track = self._tracks.get(offering)
        return math.inf if track is None else track.at(now)

    def on_demand_usd_per_hour(self, offering: Offering) -> float:
        """Return the list price."""
        key = (offering.instance_type, region_of(offering.zone))
        price = self._on_demand.get(key)
        return (
            instance_type_of(offering.instance_type).on_demand_usd_per_hour
            if price is None
            else price
        )

    def spot_usd(self, offering: Offering, since: float, until: float) -> float:
        """Return what one Spot node costs from a time to another, in USD."""
        return self._tracks[offering].usd(since, until)


class _Track:
    """The prices of one offering in force over time, with their running integral."""

    def __init__(self, changes: SpotChanges) -> None:
        times, prices = np.array(changes.times), np.array(changes.prices)
        order = np.lexsort((prices, times))
        self.times: list[float] = times[order].tolist()
        self._prices: list[float] = prices[order].tolist()
        steps = np.diff(times[order]) * prices[order][:-1]
        self._paid: list[float] = [0.0, *np.cumsum(steps).tolist()]

    def at(self, now: float) -> float:
        """Return the price in force."""
        index = self._index(now)
        return self._prices[index] if index >= 0 else math.inf

    def usd(self, since: float, until: float) -> float:
        """Return the integral of the price in USD; before the first record that one counts."""
        return (self._until(until) - self._until(since)) / 3600.0

    def _until(self, at: float) -> float:
        index = max(0, self._index(at))
        return self._paid[index] + self._prices[index] * (at - self.times[index])

    def _index(self, at: float) -> int:
        return bisect_right(self.times, at) - 1
