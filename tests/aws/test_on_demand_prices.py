"""List prices are read from the price list, one type a request, and only what can be a price."""

import json
from contextlib import asynccontextmanager

import pytest

from spotvortex.aws.on_demand_prices import open_list_prices
from spotvortex.errors import PriceSourceError
from tests.aws.memory_ec2 import MemoryEc2, product, serving

REGION = "eu-west-1"


@asynccontextmanager
async def asking(server, monkeypatch):
    async with serving(server):
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
        async with open_list_prices(REGION) as client:
            yield client


def listing(*products):
    server = MemoryEc2()
    server.list_prices["m5.large"] = list(products)
    return server


async def test_the_price_of_linux_on_shared_hardware_in_the_region_is_asked_for(monkeypatch):
    server = listing(product("0.1070000000"))
    async with asking(server, monkeypatch) as client:
        assert await client.price("m5.large") == 0.107
        assert await client.price("x9.large") is None
    assert server.products[0] == {
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "instanceType": "m5.large",
        "regionCode": REGION,
    }


async def test_the_price_of_a_type_is_looked_for_on_every_page(monkeypatch):
    server = MemoryEc2(page=1)
    server.list_prices["m5.large"] = ["no json", product("0.1"), product("0.2")]
    async with asking(server, monkeypatch) as client:
        assert await client.price("m5.large") == 0.2


@pytest.mark.parametrize(
    ("products", "price"),
    [
        ([product("0.1"), product("0.2")], 0.2),
        ([product("0.0000000000"), product("0.1")], 0.1),
        ([product("nan"), product("dear")], None),
        ([product("5.0", unit="Quantity"), product("0.1")], 0.1),
        (
            [
                "no json",
                "[]",
                "7",
                json.dumps({"terms": []}),
                json.dumps({"terms": {"OnDemand": 1}}),
            ],
            None,
        ),
        (
            [
                json.dumps(
                    {"terms": {"OnDemand": {"a": {"priceDimensions": {"b": {"unit": "Hrs"}}}}}}
                )
            ],
            None,
        ),
    ],
)
async def test_what_is_no_price_says_nothing_and_of_two_the_dearer_counts(
    monkeypatch, products, price
):
    async with asking(listing(*products), monkeypatch) as client:
        assert await client.price("m5.large") == price


@pytest.mark.parametrize(
    ("fault", "words", "is_passing"),
    [
        ((400, "AccessDenied"), "do pricing:GetProducts", False),
        ((400, "Throttling"), "ThrottlingException: told so", True),
        ((500, "InternalError"), "InternalErrorException: told so", True),
    ],
)
async def test_a_refusal_names_the_right_and_whether_it_may_pass(
    monkeypatch, fault, words, is_passing
):
    server = listing(product("0.1"))
    server.fault = fault
    async with asking(server, monkeypatch) as client:
        with pytest.raises(PriceSourceError, match=words) as said:
            await client.price("m5.large")
    assert said.value.is_passing is is_passing


async def test_all_prices_of_a_region_come_over_all_pages_the_dearer_of_two(monkeypatch):
    server = MemoryEc2(page=2)
    server.list_prices = {
        "m5.large": [product("0.1", instance_type="m5.large")],
        "c5.large": [product(usd, instance_type="c5.large") for usd in ("0.09", "0.2", "0.1")],
        "": [product("0.3"), "no json"],
    }
    async with asking(server, monkeypatch) as client:
        assert await client.all_prices() == {"m5.large": 0.1, "c5.large": 0.2}
    assert len(server.products) == 3
    assert "instanceType" not in server.products[0]


async def test_a_price_list_without_end_is_given_up(monkeypatch):
    server = MemoryEc2(page=1)
    server.list_prices = {"m5.large": [product("0.1", instance_type="m5.large")] * 200}
    async with asking(server, monkeypatch) as client:
        with pytest.raises(PriceSourceError, match="more than 100 pages") as refused:
            await client.all_prices()
    assert not refused.value.is_passing
