"""Whether a v1 network behaves like a risk model at all.

Comes in: a function that scores windows. Goes out: a reason why its scores must not be used, or "".
It judges shape, not quality: not flat, never safer at a higher spot price, riskier under stress
than in calm, and the same whatever the size of the instance. May not know how the network is run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.scoring.features import Matrix
from spotvortex.core.scoring.price_window import N_STEPS, Windows, windows_of
from spotvortex.model.behaviour import SPREAD_FLOOR, is_probability

PROBE_AT: Final = 1_700_000_000.0
"""The moment of every window that is tried, seconds since the epoch."""

ON_DEMAND_USD_PER_HOUR: Final = (0.0416, 0.384, 3.84)
"""Prices of a small, a middling and a large instance."""

SCALE: Final = 10.0
"""How much dearer an instance is whose risk must be the same where all its prices are."""

TOLERANCE: Final = 0.02
"""How far a score may run the wrong way, or move with the scale: what training leaves over."""

CALM: Final = np.full(N_STEPS, 0.3)
STRESSED: Final = {
    "a flat price near on-demand": np.full(N_STEPS, 0.95),
    "a rising price": np.linspace(0.3, 0.95, N_STEPS),
    "a spike in the last half hour": np.where(np.arange(N_STEPS) < N_STEPS - 3, 0.3, 0.95),
}
"""Spot price as a share of on-demand, step by step."""

_LEVELS: Final = np.linspace(0.1, 1.0, 19)

Curves = NDArray[np.float64]
Scorer = Callable[[Windows], Matrix]


def degenerate_reason(score: Scorer) -> str:
    """Say why the scores must not be used, or "" where nothing speaks against them.

    Args:
        score: takes `float32[n, 12, 10]`, returns `float32[n, n_scores]`.
    """
    levels = np.repeat(_LEVELS[:, None], N_STEPS, axis=1)
    curves = np.stack([*levels, CALM, *STRESSED.values()])
    # float32[n_sizes, n_curves, n_scores], and the same ten times dearer
    scores = np.stack([_scores(score, curves, price) for price in ON_DEMAND_USD_PER_HOUR])
    dearer = np.stack([_scores(score, curves, p * SCALE) for p in ON_DEMAND_USD_PER_HOUR])
    if not is_probability(np.stack([scores, dearer])).all():
        return "a score of a plausible window is not in 0..1"
    return (
        _flat(scores)
        or _wrong_way(scores[:, : len(levels)])
        or _unmoved(scores[:, len(levels) :])
        or _scale_bound(scores, dearer)
    )


def _scores(score: Scorer, curves: Curves, on_demand: float) -> Matrix:
    prices = np.full(len(curves), on_demand)
    return score(windows_of(curves * on_demand, prices, PROBE_AT))


def _flat(scores: Matrix) -> str:
    spread = float(np.ptp(scores, axis=(0, 1)).min())
    if spread >= SPREAD_FLOOR:
        return ""
    return f"a score spreads by {spread:.4f} only, at least {SPREAD_FLOOR} is needed"


def _wrong_way(levels: Matrix) -> str:
    """Compare each level with the highest score of any lower one, so that small steps add up."""
    fall = float((np.maximum.accumulate(levels, axis=1) - levels).max())
    return f"a score falls by {fall:.4f} as the spot price rises" if fall > TOLERANCE else ""


def _unmoved(scores: Matrix) -> str:
    calm, stressed = scores[:, 0], scores[:, 1:]
    for index, name in enumerate(STRESSED):
        rise = float((stressed[:, index] - calm).min())
        if rise < SPREAD_FLOOR:
            return f"{name} moves a score by {rise:.4f} only, at least {SPREAD_FLOOR} is needed"
    return ""


def _scale_bound(scores: Matrix, dearer: Matrix) -> str:
    drift = float(np.abs(dearer - scores).max())
    if drift <= TOLERANCE:
        return ""
    return f"a score moves by {drift:.4f} where every price is {SCALE:.0f} times as high"
