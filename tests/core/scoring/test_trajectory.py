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
from spotvortex.core.scoring.hazard import Age, multiple
from spotvortex.core.scoring.interruption_memory import remembered_score
from spotvortex.core.scoring.trajectory import (
    AHEAD_HOURS,
    COLUMNS,
    LEAST_RATE,
    N_PAST,
    N_STEPS,
    PAST_HOURS,
    trajectories,
)

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


@pytest.mark.parametrize("since", [5.0, 6.0])
def test_what_was_before_the_last_loss_is_unknown(since: float) -> None:
    past = trajectories([context(hours_since_loss=since)])[0, :N_PAST]
    known = np.isfinite(past[:, C["log_hours_since_loss"]])
    assert known.tolist() == [hours >= -since for hours in PAST_HOURS]
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
    assert rows[an_hour_ago, C["price_ratio"]] == pytest.approx(history[-7] / 0.2)
    assert np.isnan(rows[N_PAST:, : C["step_hours"]]).all()


def test_steps_ahead_are_of_an_offering_that_is_held_and_not_lost() -> None:
    ahead = trajectories([context()])[0, N_PAST:]
    hours = np.asarray(AHEAD_HOURS)
    assert ahead[:, C["step_hours"]] == pytest.approx(hours)
    assert (ahead[:, C["held"]] == 1.0).all()
    assert ahead[:, C["log_held_hours"]] == pytest.approx(np.log1p(2.0 + hours))
    assert ahead[:, C["log_hours_since_loss"]] == pytest.approx(np.log1p(5.0 + hours))


def past(name: str, **changes: object) -> list[float]:
    return [float(v) for v in trajectories([context(**changes)])[0, :N_PAST, C[name]]]


def test_steps_behind_tell_both_ages_of_then_and_an_age_below_nothing_as_none() -> None:
    held = past("log_held_hours", hours_since_loss=100.0)
    wanted = [math.log1p(max(0.0, 2.0 + hours)) for hours in PAST_HOURS]
    assert held == pytest.approx(wanted, rel=1e-6)
    since = past("log_hours_since_loss", hours_since_loss=100.0)
    assert since == pytest.approx([math.log1p(100.0 + hours) for hours in PAST_HOURS], rel=1e-6)
    assert past("step_hours") == list(PAST_HOURS)
    assert past("held", held_hours=0.0) == [0.0] * N_PAST


def test_the_hazard_of_each_step_is_that_of_its_ages() -> None:
    found = past("log_hazard_multiple", hours_since_loss=100.0, is_survivor=True)
    for hours, value in zip(PAST_HOURS, found, strict=True):
        age = Age(
            held_hours=max(0.0, 2.0 + hours), since_loss_hours=100.0 + hours, is_survivor=True
        )
        assert value == pytest.approx(math.log(multiple(age)), rel=1e-5)


def test_what_stands_still_is_the_same_at_each_step() -> None:
    made = context(
        exposure_hours=7.0,
        refused_ratio=0.25,
        refused_hours=3.0,
        is_survivor=True,
        hazard_per_hour=0.0,
    )
    row = trajectories([made])[0]
    wanted = {
        "log_level_per_hour": math.log(0.03),
        "log_hazard_per_hour": math.log(LEAST_RATE),
        "log_exposure_hours": math.log1p(7.0),
        "is_survivor": 1.0,
        "log_hours_since_loss_now": math.log1p(5.0),
        "refused_ratio": 0.25,
        "log_hours_since_refusal": math.log1p(3.0),
        "log2_vcpus": 2.0,
        "generation": 6.0,
    }
    for name, value in wanted.items():
        assert row[:, C[name]].tolist() == pytest.approx([value] * N_STEPS, rel=1e-6), name


def test_an_instance_type_of_unknown_size_counts_as_an_eighth_of_a_vcpu() -> None:
    odd = Offering(instance_type="x", zone="us-east-1a")
    assert trajectories([context(offering=odd)])[0, 0, C["log2_vcpus"]] == -3.0


def test_prices_a_second_apart_are_steps_and_closer_ones_are_none() -> None:
    long = SpotQuote(
        offering=OFFERING,
        spot_usd_per_hour=0.1,
        on_demand_usd_per_hour=0.2,
        history_usd_per_hour=(0.1,) * 5000,
    )
    for step_s, wanted in ((1.0, -1.0), (0.9, 0.0)):
        made = context(quote=replace(long, step_s=step_s))
        found = trajectories([made])[0, : N_PAST - 1, C["price_ratio"]]
        assert [bool(v) for v in np.isfinite(found)] == [h >= wanted for h in PAST_HOURS[:-1]]


def test_the_price_of_an_hour_ago_is_the_one_of_that_second() -> None:
    history = [0.1] * 4001
    history[-1 - 3600] = 0.15
    quote = SpotQuote(
        offering=OFFERING,
        spot_usd_per_hour=0.1,
        on_demand_usd_per_hour=0.2,
        history_usd_per_hour=tuple(history),
        step_s=1.0,
    )
    found = trajectories([context(quote=quote)])[0, : N_PAST - 1]
    assert found[PAST_HOURS.index(-1.0), C["price_ratio"]] == pytest.approx(0.75)
    assert found[PAST_HOURS.index(-0.5), C["price_ratio"]] == pytest.approx(0.5)


@pytest.mark.parametrize(("step_s", "known"), [(600.0, True), (1800.0, True), (0.5, False)])
def test_a_price_of_then_is_known_as_far_as_its_history_goes(step_s: float, known: bool) -> None:
    quote = SpotQuote(
        offering=OFFERING,
        spot_usd_per_hour=0.1,
        on_demand_usd_per_hour=0.2,
        history_usd_per_hour=(0.1,) * 7,
        step_s=step_s,
    )
    found = trajectories([context(quote=quote)])[0, : N_PAST - 1, C["price_ratio"]]
    assert [bool(v) for v in np.isfinite(found)] == [
        known and -hours * 3600.0 <= 6 * step_s for hours in PAST_HOURS[:-1]
    ]


@pytest.mark.parametrize("known", [{"spot_usd_per_hour": 0.06}, {"on_demand_usd_per_hour": 0.192}])
def test_one_price_alone_tells_nothing(known: dict[str, float]) -> None:
    history = tuple([0.06] * 2000)
    quote = SpotQuote(offering=OFFERING, history_usd_per_hour=history, step_s=60.0, **known)
    rows = trajectories([context(quote=quote)])[0]
    assert np.isnan(rows[:, [C["price_ratio"], C["price_over_price_now"]]]).all()


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
