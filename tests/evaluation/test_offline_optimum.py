"""The offline bound, against every way that there is in tiny worlds."""

import time
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import Offering
from spotvortex.evaluation.offline_optimum import Future, UnitCosts, plan
from spotvortex.sim.market.semimarkov import TRACELIKE, generate
from spotvortex.sim.market.shortage_clock import TimeSpan
from tests.examples import examples
from tests.sim.market.grid import on_grid

FREE = UnitCosts(move_min=0.0, interruption_min=0.0)


def future(spot, counts, wanted, step_s=300.0):
    return Future(
        spot_usd_per_hour=np.array(spot, dtype=float),
        counts=np.array(counts, dtype=np.int64),
        wanted=np.array(wanted, dtype=np.int64),
        on_demand_usd_per_hour=1.0,
        step_s=step_s,
    )


def bill(world, costs, unit, path):
    """What one way through time costs one unit, told step by step."""
    on_demand = len(world.counts)
    nowhere = on_demand + 1
    paid_min = 0.0
    for k, place in enumerate(path):
        is_wanted = world.wanted[k] > unit
        minutes = world.step_s / 60.0
        if place == nowhere:
            paid_min += minutes * costs.unserved_ratio * is_wanted
        elif place == on_demand:
            paid_min += minutes
        else:
            paid_min += minutes * world.spot_usd_per_hour[place, k]
        before = path[k - 1] if k else place
        if before in (place, nowhere):
            continue
        was_taken = before < on_demand and world.counts[before, k] == 0
        if place == nowhere:
            paid_min += costs.interruption_min * is_wanted
        elif was_taken:
            paid_min += min(costs.move_min, costs.interruption_min)
        else:
            paid_min += costs.move_min
    return paid_min / 60.0


def fits(world, paths):
    return all(
        sum(path[k] == place for path in paths) <= world.counts[place, k]
        for place in range(len(world.counts))
        for k in range(len(world.wanted))
    )


@st.composite
def worlds(draw, most_steps=4):
    n_steps = draw(st.integers(1, most_steps))
    rows = st.lists(st.integers(0, 3), min_size=n_steps, max_size=n_steps)
    prices = st.lists(st.floats(0.1, 1.3, allow_nan=False), min_size=n_steps, max_size=n_steps)
    counts = draw(st.lists(rows, min_size=2, max_size=2))
    spot = draw(st.lists(prices, min_size=2, max_size=2))
    return spot, counts, n_steps, draw(st.sampled_from([60.0, 300.0, 900.0]))


COSTS = st.builds(
    UnitCosts,
    move_min=st.sampled_from([0.0, 3.0, 10.0]),
    interruption_min=st.sampled_from([0.0, 5.0, 15.0]),
    unserved_ratio=st.sampled_from([0.5, 1.5]),
)


@examples(150)
@given(worlds(), COSTS, st.data())
def test_one_unit_is_placed_as_well_as_can_be(made, costs, data):
    spot, counts, n_steps, step_s = made
    wanted = data.draw(st.lists(st.integers(0, 1), min_size=n_steps, max_size=n_steps))
    wanted[data.draw(st.integers(0, n_steps - 1))] = 1
    world = future(spot, counts, wanted, step_s)
    ways = product(range(4), repeat=n_steps)
    best = min(bill(world, costs, 0, way) for way in ways if fits(world, [way]))
    found = plan(world, costs)
    assert found.cost_usd == pytest.approx(best, abs=1e-9)
    assert fits(world, found.places)
    assert bill(world, costs, 0, found.places[0]) == pytest.approx(best, abs=1e-9)


@examples(60)
@given(worlds(most_steps=3), COSTS.filter(lambda c: c.move_min <= c.interruption_min))
def test_two_units_never_cost_less_than_the_best_of_all_ways(made, costs):
    spot, counts, n_steps, step_s = made
    world = future(spot, counts, [2] * n_steps, step_s)
    bills = {way: bill(world, costs, 0, way) for way in product(range(4), repeat=n_steps)}
    best = min(
        bills[a] + bills[b]
        for a, b in combinations_with_replacement(bills, 2)
        if fits(world, [a, b])
    )
    found = plan(world, costs)
    assert fits(world, found.places)
    assert found.cost_usd >= best - 1e-9
    assert found.cost_usd <= 2 * n_steps * step_s / 3600.0 + 1e-9


def test_a_short_gap_is_sat_out_on_demand_and_a_dear_offering_is_left():
    spot = [[0.3] * 24, [0.4] * 24]
    counts = [[1] * 12 + [0] * 6 + [1] * 6, [0] * 24]
    found = plan(future(spot, counts, [1] * 24), UnitCosts())
    assert found.places[0].tolist() == [0] * 12 + [found.on_demand] * 6 + [0] * 6
    assert found.cost_usd == pytest.approx(18 / 12 * 0.3 + 6 / 12 + 2 * 3 / 60)


def test_going_nowhere_is_an_interruption_unless_nobody_asks():
    gap = future([[0.3] * 6], [[1, 1, 0, 0, 1, 1]], [1] * 6)
    cheap = UnitCosts(move_min=30.0, interruption_min=1.0, unserved_ratio=0.5)
    found = plan(gap, cheap)
    assert found.places[0].tolist() == [0, 0, found.nowhere, found.nowhere, 0, 0]
    assert found.cost_usd == pytest.approx(4 / 12 * 0.3 + 2 / 12 * 0.5 + 1 / 60)
    idle = future([[0.3] * 6], [[1] * 6], [1, 1, 0, 0, 1, 1])
    assert plan(idle, UnitCosts()).cost_usd == pytest.approx(4 / 12 * 0.3)


def test_units_share_what_there_is():
    world = future([[0.3] * 4], [[2] * 4], [3] * 4)
    found = plan(world, FREE)
    assert (found.places == found.on_demand).sum(axis=0).tolist() == [1] * 4
    assert found.cost_usd == pytest.approx(4 / 12 * (0.3 + 0.3 + 1.0))


def a_week():
    offerings = [
        Offering(instance_type=name, zone=f"us-east-1{zone}")
        for name in ("m6i.large", "c6i.large", "r6i.large", "m5.large")
        for zone in "abc"
    ]
    made = generate(
        seed=1,
        family=TRACELIKE,
        offerings=offerings,
        span=TimeSpan(start_at=0.0, seconds=7 * 86400.0),
    )
    counts = np.stack([on_grid(made[o], 0.0, 300.0, 2016) for o in offerings])
    spot = np.repeat(np.linspace(0.3, 0.45, 12)[:, None], 2016, axis=1)
    return future(spot, counts, [20] * 2016)


def test_a_week_of_twelve_offerings_and_twenty_units_takes_seconds():
    began = time.process_time()
    found = plan(a_week(), UnitCosts())
    assert time.process_time() - began < 6.0
    assert 0.25 < found.cost_usd / (20 * 168) < 0.6
