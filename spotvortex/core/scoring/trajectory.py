"""The trajectory that a sequence model reads, one an offering: the day behind, two hours ahead.

Comes in: what is known of an offering now. Goes out: `float32[n_offerings, 24, 16]`. The first
twelve steps lie in the last 24 hours, closer together the nearer they are; the other twelve are the
ten minutes each that a score speaks of, and hold what is known of them beforehand: how old the
offering will be if it is held and not lost. May not invent a figure: what is unknown is NaN, and
the network has to live with it. Nothing tells offerings, pools or families apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.cloud.instance_types import generation_of, vcpus_of
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.scoring.features import OfferingContext, price_ratio
from spotvortex.core.scoring.hazard import Age, integrals, multiple

PAST_HOURS: Final = (-24.0, -18.0, -12.0, -9.0, -6.0, -4.5, -3.0, -2.0, -1.5, -1.0, -0.5, 0.0)
"""Where the steps behind lie, from now."""

AHEAD_HOURS: Final = tuple((k + 1) / 6.0 for k in range(12))
"""Where the steps ahead end, from now; each begins where the one before ends."""

N_PAST: Final = len(PAST_HOURS)
N_STEPS: Final = N_PAST + len(AHEAD_HOURS)

COLUMNS: Final = (
    "price_ratio",
    "price_over_price_now",
    "step_hours",
    "held",
    "log_held_hours",
    "log_hours_since_loss",
    "log_hazard_multiple",
    "log_level_per_hour",
    "log_hazard_per_hour",
    "log_exposure_hours",
    "is_survivor",
    "log_hours_since_loss_now",
    "refused_ratio",
    "log_hours_since_refusal",
    "log2_vcpus",
    "generation",
)
"""Columns 0 and 1 are seen in the past only, 2 to 6 are known ahead too, the others stand still.
`log_...` of hours is ln(1 + hours), of rates ln(rate)."""

N_OBSERVED: Final = 2
N_KNOWN: Final = 5

LEAST_RATE: Final = 1e-9

Trajectories = NDArray[np.float32]


def trajectories(contexts: Sequence[OfferingContext]) -> Trajectories:
    """Build the input of a sequence model.

    Args:
        contexts: one entry an offering.

    Returns:
        `float32[len(contexts), 24, 16]` with the columns of `COLUMNS`; NaN where a value is
        unknown.
    """
    made = np.empty((len(contexts), N_STEPS, len(COLUMNS)), dtype=np.float64)
    for place, context in enumerate(contexts):
        made[place, :, :N_OBSERVED] = _prices(context.quote)
        made[place, :, N_OBSERVED : N_OBSERVED + N_KNOWN] = _ages(context)
        made[place, :, N_OBSERVED + N_KNOWN :] = _facts(context)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        return made.astype(np.float32)


def _prices(quote: SpotQuote) -> NDArray[np.float64]:
    """Return price ratio, and price relative to now, at each step; NaN ahead and where unknown."""
    found = np.full((N_STEPS, N_OBSERVED), math.nan)
    now = price_ratio(quote)
    spot, on_demand = quote.spot_usd_per_hour, quote.on_demand_usd_per_hour
    if math.isnan(now) or spot is None or on_demand is None:
        return found
    history = quote.history_usd_per_hour
    for step, hours in enumerate(PAST_HOURS[:-1]):
        back = round(-hours * 3600.0 / quote.step_s) if quote.step_s >= 1.0 else 0
        if 0 < back < len(history):
            price = history[-1 - back]
            found[step] = price / on_demand, price / spot - 1.0
    found[N_PAST - 1] = now, 0.0
    return found


def _ages(context: OfferingContext) -> NDArray[np.float64]:
    """Return what is known of the offering's age at each step; NaN before its last loss."""
    rows = [_past(context, hours) for hours in PAST_HOURS]
    age = Age(
        held_hours=context.held_hours,
        since_loss_hours=context.hours_since_loss,
        is_survivor=context.is_survivor,
    )
    sums = (0.0, *integrals(age, AHEAD_HOURS))
    for step, hours in enumerate(AHEAD_HOURS):
        later = age.later(hours)
        mean = (sums[step + 1] - sums[step]) / (hours - (AHEAD_HOURS[step - 1] if step else 0.0))
        ages = math.log1p(later.held_hours), math.log1p(later.since_loss_hours)
        rows.append((hours, 1.0, *ages, math.log(mean)))
    return np.asarray(rows)


def _past(context: OfferingContext, hours: float) -> tuple[float, ...]:
    """Return one step behind: what was held then, and how old it was."""
    held, since = context.held_hours + hours, context.hours_since_loss + hours
    was_held = context.held_hours > 0.0 and held >= 0.0
    if since < 0.0:
        return hours, float(was_held), math.nan, math.nan, math.nan
    age = Age(held_hours=max(0.0, held), since_loss_hours=since, is_survivor=context.is_survivor)
    return (
        hours,
        float(was_held),
        math.log1p(age.held_hours),
        math.log1p(since),
        math.log(multiple(age)),
    )


def _facts(context: OfferingContext) -> tuple[float, ...]:
    """Return what stands still over the trajectory."""
    refused = context.refused_hours
    return (
        math.nan if context.level_per_hour is None else _log_rate(context.level_per_hour),
        _log_rate(context.hazard_per_hour),
        math.log1p(context.exposure_hours),
        float(context.is_survivor),
        math.log1p(context.hours_since_loss),
        math.nan if context.refused_ratio is None else context.refused_ratio,
        math.nan if refused is None else math.log1p(refused),
        math.log2(max(vcpus_of(context.offering.instance_type), 0.125)),
        float(generation_of(context.offering.instance_type)),
    )


def _log_rate(per_hour: float) -> float:
    return math.log(max(per_hour, LEAST_RATE))
