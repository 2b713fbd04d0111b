"""Scripted prices: the format, the cursors and the texts of the Go agent's fake provider."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.errors import PriceFileError
from spotvortex.market.scripted import (
    MAX_ERRORS_TOLD,
    MAX_SCENARIO_BYTES,
    FakePriceProvider,
    ScriptedPriceError,
    load_scripted,
    read_scenario,
)
from tests.market.records import M5_A, M5_B, T0
from tests.market.scenarios import SHIPPED, market_of, played, prices

R6_A = Offering(instance_type="r6i.large", zone="us-east-1a")
C5_WEST = Offering(instance_type="c5.large", zone="us-west-2a")


def spots(provider: FakePriceProvider, n: int, where: str = "m5.large:us-east-1a") -> list[float]:
    kind, _, zone = where.partition(":")
    return [provider.spot(kind, zone).current_price for _ in range(n)]


# The shipped scenario.


def test_shipped_spike_comes_and_goes_and_its_last_step_is_repeated() -> None:
    provider = played(SHIPPED)
    found = [provider.spot("m5.large", "us-east-1a") for _ in range(5)]
    assert [p.current_price for p in found] == [0.22, 0.95, 0.28, 0.28, 0.28]
    assert found[1].price_history == (0.22, 0.5, 0.95)
    assert {p.on_demand_price for p in found} == {1.0}


def test_shipped_throttling_is_an_error_each_time() -> None:
    provider = played(SHIPPED)
    told = "fake price provider injected error for r6i.large:us-east-1a: simulated throttling"
    for _ in range(2):
        with pytest.raises(ScriptedPriceError) as caught:
            provider.spot("r6i.large", "us-east-1a")
        assert str(caught.value) == told
    with pytest.raises(ScriptedPriceError, match="simulated throttling"):
        provider.on_demand("r6i.large", "us-east-1a")


def test_shipped_zone_and_default_serve_the_rest() -> None:
    provider = played(SHIPPED)
    west, other = provider.spot("c5.large", "us-west-2a"), provider.spot("c5.large", "eu-west-1a")
    assert (west.current_price, west.on_demand_price) == (0.4, 1.2)
    assert (other.current_price, other.price_history) == (0.2, (0.2, 0.2, 0.2))


# Look-up, cursors, overrides.


def test_on_demand_does_not_move_the_script_on() -> None:
    provider = played({"series": {"m5.large:*": [{"on_demand_price": 1}, {"on_demand_price": 2}]}})
    assert [provider.on_demand("m5.large") for _ in range(3)] == [1.0, 1.0, 1.0]
    provider.spot("m5.large", "us-east-1a")
    assert provider.on_demand("m5.large") == 2.0


@pytest.mark.parametrize(
    ("keys", "asked", "price"),
    [
        (("a:z", "a:*", "*:z", "*:*"), "a:z", 1.0),
        (("b:z", "a:*", "*:z", "*:*"), "a:z", 2.0),
        (("b:z", "b:*", "*:z", "*:*"), "a:z", 3.0),
        (("b:z", "b:*", "*:y", "*:*"), "a:z", 4.0),
        (("b:z", "b:*", "*:y", "b:x"), "a:z", 9.0),
        (("a:z", "a:*", "*:z", "*:*"), "a:", 2.0),
        (("a:z", "a:*", "*:z", "*:*"), " : z ", 3.0),
        (("a:z", "a:*", "*:z", "*:*"), ":", 4.0),
    ],
)
def test_the_most_exact_series_is_played_and_then_the_default(
    keys: tuple[str, ...], asked: str, price: float
) -> None:
    series = {key: prices(i) for i, key in enumerate(keys, start=1)}
    provider = played({"default": {"current_price": 9}, "series": series})
    assert spots(provider, 1, asked) == [price]


def test_offerings_share_the_cursor_of_a_wildcard() -> None:
    provider = played({"series": {"*:z": prices(1, 2, 3), "b:z": prices(7, 8)}})
    found = [provider.spot(kind, "z").current_price for kind in "abcba"]
    assert found == [1.0, 7.0, 2.0, 8.0, 3.0]


def test_a_step_overrides_the_default_field_by_field() -> None:
    default = {"current_price": 1, "on_demand_price": 2, "price_history": [3], "volatility": 4}
    steps = [{}, {"current_price": 0}, {"price_history": []}, {"volatility": 0.5, "error": ""}]
    provider = played({"default": default, "series": {"a:z": steps}})
    found = [provider.spot("a", "z") for _ in steps]
    assert [p.current_price for p in found] == [1.0, 0.0, 1.0, 1.0]
    assert [p.on_demand_price for p in found] == [2.0] * 4
    assert [p.price_history for p in found] == [(3.0,), (3.0,), (), (3.0,)]
    assert [p.volatility for p in found] == [4.0, 4.0, 4.0, 0.5]


def test_missing_numbers_are_zero() -> None:
    found = played({"series": {"a:z": [{}]}}).spot("a", "z")
    assert (found.current_price, found.on_demand_price, found.price_history) == (0.0, 0.0, ())


def test_null_leaves_a_field_to_the_default() -> None:
    scenario = {"default": {"current_price": 1}, "series": {"a:z": [{"current_price": None}]}}
    assert spots(played(scenario), 1, "a:z") == [1.0]


def test_an_error_of_the_default_is_every_steps_error() -> None:
    provider = played({"default": {"error": "down"}, "series": {"a:z": prices(1)}})
    with pytest.raises(ScriptedPriceError, match="injected error for a:z: down"):
        provider.spot("a", "z")


def test_an_error_moves_the_script_on_like_any_step() -> None:
    provider = played({"series": {"a:z": [{"error": "once"}, {"current_price": 1}]}})
    with pytest.raises(ScriptedPriceError, match="once"):
        provider.spot("a", "z")
    assert spots(provider, 1, "a:z") == [1.0]


def test_without_repeat_the_end_is_an_error_for_both_calls() -> None:
    provider = played({"repeat_last": False, "series": {"a:*": prices(1, 2)}})
    assert spots(provider, 2, "a:z") == [1.0, 2.0]
    for call in (provider.spot, provider.on_demand):
        with pytest.raises(ScriptedPriceError) as caught:
            call("a", "z")
        assert str(caught.value) == 'fake price series exhausted for "a:*"'


def test_an_offering_that_the_script_does_not_know_is_an_error() -> None:
    with pytest.raises(ScriptedPriceError) as caught:
        played({"series": {"a:z": prices(1)}}).spot("b", "z")
    assert str(caught.value) == "no fake price series or default for b:z"


@given(
    st.lists(st.floats(0.01, 9.0), min_size=1, max_size=5),
    st.lists(st.booleans(), max_size=12),
    st.booleans(),
)
def test_the_nth_spot_call_gives_the_nth_step(
    script: list[float], calls: list[bool], repeats: bool
) -> None:
    provider = played({"repeat_last": repeats, "series": {"*:*": prices(*script)}})
    n = 0
    for is_spot in calls:
        exhausted = not repeats and n >= len(script)
        call = provider.spot if is_spot else provider.on_demand
        if exhausted:
            with pytest.raises(ScriptedPriceError, match="exhausted"):
                call("a", "z")
            continue
        found = call("a", "z")
        if is_spot:
            assert found.current_price == script[min(n, len(script) - 1)]
            n += 1


# Reading.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "truncated"),
        ("[]", "Expected `object`"),
        ("{}", "must define default and/or series"),
        ('{"default": {}, "series": {}}', "must define default and/or series"),
        ('{"default": {"error": ""}}', "must define default and/or series"),
        ('{"default": {"price": 1}}', "unknown field `price` - at `$.default`"),
        ('{"defaults": {}}', "unknown field `defaults`"),
        ('{"series": {"a:z": [{"curent_price": 1}]}}', "unknown field `curent_price`"),
        ('{"series": {" ": [{}]}}', "empty series key"),
        ('{"series": {"a": [{}]}}', 'key "a" must be in <instanceType>:<zone> format'),
        ('{"series": {"a:z": []}}', 'series "a:z" must contain at least one step'),
        ('{"series": {"a:z": null}}', 'series "a:z" must contain at least one step'),
        ('{"default": {"current_price": NaN}}', "invalid"),
        ('{"default": {"current_price": "1"}}', "$.default.current_price"),
        ('{"default": {"price_history": [1, null]}}', "$.default.price_history[1]"),
        ('{"default": {"error": "\udcff"}}', "test"),
    ],
)
def test_what_is_no_scenario_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(PriceFileError) as caught:
        read_scenario(text.encode(errors="surrogateescape"), "test")
    assert str(caught.value).startswith("test: ")
    assert told in str(caught.value)
    assert "docs/price-file.md" in str(caught.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_scenario_or_an_error(raw: bytes) -> None:
    with pytest.raises(PriceFileError):
        read_scenario(raw, "test")


def test_a_scenario_comes_from_a_file_or_from_text(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(SHIPPED))
    from_file, from_text = load_scripted(path, None), load_scripted(None, json.dumps(SHIPPED))
    quotes = [market.facts([M5_A], T0).quotes[M5_A] for market in (from_file, from_text)]
    assert [q.spot_usd_per_hour for q in quotes] == [0.22, 0.22]
    assert [q.source for q in quotes] == ["scripted:prices.json", "scripted:inline scenario"]


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(PriceFileError, match="inline scenario"):
        load_scripted(None, '{"default": {"error": "\udcff"}}')


def test_neither_or_both_sources_are_refused(tmp_path: Path) -> None:
    for path, text in ((None, None), (tmp_path / "a.json", "{}")):
        with pytest.raises(PriceFileError, match="exactly one of SPOTVORTEX_TEST_PRICE_PROVIDER"):
            load_scripted(path, text)


def test_a_file_that_is_missing_or_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match="cannot be read"):
        load_scripted(tmp_path / "none.json", None)
    (tmp_path / "long.json").write_bytes(b" " * (MAX_SCENARIO_BYTES + 1))
    with pytest.raises(PriceFileError, match="longer than"):
        load_scripted(tmp_path / "long.json", None)


# The market on top.


def test_a_tick_moves_every_series_on_once_and_a_second_look_none() -> None:
    market = market_of(SHIPPED)
    for tick, price in enumerate((0.22, 0.95, 0.28, 0.28)):
        for _ in range(2):
            quote = market.facts([M5_A, C5_WEST], T0 + tick).quotes[M5_A]
            assert (quote.spot_usd_per_hour, quote.on_demand_usd_per_hour) == (price, 1.0)
            assert quote.age_s == 0.0


def test_offerings_are_asked_in_their_order_whatever_the_callers() -> None:
    for order in ([M5_A, M5_B, C5_WEST], [M5_B, C5_WEST, M5_A]):
        market = market_of({"default": {"on_demand_price": 9}, "series": {"*:*": prices(1, 2, 3)}})
        quotes = market.facts(order, T0).quotes
        found = [quotes[o].spot_usd_per_hour for o in (C5_WEST, M5_A, M5_B)]
        assert found == [1.0, 2.0, 3.0]


def test_an_offering_that_turns_up_later_in_the_same_instant_gets_its_own_quote() -> None:
    market = market_of(SHIPPED)
    market.facts([M5_A], T0)
    facts = market.facts([M5_A, C5_WEST], T0)
    assert facts.quotes[M5_A].spot_usd_per_hour == 0.22
    assert facts.quotes[C5_WEST].spot_usd_per_hour == 0.4


def test_an_injected_error_is_an_unknown_price_and_its_text_is_told() -> None:
    facts = market_of(SHIPPED).facts([M5_A, R6_A], T0)
    assert facts.quotes[R6_A] == SpotQuote(offering=R6_A)
    (health,) = facts.inputs
    assert (health.name, health.state, health.required) == ("prices", InputState.OK, False)
    assert health.detail.endswith("r6i.large:us-east-1a: simulated throttling")


def test_a_script_without_any_price_is_absent() -> None:
    (health,) = market_of(SHIPPED).facts([R6_A], T0).inputs
    assert (health.state, health.age_s) == (InputState.ABSENT, math.inf)


def test_a_market_that_is_asked_nothing_is_in_order() -> None:
    (health,) = market_of(SHIPPED).facts([], T0).inputs
    assert (health.state, health.detail) == (InputState.OK, "")


@pytest.mark.parametrize("bad", [0, -0.1])
def test_a_scripted_price_that_is_none_is_unknown_and_named(bad: float) -> None:
    step = {"current_price": bad, "on_demand_price": bad, "price_history": [bad, 0.2]}
    facts = market_of({"default": step}).facts([M5_A], T0)
    quote = facts.quotes[M5_A]
    assert (quote.spot_usd_per_hour, quote.on_demand_usd_per_hour) == (None, None)
    assert quote.history_usd_per_hour == ()
    assert facts.inputs[0].detail == f"the script's price of m5.large/us-east-1a is {bad:g}"


def test_many_errors_are_counted_not_listed() -> None:
    asked = [Offering(instance_type="r6i.large", zone=f"z{i}") for i in range(MAX_ERRORS_TOLD + 3)]
    (health,) = market_of({"default": {"error": "no"}}).facts(asked, T0).inputs
    assert health.detail.endswith("and 3 more")
    assert len(health.detail.split("; ")) == MAX_ERRORS_TOLD + 1
