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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spotvortex.results.verdict import Interval, Spread

Floats: TypeAlias = NDArray[np.float64]

CHUNK: Final = 500
"""Resamples that are drawn at once: 3 MB for a family of 90 worlds and 7 days."""


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
        gain_usd: float64[..., n_days].
        base_usd: float64[..., n_days].

    Returns:
        float64[...], percent.
    """
    bases = np.abs(base_usd.sum(axis=-1))
    filled = np.where(bases > 0.0, bases, np.nan)
    return np.asarray(100.0 * gain_usd.sum(axis=-1) / filled, dtype=np.float64)


def _medians(ratios: Floats) -> Floats:
    """Return the median of each row over its numbers; rows without any are left out."""
    unknown = np.isnan(ratios)
    if not unknown.any():  # many times as fast, and the same
        return np.asarray(np.median(ratios, axis=1), dtype=np.float64)
    known = ratios[~unknown.all(axis=1)]
    return np.asarray(np.nanmedian(known, axis=1), dtype=np.float64) if known.size else known[:, 0]


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
    return interval_of(resampled_medians(panels, rng, n_resamples), level_ratio)


def resampled_medians(
    panels: Sequence[Panel], rng: np.random.Generator, n_resamples: int
) -> Floats:
    """Return the median of each resample of seeds and days, in percent.

    Raises:
        ValueError: no resample has a world with a base to divide by.
    """
    medians = np.concatenate(
        [
            _medians(np.concatenate([_resampled(p, rng, n) for p in panels], axis=1))
            for n in _chunks(n_resamples)
        ]
    )
    if not medians.size:
        raise ValueError("no world has a base to divide by")
    return medians


def interval_of(medians: Floats, level_ratio: float) -> Interval:
    """Return the percentile interval of resampled medians."""
    tail = 50.0 * (1.0 - level_ratio)
    low, high = np.percentile(medians, [tail, 100.0 - tail])
    return Interval(low=float(low), high=float(high))


def two_sided_p(medians: Floats) -> float:
    """Return twice the share of resamples on the rarer side of 0, one more counted than was seen.

    Davison and Hinkley, Bootstrap Methods and their Application (1997), section 4.2, for the one.
    """
    n = len(medians)
    rarer = min(int((medians <= 0.0).sum()), int((medians >= 0.0).sum()))
    return min(1.0, 2.0 * (rarer + 1) / (n + 1))


def _chunks(n_resamples: int) -> Iterator[int]:
    """Split the resamples so that memory stays bounded."""
    for start in range(0, n_resamples, CHUNK):
        yield min(CHUNK, n_resamples - start)


def _resampled(panel: Panel, rng: np.random.Generator, n_resamples: int) -> Floats:
    """Draw seeds with replacement, all worlds of a seed together, and days for each of them.

    Returns:
        float64[n_resamples, n_drawn], percent; NaN where a seed has fewer worlds than others.
    """
    rows = _rows_by_seed(panel.seeds)
    n_days = panel.gain_usd.shape[1]
    drawn = rows[rng.integers(len(rows), size=(n_resamples, len(rows)))]
    n_draws = 1 if panel.shared_days else len(rows)
    days = rng.integers(n_days, size=(n_resamples, n_draws, 1, n_days))
    gain, base = (
        np.vstack([figures, np.zeros(n_days)])[drawn[..., None], days]
        for figures in (panel.gain_usd, panel.base_usd)
    )
    return ratios_pct(gain, base).reshape(n_resamples, -1)


def _rows_by_seed(seeds: Sequence[int]) -> NDArray[np.int64]:
    """Return the worlds of each seed, filled up with one past the last, which has no base.

    Returns:
        int64[n_seeds, most worlds of a seed].
    """
    groups = [[i for i, seed in enumerate(seeds) if seed == one] for one in sorted(set(seeds))]
    width = max(map(len, groups))
    return np.array([group + [len(seeds)] * (width - len(group)) for group in groups])


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
