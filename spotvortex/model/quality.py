"""How good probabilities are: AUC, Brier score, calibration.

Comes in: probabilities and what came of them. Goes out: figures. May not know where a probability
is from.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_BINS: Final = 10


def auc(p: Floats, y: Floats, weight: Floats | None = None) -> float:
    """Return the area under the ROC curve, ties at half; NaN where all outcomes are alike."""
    w = np.ones(len(p)) if weight is None else weight
    if (np.diff(p) < 0.0).any():
        order = np.argsort(p, kind="stable")
        p, y, w = p[order], y[order], w[order]
    lost, kept = w * y, w * (1.0 - y)
    edges = np.flatnonzero(np.r_[True, np.diff(p) > 0.0])
    lost_at, kept_at = np.add.reduceat(lost, edges), np.add.reduceat(kept, edges)
    below = np.cumsum(kept_at) - kept_at
    total = lost.sum() * kept.sum()
    return float((lost_at * (below + kept_at / 2.0)).sum() / total) if total > 0 else float("nan")


def brier(p: Floats, y: Floats) -> float:
    """Return the mean squared error of the probability."""
    return float(((p - y) ** 2).mean())


def bins(p: Floats, y: Floats) -> list[tuple[float, float, int]]:
    """Return the reliability diagram by tenths: mean prediction, share lost, samples."""
    parts = np.array_split(np.argsort(p, kind="stable"), N_BINS)
    return [(float(p[i].mean()), float(y[i].mean()), len(i)) for i in parts if len(i)]


def calibration_error(p: Floats, y: Floats) -> float:
    """Return the expected calibration error over those tenths."""
    return sum(n * abs(a - b) for a, b, n in bins(p, y)) / len(p)
