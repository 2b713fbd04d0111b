"""Costs are sums at list price; a node without a price is counted and guessed at by nobody."""

import pytest

from spotvortex.core.domain.types import Offering
from spotvortex.core.pool.cost import PoolCost, cost_of, total_of
from spotvortex.core.pool.input import OfferingInput
from tests.telemetry.decisions import pool_input


def held(n_spot, n_on_demand, spot, on_demand, zone="a"):
    return OfferingInput(
        offering=Offering(instance_type="m6i.large", zone=zone),
        n_spot=n_spot,
        n_on_demand=n_on_demand,
        spot_usd_per_hour=spot,
        on_demand_usd_per_hour=on_demand,
        capacity_score=None,
        runtime_score=None,
        in_scope=True,
    )


def pool(*offerings, n_spot=0, n_on_demand=0):
    return pool_input(
        offerings=offerings,
        n_offerings=len(offerings),
        n_spot=n_spot,
        n_on_demand=n_on_demand,
    )


def test_a_pool_costs_what_its_nodes_cost():
    cost = cost_of(pool(held(3, 2, 0.04, 0.1), held(1, 0, 0.05, 0.2), n_spot=4, n_on_demand=2))
    assert cost.spot_usd_per_hour == pytest.approx(0.17)
    assert cost.on_demand_usd_per_hour == pytest.approx(0.2)
    assert cost.usd_per_hour == pytest.approx(0.37)
    assert cost.all_on_demand_usd_per_hour == pytest.approx(0.7)
    assert cost.saved_usd_per_hour == pytest.approx(0.33)
    assert (cost.n_priced, cost.n_unpriced) == (6, 0)


def test_spot_without_a_price_is_left_out_of_every_sum():
    cost = cost_of(pool(held(3, 2, None, 0.1), n_spot=3, n_on_demand=2))
    assert cost.usd_per_hour == pytest.approx(cost.all_on_demand_usd_per_hour) == pytest.approx(0.2)
    assert (cost.n_priced, cost.n_unpriced) == (2, 3)


def test_without_the_price_of_on_demand_nothing_can_be_compared():
    cost = cost_of(pool(held(3, 2, 0.04, None), n_spot=3, n_on_demand=2))
    assert cost == PoolCost(n_unpriced=5)


def test_offerings_beyond_those_that_are_listed_are_counted():
    cost = cost_of(pool(held(3, 0, 0.04, 0.1), n_spot=10, n_on_demand=1))
    assert (cost.n_priced, cost.n_unpriced) == (3, 8)


def test_pools_add_up():
    first = cost_of(pool(held(3, 2, 0.04, 0.1), n_spot=3, n_on_demand=2))
    second = cost_of(pool(held(1, 0, None, 0.1), n_spot=1))
    total = total_of([first, second])
    assert total.usd_per_hour == pytest.approx(first.usd_per_hour)
    assert (total.n_priced, total.n_unpriced) == (5, 1)
    assert total_of([]) == PoolCost()
