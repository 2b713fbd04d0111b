"""The shape of the hazard: how it falls with the time held, and with the time since the last loss.

Comes in: ages in hours. Goes out: multiples of the hazard that an offering has beyond 12 hours of
both, where the multiple is 1. How high that hazard is, `interruption_memory` learns. All
figures are facts with a source; none is fitted here.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

AGE_HOURS: Final = (0.083333, 0.25, 0.41667, 0.75, 1.5, 2.5, 4.5, 9.0, 24.0)
SHAPE: Final = (27.888, 23.611, 17.346, 13.353, 7.9296, 4.0468, 3.1571, 2.2594, 1.0)
"""Hazard at an age as a multiple of that beyond 12 hours: the shipped bundle's fit on 18
availability series, 2022-23 (`shape` in models/age_hazard_table.json; docs/model-card.md)."""

LEVEL_PER_HOUR: Final = (1e-6, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
BASE_PER_HOUR: Final = (
    9.9996e-07,
    9.9556e-05,
    0.0009582,
    0.0026662,
    0.0072877,
    0.015613,
    0.030552,
    0.051189,
    0.087947,
    0.15628,
    0.3826,
    1.0802,
)
"""Hazard beyond 12 hours for which whole lives, young hours included, have this mean rate of
losses per node-hour (`base` in the same table)."""

OLD_CHANCE: Final = 0.007
PARTIAL_LOSS: Final = ((0.0, 0.40), (1 / 6, 0.098), (0.5, 0.03), (3.0, 0.009))
"""Chance of a loss in 10 minutes: beyond 12 hours, and for the survivors of a loss that took only
a part of the nodes held, from so many hours after it on. Measured on availability series with
counts, pooled, training halves (policy research, hazard by category: 40 % within 10 minutes, 9.8 %
to 30, 3 % to 3 hours, 0.9 % after; 0.7 % for old offerings)."""

STEP_HOURS: Final = 1 / 12
"""Integrals are taken at the middles of 5-minute steps, as the bundle does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How old an offering is to the cluster.

    Attributes:
        held_hours: hours for which it has been held without a break, 0 where it is not held.
        since_loss_hours: hours since the cluster's own last loss in it.
        is_survivor: that loss left some of the nodes.
    """

    held_hours: float
    since_loss_hours: float
    is_survivor: bool = False

    def later(self, hours: float) -> Age:
        """Return the age so many hours later, if it is held and not lost."""
        return Age(
            held_hours=self.held_hours + hours,
            since_loss_hours=self.since_loss_hours + hours,
            is_survivor=self.is_survivor,
        )


def multiple(age: Age) -> float:
    """Return the hazard at an age as a multiple of the hazard beyond 12 hours.

    Multiplicative and falling in both ages: a(held) b(since loss). The series tell of runs that
    began after a loss, where both ages are the same; how the shape divides between them they do
    not tell, so each gets its square root: with equal ages it is the fitted shape itself.
    The survivors of a partial loss have at least the hazard measured for them, 73 times the old
    one for 10 minutes; it is kept when they leave, or nodes would walk straight back.
    """
    found = math.exp((_log_shape(age.held_hours) + _log_shape(age.since_loss_hours)) / 2.0)
    return max(found, _after_partial_loss(age.since_loss_hours)) if age.is_survivor else found


def integral(age: Age, hours: float) -> float:
    """Return the integral of `multiple` from an age on, in hours of the hazard beyond 12 hours.

    Args:
        age: now.
        hours: a whole number of 5-minute steps.
    """
    return integrals(age, (hours,))[0]


def integrals(age: Age, horizons_hours: Sequence[float]) -> tuple[float, ...]:
    """Return what `integral` says of several horizons, at little more than the cost of one."""
    n_steps = [round(hours / STEP_HOURS) for hours in horizons_hours]
    middles: Floats = (np.arange(max(n_steps), dtype=np.float64) + 0.5) * STEP_HOURS
    found = multiples(age, middles)
    return tuple(STEP_HOURS * math.fsum(found[:n]) for n in n_steps)


def multiples(age: Age, ahead_hours: Floats) -> list[float]:
    """Return what `multiple` says at several times from an age on, `float64[n]` in hours."""
    since_loss: Floats = age.since_loss_hours + ahead_hours
    both = _log_shapes(age.held_hours + ahead_hours) + _log_shapes(since_loss)
    found: list[float] = np.exp(both / 2.0).tolist()
    if age.is_survivor:
        after = (_after_partial_loss(hours) for hours in since_loss.tolist())
        found = [max(pair) for pair in zip(found, after, strict=True)]
    return found


def base_of(losses_per_hour: float) -> float:
    """Return the hazard beyond 12 hours of an offering with this mean rate over whole lives."""
    return math.exp(_interpolated(math.log(max(losses_per_hour, 1e-12)), _LOG_LEVEL, _LOG_BASE))


def _after_partial_loss(since_loss_hours: float) -> float:
    return _PARTIAL_MULTIPLES[bisect_right(_PARTIAL_HOURS, since_loss_hours)]


def _log_shape(age_hours: float) -> float:
    return _interpolated(math.log(max(age_hours, 1e-12)), _LOG_AGE, _LOG_SHAPE)


def _log_shapes(ages_hours: Floats) -> Floats:
    return np.interp(np.log(np.maximum(ages_hours, 1e-12)), _LOG_AGE, _LOG_SHAPE)


def _logs(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(math.log(value) for value in values)


def _interpolated(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the value of a broken line at x, flat outside its knots."""
    i = bisect_right(xs, x)
    if i == 0:
        return ys[0]
    if i == len(xs):
        return ys[-1]
    share = (x - xs[i - 1]) / (xs[i] - xs[i - 1])
    return ys[i - 1] + share * (ys[i] - ys[i - 1])


_LOG_AGE: Final = _logs(AGE_HOURS)
_LOG_SHAPE: Final = _logs(SHAPE)
_LOG_LEVEL: Final = _logs(LEVEL_PER_HOUR)
_LOG_BASE: Final = _logs(BASE_PER_HOUR)
_PARTIAL_HOURS: Final = tuple(hours for hours, _ in PARTIAL_LOSS[1:])
_PARTIAL_MULTIPLES: Final = tuple(
    math.log1p(-chance) / math.log1p(-OLD_CHANCE) for _, chance in PARTIAL_LOSS
)
