"""On-demand prices where no provider gives any.

Comes in: the table that ships with the product (`on_demand_us_east_1.json`: date, source, currency
and region inside), and another market. Goes out: quotes in which a figure of the table is marked.
May not give a spot price, nor an on-demand price for a region that the table was not made for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from importlib import resources
from typing import Final

import msgspec

from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.market.health import SPOT_MAX_AGE_S, prices_health
from spotvortex.ports.market import Market

TABLE_NAME: Final = "on_demand_us_east_1.json"


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


def shipped_table() -> PriceTable:
    """Return the table that ships with the product."""
    raw = resources.files("spotvortex.market").joinpath(TABLE_NAME).read_bytes()
    return msgspec.json.decode(raw, type=PriceTable)


class LastResortMarket:
    """Implements `ports.Market` from the shipped table: on-demand only, one region only."""

    def __init__(self, table: PriceTable | None = None) -> None:
        self._table = table or shipped_table()
        self.source = f"shipped table of {self._table.date}"

    def on_demand_usd_per_hour(self, offering: Offering) -> float | None:
        """Return the on-demand price of an offering, None where the table does not know it."""
        if region_of(offering.zone) != self._table.region:
            return None
        return self._table.prices.get(offering.instance_type)

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:  # noqa: ARG002
        """Return a quote for every offering; the table does not depend on the time."""
        quotes = {o: self.lend(SpotQuote(offering=o)) for o in offerings}
        health = prices_health(quotes.values(), math.inf)
        return MarketFacts(quotes=quotes, inputs=(health,))

    def lend(self, quote: SpotQuote) -> SpotQuote:
        """Return a quote with its missing on-demand price filled in and marked, if it is known."""
        if quote.on_demand_usd_per_hour is not None:
            return quote
        price = self.on_demand_usd_per_hour(quote.offering)
        if price is None:
            return quote
        source = self.source if quote.source == "none" else f"{quote.source}; {self.source}"
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
