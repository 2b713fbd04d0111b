"""Prices from a recorded file.

Comes in: a price file, read once at start. Goes out: quotes as of any instant, with the history
that was known by then. May not look beyond that instant: a record with a later time does not exist
yet, so that a replay sees what a live run would have seen.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.market.health import SPOT_MAX_AGE_S, prices_health
from spotvortex.market.price_file import PriceRecords, read_price_file
from spotvortex.market.price_series import STEP_S, PriceSeries

log = logging.getLogger(__name__)


class RecordedMarket:
    """Implements `ports.Market` from price records."""

    def __init__(
        self, records: PriceRecords, *, source: str, spot_max_age_s: float = SPOT_MAX_AGE_S
    ) -> None:
        self._series = {offering: PriceSeries(c) for offering, c in records.spot.items()}
        self._on_demand = records.on_demand
        self._times = _all_times(records)
        self._source = source
        self._spot_max_age_s = spot_max_age_s

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering. See `ports.Market.facts`."""
        quotes = {offering: self._quote(offering, now) for offering in offerings}
        health = prices_health(quotes.values(), self._age_s(now), self._spot_max_age_s)
        return MarketFacts(quotes=quotes, inputs=(health,))

    def _quote(self, offering: Offering, now: float) -> SpotQuote:
        key = (offering.instance_type, region_of(offering.zone))
        on_demand = self._on_demand.get(key)
        series = self._series.get(offering)
        at = series.index_at(now) if series else -1
        if series is None or at < 0:
            source = "none" if on_demand is None else self._source
            return SpotQuote(offering=offering, on_demand_usd_per_hour=on_demand, source=source)
        age_s = now - float(series.times[at])
        is_fresh = age_s <= self._spot_max_age_s
        return SpotQuote(
            offering=offering,
            spot_usd_per_hour=float(series.prices[at]) if is_fresh else None,
            on_demand_usd_per_hour=on_demand,
            history_usd_per_hour=series.history(now),
            step_s=STEP_S,
            age_s=age_s,
            source=self._source,
        )

    def _age_s(self, now: float) -> float:
        """Return the time since the newest record of the whole file that is not in the future."""
        at = int(np.searchsorted(self._times, now, side="right")) - 1
        return now - float(self._times[at]) if at >= 0 else math.inf


def load_recorded(path: Path, spot_max_age_s: float = SPOT_MAX_AGE_S) -> RecordedMarket:
    """Read a price file and serve it.

    Raises:
        PriceFileError: the file cannot be read.
    """
    records = read_price_file(path)
    log.info(
        "prices.loaded",
        extra={
            "file": path.name,
            "n_offerings": len(records.spot),
            "n_on_demand": len(records.on_demand),
            "n_ignored": records.n_ignored,
        },
    )
    return RecordedMarket(records, source=f"recorded:{path.name}", spot_max_age_s=spot_max_age_s)


def _all_times(records: PriceRecords) -> NDArray[np.float64]:
    """Return the times of all spot records, sorted."""
    parts = [np.array(changes.times) for changes in records.spot.values()]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0)
