"""Paired statistics of worlds: medians with intervals, a sign test, a correction for many tests.

Comes in: what a policy gained in each world and day over its rival, in the same worlds. Goes out:
medians, bootstrap intervals, p values. Randomness comes from the generator that is handed in. May
not know what the figures mean.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile
interval); Owen, The pigeonhole bootstrap (Annals of Applied Statistics, 2007), for resampling seeds
and days at once; Holm, A simple sequentially rejective multiple test procedure (1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.appraisal import Interval, Spread

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Paired figures of the worlds of one family, by day.

    Attributes:
        gain_usd: float64[n_worlds, n_days], what the policy gained over its rival; 0 where a world
            has no such day.
        base_usd: float64[n_worlds, n_days], what the gain is divided by; 0 likewise.
        seeds: the seed of each world. Worlds of one seed share their market, so they are drawn
            together.
        shared_days: whether a day is the same for every world, as where a recorded series is
            replayed; days are then drawn once for all worlds, and more seeds add no days.
    """

    gain_usd: Floats
    base_usd: Floats
    seeds: tuple[int, ...]
    shared_days: bool

    def __post_init__(self) -> None:
        """Refuse figures that do not belong together."""
        if not self.gain_usd.shape == self.base_usd.shape or self.gain_usd.ndim != 2:
            raise ValueError("gains and bases have one shape, worlds by days")
        if not 0 < len(self.seeds) == len(self.gain_usd) or self.gain_usd.shape[1] == 0:
            raise ValueError("a panel needs worlds and days, and a seed for each world")


def ratios_pct(gain_usd: Floats, base_usd: Floats) -> Floats:
    """Return 100 gain / |base| of each world from its days; NaN where the base is 0.

    Args:
        gain_usd: float64[n_worlds, n_days].
        base_usd: float64[n_worlds, n_days].

    Returns:
        float64[n_worlds], percent.
    """
    bases = np.abs(base_usd.sum(axis=1))
    filled = np.where(bases > 0.0, bases, np.nan)
    return np.asarray(100.0 * gain_usd.sum(axis=1) / filled, dtype=np.float64)


def median_pct(panels: Sequence[Panel]) -> float:
    """Return the median over all worlds of all panels, percent.

    Raises:
        ValueError: no world has a base to divide by.
    """
    found = _median(np.concatenate([ratios_pct(p.gain_usd, p.base_usd) for p in panels]))
    if found is None:
        raise ValueError("no world has a base to divide by")
    return found


def _median(ratios: Floats) -> float | None:
    known = ratios[~np.isnan(ratios)]
    return float(np.median(known)) if known.size else None


def median_interval_pct(
    panels: Sequence[Panel], rng: np.random.Generator, n_resamples: int, level_ratio: float
) -> Interval:
    """Return the percentile interval of the median, seeds and days resampled.

    Args:
        panels: one for each family; each is resampled by itself, and keeps its size.
        rng: where the draws come from; the same generator gives the same interval.
        n_resamples: how often.
        level_ratio: how much of the distribution the interval holds, as 0.95.

    Raises:
        ValueError: no resample has a world with a base to divide by.
    """
    draws = (
        _median(np.concatenate([_resampled(p, rng) for p in panels])) for _ in range(n_resamples)
    )
    medians = [m for m in draws if m is not None]
    if not medians:
        raise ValueError("no world has a base to divide by")
    tail = 50.0 * (1.0 - level_ratio)
    low, high = np.percentile(medians, [tail, 100.0 - tail])
    return Interval(low=float(low), high=float(high))


def _resampled(panel: Panel, rng: np.random.Generator) -> Floats:
    """Draw seeds with replacement, all worlds of a seed together, and days for each of them."""
    known = np.asarray(panel.seeds)
    seeds = np.unique(known)
    rows = [np.flatnonzero(known == seed) for seed in rng.choice(seeds, size=len(seeds))]
    chosen = np.concatenate(rows)
    days = np.repeat(_drawn_days(panel, rng, len(rows)), [len(r) for r in rows], axis=0)
    gain = np.take_along_axis(panel.gain_usd[chosen], days, axis=1)
    base = np.take_along_axis(panel.base_usd[chosen], days, axis=1)
    return ratios_pct(gain, base)


def _drawn_days(panel: Panel, rng: np.random.Generator, n_seeds: int) -> NDArray[np.int64]:
    n_days = panel.gain_usd.shape[1]
    if panel.shared_days:
        return np.tile(rng.integers(n_days, size=n_days), (n_seeds, 1))
    return rng.integers(n_days, size=(n_seeds, n_days))


def sign_test_p(differences: Sequence[float]) -> float:
    """Return the exact two-sided p of as many or more pairs going one way; ties are left out.

    With k the smaller of the two counts among n: min(1, 2 sum_{i<=k} C(n, i) / 2^n).
    """
    n_up = sum(1 for d in differences if d > 0.0)
    n_down = sum(1 for d in differences if d < 0.0)
    n = n_up + n_down
    tail = sum(math.comb(n, i) for i in range(min(n_up, n_down) + 1))
    return min(1.0, 2 * tail / (1 << n))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p values corrected for their number, in the order given."""
    n = len(p_values)
    adjusted = [0.0] * n
    largest = 0.0
    for rank, index in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (n - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def spread_of(values: Sequence[float]) -> Spread:
    """Return smallest, median and largest.

    Raises:
        ValueError: there is no value, or one that is no number.
    """
    if not values or any(math.isnan(v) for v in values):
        raise ValueError("a spread needs at least one value, and numbers only")
    return Spread(low=min(values), median=float(np.median(values)), high=max(values))
