"""What one more node on Spot is worth; an unknown price is never zero."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.economics import entry_economics, hazard_per_hour, held_economics
from spotvortex.core.decision.messages import Economics
from spotvortex.core.domain.limits import Limits
from tests.core import odd
from tests.core.builders import CALM, CHEAP, pool_input, risk_of


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
