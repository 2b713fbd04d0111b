"""On-demand prices where no provider gives any.

Comes in: the tables that ship with the product (`on_demand_us_east_1.json`: date, source, currency
and region inside; one file a region, see `scripts/price_table/fetch.py`), and another market. Goes
out: quotes in which a figure of a table is marked. May not give a spot price, nor an on-demand
price for a region that no table was made for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from importlib import resources
from typing import Final

import msgspec

from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.market.health import SPOT_MAX_AGE_S, prices_health
from spotvortex.ports.market import Market

HOME: Final = "us-east-1"
"""The region whose table always ships."""

MAX_REGIONS: Final = 64
"""Tables that are kept at hand."""


class PriceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On-demand prices of one region at one date.

    Attributes:
        date: the day of the prices.
        source: where they were taken from.
        currency: the currency of the prices.
        unit: what one price pays for.
        region: the only region that they are true of.
        prices: price by instance type.
    """

    date: str
    source: str
    currency: str
    unit: str
    region: str
    prices: dict[str, float]


def name_of(region: str) -> str:
    """Return the name of the file that holds a region's table."""
    return f"on_demand_{region.replace('-', '_')}.json"


@cache
def shipped_names() -> frozenset[str]:
    """Return the names of the files that ship with the product."""
    files = resources.files("spotvortex.market").iterdir()
    return frozenset(f.name for f in files if f.name.startswith("on_demand_"))


def home_table() -> PriceTable:
    """Return the table of `HOME`."""
    table = shipped_table(HOME)
    assert table is not None
    return table


def shipped_table(region: str) -> PriceTable | None:
    """Return the table of a region that ships with the product, None where none does."""
    name = name_of(region)
    # IMPORTANT: the region is what a node's label says; nothing is opened that is not listed.
    if name not in shipped_names():
        return None
    raw = resources.files("spotvortex.market").joinpath(name).read_bytes()
    table = msgspec.json.decode(raw, type=PriceTable)
    return table if table.region == region else None


class LastResortMarket:
    """Implements `ports.Market` from the shipped tables: on-demand only."""

    def __init__(self, table_of: Callable[[str], PriceTable | None] = shipped_table) -> None:
        """Take what gives the table of a region; each is asked for once, when it is needed."""
        self._table_of = lru_cache(maxsize=MAX_REGIONS)(table_of)

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:  # noqa: ARG002
        """Return a quote for every offering; a table does not depend on the time."""
        quotes = {o: self.lend(SpotQuote(offering=o)) for o in offerings}
        health = prices_health(quotes.values(), math.inf)
        return MarketFacts(quotes=quotes, inputs=(health,))

    def lend(self, quote: SpotQuote) -> SpotQuote:
        """Return a quote with its missing on-demand price filled in and marked, if it is known."""
        if quote.on_demand_usd_per_hour is not None:
            return quote
        table = self._table_of(region_of(quote.offering.zone))
        price = table.prices.get(quote.offering.instance_type) if table else None
        if table is None or price is None:
            return quote
        shipped = f"shipped table of {table.date}"
        source = shipped if quote.source == "none" else f"{quote.source}; {shipped}"
        return dataclasses.replace(
            quote, on_demand_usd_per_hour=price, source=source, last_resort=True
        )


class LayeredMarket:
    """Implements `ports.Market`: what was recorded, then on-demand prices of last resort."""

    def __init__(
        self,
        recorded: Market,
        last_resort: LastResortMarket,
        spot_max_age_s: float = SPOT_MAX_AGE_S,
    ) -> None:
        self._recorded = recorded
        self._last_resort = last_resort
        self._spot_max_age_s = spot_max_age_s

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering. See `ports.Market.facts`."""
        recorded = self._recorded.facts(offerings, now)
        quotes = {o: self._last_resort.lend(quote) for o, quote in recorded.quotes.items()}
        (health,) = recorded.inputs
        judged = prices_health(quotes.values(), health.age_s, self._spot_max_age_s)
        return MarketFacts(quotes=quotes, inputs=(judged,), launches=recorded.launches)
