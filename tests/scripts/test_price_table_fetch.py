"""A region's table of last resort is made of the price list alone, whole or not at all."""

import msgspec
import pytest

from scripts.price_table import fetch
from spotvortex.market.last_resort import LastResortMarket, PriceTable, name_of
from tests.aws.memory_ec2 import MemoryEc2, beside, product
from tests.market.records import C5_EU, T0

REGION = "eu-west-1"


@pytest.fixture
def listing(monkeypatch):
    server = MemoryEc2(page=2)
    for name, usd in (("m5.large", "0.107"), ("c5.large", "0.096"), ("c5.xlarge", "0.192")):
        server.list_prices[name] = [product(usd, instance_type=name)]
    with beside(server):
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        yield server


def written(tmp_path, *more):
    fetch.main([REGION, "--out", str(tmp_path), *more])
    return msgspec.json.decode((tmp_path / name_of(REGION)).read_bytes(), type=PriceTable)


def test_the_table_holds_every_page_with_its_date_and_source(listing, tmp_path, capsys):
    table = written(tmp_path, "--least", "3")
    assert list(table.prices.items()) == [
        ("c5.large", 0.096),
        ("c5.xlarge", 0.192),
        ("m5.large", 0.107),
    ]
    assert table.region == REGION
    assert table.source == f"AWS Price List Query API, GetProducts, {table.date}"
    assert len(listing.products) == 2
    assert listing.products[0]["regionCode"] == REGION
    assert "instanceType" not in listing.products[0]
    assert "on_demand_eu_west_1.json" in capsys.readouterr().out


def test_the_daemon_reads_such_a_table(listing, tmp_path):
    table = written(tmp_path, "--least", "3")
    market = LastResortMarket(lambda region: table if region == REGION else None)
    quote = market.facts([C5_EU], T0).quotes[C5_EU]
    assert quote.on_demand_usd_per_hour == table.prices[C5_EU.instance_type]
    assert quote.last_resort


def test_a_list_that_is_too_short_is_not_written(listing, tmp_path):
    with pytest.raises(SystemExit, match="3 types, at least 100"):
        written(tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_the_right_it_is_named(listing, tmp_path):
    listing.fault = (400, "AccessDenied")
    with pytest.raises(SystemExit, match="pricing:GetProducts"):
        written(tmp_path)
    assert not list(tmp_path.iterdir())
