"""How good a prediction is beside a reference, with intervals by blocks of days.

Comes in: probabilities, outcomes, blocks of days. Goes out: figures. May not know where a
probability is from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.model.quality import auc, brier, calibration_error

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_RESAMPLES: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one prediction is worth on one set of samples.

    Attributes:
        n: samples.
        lost: share of them that was lost.
        auc: area under the ROC curve.
        auc_low, auc_high: its 95 % interval over blocks of days.
        brier: mean squared error.
        skill: Brier skill over the reference, 1 - brier / reference.
        skill_low, skill_high: its 95 % interval over blocks of days.
        ece: expected calibration error.
        mean: mean prediction.
    """

    n: int
    lost: float
    auc: float
    auc_low: float
    auc_high: float
    brier: float
    skill: float
    skill_low: float
    skill_high: float
    ece: float
    mean: float


def skill(
    p: Floats, y: Floats, reference: Floats, blocks: Ints, seed: int = 7
) -> tuple[float, float, float]:
    """Return the Brier skill over a reference, and its 95 % interval over blocks."""
    _, block = np.unique(blocks, return_inverse=True)
    n_blocks = int(block.max()) + 1
    ours = np.bincount(block, (p - y) ** 2, n_blocks)
    theirs = np.bincount(block, (reference - y) ** 2, n_blocks)
    chance = np.random.default_rng(seed)
    times = chance.multinomial(n_blocks, [1.0 / n_blocks] * n_blocks, N_RESAMPLES)
    drawn = 1.0 - (times @ ours) / np.maximum(times @ theirs, 1e-12)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(1.0 - ours.sum() / max(theirs.sum(), 1e-12)), float(low), float(high)


def figures(p: Floats, y: Floats, reference: Floats, blocks: Ints, seed: int = 7) -> Figures:
    """Judge a prediction; blocks of samples are resampled as a whole.

    Args:
        p: the prediction.
        y: what came, 0 or 1.
        reference: the prediction over which skill is counted.
        blocks: the block of each sample, such as a market's day.
        seed: of the resampling.
    """
    _, block = np.unique(blocks, return_inverse=True)
    n_blocks = int(block.max()) + 1
    over, low, high = skill(p, y, reference, blocks, seed)
    times = np.random.default_rng(seed).multinomial(
        n_blocks, [1.0 / n_blocks] * n_blocks, N_RESAMPLES // 4
    )
    order = np.argsort(p, kind="stable")
    p_up, y_up, block_up = p[order], y[order], block[order]
    areas = [auc(p_up, y_up, w[block_up].astype(float)) for w in times]
    auc_low, auc_high = np.nanpercentile(areas, (2.5, 97.5))
    return Figures(
        n=len(p),
        lost=float(y.mean()),
        auc=auc(p, y),
        auc_low=float(auc_low),
        auc_high=float(auc_high),
        brier=brier(p, y),
        skill=over,
        skill_low=low,
        skill_high=high,
        ece=calibration_error(p, y),
        mean=float(p.mean()),
    )
