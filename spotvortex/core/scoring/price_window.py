"""The price window that a bundle of the v1 contract reads, one an offering.

Comes in: quotes, or price curves to try a model with. Goes out: `float32[n, 12, 10]`, two hours in
steps of ten minutes. Prices are raw dollars an hour, as that contract has them. May not invent a
price: where one of the two is unknown, or is no price, the whole window is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.scoring.features import OfferingContext, price_ratio

N_STEPS: Final = 12
"""Steps of a window, ten minutes each."""

WINDOW_S: Final = 7200.0
MAX_POINTS: Final = 24
"""Most points of the last two hours that the contract looks at; of 24 it takes every second one."""

COLUMNS: Final = (
    "spot_usd_per_hour",
    "on_demand_usd_per_hour",
    "spot_one_step_before",
    "spot_three_steps_before",
    "spot_sample_deviation",
    "hour_of_day_over_24",
    "weekday_over_7",
    "weekend",
    "step_relative_to_now",
    "n_steps",
)

_DAY_S: Final = 86_400.0
_EPOCH_WEEKDAY: Final = 4  # 1970-01-01 was a Thursday; Sunday is 0

Windows = NDArray[np.float32]
Prices = NDArray[np.float64]


def windows(contexts: Sequence[OfferingContext], at: float) -> Windows:
    """Build the windows of some offerings.

    Args:
        contexts: one entry an offering.
        at: now, seconds since the epoch.

    Returns:
        `float32[len(contexts), 12, 10]`.
    """
    spot = np.asarray([spot_steps(c.quote) for c in contexts], dtype=np.float64)
    on_demand = [c.quote.on_demand_usd_per_hour or math.nan for c in contexts]
    return windows_of(spot.reshape(len(contexts), N_STEPS), np.asarray(on_demand), at)


def spot_steps(quote: SpotQuote) -> list[float]:
    """Return twelve spot prices, oldest first, filled up on the left with the price of now."""
    if math.isnan(price_ratio(quote)) or quote.spot_usd_per_hour is None:
        return [math.nan] * N_STEPS
    known = _last_two_hours(quote) or [quote.spot_usd_per_hour]
    return [quote.spot_usd_per_hour] * (N_STEPS - len(known)) + known


def _last_two_hours(quote: SpotQuote) -> list[float]:
    """Return at most twelve points: every second of 24, else the last twelve, else all."""
    if not 1.0 <= quote.step_s <= WINDOW_S:
        return []
    n_points = min(MAX_POINTS, round(WINDOW_S / quote.step_s))
    points = list(quote.history_usd_per_hour[-n_points:])
    return points[1::2] if len(points) == MAX_POINTS else points[-N_STEPS:]


def windows_of(spot: Prices, on_demand: Prices, at: float) -> Windows:
    """Build windows from price curves.

    Args:
        spot: `float64[n, 12]` in USD/h, oldest first.
        on_demand: `float64[n]` in USD/h.
        at: now, seconds since the epoch; hour and weekday are those of UTC.

    Returns:
        `float32[n, 12, 10]` with the columns of `COLUMNS`; all NaN where a price is no price.
    """
    known = _is_price(spot).all(axis=1) & _is_price(on_demand)
    spot = np.where(known[:, None], spot, np.nan)
    made = np.empty((len(spot), N_STEPS, len(COLUMNS)))
    made[:, :, 0] = spot
    made[:, :, 1] = on_demand[:, None]
    made[:, :, 2] = _before(spot, 1)
    made[:, :, 3] = _before(spot, 3)
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes infinite
        made[:, :, 4] = _deviation(spot)
        made[:, :, 5:8] = _moment(at)
        made[:, :, 8] = np.arange(N_STEPS) - (N_STEPS - 1)
        made[:, :, 9] = float(N_STEPS)
        made[~known] = np.nan
        return made.astype(np.float32)


def _is_price(values: Prices) -> NDArray[np.bool_]:
    verdict: NDArray[np.bool_] = (values > 0.0) & (values < np.inf)
    return verdict


def _before(spot: Prices, n_steps: int) -> Prices:
    """Return each price so many steps earlier, or itself where the window does not reach."""
    earlier = spot.copy()
    earlier[:, n_steps:] = spot[:, :-n_steps]
    return earlier


def _deviation(spot: Prices) -> Prices:
    """Return the sample standard deviation from the window's start to each step, 0 at the first."""
    made = np.zeros_like(spot)
    for step in range(1, N_STEPS):
        made[:, step] = np.std(spot[:, : step + 1], axis=1, ddof=1)
    return made


def _moment(at: float) -> tuple[float, float, float]:
    """Return hour/24, weekday/7 (Sunday 0) and whether it is a weekend."""
    hour = at % _DAY_S // 3600.0
    weekday = (at // _DAY_S + _EPOCH_WEEKDAY) % 7.0
    return hour / 24.0, weekday / 7.0, float(weekday in (0.0, 6.0))
