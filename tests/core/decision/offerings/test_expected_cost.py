"""What a node of an offering is expected to cost: the formula, its terms, and how they move."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.offerings.expected_cost import (
    AFTER_LOSS_RATIO,
    HORIZON_MINUTES,
    WIDTHS_MINUTES,
    outage_minutes,
    spot_cost,
)
from spotvortex.core.domain.limits import Limits
from tests.core import odd
from tests.core.builders import offered, pool_input


def cost(ci_minutes=15.0, spot_ratio=0.3, **changes):
    return spot_cost(offered(**changes), ci_minutes, spot_ratio)


def test_the_steps_cover_two_hours_and_grow_by_half():
    assert math.fsum(WIDTHS_MINUTES) == HORIZON_MINUTES
    assert WIDTHS_MINUTES[0] == 2.5
    assert WIDTHS_MINUTES[1] == 3.75


def test_an_offering_that_is_never_lost_costs_its_price():
    found = cost(runtime_score=0.0)
    assert (found.loss_usd_per_hour, found.after_usd_per_hour) == (0.0, 0.0)
    assert found.usd_per_hour == pytest.approx(0.03)


def test_a_loss_costs_what_the_workloads_say_times_its_chance():
    """0.03 within two hours, at 15 and 0.3 minutes of $0.10 an hour, spread over two hours."""
    found = cost()
    assert found.loss_usd_per_hour == pytest.approx(0.03 * 15.3 / 120.0 * 0.10, abs=1e-6)
    assert cost(ci_minutes=240.0).loss_usd_per_hour == pytest.approx(0.03 * 2.0025 * 0.10, abs=1e-6)


def test_a_node_lost_at_once_costs_its_loss_and_what_stands_in_for_it():
    found = cost(runtime_score=1.0, is_survivor=True, lost_hours=0.0)
    assert found.loss_usd_per_hour == pytest.approx(0.10 * 15.3 / 120.0, rel=1e-3)
    assert found.after_usd_per_hour < AFTER_LOSS_RATIO * 0.10
    assert found.after_usd_per_hour + found.node_usd_per_hour == pytest.approx(0.0485, abs=0.004)


def test_survivors_of_a_partial_loss_cost_more_than_their_score_says():
    calm, after = cost(lost_hours=0.1), cost(lost_hours=0.1, is_survivor=True)
    assert after.loss_usd_per_hour > 1.2 * calm.loss_usd_per_hour
    in_score = cost(lost_hours=0.1, is_survivor=True, from_memory=True)
    assert in_score.loss_usd_per_hour == pytest.approx(calm.loss_usd_per_hour, abs=1e-6)
    long_ago = cost(lost_hours=3.1, is_survivor=True)
    assert long_ago == cost(lost_hours=3.1)


@pytest.mark.parametrize(
    "unknown", [{"runtime_score": None}, {"on_demand_usd_per_hour": None}, {"held_hours": None}]
)
def test_what_is_not_known_gives_no_cost(unknown):
    assert cost(**unknown) is None


def test_a_loss_costs_what_owners_say_for_their_share_and_the_setting_for_the_rest():
    pool = pool_input(outage_hours=4.0, outage_said_ratio=0.25)
    assert outage_minutes(pool, Limits()) == pytest.approx(0.25 * 240.0 + 0.75 * 15.0)
    assert outage_minutes(pool_input(), Limits(interruption_minutes=60.0)) == 60.0


hours = st.floats(0.0, 48.0)
known = st.builds(
    offered,
    runtime_score=st.floats(0.0, 1.0),
    held_hours=hours,
    lost_hours=st.none() | hours,
    is_survivor=st.booleans(),
    from_memory=st.booleans(),
)


@odd.many
@given(known, st.floats(0.0, 2880.0), st.floats(0.0, 1.5))
def test_the_terms_add_up_and_none_is_negative(found, ci_minutes, ratio):
    made = spot_cost(found, ci_minutes, ratio)
    terms = (made.node_usd_per_hour, made.loss_usd_per_hour, made.after_usd_per_hour)
    assert all(term >= 0.0 for term in terms)
    assert made.usd_per_hour == math.fsum(terms) or made.usd_per_hour == sum(terms)
    assert made.node_usd_per_hour <= ratio * 0.10 + 1e-6
    assert made.loss_usd_per_hour <= (ci_minutes + 0.3) / HORIZON_MINUTES * 0.10 + 1e-6


@odd.many
@given(known, st.floats(0.0, 1.0), st.floats(30.0, 2880.0), st.floats(0.0, 0.5))
def test_more_risk_never_costs_less_while_spot_is_cheap(found, other, ci_minutes, ratio):
    low, high = sorted((found.runtime_score, other))
    calm, risky = (
        spot_cost(replace(found, runtime_score=p), ci_minutes, ratio) for p in (low, high)
    )
    assert risky.usd_per_hour >= calm.usd_per_hour - 2e-6


@odd.many
@given(known, st.floats(0.0, 2880.0), st.floats(0.0, 2880.0))
def test_dearer_outages_never_make_spot_cheaper(found, one, other):
    low, high = (spot_cost(found, ci, 0.3) for ci in sorted((one, other)))
    assert high.usd_per_hour >= low.usd_per_hour - 2e-6
