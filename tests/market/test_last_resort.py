from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.market.last_resort import (
    HOME,
    LastResortMarket,
    LayeredMarket,
    PriceTable,
    home_table,
    name_of,
    shipped_table,
)
from spotvortex.market.recorded import RecordedMarket, load_recorded
from spotvortex.ports.market import Market
from tests.market.records import (
    C5_EU,
    M5_A,
    T0,
    on_demand_record,
    spot_only,
    spot_record,
    write_file,
)


def test_table_is_small_and_says_where_it_is_from() -> None:
    table = home_table()
    assert len(resources.files("spotvortex.market").joinpath(name_of(HOME)).read_bytes()) < 200_000
    assert table.currency == "USD"
    assert table.date == "2026-07-20"
    assert "commit 6fc13b5236" in table.source
    assert all(0.0 < price < 1000.0 for price in table.prices.values())


@pytest.mark.parametrize("region", ["", "eu-west-1", "../market/on_demand_us_east-1", "us_east_1"])
def test_a_region_without_a_table_has_none(region: str) -> None:
    assert shipped_table(region) is None


def test_every_region_is_priced_by_its_own_table_and_each_is_read_once() -> None:
    asked = []

    def table_of(region: str) -> PriceTable | None:
        asked.append(region)
        if region != "eu-west-1":
            return None
        return PriceTable(
            date="2026-11-30",
            source="test",
            currency="USD",
            unit="per hour, Linux, on-demand",
            region=region,
            prices={C5_EU.instance_type: 0.2},
        )

    market = LastResortMarket(table_of)
    for _ in range(2):
        quotes = market.facts([M5_A, C5_EU], T0).quotes
        assert quotes[M5_A].on_demand_usd_per_hour is None
        assert quotes[C5_EU].on_demand_usd_per_hour == 0.2
        assert quotes[C5_EU].source == "shipped table of 2026-11-30"
    assert asked == ["us-east-1", "eu-west-1"]


def test_on_demand_is_given_for_the_tables_region_alone() -> None:
    market: Market = LastResortMarket()
    quotes = market.facts([M5_A, C5_EU], T0).quotes
    assert quotes[M5_A].on_demand_usd_per_hour == 0.096
    assert quotes[M5_A].last_resort
    assert "2026-07-20" in quotes[M5_A].source
    assert quotes[C5_EU] == SpotQuote(offering=C5_EU)


def test_spot_is_never_given() -> None:
    facts = LastResortMarket().facts([M5_A], T0)
    assert facts.quotes[M5_A].spot_usd_per_hour is None
    assert facts.quotes[M5_A].history_usd_per_hour == ()
    assert facts.inputs[0].state is InputState.ABSENT
    assert "SPOTVORTEX_PRICE_FILE" in facts.inputs[0].detail


def test_table_alone_is_absent_even_when_nothing_is_asked() -> None:
    health = LastResortMarket().facts([], T0).inputs[0]
    assert health.state is InputState.ABSENT
    assert "no spot prices" in health.detail


def test_unknown_type_stays_unknown() -> None:
    offering = Offering(instance_type="z99.large", zone="us-east-1a")
    assert LastResortMarket().facts([offering], T0).quotes[offering].source == "none"


def test_layers_take_the_recorded_price_first(tmp_path: Path) -> None:
    path = write_file(tmp_path / "p.jsonl", [spot_record(T0, 0.03), on_demand_record(0.5)])
    market = LayeredMarket(load_recorded(path), LastResortMarket())
    quote = market.facts([M5_A], T0 + 1).quotes[M5_A]
    assert quote.on_demand_usd_per_hour == 0.5
    assert not quote.last_resort


def test_layers_fill_in_the_table_and_mark_it() -> None:
    recorded = RecordedMarket(spot_only([(T0, 0.03)]), source="recorded:p.jsonl")
    facts = LayeredMarket(recorded, LastResortMarket()).facts([M5_A], T0 + 1)
    quote = facts.quotes[M5_A]
    assert (quote.spot_usd_per_hour, quote.on_demand_usd_per_hour) == (0.03, 0.096)
    assert quote.last_resort
    assert quote.source.startswith("recorded:p.jsonl; shipped table of 2026-")
    assert facts.inputs[0].state is InputState.OK
    assert "of last resort" in facts.inputs[0].detail


def test_layers_keep_the_age_of_the_records() -> None:
    recorded = RecordedMarket(spot_only([(T0, 0.03)]), source="recorded:p.jsonl")
    market = LayeredMarket(recorded, LastResortMarket(), spot_max_age_s=60.0)
    assert market.facts([M5_A], T0 + 61).inputs[0].state is InputState.STALE


def test_layers_do_not_lend_to_another_region() -> None:
    recorded = RecordedMarket(spot_only([(T0, 0.03)], C5_EU), source="recorded:p.jsonl")
    facts = LayeredMarket(recorded, LastResortMarket()).facts([C5_EU], T0 + 1)
    assert facts.quotes[C5_EU].on_demand_usd_per_hour is None
    assert facts.inputs[0].state is InputState.ABSENT


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("us-east-1a", "us-east-1"),
        ("ap-southeast-2c", "ap-southeast-2"),
        ("us-west-2-lax-1a", "us-west-2-lax-1"),
        ("us-east-1", ""),
        ("", ""),
    ],
)
def test_zone_gives_its_region(zone: str, region: str) -> None:
    assert region_of(zone) == region
