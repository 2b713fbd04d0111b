"""The figures by which predictions are judged."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.train.metrics import figures
from spotvortex.model.quality import auc, bins, brier, calibration_error

Y = np.array([0.0, 0.0, 1.0, 1.0])


def test_auc_of_a_perfect_a_blind_and_a_wrong_order() -> None:
    assert auc(np.array([0.1, 0.2, 0.8, 0.9]), Y) == 1.0
    assert auc(np.full(4, 0.5), Y) == 0.5
    assert auc(np.array([0.9, 0.8, 0.2, 0.1]), Y) == 0.0


def test_auc_counts_a_sample_by_its_weight() -> None:
    p = np.array([0.1, 0.9, 0.5, 0.95])
    assert auc(p, Y, np.array([1.0, 0.0, 1.0, 1.0])) == 1.0


def test_auc_without_a_loss_is_unknown() -> None:
    assert np.isnan(auc(np.array([0.1, 0.2]), np.zeros(2)))


def test_calibrated_prediction_has_no_calibration_error() -> None:
    p = np.repeat([0.25, 0.75], 2000)
    y = np.tile([1.0, 0.0, 0.0, 0.0], 500)
    y = np.concatenate([y, 1.0 - y])
    assert calibration_error(p, y) < 0.01
    assert sum(n for _, _, n in bins(p, y)) == 4000


def test_skill_is_over_the_reference_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.0, 1.0, 4000)
    y = (rng.uniform(size=4000) < truth).astype(float)
    found = figures(truth, y, np.full(4000, 0.5), np.repeat(np.arange(40), 100))
    assert found.skill == pytest.approx(1.0 - brier(truth, y) / 0.25, abs=0.01)
    assert found.skill_low < found.skill < found.skill_high
    assert found.auc_low < found.auc < found.auc_high
