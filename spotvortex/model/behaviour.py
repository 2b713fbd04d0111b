"""Whether a model behaves like a risk model at all.

Comes in: the features of a v2 bundle with their ranges, and a function that scores rows. Goes out:
a reason why the scores must not be used, or "". It judges shape, not quality: monotone where the
direction is known, and not flat. May not know how the model is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.scoring.features import Matrix
from spotvortex.model.manifest import Feature

RISK_DIRECTION: Final = {"hours_since_loss": -1.0, "hazard_per_hour": 1.0}
"""The sign of a score's answer to a rising feature: a recent loss and a high hazard are risky."""

SPREAD_FLOOR: Final = 0.05
"""A score that moves less than this over the whole training range distinguishes nothing."""

TOLERANCE: Final = 1e-4
"""How far a score may run against its direction; covers rounding in float32."""

_N_STEPS: Final = 24
_N_LINES: Final = 5


def sweep(features: Sequence[Feature], column: int) -> Matrix:
    """Return rows along one feature, for several settings of the others.

    Args:
        features: the columns with their ranges.
        column: the one that is swept from low to high.

    Returns:
        `float32[_N_LINES * _N_STEPS, n_features]`; each line of steps is contiguous.
    """
    lines = np.repeat(np.arange(_N_LINES), _N_STEPS)
    rows = np.stack([axis(f, _N_LINES)[lines] for f in features], axis=1)
    rows[:, column] = np.tile(axis(features[column], _N_STEPS), _N_LINES)
    return rows.astype(np.float32)


def axis(feature: Feature, n: int) -> Matrix:
    """Return n rising points over a feature's range, even in its logarithm where it spans much."""
    if feature.low >= 0.0 and feature.high > 100.0 * max(feature.low, 1e-9):
        low = max(feature.low, feature.high * 1e-6)
        points = np.geomspace(low, feature.high, n)
        points[0] = feature.low
    else:
        points = np.linspace(feature.low, feature.high, n)
    return points.astype(np.float32)


def degenerate_reason(features: Sequence[Feature], score: Callable[[Matrix], Matrix]) -> str:
    """Say why the scores must not be used, or "" where nothing speaks against them.

    Args:
        features: the columns with their ranges.
        score: takes `float32[n, n_features]`, returns `float32[n, n_scores]`, all finite.
    """
    directed = [i for i, feature in enumerate(features) if feature.name in RISK_DIRECTION]
    if not directed:
        return f"reads none of the features with a known direction ({', '.join(RISK_DIRECTION)})"
    spread = 0.0
    for column in directed:
        scores = score(sweep(features, column)).reshape(_N_LINES, _N_STEPS, -1)
        name = features[column].name
        wrong_way = -(np.diff(scores, axis=1) * RISK_DIRECTION[name])
        if float(wrong_way.max()) > TOLERANCE:
            return f"a score runs the wrong way along {name} by {float(wrong_way.max()):.4f}"
        spread = max(spread, float(np.ptp(scores, axis=(0, 1)).min()))
    if spread < SPREAD_FLOOR:
        return f"a score spreads by {spread:.4f} only, at least {SPREAD_FLOOR} is needed"
    return ""


def is_probability(scores: Matrix) -> NDArray[np.bool_]:
    """Tell which scores are finite and in 0..1; a comparison with NaN is false."""
    verdict: NDArray[np.bool_] = (scores >= 0.0) & (scores <= 1.0)
    return verdict
