"""The trajectory that a sequence model reads."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.features import OfferingContext
from spotvortex.core.scoring.interruption_memory import remembered_score
from spotvortex.core.scoring.trajectory import COLUMNS, N_PAST, N_STEPS, PAST_HOURS, trajectories

OFFERING = Offering(instance_type="m6i.xlarge", zone="us-east-1a")
C = {name: place for place, name in enumerate(COLUMNS)}


def context(**changes: object) -> OfferingContext:
    made = OfferingContext(
        offering=OFFERING,
        quote=SpotQuote(offering=OFFERING),
        hours_since_loss=5.0,
        hazard_per_hour=0.1,
        held_hours=2.0,
        level_per_hour=0.03,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@given(
    st.floats(0.0, 200.0),
    st.floats(0.0, 200.0),
    st.booleans(),
    st.floats(1e-6, 5.0),
)
def test_steps_ahead_add_up_to_the_score_of_the_memory(
    held: float, since: float, survivor: bool, level: float
) -> None:
    made = context(
        held_hours=held, hours_since_loss=since, is_survivor=survivor, level_per_hour=level
    )
    ahead = trajectories([made])[0, N_PAST:].astype(float)
    hazard = np.exp(ahead[:, C["log_level_per_hour"]] + ahead[:, C["log_hazard_multiple"]]) / 6.0
    wanted = remembered_score(made)
    assert wanted.capacity_score is not None
    assert wanted.runtime_score is not None
    assert -math.expm1(-hazard[:6].sum()) == pytest.approx(wanted.capacity_score, rel=1e-3)
    assert -math.expm1(-hazard.sum()) == pytest.approx(wanted.runtime_score, rel=1e-3)


def test_what_was_before_the_last_loss_is_unknown() -> None:
    past = trajectories([context()])[0, :N_PAST]
    known = np.isfinite(past[:, C["log_hours_since_loss"]])
    assert known.tolist() == [hours >= -5.0 for hours in PAST_HOURS]
    assert past[:, C["held"]].tolist() == [float(hours >= -2.0) for hours in PAST_HOURS]


def test_prices_are_relative_to_on_demand_and_to_now_and_unknown_ahead() -> None:
    history = tuple(0.05 + 0.0001 * k for k in range(200))
    quote = SpotQuote(
        offering=OFFERING,
        spot_usd_per_hour=history[-1],
        on_demand_usd_per_hour=0.2,
        history_usd_per_hour=history,
        step_s=600.0,
    )
    rows = trajectories([context(quote=quote)])[0]
    assert rows[N_PAST - 1, C["price_ratio"]] == pytest.approx(history[-1] / 0.2)
    assert rows[N_PAST - 1, C["price_over_price_now"]] == 0.0
    an_hour_ago = PAST_HOURS.index(-1.0)
    assert rows[an_hour_ago, C["price_over_price_now"]] == pytest.approx(
        history[-7] / history[-1] - 1.0, abs=1e-6
    )
    assert np.isnan(rows[N_PAST:, : C["step_hours"]]).all()


def test_offering_without_price_or_refusal_has_them_unknown_and_all_else_known() -> None:
    rows = trajectories([context(hours_since_loss=100.0, held_hours=50.0)])[0]
    unknown = {"price_ratio", "price_over_price_now", "refused_ratio", "log_hours_since_refusal"}
    columns = np.isnan(rows).any(axis=0)
    assert {name for name, missing in zip(COLUMNS, columns, strict=True) if missing} == unknown


def test_offering_that_the_memory_does_not_know_has_no_level() -> None:
    rows = trajectories([context(level_per_hour=None)])
    assert np.isnan(rows[0, :, C["log_level_per_hour"]]).all()


def test_no_offering_gives_no_row() -> None:
    assert trajectories([]).shape == (0, N_STEPS, len(COLUMNS))
