"""What an extra node is worth at notices: by what owners say that an outage costs them."""

from dataclasses import replace

import pytest

from spotvortex.core.decision.hedging import EXTRA_LIFE_MINUTES, hedge_of
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.limits import Limits
from spotvortex.core.drain.hedge import ASSUMED_SPREAD, NO_HEDGE, LaunchSpread
from tests.core.builders import CHEAP, basis, pool_input

PRICES = replace(CHEAP, spot_usd_per_hour=0.06, on_demand_usd_per_hour=0.192)
KNOWN = LaunchSpread(n=50, median_s=50.0, sigma=0.443, failed_ratio=0.05)
POOL = pool_input(spot_money=PRICES, launches=KNOWN, startup_s=60.0)
HEDGED = Limits(max_hedge_ratio=1.0)


def n_extra(n_lost, minutes, pool=POOL):
    limits = replace(HEDGED, interruption_minutes=minutes)
    return hedge_of(pool, limits).n_extra(n_lost)


def test_a_dollar_account_of_an_extra():
    found = hedge_of(POOL, replace(HEDGED, interruption_minutes=240.0))
    assert found.outage_usd == pytest.approx(4 * 0.192)
    assert found.saved_usd == pytest.approx(found.outage_usd * found.late_s / 110.0, rel=1e-4)
    price = 0.95 * 0.06 + 0.05 * 0.192
    assert found.node_usd == pytest.approx(price * EXTRA_LIFE_MINUTES / 60.0, rel=1e-4)
    assert found.in_time_ratio == pytest.approx(KNOWN.in_time_ratio, abs=1e-6)


@pytest.mark.parametrize(("minutes", "extras"), [(15, [0, 0, 0]), (240, [1, 1, 3])])
def test_at_a_quarter_of_an_hour_no_extra_pays_and_at_four_hours_they_do(minutes, extras):
    assert [n_extra(n, minutes) for n in (1, 3, 10)] == extras


def test_what_owners_say_counts_before_the_setting():
    said = replace(POOL, outage_hours=4.0, outage_said_ratio=1.0)
    assert n_extra(3, 15.0, said) == n_extra(3, 240.0)
    half = replace(said, outage_said_ratio=0.5)
    assert hedge_of(half, HEDGED).outage_usd == pytest.approx(0.192 * 127.5 / 60.0, rel=1e-4)


def test_no_extra_spares_more_than_the_whole_outage():
    slow = replace(KNOWN, median_s=600.0, sigma=3.0)
    found = hedge_of(replace(POOL, launches=slow), HEDGED)
    assert found.saved_usd == found.outage_usd


@pytest.mark.parametrize("unknown", ["spot_usd_per_hour", "on_demand_usd_per_hour"])
def test_without_a_price_and_without_a_bound_there_are_none(unknown):
    bare = replace(POOL, spot_money=replace(PRICES, **{unknown: None}))
    assert hedge_of(bare, HEDGED) == NO_HEDGE
    assert hedge_of(POOL, replace(HEDGED, max_hedge_ratio=0.0)) == NO_HEDGE


def test_few_launches_are_taken_for_usual_ones_but_for_those_that_failed():
    few = replace(KNOWN, n=1, median_s=1.0, failed_ratio=0.2)
    found = hedge_of(replace(POOL, launches=few), HEDGED)
    assumed = replace(ASSUMED_SPREAD, failed_ratio=0.2)
    assert found.in_time_ratio == pytest.approx(assumed.in_time_ratio, abs=1e-6)


def test_a_decision_says_what_an_extra_is_worth():
    limits = replace(HEDGED, interruption_minutes=240.0)
    assert decide(basis(POOL, limits=limits)).hedge == hedge_of(POOL, limits)
