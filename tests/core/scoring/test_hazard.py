"""The shape falls with both ages, is the fitted one, and rises after a partial loss."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.age_hazard.fit import Curve, curves, loss_probability
from spotvortex.core.scoring import hazard
from spotvortex.core.scoring.hazard import Age, base_of, integral, multiple
from tests.paths import ROOT

TABLE = json.loads((ROOT / "models/age_hazard_table.json").read_text())
hours = st.floats(0.0, 1e5)


def age(held, since_loss, *, is_survivor=False):
    return Age(held_hours=held, since_loss_hours=since_loss, is_survivor=is_survivor)


def test_the_figures_are_those_of_the_shipped_table():
    assert list(hazard.AGE_HOURS) == TABLE["shape"]["age_hours"]
    assert list(hazard.SHAPE) == TABLE["shape"]["multiple"]
    assert list(hazard.LEVEL_PER_HOUR) == TABLE["base"]["losses_per_hour"]
    assert list(hazard.BASE_PER_HOUR) == TABLE["base"]["base_per_hour"]


@pytest.mark.parametrize("hours_held", [0.0, 0.1, 1.0, 7.0, 24.0, 5000.0])
def test_with_equal_ages_it_is_the_formula_of_the_bundle(hours_held):
    shape, base = curves(TABLE)
    assert isinstance(shape, Curve)
    level = float(base.at(0.02))
    expected = loss_probability(shape, level, np.array([hours_held]), 120)[0]
    found = -math.expm1(-base_of(0.02) * integral(age(hours_held, hours_held), 2.0))
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_two_ages_multiply():
    young, old = multiple(age(0.0, 0.0)), multiple(age(100.0, 100.0))
    assert (young, old) == (pytest.approx(27.888), pytest.approx(1.0))
    assert multiple(age(0.0, 100.0)) == pytest.approx(math.sqrt(27.888))
    assert multiple(age(100.0, 0.0)) == pytest.approx(math.sqrt(27.888))


@given(hours, hours, st.booleans(), hours, hours)
def test_older_is_never_riskier(held, since_loss, is_survivor, more_held, more_since):
    now = multiple(age(held, since_loss, is_survivor=is_survivor))
    later = multiple(age(held + more_held, since_loss + more_since, is_survivor=is_survivor))
    assert later >= 1.0 - 1e-9
    assert later <= now * (1 + 1e-9)


@given(hours, hours)
def test_a_survivor_of_a_partial_loss_is_never_safer(held, since_loss):
    survivor = multiple(age(held, since_loss, is_survivor=True))
    assert survivor >= multiple(age(held, since_loss))


@pytest.mark.parametrize(
    ("since_loss", "chance"), [(0.0, 0.40), (0.1666, 0.40), (0.1667, 0.098), (2.9, 0.03)]
)
def test_a_survivor_has_the_chance_measured_in_ten_minutes(since_loss, chance):
    """At a level whose old hazard is the 0.7 % in 10 minutes that the figures stand beside."""
    old = -math.log1p(-hazard.OLD_CHANCE)
    found = -math.expm1(-old * multiple(age(1e5, since_loss, is_survivor=True)))
    assert found == pytest.approx(chance)


def test_an_integral_adds_up():
    start = age(0.5, 2.0, is_survivor=True)
    parts = integral(start, 1.0) + integral(start.later(1.0), 1.0)
    assert integral(start, 2.0) == pytest.approx(parts)
    assert integral(age(50.0, 50.0), 2.0) == pytest.approx(2.0)


def test_where_losses_are_rare_the_base_is_the_rate_and_where_frequent_far_below():
    assert base_of(2e-3) / 2e-3 == pytest.approx(0.92, abs=0.01)
    assert base_of(1.0) == pytest.approx(0.087947)
    assert (base_of(0.0), base_of(1e9)) == (pytest.approx(9.9996e-7), pytest.approx(1.0802))
