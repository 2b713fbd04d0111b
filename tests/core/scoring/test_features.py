"""Features enter relative to on-demand; what is missing is NaN, never an invented figure."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.features import (
    BUILDERS,
    OfferingContext,
    build_matrix,
    price_change,
    price_ratio,
    unknown_features,
)
from tests.core import odd
from tests.core.builders import WEB_A, quote

NAMES = tuple(BUILDERS)


def context(**changes):
    values = {
        "offering": WEB_A,
        "quote": quote(),
        "hours_since_loss": 3.0,
        "hazard_per_hour": 0.002,
    }
    return OfferingContext(**(values | changes))


def test_price_ratio_is_relative_to_on_demand():
    assert price_ratio(quote()) == pytest.approx(0.3)


@pytest.mark.parametrize("bad", [None, 0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("side", ["spot_usd_per_hour", "on_demand_usd_per_hour"])
def test_price_ratio_is_unknown_without_two_true_prices(side, bad):
    assert math.isnan(price_ratio(quote(**{side: bad})))


def test_price_change_looks_back_by_hours():
    history = (0.02,) + (0.03,) * 143 + (0.04,)
    assert price_change(quote(history_usd_per_hour=history), 24.0) == pytest.approx(1.0)
    assert price_change(quote(history_usd_per_hour=history), 1.0) == pytest.approx(1.0 / 3.0)


@pytest.mark.parametrize(
    ("step_s", "known"), [(0.9, False), (1.0, True), (3600.0, True), (3601.0, False)]
)
def test_price_change_takes_steps_from_a_second_to_its_own_span(step_s, known):
    one = quote(history_usd_per_hour=(0.03,) * 4001, step_s=step_s)
    assert math.isnan(price_change(one, 1.0)) is not known


@pytest.mark.parametrize(
    "changes",
    [
        {"history_usd_per_hour": (0.03,) * 144},
        {"history_usd_per_hour": ()},
        {"history_usd_per_hour": (0.0,) + (0.03,) * 144},
        {"step_s": 0.0},
        {"step_s": -600.0},
        {"step_s": math.nan},
        {"step_s": math.inf},
        {"step_s": 1e-320},
        {"step_s": 200_000.0},
    ],
)
def test_price_change_is_unknown_where_the_history_does_not_reach(changes):
    assert math.isnan(price_change(quote(**changes), 24.0))


def test_a_step_that_does_not_divide_the_span_is_rounded():
    history = (0.02, 0.03, 0.03, 0.03, 0.04)
    assert price_change(
        quote(history_usd_per_hour=history, step_s=24_000.0), 24.0
    ) == pytest.approx(1.0)
    assert math.isnan(price_change(quote(history_usd_per_hour=history[1:], step_s=24_000.0), 24.0))


def test_matrix_is_in_the_order_of_the_names():
    rows = build_matrix(("log2_vcpus", "generation", "price_ratio"), [context()])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[1.0, 6.0, pytest.approx(0.3)]]


def test_matrix_names_every_feature_and_nothing_else():
    (row,) = build_matrix(NAMES, [context()]).tolist()
    named = dict(zip(NAMES, row, strict=True))
    assert named["hours_since_loss"] == 3.0
    assert named["hazard_per_hour"] == pytest.approx(0.002)
    assert named["price_change_24h_ratio"] == named["price_change_7d_ratio"] == 0.0
    assert unknown_features((*NAMES, "pool_name")) == ("pool_name",)


def test_matrix_of_no_offerings_has_the_columns():
    assert build_matrix(NAMES, []).shape == (0, len(NAMES))


def test_a_type_without_a_size_has_the_smallest():
    (row,) = build_matrix(
        ("log2_vcpus",), [context(offering=Offering(instance_type="x", zone="a"))]
    )
    assert row[0] == -3.0


@odd.many
@given(odd.offerings.flatmap(odd.quotes), odd.odd_floats, odd.odd_floats)
def test_no_quote_is_too_odd(found, hours, hazard):
    odd_context = context(
        offering=found.offering, quote=found, hours_since_loss=hours, hazard_per_hour=hazard
    )
    assert build_matrix(NAMES, [odd_context]).shape == (1, len(NAMES))


@odd.many
@given(st.floats(0.5, 2.0))
def test_features_do_not_change_with_the_scale_of_prices(scale):
    scaled = quote(
        spot_usd_per_hour=0.03 * scale,
        on_demand_usd_per_hour=0.10 * scale,
        history_usd_per_hour=tuple(p * scale for p in (0.02,) * 500 + (0.03,) * 509),
    )
    plain = quote(history_usd_per_hour=(0.02,) * 500 + (0.03,) * 509)
    one, other = build_matrix(NAMES, [context(quote=plain), context(quote=scaled)])
    assert np.allclose(one, other, equal_nan=True)
