from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.features import price_change
from spotvortex.market.price_series import MAX_POINTS, STEP_S
from spotvortex.market.recorded import RecordedMarket, load_recorded
from tests.market.records import (
    C5_EU,
    M5_A,
    M5_B,
    T0,
    on_demand_record,
    spot_only,
    spot_record,
    write_file,
)

Changes = Sequence[tuple[float, float]]

moments = st.integers(-20_000, 20_000).map(lambda s: T0 + s)
changes = st.lists(st.tuples(moments, st.floats(0.01, 10.0)), min_size=1, max_size=20)


def market_of(records: Changes) -> RecordedMarket:
    return RecordedMarket(spot_only(records), source="test")


def quote_at(market: RecordedMarket, now: float, offering: Offering = M5_A) -> SpotQuote:
    return market.facts([offering], now).quotes[offering]


def price_in_force(records: Changes, at: float) -> float:
    return max((r for r in records if r[0] <= at), key=lambda r: r)[1]


def naive_mean(records: Changes, start: float, end: float) -> float:
    """Integrate piece by piece between all times at which the price may change."""
    cuts = sorted({start, end, *(t for t, _ in records if start < t < end)})
    paid = sum(price_in_force(records, a) * (b - a) for a, b in pairwise(cuts))
    return paid / (end - start)


@given(records=changes, now=moments)
def test_history_holds_the_naive_time_weighted_means(records: Changes, now: float) -> None:
    quote = quote_at(market_of(records), now)
    first = math.ceil(min(t for t, _ in records) / STEP_S)
    last = math.floor(now / STEP_S)
    wanted = [
        naive_mean(records, step * STEP_S, (step + 1) * STEP_S) for step in range(first, last)
    ]
    assert quote.history_usd_per_hour == pytest.approx(wanted, rel=1e-9)


@given(records=changes, now=moments, seed=st.integers(0, 99))
def test_order_of_records_never_matters(records: Changes, now: float, seed: int) -> None:
    shuffled = list(records)
    random.Random(seed).shuffle(shuffled)
    assert quote_at(market_of(shuffled), now) == quote_at(market_of(records), now)


@given(records=changes, now=moments)
def test_nothing_of_the_future_is_used(records: Changes, now: float) -> None:
    past = [r for r in records if r[0] <= now]
    facts = market_of(records).facts([M5_A], now)
    if past:
        assert facts == market_of(past).facts([M5_A], now)
    else:
        assert facts.quotes[M5_A] == SpotQuote(offering=M5_A)
        assert facts.inputs[0].state is InputState.ABSENT


@given(records=changes, times=st.lists(moments, min_size=1, max_size=8))
def test_what_was_asked_before_never_matters(records: Changes, times: list[float]) -> None:
    used = market_of(records)
    for now in times:
        assert quote_at(used, now) == quote_at(market_of(records), now)


def test_last_record_is_held_and_its_age_told() -> None:
    quote = quote_at(market_of([(T0, 0.2), (T0 + 900, 0.4)]), T0 + 1900)
    assert quote.spot_usd_per_hour == 0.4
    assert quote.age_s == 1000.0
    assert quote.history_usd_per_hour == pytest.approx((0.2, 0.3, 0.4))


def test_record_counts_from_its_own_instant_on() -> None:
    market = market_of([(T0, 0.2), (T0 + 900, 0.4)])
    assert quote_at(market, T0 + 899.9).spot_usd_per_hour == 0.2
    assert quote_at(market, T0 + 900).spot_usd_per_hour == 0.4


def test_history_is_bounded_and_reaches_over_seven_days() -> None:
    quote = quote_at(market_of([(T0, 0.2), (T0 + 20 * 86400, 0.3)]), T0 + 21 * 86400)
    assert len(quote.history_usd_per_hour) == MAX_POINTS
    assert price_change(quote, 168.0) == pytest.approx(0.5)


def test_unchanged_step_gives_the_same_history_object() -> None:
    market = market_of([(T0, 0.2)])
    first = quote_at(market, T0 + 6001).history_usd_per_hour
    assert quote_at(market, T0 + 6599).history_usd_per_hour is first


