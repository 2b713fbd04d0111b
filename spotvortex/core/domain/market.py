"""Prices at one instant: quotes by offering, and how old they are.

Comes in: rows made by a market. Goes out: the same rows. May not judge what a price is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spotvortex.core.domain.cloud.commitments import UNSTATED, Commitments
from spotvortex.core.domain.cloud.launches import NO_LAUNCHES, LaunchFacts
from spotvortex.core.domain.cloud.signals import NO_SIGNALS, MarketSignals
from spotvortex.core.domain.inputs import InputHealth
from spotvortex.core.domain.types import Offering


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotQuote:
    """What is known of the price of one offering at one instant.

    Attributes:
        offering: the instance type and zone.
        spot_usd_per_hour: the Spot price, None where it is unknown; never zero.
        on_demand_usd_per_hour: the on-demand price, None where it is unknown; never zero.
        history_usd_per_hour: time-weighted mean Spot prices on a regular grid, oldest first, only
            for the time that records really cover: its length is the number of true points.
        step_s: seconds between two points of the history.
        age_s: seconds since the last record, infinite without one; a finite age without a price
            means that the record is too old to be used.
        source: the provider of the figures.
        last_resort: the figures are from the table that ships with the product.
    """

    offering: Offering
    spot_usd_per_hour: float | None = None
    on_demand_usd_per_hour: float | None = None
    history_usd_per_hour: tuple[float, ...] = ()
    step_s: float = 600.0
    age_s: float = float("inf")
    source: str = "none"
    last_resort: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFacts:
    """Quotes by offering, with the health of the provider.

    Attributes:
        quotes: what is known of each price; an offering may be missing.
        inputs: the health of the provider of prices.
        launches: what a provisioner's launches have shown of capacity, beside prices.
        commitments: what the account pays for whether it is used or not.
        signals: what AWS says of capacity, beside prices.
    """

    quotes: Mapping[Offering, SpotQuote] = field(default_factory=dict)
    inputs: tuple[InputHealth, ...] = ()
    launches: LaunchFacts = NO_LAUNCHES
    commitments: Commitments = UNSTATED
    signals: MarketSignals = NO_SIGNALS
