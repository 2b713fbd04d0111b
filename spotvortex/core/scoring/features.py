"""Numbers that a model reads, one row an offering.

Comes in: a quote and what the interruption memory knows. Goes out: `float32[n_offerings, n_names]`
in the order that the manifest names. Prices enter only relative to on-demand; the identity of a
pool or an offering never does. May not fill a gap with an invented figure: a missing value is NaN,
and the row's confidence says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.cloud.instance_types import generation_of, vcpus_of
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.types import Fallback, Offering, is_price

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingContext:
    """What is known of one offering when its features are built.

    From `held_hours` on they are read by the memory's own score, by decisions, and by a network
    that reads a trajectory, not by a model that reads rows.

    Attributes:
        offering: the instance type and zone.
        quote: its prices.
        hours_since_loss: hours since the last loss seen, or since the start of the oldest node held
            where none was seen.
        hazard_per_hour: the memory's posterior mean of losses per node-hour over whole lives, young
            hours included; a model that knows ages divides it by itself.
        held_hours: hours for which the offering has been held, 0 where it is not.
        is_survivor: the last loss left some nodes.
        level_per_hour: posterior mean of the hazard beyond 12 hours, None where the memory knows
            nothing.
        lost_hours: hours since the cluster's own last loss there, None where none was seen.
        refused_hours: hours since a launch there was last seen to fail, None where none was.
        exposure_hours: node-hours that the memory rests on, decayed.
        refused_ratio: share of the launches there that failed, decayed; None where none was seen.
    """

    offering: Offering
    quote: SpotQuote
    hours_since_loss: float
    hazard_per_hour: float
    held_hours: float = 0.0
    is_survivor: bool = False
    level_per_hour: float | None = None
    lost_hours: float | None = None
    refused_hours: float | None = None
    exposure_hours: float = 0.0
    refused_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingScore:
    """Calibrated probabilities for one offering, 0..1, higher = riskier.

    Attributes:
        offering: the instance type and zone.
        capacity_score: a launch fails now, or the offering is lost within 60 min; None without a
            finite score.
        runtime_score: a node running now is interrupted within 120 min; None without a finite
            score.
        in_scope: the model was made for the offering's instance family.
        n_history: points of the price history that the score could rest on.
        in_range: the features lie where the model was trained.
        from_memory: the interruption memory gave the scores.
        fallback: why it answered in the place of the graph that decides, NONE where it did not.
        risk_factor: by which a rebalance recommendation has raised the hazard, 1 without one.
    """

    offering: Offering
    capacity_score: float | None
    runtime_score: float | None
    in_scope: bool
    n_history: int = 0
    in_range: bool = True
    from_memory: bool = False
    fallback: Fallback = Fallback.NONE
    risk_factor: float = 1.0


def price_ratio(quote: SpotQuote) -> float:
    """Return spot / on-demand, or NaN where either is unknown or no price."""
    spot, on_demand = quote.spot_usd_per_hour, quote.on_demand_usd_per_hour
    if spot is None or on_demand is None:
        return math.nan
    return spot / on_demand if is_price(spot) and is_price(on_demand) else math.nan


def price_change(quote: SpotQuote, hours: float) -> float:
    """Return the relative change of the spot price over the last hours, NaN where not covered."""
    history = quote.history_usd_per_hour
    span_s = hours * 3600.0
    if not 1.0 <= quote.step_s <= span_s:
        return math.nan
    steps = round(span_s / quote.step_s)
    if len(history) <= steps or not history[-1 - steps] > 0.0:
        return math.nan
    return history[-1] / history[-1 - steps] - 1.0


BUILDERS: Final[Mapping[str, Callable[[OfferingContext], float]]] = {
    "hours_since_loss": lambda c: c.hours_since_loss,
    "hazard_per_hour": lambda c: c.hazard_per_hour,
    "price_ratio": lambda c: price_ratio(c.quote),
    "price_change_24h_ratio": lambda c: price_change(c.quote, 24.0),
    "price_change_7d_ratio": lambda c: price_change(c.quote, 168.0),
    "log2_vcpus": lambda c: math.log2(max(vcpus_of(c.offering.instance_type), 0.125)),
    "generation": lambda c: float(generation_of(c.offering.instance_type)),
}
"""Every feature that a v2 manifest may name."""


def unknown_features(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names for which there is no builder."""
    return tuple(name for name in names if name not in BUILDERS)


def build_matrix(names: Sequence[str], contexts: Sequence[OfferingContext]) -> Matrix:
    """Build the model's input.

    Args:
        names: feature names in the order of the manifest, all in `BUILDERS`.
        contexts: one entry an offering.

    Returns:
        `float32[len(contexts), len(names)]`; NaN where a value is unknown.
    """
    rows = [[BUILDERS[name](context) for name in names] for context in contexts]
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        return np.asarray(rows, dtype=np.float32).reshape(len(contexts), len(names))
