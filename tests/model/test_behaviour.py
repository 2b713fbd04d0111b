from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spotvortex.core.scoring.features import Matrix
from spotvortex.model.behaviour import axis, degenerate_reason, sweep
from spotvortex.model.manifest import Feature

AGE = Feature(name="hours_since_loss", unit="hours", low=0.0, high=2000.0)
HAZARD = Feature(name="hazard_per_hour", unit="1/h", low=1e-6, high=3.0)
GENERATION = Feature(name="generation", unit="", low=1.0, high=8.0)


def scores_of(risk: Callable[[Matrix], Matrix]) -> Callable[[Matrix], Matrix]:
    return lambda rows: np.stack([risk(rows)] * 2, axis=1)


def sound(rows: Matrix) -> Matrix:
    return 1.0 - np.exp(-rows[:, 1] / (1.0 + rows[:, 0]))


def test_sound_model_has_no_reason_against_it() -> None:
    assert degenerate_reason([AGE, HAZARD], scores_of(sound)) == ""


def test_model_that_calls_an_old_offering_riskier_is_degenerate() -> None:
    reason = degenerate_reason([AGE, HAZARD], scores_of(lambda rows: rows[:, 0] / 2000.0))
    assert "wrong way along hours_since_loss" in reason


def test_model_that_calls_a_high_hazard_safer_is_degenerate() -> None:
    reason = degenerate_reason([AGE, HAZARD], scores_of(lambda rows: 1.0 - rows[:, 1] / 3.0))
    assert "wrong way along hazard_per_hour" in reason


def test_flat_model_is_degenerate() -> None:
    reason = degenerate_reason(
        [AGE, HAZARD], scores_of(lambda rows: np.full(len(rows), 0.4, np.float32))
    )
    assert "spreads by 0.0000" in reason


def test_one_flat_score_beside_a_sound_one_is_degenerate() -> None:
    def half(rows: Matrix) -> Matrix:
        return np.stack([sound(rows), np.zeros(len(rows), np.float32)], axis=1)

    assert "spreads by 0.0000" in degenerate_reason([AGE, HAZARD], half)


def test_model_without_any_risk_feature_is_degenerate() -> None:
    assert "none of the features" in degenerate_reason([GENERATION], scores_of(sound))


@pytest.mark.parametrize("feature", [AGE, HAZARD, GENERATION])
def test_axis_rises_from_end_to_end_of_the_range(feature: Feature) -> None:
    points = axis(feature, 9)
    assert points[0] == pytest.approx(feature.low)
    assert points[-1] == pytest.approx(feature.high)
    assert (np.diff(points) > 0).all()


def test_sweep_moves_one_feature_along_each_line() -> None:
    rows = sweep([AGE, HAZARD], 0)
    lines = rows.reshape(5, 24, 2)
    assert (np.diff(lines[:, :, 0], axis=1) > 0).all()
    assert (lines[:, :, 1] == lines[:, :1, 1]).all()
    assert len(np.unique(lines[:, 0, 1])) == 5
