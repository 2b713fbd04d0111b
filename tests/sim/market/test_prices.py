"""Prices as AWS publishes them: slow, small steps, no spike, the same for whoever asks."""

from itertools import pairwise
from statistics import median, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.features import price_change
from spotvortex.sim.market.instance_types import MACHINES
from spotvortex.sim.market.prices import HISTORY_POINTS, STEP_S, PriceTrack, SimulatedMarket
from tests.examples import examples

START = 1_785_229_200.0
DAY = 86400.0
OFFERINGS = tuple(
    Offering(instance_type=name, zone=f"us-east-1{zone}") for name in MACHINES for zone in "abc"
)


@pytest.fixture(scope="module")
def records():
    """Hours between changes, relative steps and ratios over 40 days of every offering."""
    gaps, steps, ratios = [], [], []
    for offering in OFFERINGS:
        track = PriceTrack(3, offering, START)
        prices, times = [], []
        for k in range(40 * 24 * 4):
            at = START + k * 900.0
            if not times or track.since(at) != times[-1]:
                times.append(track.since(at))
                prices.append(track.price(at))
        gaps += [(b - a) / 3600.0 for a, b in pairwise(times[1:])]
        steps += [abs(b / a - 1.0) for a, b in pairwise(prices)]
        ratios += [p / MACHINES[offering.instance_type].on_demand_usd_per_hour for p in prices]
    return gaps, steps, ratios


def test_a_price_moves_about_every_six_hours(records):
    gaps, _, _ = records
    assert 5.8 < median(gaps) < 6.6
    assert min(gaps) > 4.5
    assert max(gaps) < 40.0


def test_steps_are_small_and_there_is_no_spike(records):
    _, steps, _ = records
    assert 0.0015 < median(steps) < 0.0025
    assert 0.018 < quantiles(steps, n=100)[98] < 0.036
    assert max(steps) <= 0.0711


def test_ratios_to_on_demand_are_those_of_the_market(records):
    _, _, ratios = records
    assert min(ratios) >= 0.249
    assert max(ratios) <= 0.521
    assert 0.32 < median(ratios) < 0.37


def test_history_covers_a_week_on_the_grid_from_the_first_moment():
    quote = SimulatedMarket(seed=1, start_at=START).facts(OFFERINGS[:1], START).quotes[OFFERINGS[0]]
    assert len(quote.history_usd_per_hour) == HISTORY_POINTS == 1009
    assert quote.step_s == STEP_S == 600.0
    assert abs(price_change(quote, 168.0)) < 0.5
    assert 0.0 <= quote.age_s < 40 * 3600.0


def test_history_moves_on_by_one_point_each_grid_step():
    market = SimulatedMarket(seed=1, start_at=START)
    histories = [
        market.facts(OFFERINGS[:1], START + k * STEP_S).quotes[OFFERINGS[0]].history_usd_per_hour
        for k in range(200)
    ]
    assert all(b[:-1] == a[1:] for a, b in pairwise(histories))
    within = market.facts(OFFERINGS[:1], START + 199 * STEP_S + 599.0).quotes[OFFERINGS[0]]
    assert within.history_usd_per_hour is histories[-1]


def test_history_means_weigh_the_time_on_each_side_of_a_change():
    track = PriceTrack(5, OFFERINGS[0], START)
    changes = [k for k in range(60, 2000) if track.since(START + k * 60.0) > START + (k - 1) * 60.0]
    changed_at = track.since(START + changes[0] * 60.0)
    start = changed_at - changed_at % STEP_S
    before, after = track.price(start), track.price(start + STEP_S)
    share = (changed_at - start) / STEP_S
    mean = track.history(start + STEP_S)[-1]
    assert before != after
    assert mean == pytest.approx(share * before + (1.0 - share) * after, rel=1e-12)


@examples(20)
@given(st.lists(st.floats(0.0, 30 * DAY), min_size=1, max_size=6), st.integers(0, 50))
def test_a_price_depends_on_seed_offering_and_time_alone(times, seed):
    forward = SimulatedMarket(seed=seed, start_at=START)
    backward = SimulatedMarket(seed=seed, start_at=START)
    backward.facts(OFFERINGS[:6], START)
    seen = {t: forward.facts(OFFERINGS[:2], START + t).quotes for t in sorted(times)}
    again = {t: backward.facts(OFFERINGS[:2], START + t).quotes for t in sorted(times)[::-1]}
    assert seen == again


def test_an_unknown_instance_type_has_no_price():
    unknown = Offering(instance_type="z9.large", zone="us-east-1a")
    facts = SimulatedMarket(seed=1, start_at=START).facts([unknown, OFFERINGS[0]], START)
    assert facts.quotes[unknown].spot_usd_per_hour is None
    assert facts.quotes[unknown].on_demand_usd_per_hour is None
    assert facts.quotes[unknown].history_usd_per_hour == ()
    assert [health.name for health in facts.inputs] == ["prices"]


def test_seeds_give_different_prices():
    prices = {
        SimulatedMarket(seed=seed, start_at=START).spot_usd_per_hour(OFFERINGS[0], START)
        for seed in range(8)
    }
    assert len(prices) == 8
