"""Scores that come true: what is lost is known, and nothing else is said."""

import numpy as np
import pytest

from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.features import OfferingContext
from spotvortex.errors import ModelContractError
from spotvortex.evaluation.oracle_forecaster import CAPACITY_S, RUNTIME_S, OracleForecaster
from spotvortex.sim.market.counts import CapacityCounts

A = Offering(instance_type="m6i.large", zone="us-east-1a")
B = Offering(instance_type="m6i.large", zone="us-east-1b")
FALLS_AT = 10_000.0
COUNTS = CapacityCounts(times=(0.0, FALLS_AT, FALLS_AT + 60.0), values=(8, 2, 20))
MODEL = OracleForecaster(counts={A: COUNTS}, families=("m6i",))


def scores(offering, at):
    context = OfferingContext(
        offering=offering,
        quote=SpotQuote(offering=offering),
        hours_since_loss=1.0,
        hazard_per_hour=0.0,
    )
    ((capacity, runtime),) = MODEL.score(MODEL.tensor([context], at)).tolist()
    return capacity, runtime


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (FALLS_AT - RUNTIME_S - 1.0, (0.0, 0.0)),
        (FALLS_AT - RUNTIME_S, (0.0, 0.75)),
        (FALLS_AT - CAPACITY_S, (0.75, 0.75)),
        (FALLS_AT + 60.0, (0.0, 0.0)),
    ],
)
def test_a_score_is_the_share_of_what_there_is_that_will_be_lost(at, expected):
    assert scores(A, at) == expected


def test_what_there_is_none_of_is_lost_for_certain():
    assert scores(B, 0.0) == (1.0, 1.0)


def test_it_takes_any_number_of_offerings_and_has_no_policy():
    tensor = MODEL.tensor([], 0.0)
    assert (tensor.shape, tensor.dtype) == ((0, 2), np.float32)
    assert MODEL.in_range(np.zeros((3, 2), dtype=np.float32)).all()
    assert not MODEL.has_policy
    assert MODEL.scope.covers("m6i.large")
    with pytest.raises(ModelContractError):
        MODEL.q_values(tensor)