def test_on_demand_price_is_that_of_the_zones_region(tmp_path: Path) -> None:
    path = write_file(tmp_path / "p.jsonl", [spot_record(T0, 0.03), on_demand_record(0.096)])
    quotes = load_recorded(path).facts([M5_A, M5_B, C5_EU], T0 + 60).quotes
    assert quotes[M5_A].on_demand_usd_per_hour == 0.096
    assert quotes[M5_A].source == "recorded:p.jsonl"
    assert quotes[M5_B].on_demand_usd_per_hour == 0.096
    assert quotes[M5_B].spot_usd_per_hour is None
    assert quotes[C5_EU] == SpotQuote(offering=C5_EU)


def test_price_that_is_too_old_is_left_out_and_its_age_told(tmp_path: Path) -> None:
    other = Offering(instance_type="m5.large", zone="us-east-1c")
    path = write_file(
        tmp_path / "p.jsonl",
        [
            spot_record(T0, 0.03),
            spot_record(T0 + 9 * 86400, 0.03, AvailabilityZone="us-east-1c"),
            on_demand_record(0.096),
        ],
    )
    facts = load_recorded(path).facts([M5_A, other], T0 + 9 * 86400 + 60)
    assert facts.quotes[M5_A].spot_usd_per_hour is None
    assert facts.quotes[M5_A].age_s == 9 * 86400 + 60
    assert facts.quotes[other].spot_usd_per_hour == 0.03
    health = facts.inputs[0]
    assert (health.state, health.age_s, health.required) == (InputState.OK, 60, False)
    assert health.detail == (
        "the spot price of 1 of 2 offerings is too old to use, as that of m5.large/us-east-1a: "
        "216.0 h, the limit is 24.0 h: renew the price file, or see why Karpenter renews none"
    )


def test_prices_that_are_all_too_old_are_stale_however_fresh_the_file(tmp_path: Path) -> None:
    path = write_file(
        tmp_path / "p.jsonl",
        [spot_record(T0, 0.03), spot_record(T0 + 9 * 86400, 0.03, AvailabilityZone="us-east-1c")],
    )
    health = load_recorded(path).facts([M5_A], T0 + 9 * 86400 + 60).inputs[0]
    assert health.state is InputState.STALE


@pytest.mark.parametrize(("age_s", "known"), [(86_400.0, True), (86_400.1, False)])
def test_price_is_used_up_to_the_limit_of_its_age(age_s: float, known: bool) -> None:
    quote = quote_at(market_of([(T0, 0.2)]), T0 + age_s)
    assert (quote.spot_usd_per_hour is not None) is known


def test_old_file_is_stale_and_says_by_how_much(tmp_path: Path) -> None:
    path = write_file(tmp_path / "p.jsonl", [spot_record(T0, 0.03), on_demand_record(0.096)])
    health = load_recorded(path, spot_max_age_s=3600).facts([M5_A], T0 + 7200).inputs[0]
    assert health.state is InputState.STALE
    assert "2.0 h old, the limit is 1.0 h" in health.detail


def test_gap_in_the_prices_is_named_with_its_fix(tmp_path: Path) -> None:
    path = write_file(tmp_path / "p.jsonl", [spot_record(T0, 0.03), on_demand_record(0.096)])
    health = load_recorded(path).facts([M5_A, C5_EU], T0 + 60).inputs[0]
    assert health.state is InputState.OK
    assert "no spot price for 1 of 2 offerings, as c5.large/eu-west-1a" in health.detail
    assert "no on-demand price for 1 of 2 offerings" in health.detail
    assert "SPOTVORTEX_PRICE_FILE" in health.detail


def test_file_that_knows_none_of_the_offerings_is_absent(tmp_path: Path) -> None:
    path = write_file(tmp_path / "p.jsonl", [spot_record(T0, 0.03), on_demand_record(0.096)])
    assert load_recorded(path).facts([C5_EU], T0 + 60).inputs[0].state is InputState.ABSENT


def test_file_of_on_demand_prices_alone_has_no_spot_age(tmp_path: Path) -> None:
    path = write_file(tmp_path / "p.jsonl", [on_demand_record(0.096)])
    facts = load_recorded(path).facts([M5_A], T0)
    assert facts.quotes[M5_A].source == "recorded:p.jsonl"
    assert facts.inputs[0].state is InputState.ABSENT
    assert facts.inputs[0].age_s == math.inf
