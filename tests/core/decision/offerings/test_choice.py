"""Which Spot offerings are worth having, and which room avoids."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.offerings.choice import (
    RECENT_HOURS,
    AvoidReason,
    at_no_price,
    choice_of,
    is_cheaper,
    lately_gone,
    leaving,
    leaving_at_any_price,
    move_cost_ratio,
    per_vcpu,
)
from spotvortex.core.decision.offerings.expected_cost import spot_cost
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
        ({"lost_hours": RECENT_HOURS}, AvoidReason.LOST_LATELY),
        ({"refused_hours": RECENT_HOURS}, AvoidReason.REFUSED_LATELY),
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


NEVER = {"runtime_score": 0.0}
"""Never lost: such an offering costs its price, and nothing else."""


def test_what_costs_as_much_as_on_demand_is_not_dearer_and_is_not_cheaper():
    even = chosen(offered(A, spot_usd_per_hour=0.10, **NEVER))
    assert even.best.ratio == 1.0
    assert (even.avoided, is_cheaper(even)) == ((), False)
    above = chosen(offered(A, spot_usd_per_hour=0.101, **NEVER))
    assert reasons(above) == {A: AvoidReason.DEARER_THAN_ON_DEMAND}
    below = chosen(offered(A, spot_usd_per_hour=0.099, **NEVER))
    assert (below.avoided, is_cheaper(below)) == ((), True)
    assert not is_cheaper(chosen())


@pytest.mark.parametrize(("usd", "reason"), [(0.04, None), (0.0401, AvoidReason.DEARER_THAN_BEST)])
def test_a_tenth_of_the_list_price_dearer_than_the_best_is_avoided(usd, reason):
    found = chosen(offered(A, **NEVER), offered(B, spot_usd_per_hour=usd, **NEVER))
    assert reasons(found).get(B) is reason


def test_a_size_that_is_not_known_counts_as_one_vcpu():
    odd_type = Offering(instance_type="x", zone="us-east-1a")
    found = chosen(offered(odd_type, spot_usd_per_hour=0.02, **NEVER), offered(A, **NEVER))
    assert [per_vcpu(c) for c in found.spot] == pytest.approx([0.015, 0.02])
    assert found.best.offering == A
    best = chosen(
        offered(odd_type, spot_usd_per_hour=0.01, **NEVER),
        offered(A, spot_usd_per_hour=0.038, **NEVER),
    )
    assert best.best.offering == odd_type
    assert reasons(best) == {}


def test_the_worst_is_avoided_first_and_at_most_so_many():
    many = [Offering(instance_type="m6i.large", zone=f"us-east-1{chr(97 + i)}") for i in range(26)]
    dear = [offered(o, spot_usd_per_hour=0.2 + i / 100, **NEVER) for i, o in enumerate(many)]
    found = chosen(*dear)
    assert [a.offering for a in found.avoided] == many[::-1][:MAX_AVOIDED]
    assert found.names_avoided == tuple(sorted(many[::-1][:MAX_AVOIDED]))


def test_an_offering_out_of_scope_or_without_a_price_or_an_age_is_not_weighed():
    unknown = ({"in_scope": False}, {"spot_usd_per_hour": None}, {"on_demand_usd_per_hour": None})
    for changes in unknown:
        found = chosen(offered(A, **changes), offered(B))
        assert ([c.offering for c in found.spot], found.n_unknown) == ([B], 1)
    assert chosen(offered(A), offered(B)).n_unknown == 0


def test_on_demand_is_that_of_the_cheapest_offering_and_its_share_at_the_margin():
    money = replace(CHEAP, marginal_usd_per_hour=0.05)
    known = (offered(A, on_demand_usd_per_hour=0.2), offered(B, on_demand_usd_per_hour=0.08))
    found = chosen(*known, entry_money=money).on_demand
    assert (found.offering, found.on_demand_usd_per_hour) == (B, 0.08)
    assert found.node_usd_per_hour == pytest.approx(0.04)
    assert chosen(offered(A, held_hours=None)).on_demand is None
    assert chosen().costs == ()


@pytest.mark.parametrize(("spot_usd", "is_left"), [(0.1037, False), (0.1038, True)])
def test_spot_is_left_where_it_costs_the_move_and_a_start_more_than_on_demand(spot_usd, is_left):
    """3 minutes of the move and 1.5 until the new node serves, over two hours: 3.75 %."""
    assert move_cost_ratio(1.0, Limits()) == pytest.approx(4.5 / 120.0)
    assert move_cost_ratio(0.0, Limits()) == pytest.approx(3.0 / 120.0)
    pool = pool_input(offerings=(offered(A, n_spot=4, spot_usd_per_hour=spot_usd, **NEVER),))
    assert bool(leaving(pool, Limits())) is is_left


def test_an_offering_that_is_not_held_is_not_left():
    pool = pool_input(offerings=(offered(A, runtime_score=0.99),))
    assert not leaving(pool, HOURS_4)
    assert not leaving_at_any_price(pool, HOURS_4)


def test_what_any_other_offering_would_keep_is_not_left_for_risk_unless_it_is_gone():
    held = offered(A, runtime_score=0.99, n_spot=4)
    calm, gone = offered(B), offered(B, lost_hours=0.1)
    assert not leaving_at_any_price(pool_input(offerings=(held,), others=(calm,)), HOURS_4)
    assert leaving_at_any_price(pool_input(offerings=(held,), others=(gone,)), HOURS_4) == {A}


def test_a_risk_is_weighed_without_an_on_demand_price_and_not_without_an_age():
    held = offered(A, runtime_score=0.99, n_spot=4, on_demand_usd_per_hour=None)
    assert leaving_at_any_price(pool_input(offerings=(held,)), HOURS_4) == {A}
    young = replace(held, held_hours=None)
    assert not leaving_at_any_price(pool_input(offerings=(young,)), HOURS_4)


@pytest.mark.parametrize(("ratio", "is_left"), [(0.99, False), (1.02, False), (1.05, True)])
def test_risk_alone_has_to_outweigh_on_demand_and_the_move_there(ratio, is_left):
    """What a loss costs is chosen so that free Spot costs such a share of on-demand."""
    held = offered(A, runtime_score=0.99, n_spot=4)
    free = [spot_cost(held, ci, 0.0).ratio for ci in (0.0, 120.0)]
    minutes = 120.0 * (ratio - free[0]) / (free[1] - free[0])
    limits = Limits(interruption_minutes=minutes)
    assert bool(leaving_at_any_price(pool_input(offerings=(held,)), limits)) is is_left


def test_at_no_price_the_risk_alone_counts_and_the_calmest_comes_first():
    pool = pool_input(
        offerings=(offered(A, runtime_score=0.5, spot_usd_per_hour=0.001),),
        others=(offered(B, spot_usd_per_hour=None), offered(C, in_scope=False)),
    )
    found = at_no_price(pool, HOURS_4)
    assert [c.offering for c in found] == [B, A]
    assert all(c.node_usd_per_hour == 0.0 for c in found)
    assert lately_gone(pool) == frozenset()
    other = replace(pool, others=(offered(C, refused_hours=0.0),))
    assert lately_gone(other) == {C}


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
