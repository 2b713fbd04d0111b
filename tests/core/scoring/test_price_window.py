"""The v1 window: two hours in steps of ten minutes, raw prices, no invented figure."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spotvortex.core.scoring.features import OfferingContext
from spotvortex.core.scoring.price_window import COLUMNS, N_STEPS, spot_steps, windows, windows_of
from tests.core import odd
from tests.core.builders import AT, quote

SHORT = (0.01, 0.02)


def window(at=AT, **of_quote):
    made = quote(**of_quote)
    known = OfferingContext(
        offering=made.offering, quote=made, hours_since_loss=3.0, hazard_per_hour=0.002
    )
    (found,) = windows([known], at)
    return dict(zip(COLUMNS, found.T.tolist(), strict=True))


def test_the_last_twelve_points_of_ten_minutes_are_taken():
    history = tuple(i / 1000.0 for i in range(1, 1010))
    assert spot_steps(quote(history_usd_per_hour=history)) == list(history[-12:])


def test_of_24_points_within_two_hours_every_second_is_taken():
    history = tuple(i / 1000.0 for i in range(1, 1010))
    found = spot_steps(quote(history_usd_per_hour=history, step_s=300.0))
    assert found == list(history[-24:][1::2])


def test_of_13_to_23_points_the_last_twelve_are_taken():
    history = tuple(i / 1000.0 for i in range(1, 20))
    assert spot_steps(quote(history_usd_per_hour=history, step_s=300.0)) == list(history[-12:])


def test_a_coarse_grid_reaches_no_further_back_than_two_hours():
    assert spot_steps(quote(history_usd_per_hour=SHORT * 9, step_s=3600.0)) == [0.03] * 10 + [
        *SHORT
    ]


def test_a_short_history_is_filled_up_with_the_price_of_now():
    assert spot_steps(quote(history_usd_per_hour=SHORT)) == [0.03] * 10 + [*SHORT]


@pytest.mark.parametrize("step_s", [0.0, -1.0, 0.9, math.nan, math.inf, 7201.0])
def test_a_grid_that_tells_nothing_leaves_the_price_of_now(step_s):
    assert spot_steps(quote(history_usd_per_hour=SHORT, step_s=step_s)) == [0.03] * 12


@pytest.mark.parametrize("step_s", [1.0, 7200.0])
def test_a_grid_from_a_second_to_two_hours_is_read(step_s):
    found = spot_steps(quote(history_usd_per_hour=SHORT, step_s=step_s))
    assert found[-1] == SHORT[-1]


def test_columns_are_those_of_the_contract():
    found = window(history_usd_per_hour=tuple(i / 100.0 for i in range(1, 13)))
    prices = [i / 100.0 for i in range(1, 13)]
    assert found["spot_usd_per_hour"] == pytest.approx(prices)
    assert found["on_demand_usd_per_hour"] == pytest.approx([0.1] * 12)
    assert found["spot_one_step_before"] == pytest.approx([0.01, *prices[:-1]])
    assert found["spot_three_steps_before"] == pytest.approx([*prices[:3], *prices[:-3]])
    deviations = [0.0] + [np.std(prices[: n + 1], ddof=1) for n in range(1, 12)]
    assert found["spot_sample_deviation"] == pytest.approx(deviations)
    assert found["step_relative_to_now"] == list(range(-11, 1))
    assert found["n_steps"] == [12.0] * 12


@given(st.floats(0.0, 4e9).map(lambda at: datetime.fromtimestamp(at, UTC)))
@example(datetime(2026, 7, 18, 23, tzinfo=UTC))
@example(datetime(2026, 7, 18, 23, 59, 59, tzinfo=UTC))
def test_moment_is_that_of_the_calendar(moment):
    found = window(at=moment.timestamp())
    assert found["hour_of_day_over_24"][0] == pytest.approx(moment.hour / 24.0)
    assert found["weekday_over_7"][0] == pytest.approx(moment.isoweekday() % 7 / 7.0)
    assert found["weekend"] == [float(moment.isoweekday() >= 6)] * 12


@pytest.mark.parametrize("bad", [None, 0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("side", ["spot_usd_per_hour", "on_demand_usd_per_hour"])
def test_without_two_true_prices_the_whole_window_is_unknown(side, bad):
    assert np.isnan(list(window(**{side: bad}).values())).all()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_one_point_that_is_no_price_makes_the_whole_window_unknown(bad):
    history = (0.03,) * 11 + (bad,)
    assert np.isnan(list(window(history_usd_per_hour=history).values())).all()


def test_no_offerings_give_no_windows():
    made = windows([], AT)
    assert made.shape == (0, 12, 10)
    assert made.dtype == np.float32


@given(scale=st.floats(0.5, 2.0))
def test_only_the_columns_of_money_move_with_the_scale_of_prices(scale):
    spot = np.linspace(0.03, 0.09, N_STEPS)[None]
    plain = windows_of(spot, np.array([0.1]), AT)
    scaled = windows_of(spot * scale, np.array([0.1 * scale]), AT)
    np.testing.assert_allclose(scaled[:, :, :5], plain[:, :, :5] * scale, rtol=1e-4)
    assert (scaled[:, :, 5:] == plain[:, :, 5:]).all()


@odd.many
@given(odd.offerings.flatmap(odd.quotes))
def test_no_quote_is_too_odd(found):
    known = OfferingContext(
        offering=found.offering, quote=found, hours_since_loss=1.0, hazard_per_hour=0.1
    )
    assert windows([known], AT).shape == (1, 12, 10)
