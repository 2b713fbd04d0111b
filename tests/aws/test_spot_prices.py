"""Spot prices are read from EC2 page by page, and what goes wrong is said with its fix."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from spotvortex.aws import spot_prices as module
from spotvortex.aws.spot_prices import open_spot_prices
from spotvortex.core.domain.types import Offering
from spotvortex.errors import PriceSourceError, SettingsError
from tests.aws.conftest import Moto, silent
from tests.aws.memory_ec2 import MemoryEc2, serving
from tests.core.builders import AT

LINUX, VPC, WINDOWS = "Linux/UNIX", "Linux/UNIX (Amazon VPC)", "Windows"
REGION = "us-east-1"


@asynccontextmanager
async def asking(ec2, monkeypatch):
    async with serving(ec2):
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", ec2.url)
        async with open_spot_prices(REGION) as client:
            yield client


def rows(*prices, instance_type="m5.large", zone="us-east-1a", product=LINUX):
    """One change a minute, the last one at AT."""
    first = AT - 60.0 * (len(prices) - 1)
    return [(instance_type, zone, product, p, first + 60.0 * i) for i, p in enumerate(prices)]


async def test_every_page_is_read_and_only_what_linux_costs(monkeypatch):
    ec2 = MemoryEc2(
        *rows("0.031", "0.032", "0.033"),
        *rows("0.041", zone="us-east-1b", product=VPC),
        *rows("9.9", product=WINDOWS),
        *rows("0.5", instance_type="c5.large"),
    )
    async with asking(ec2, monkeypatch) as client:
        found = await client.since(["m5.large"], AT - 90.0)
    assert sorted((str(r.offering), r.usd_per_hour, r.at) for r in found) == [
        ("m5.large/us-east-1a", 0.031, AT - 120.0),
        ("m5.large/us-east-1a", 0.032, AT - 60.0),
        ("m5.large/us-east-1a", 0.033, AT),
        ("m5.large/us-east-1b", 0.041, AT),
    ]
    assert len(ec2.asked) == 2
    assert ec2.asked[1]["NextToken"] == ["2"]
    assert ec2.asked[0]["MaxResults"] == ["1000"]


async def test_many_types_are_asked_about_in_several_requests(monkeypatch):
    types = [f"m5.x{i}" for i in range(120)]
    ec2 = MemoryEc2(*[(t, "us-east-1a", LINUX, "0.1", AT) for t in types], page=1000)
    async with asking(ec2, monkeypatch) as client:
        found = await client.since(types, AT - 60.0)
    assert {r.offering.instance_type for r in found} == set(types)
    assert len(ec2.asked) == 3


@pytest.mark.parametrize("price", ["free", "0", "-1", "nan", "inf", ""])
async def test_what_is_no_price_says_nothing(monkeypatch, price):
    ec2 = MemoryEc2(*rows(price, "0.03"))
    async with asking(ec2, monkeypatch) as client:
        found = await client.since(["m5.large"], AT - 3600.0)
    assert [(r.offering, r.usd_per_hour) for r in found] == [
        (Offering(instance_type="m5.large", zone="us-east-1a"), 0.03)
    ]


@pytest.mark.parametrize(
    ("fault", "words", "is_passing"),
    [
        ((403, "UnauthorizedOperation"), "do ec2:DescribeSpotPriceHistory", False),
        ((401, "AuthFailure"), "do ec2:DescribeSpotPriceHistory", False),
        ((503, "RequestLimitExceeded"), "RequestLimitExceeded: told so", True),
        ((500, "InternalError"), "InternalError: told so", True),
    ],
)
async def test_a_refusal_names_the_right_and_whether_it_may_pass(
    monkeypatch, fault, words, is_passing
):
    ec2 = MemoryEc2()
    ec2.fault = fault
    async with asking(ec2, monkeypatch) as client:
        with pytest.raises(PriceSourceError, match=words) as said:
            await client.since(["m5.large"], AT)
    assert said.value.is_passing is is_passing
    assert len(ec2.asked) == 1


async def test_pages_without_end_are_an_error_and_not_half_an_answer(monkeypatch):
    monkeypatch.setattr(module, "_MAX_PAGES", 3)
    async with asking(MemoryEc2(*rows(*["0.03"] * 9)), monkeypatch) as client:
        with pytest.raises(PriceSourceError, match="more than 3 pages"):
            await client.since(["m5.large"], AT - 3600.0)


async def test_a_server_that_is_not_there_may_come_back(monkeypatch):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", f"http://127.0.0.1:{bound.getsockname()[1]}")
        async with open_spot_prices(REGION) as client:
            with pytest.raises(PriceSourceError, match="network way to EC2") as said:
                await client.since(["m5.large"], AT)
    assert said.value.is_passing


async def test_without_credentials_the_fix_is_told(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with asking(MemoryEc2(), monkeypatch) as client:
        with pytest.raises(PriceSourceError, match="credentials") as said:
            await client.since(["m5.large"], AT)
    assert "SPOTVORTEX_PRICE_SOURCE=file" in str(said.value)


async def test_without_a_region_the_start_is_refused_with_the_fix():
    with pytest.raises(SettingsError, match="AWS_REGION"):
        async with open_spot_prices(""):
            pass


@pytest.mark.program
async def test_motos_answer_is_read_too(monkeypatch):
    with silent(), Moto() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", server.url)
        async with open_spot_prices(REGION) as client:
            found = await asyncio.wait_for(client.since(["m5.large"], AT), 60)
    assert {r.usd_per_hour for r in found} == {0.00001}
    assert "us-east-1a" in {r.offering.zone for r in found}
