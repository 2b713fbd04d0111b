"""Karpenter's gauges as a source: prices as old as they may be, and falls that mean something."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.types import Offering
from spotvortex.market.karpenter.exposition import Scrape
from spotvortex.market.karpenter.gauges import (
    FALL_KEPT_S,
    MAX_CHANGES,
    MAX_GAP_S,
    RENEWED_EVERY_S,
    KarpenterMarket,
)
from spotvortex.market.price_file import SpotChanges
from tests.core.builders import AT, WEB_A, WEB_B

HOUR = 3600.0
FIRST = Scrape(
    available={WEB_A: True, WEB_B: True},
    spot={WEB_A: 0.03, WEB_B: 0.04},
    on_demand={WEB_A: 0.1, WEB_B: 0.1},
    n_interrupted=2.0,
    started_at=AT - 1e5,
    price_digest=1,
)


def market(*scrapes, max_age_s=48 * HOUR):
    """A market after scrapes, given as (seconds after AT, changes of the first one)."""
    made = KarpenterMarket(max_age_s)
    for after_s, changes in scrapes:
        made.take(replace(FIRST, **changes), AT + after_s)
    return made


def quote(made, after_s, offering=WEB_A):
    return made.facts([offering], AT + after_s).quotes[offering]


def test_before_the_first_scrape_nothing_is_known():
    facts = KarpenterMarket().facts([WEB_A], AT)
    assert facts.quotes[WEB_A].spot_usd_per_hour is None
    assert facts.inputs[0].state is InputState.ABSENT


def test_at_the_first_scrape_a_price_may_be_as_old_as_karpenter_lets_it_grow():
    found = quote(market((0.0, {})), 60.0)
    assert (found.spot_usd_per_hour, found.on_demand_usd_per_hour) == (0.03, 0.1)
    assert (found.age_s, found.source) == (RENEWED_EVERY_S + 60.0, "karpenter")


def test_from_then_on_it_is_as_old_as_the_last_scrape_in_which_any_price_had_changed():
    made = market((0.0, {}), (60.0, {}), (120.0, {"price_digest": 2}), (180.0, {"price_digest": 2}))
    assert quote(made, 180.0).age_s == 60.0


def test_prices_that_karpenter_no_longer_renews_are_not_used_although_scrapes_go_on():
    made = market(*((60.0 * i, {}) for i in range(5)), max_age_s=13 * HOUR)
    assert quote(made, 0.9 * HOUR).spot_usd_per_hour == 0.03
    late = made.facts([WEB_A], AT + 1.1 * HOUR)
    assert late.quotes[WEB_A].spot_usd_per_hour is None
    assert late.inputs[0].state is InputState.STALE
    assert late.quotes[WEB_A].on_demand_usd_per_hour == 0.1


def test_a_price_that_is_no_longer_served_grows_old_although_others_change():
    left = {"spot": {WEB_B: 0.05}, "price_digest": 2}
    made = market((0.0, {}), (HOUR, {"price_digest": 1}), (2 * HOUR, left), max_age_s=13 * HOUR)
    assert quote(made, 2 * HOUR, WEB_B).age_s == 0.0
    assert (quote(made, 2 * HOUR).age_s, quote(made, 2 * HOUR).spot_usd_per_hour) == (HOUR, 0.03)
    assert quote(made, 15 * HOUR).spot_usd_per_hour is None
    made.take(replace(FIRST, price_digest=3), AT + 16 * HOUR)
    assert quote(made, 16 * HOUR).age_s == 0.0


def test_a_price_of_the_past_that_was_never_served_since_is_as_old_as_the_past():
    past = SpotChanges()
    past.times.append(AT - 5 * HOUR)
    past.prices.append(0.02)
    made = market((0.0, {}), (HOUR, {"price_digest": 2}))
    gone = WEB_A._replace(zone="us-east-1f")
    made.take_history({gone: past}, {}, AT - 4 * HOUR)
    assert quote(made, HOUR, gone).age_s == 5 * HOUR
    assert quote(made, HOUR).age_s == 0.0


def test_a_history_grows_from_what_was_seen_and_goes_on_from_the_past():
    made = market((0.0, {}), (HOUR, {"spot": {WEB_A: 0.05}, "price_digest": 2}))
    assert quote(made, 2 * HOUR).history_usd_per_hour[-1] == 0.05
    n_live = len(quote(made, 2 * HOUR).history_usd_per_hour)
    past = SpotChanges()
    past.times.extend([AT - 5 * HOUR, AT + 10.0])
    past.prices.extend([0.02, 9.0])
    made.take_history({WEB_A: past}, {WEB_A: 7.0}, AT - HOUR)
    found = quote(made, 2 * HOUR)
    assert len(found.history_usd_per_hour) == n_live + 30
    assert found.history_usd_per_hour[0] == 0.02
    assert max(found.history_usd_per_hour) == 0.05
    assert found.on_demand_usd_per_hour == 0.1


def test_price_changes_are_bounded():
    made = market(
        *(
            (60.0 * i, {"spot": {WEB_A: 0.01 + i / 1e4}, "price_digest": i})
            for i in range(MAX_CHANGES + 9)
        )
    )
    assert len(made._changes[WEB_A]) == MAX_CHANGES


def falls(made, after_s):
    launches = made.facts([], AT + after_s).launches
    return {o: at - AT for o, at in launches.falls.items()}


NONE_LEFT = {"available": {WEB_A: False, WEB_B: True}}


def test_a_fall_is_told_with_its_time_and_forgotten():
    made = market((0.0, {}), (60.0, NONE_LEFT), (120.0, NONE_LEFT))
    assert falls(made, 120.0) == {WEB_A: 60.0}
    assert falls(made, 61.0 + FALL_KEPT_S) == {}


@pytest.mark.parametrize(
    ("scrapes", "why"),
    [
        ([(0.0, NONE_LEFT), (60.0, NONE_LEFT)], "it was 0 at rest"),
        ([(0.0, NONE_LEFT), (60.0, {})], "it rose"),
        ([(0.0, {}), (60.0, {"available": {WEB_B: True}})], "it is no longer sold"),
        ([(0.0, {"available": {}}), (60.0, NONE_LEFT)], "it is new"),
        ([(0.0, {}), (MAX_GAP_S + 1.0, NONE_LEFT)], "nobody looked for long"),
        ([(0.0, {}), (60.0, NONE_LEFT | {"started_at": AT})], "it is another process"),
    ],
)
def test_only_a_fall_from_1_to_0_means_something(scrapes, why):
    assert falls(market(*scrapes), 60.0) == {}, why


def test_a_zone_that_falls_whole_is_no_lack_of_capacity(caplog):
    zone = {Offering(instance_type=f"m{i}.large", zone="us-east-1c"): True for i in range(50)}
    other = {Offering(instance_type=f"m{i}.large", zone="us-east-1d"): True for i in range(50)}
    gone = dict.fromkeys(zone, False) | other | {next(iter(other)): False}
    made = market((0.0, {"available": zone | other}), (60.0, {"available": gone}))
    assert falls(made, 60.0) == {next(iter(other)): 60.0}
    assert caplog.messages == ["karpenter.zone_unavailable"]


@pytest.mark.parametrize(
    ("scrapes", "told"),
    [
        ([(0.0, {}), (60.0, {"n_interrupted": 3.0})], (60.0,)),
        ([(0.0, {}), (60.0, {})], ()),
        ([(0.0, {"n_interrupted": None}), (60.0, {"n_interrupted": 1.0})], (60.0,)),
        ([(0.0, {}), (60.0, {"n_interrupted": 1.0, "started_at": AT})], (60.0,)),
        ([(0.0, {}), (60.0, {"n_interrupted": None, "started_at": AT})], ()),
        ([(0.0, {})], ()),
    ],
)
def test_an_interruption_is_told_when_its_count_rises_also_in_a_new_process(scrapes, told):
    launches = market(*scrapes).facts([], AT + 60.0).launches
    assert tuple(at - AT for at in launches.interrupted_at) == told
