"""Which Spot offerings are worth having, and which room avoids."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.offerings.choice import (
    AvoidReason,
    choice_of,
    leaving,
    leaving_at_any_price,
)
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.pool.input import MAX_AVOIDED
from tests.core import odd
from tests.core.builders import CHEAP, offered, pool_input
from tests.core.decision.offerings.markets import markets

A, B, C = (Offering(instance_type="m6i.large", zone=f"us-east-1{z}") for z in "abc")
HOURS_4 = Limits(interruption_minutes=240.0)


def chosen(*known, limits=None, **changes):
    return choice_of(pool_input(offerings=known, **changes), limits or Limits())


def reasons(choice):
    return {found.offering: found.reason for found in choice.avoided}


def test_the_cheapest_by_expectation_is_the_best_and_on_demand_is_one_more_offering():
    found = chosen(offered(A, runtime_score=0.5), offered(B), limits=HOURS_4)
    assert found.best.offering == B
    assert [c.offering for c in found.spot] == [B, A]
    assert found.costs[-1].capacity_type is CapacityType.ON_DEMAND
    assert found.costs[-1].usd_per_hour == pytest.approx(0.10)


def test_what_costs_more_than_on_demand_is_avoided_and_what_is_much_dearer_than_the_best():
    found = chosen(
        offered(A),
        offered(B, runtime_score=0.9),
        offered(C, spot_usd_per_hour=0.05),
        limits=HOURS_4,
    )
    assert reasons(found) == {
        B: AvoidReason.DEARER_THAN_ON_DEMAND,
        C: AvoidReason.DEARER_THAN_BEST,
    }


def test_a_little_dearer_is_left_to_the_clouds_own_choice():
    assert not chosen(offered(A), offered(B, spot_usd_per_hour=0.035)).avoided


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"lost_hours": 0.1}, AvoidReason.LOST_LATELY),
        ({"lost_hours": 0.2}, None),
        ({"refused_hours": 0.1}, AvoidReason.REFUSED_LATELY),
        ({"refused_hours": 0.2}, None),
    ],
)
def test_what_was_lost_or_refused_within_minutes_is_avoided_and_never_the_best(known, reason):
    found = chosen(offered(A, spot_usd_per_hour=0.029, **known), offered(B))
    assert reasons(found).get(A) is reason
    assert found.best.offering == (A if reason is None else B)


def test_where_commitments_pay_for_on_demand_no_spot_is_cheaper():
    covered = replace(CHEAP, marginal_usd_per_hour=0.01)
    found = chosen(offered(A), entry_money=covered)
    assert found.on_demand.usd_per_hour == pytest.approx(0.01)
    assert reasons(found) == {A: AvoidReason.DEARER_THAN_ON_DEMAND}


def test_an_offering_that_is_not_held_counts_as_well():
    found = chosen(offered(A, runtime_score=0.9, n_spot=4), others=(offered(B),), limits=HOURS_4)
    assert found.best.offering == B


def test_of_larger_nodes_the_cost_of_a_vcpu_counts():
    twice = Offering(instance_type="m6i.xlarge", zone="us-east-1a")
    large = offered(twice, spot_usd_per_hour=0.058, on_demand_usd_per_hour=0.20)
    assert chosen(offered(A), large).best.offering == twice


def test_nothing_is_left_for_on_demand_where_another_spot_offering_is_cheaper():
    held = offered(A, runtime_score=0.99, n_spot=4)
    alone, beside = pool_input(offerings=(held,)), pool_input(offerings=(held, offered(B)))
    assert leaving(alone, HOURS_4) == {A}
    assert not leaving(beside, HOURS_4)
    assert not leaving(alone, Limits())


def test_what_risk_alone_outweighs_is_left_without_any_price():
    held = offered(A, runtime_score=0.99, n_spot=4, spot_usd_per_hour=None)
    assert leaving_at_any_price(pool_input(offerings=(held,)), HOURS_4) == {A}
    assert not leaving(pool_input(offerings=(held,)), HOURS_4)
    unknown = offered(B, runtime_score=None)
    assert not leaving_at_any_price(pool_input(offerings=(held, unknown)), HOURS_4)


costs = st.builds(Limits, interruption_minutes=st.sampled_from([0.0, 15.0, 240.0, 720.0]))


@odd.many
@given(markets, costs)
def test_the_best_is_never_avoided_for_its_price_and_nothing_is_avoided_twice(known, limits):
    found = chosen(*known, limits=limits)
    named = [a.offering for a in found.avoided]
    assert len(set(named)) == len(named) <= MAX_AVOIDED
    if found.best is not None:
        assert reasons(found).get(found.best.offering) in (None, AvoidReason.DEARER_THAN_ON_DEMAND)
    assert set(named) <= {o.offering for o in known}


@odd.many
@given(markets, costs)
def test_what_leaves_for_on_demand_is_held_and_has_no_better_spot_beside_it(known, limits):
    pool = pool_input(offerings=tuple(known))
    found, left = chosen(*known, limits=limits), leaving(pool, limits)
    held = {o.offering for o in known if o.n_spot}
    assert left <= held
    assert leaving_at_any_price(pool, limits) <= held
    if left:
        assert found.best is None or found.best.ratio >= 1.0


@odd.many
@given(markets, costs)
def test_the_order_of_offerings_never_matters(known, limits):
    one, other = chosen(*known, limits=limits), chosen(*known[::-1], limits=limits)
    assert (one.spot, one.best, one.on_demand) == (other.spot, other.best, other.on_demand)
