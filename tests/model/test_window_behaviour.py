"""A v1 network is judged by what it says of windows whose order is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spotvortex.core.scoring.features import Matrix
from spotvortex.core.scoring.price_window import Windows
from spotvortex.model.window_behaviour import degenerate_reason


def scores_of(logit: Callable[[Matrix, Matrix], Matrix]) -> Callable[[Windows], Matrix]:
    """Score by a function of the price ratios, `[n, 12]`, and the on-demand price, `[n]`."""

    def score(windows: Windows) -> Matrix:
        on_demand = windows[:, 0, 1]
        one = 1.0 / (1.0 + np.exp(-logit(windows[:, :, 0] / on_demand[:, None], on_demand)))
        return np.stack([one, one], axis=1)

    return score


def test_mean_price_ratio_is_sound() -> None:
    assert degenerate_reason(scores_of(lambda r, _: 6.0 * r.mean(axis=1) - 3.6)) == ""


@pytest.mark.parametrize(
    ("logit", "told"),
    [
        (lambda r, _: np.full(len(r), -2.5), "spreads by 0.0000"),
        (lambda r, _: 0.1 * r.mean(axis=1) - 2.5, "spreads by"),
        (lambda r, _: -3.0 * r[:, -1], "as the spot price rises"),
        (lambda r, _: np.where(r[:, -1] > 0.6, -1.0, 4.0 * r[:, -1]), "as the spot price rises"),
        (lambda r, _: 6.0 * r[:, 0] - 3.6, "a rising price moves a score by 0.0000"),
        (lambda r, _: 6.0 * r[:, :6].mean(axis=1) - 3.6, "a spike in the last half hour moves"),
        (lambda r, od: 6.0 * r.mean(axis=1) - 3.6 + 0.2 * np.log(od), "10 times as high"),
        (lambda r, _: r[:, -1] * np.nan, "not in 0..1"),
    ],
    ids=["constant", "nearly", "falls", "folds", "looks-back", "deaf", "by-size", "nan"],
)
def test_network_that_is_no_risk_model_is_seen_through(
    logit: Callable[[Matrix, Matrix], Matrix], told: str
) -> None:
    assert told in degenerate_reason(scores_of(logit))


def test_one_flat_score_beside_a_sound_one_is_degenerate() -> None:
    def half(windows: Windows) -> Matrix:
        both = scores_of(lambda r, _: 6.0 * r.mean(axis=1) - 3.6)(windows)
        both[:, 1] = 0.1
        return both

    assert "spreads by 0.0000" in degenerate_reason(half)
