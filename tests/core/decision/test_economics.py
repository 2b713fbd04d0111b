"""What one more node on Spot is worth; an unknown price is never zero."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.economics import (
    economics_of,
    entry_economics,
    hazard_per_hour,
    held_economics,
)
from spotvortex.core.decision.messages import Economics
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Action, ProposalReason
from tests.core import odd
from tests.core.builders import CALM, CHEAP, WEB_A, offered, pool_input, proposal, risk_of


def test_a_cheap_calm_offering_pays_back_soon():
    found = entry_economics(pool_input(), Limits())
    hazard = -math.log(0.97) / 2.0
    assert found.discount_ratio == pytest.approx(0.7)
    assert found.saving_usd_per_hour == pytest.approx(0.07)
    assert found.risk_cost_usd_per_hour == pytest.approx(hazard * 0.10 * 0.25)
    assert found.migration_usd == pytest.approx(0.005)
    assert found.payback_hours == pytest.approx(0.005 / found.net_usd_per_hour)


def test_a_loss_costs_what_owners_say_for_their_share_and_the_setting_for_the_rest():
    pool = pool_input(outage_hours=4.0, outage_said_ratio=0.25)
    hazard = -math.log(0.97) / 2.0
    found = entry_economics(pool, Limits(interruption_minutes=30.0))
    assert found.risk_cost_usd_per_hour == pytest.approx(hazard * 0.10 * (1.0 + 0.75 * 0.5))


def test_what_is_held_and_what_would_be_entered_are_valued_apart():
    pool = pool_input(spot_money=replace(CHEAP, spot_usd_per_hour=0.09))
    assert held_economics(pool, Limits()).discount_ratio == pytest.approx(0.1)
    assert entry_economics(pool, Limits()).discount_ratio == pytest.approx(0.7)


@pytest.mark.parametrize(
    "unknown",
    [
        {"spot_usd_per_hour": None},
        {"on_demand_usd_per_hour": None},
        {"on_demand_usd_per_hour": 0.0},
    ],
)
def test_an_unknown_price_gives_no_figure(unknown):
    pool = pool_input(entry_money=replace(CHEAP, **unknown))
    assert entry_economics(pool, Limits()) == Economics()


def test_without_a_score_there_is_a_discount_but_no_net():
    found = entry_economics(pool_input(entry_risk=replace(CALM, runtime=None)), Limits())
    assert found.discount_ratio == pytest.approx(0.7)
    assert found.net_usd_per_hour is None
    assert found.payback_hours is None


def test_a_move_to_the_best_offering_is_valued_for_a_node_of_the_size_that_moves():
    """A node of twice the best offering's price: all of its figures are twice those."""
    twice = replace(CHEAP, on_demand_usd_per_hour=0.20, marginal_usd_per_hour=0.12)
    pool = pool_input(others=(offered(WEB_A, runtime_score=0.0),), entry_money=twice)
    found = entry_economics(pool, Limits())
    assert found.saving_usd_per_hour == found.net_usd_per_hour == pytest.approx(0.12 - 0.06)
    assert found.risk_cost_usd_per_hour == pytest.approx(0.0)
    assert found.discount_ratio == pytest.approx(0.06 / 0.20)
    assert found.migration_usd == pytest.approx((3.0 * 0.20 + 1.5 * 0.06) / 60.0)
    assert found.payback_hours == pytest.approx(found.migration_usd / 0.06)
    risky = entry_economics(replace(pool, others=(offered(WEB_A, runtime_score=0.2),)), Limits())
    assert risky.risk_cost_usd_per_hour > 0.0
    assert risky.net_usd_per_hour == pytest.approx(0.06 - risky.risk_cost_usd_per_hour)


def test_a_move_that_saves_nothing_never_pays_back():
    even = replace(CHEAP, on_demand_usd_per_hour=0.03)
    pool = pool_input(
        others=(offered(WEB_A, runtime_score=0.0, on_demand_usd_per_hour=0.03),), entry_money=even
    )
    found = entry_economics(pool, Limits())
    assert (found.net_usd_per_hour, found.payback_hours) == (0.0, None)


def test_without_a_price_of_its_own_a_node_is_not_valued_by_the_best_offering():
    pool = pool_input(others=(offered(WEB_A),), entry_money=replace(CHEAP, spot_usd_per_hour=None))
    assert entry_economics(pool, Limits()) == Economics()


def test_spot_dearer_than_on_demand_never_pays_back():
    pool = pool_input(entry_money=replace(CHEAP, spot_usd_per_hour=0.11))
    assert entry_economics(pool, Limits()).payback_hours is None


def test_a_certain_loss_has_a_finite_hazard():
    assert hazard_per_hour(1.0) == pytest.approx(-math.log(1e-9) / 2.0)
    assert hazard_per_hour(0.0) == 0.0


@odd.many
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_more_risk_is_never_worth_more(one, other):
    low, high = sorted((one, other))
    calm, stressed = (
        entry_economics(pool_input(entry_risk=risk_of(p)), Limits()) for p in (low, high)
    )
    assert stressed.net_usd_per_hour <= calm.net_usd_per_hour


def test_held_spot_saves_less_than_nothing_against_on_demand_that_is_paid_for():
    held = offered(WEB_A, n_spot=4, runtime_score=0.0, idle_nodes=0.9)
    leave = proposal(Action.DECREASE_10, ProposalReason.UNUSED_COMMITMENT)
    found = economics_of(pool_input(offerings=(held,)), leave, Limits())
    assert found.saving_usd_per_hour == pytest.approx(0.01 - 0.03)
    assert found.discount_ratio == pytest.approx(-0.02 / 0.10)
    assert found.net_usd_per_hour == pytest.approx(-0.02)
    assert found.risk_cost_usd_per_hour == pytest.approx(0.0)
    assert found.migration_usd == pytest.approx(0.005)
    assert found.payback_hours == pytest.approx(0.25)
    nothing = pool_input(offerings=(offered(WEB_A, n_spot=4),))
    assert economics_of(nothing, leave, Limits()) == Economics()


def test_a_leave_is_valued_by_what_is_held_and_a_growth_by_what_would_be_entered():
    pool = pool_input(spot_money=replace(CHEAP, spot_usd_per_hour=0.09))
    leave = proposal(Action.DECREASE_10, ProposalReason.HIGH_RISK)
    assert economics_of(pool, leave, Limits()) == held_economics(pool, Limits())
    assert economics_of(pool, proposal(), Limits()) == entry_economics(pool, Limits())
