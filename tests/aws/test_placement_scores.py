"""Placement scores are read by zone, seldom, and a right that is missing is named and no more."""

import asyncio
from contextlib import asynccontextmanager
from random import Random

import pytest

from spotvortex.aws.placement_scores import open_placement_scores
from spotvortex.core.domain.cloud.signals import MANY, Placement
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.types import Offering
from spotvortex.errors import PriceSourceError, SettingsError
from spotvortex.market import placement as module
from spotvortex.market.placement import PlacementMarket
from tests.aws.conftest import Moto, silent
from tests.aws.memory_ec2 import MemoryEc2, serving
from tests.core.builders import AT

REGION = "us-east-1"
A, B = (Offering(instance_type="m5.large", zone=f"{REGION}{z}") for z in "ab")


class Clock:
    def now(self):
        return AT


def ec2_with(**scores):
    ec2 = MemoryEc2()
    ec2.scores = {
        ("m5.large", 1): {"use1-az4": 9, "use1-az6": 8},
        ("m5.large", MANY): {"use1-az4": 3},
    } | scores
    return ec2


@asynccontextmanager
async def asking(ec2, monkeypatch):
    async with serving(ec2):
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", ec2.url)
        async with open_placement_scores(REGION) as client:
            yield client


async def kept(client, offerings=(A, B)):
    """Ask until every type has been asked about once, then stop."""
    market, stop = PlacementMarket(REGION, Clock(), Random(1)), asyncio.Event()
    market.placement(offerings)
    async with asyncio.TaskGroup() as group:
        group.create_task(market.run(client, stop))
        async with asyncio.timeout(30.0):
            await market.first.wait()
        stop.set()
    return market


async def test_scores_for_one_and_for_many_are_kept_by_offering(monkeypatch):
    ec2 = ec2_with()
    async with asking(ec2, monkeypatch) as client:
        market = await kept(client)
    assert market.placement([A, B]) == {
        A: Placement(for_one=9, for_many=3, at=AT),
        B: Placement(for_one=8, for_many=None, at=AT),
    }
    assert market.health(AT).state is InputState.OK
    asked = ec2.asked_for("GetSpotPlacementScores")
    assert [q["TargetCapacity"] for q in asked] == [["1"], [str(MANY)]]
    assert {q["RegionName.1"][0] for q in asked} == {REGION}
    assert len(ec2.asked_for("DescribeAvailabilityZones")) == 1


async def test_only_the_first_types_in_use_and_of_the_region_are_asked_about(monkeypatch):
    monkeypatch.setattr(module, "MAX_TYPES", 2)
    monkeypatch.setattr(module, "BETWEEN_S", 0.0)
    ec2 = ec2_with()
    elsewhere = Offering(instance_type="r5.large", zone="eu-west-1a")
    many = [Offering(instance_type=f"m5.x{i}", zone=A.zone) for i in range(5)]
    async with asking(ec2, monkeypatch) as client:
        await kept(client, [elsewhere, *many])
    asked = {q["InstanceType.1"][0] for q in ec2.asked_for("GetSpotPlacementScores")}
    assert asked == {"m5.x0", "m5.x1"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            (403, "UnauthorizedOperation"),
            "do ec2:DescribeAvailabilityZones (a pod has them by the role of its ServiceAccount)",
        ),
        ((503, "RequestLimitExceeded"), "RequestLimitExceeded: told so"),
        ((400, "MaxConfigLimitExceeded"), "others of this account ask too"),
    ],
)
async def test_a_refusal_is_named_once_and_asks_nothing_more(monkeypatch, caplog, fault, words):
    ec2 = ec2_with()
    ec2.fault = fault
    async with asking(ec2, monkeypatch) as client:
        market = await kept(client)
    health = market.health(AT)
    assert (health.state, health.required) == (InputState.ABSENT, False)
    assert words in health.detail
    assert "scores rest on what the cluster itself has seen" in health.detail
    assert len(ec2.asked) == 1
    assert [r.message for r in caplog.records].count("placement_scores.unread") == 1


async def test_what_was_known_stays_where_a_later_answer_fails(monkeypatch):
    ec2 = ec2_with()
    async with asking(ec2, monkeypatch) as client:
        market = await kept(client)
        ec2.fault = (403, "UnauthorizedOperation")
        with pytest.raises(PriceSourceError, match="do ec2:GetSpotPlacementScores"):
            await client.scores("m5.large", 1)
    market.trouble = "no"
    assert market.health(AT).state is InputState.STALE
    assert A in market.placement([A])


async def test_without_a_region_the_start_is_refused_with_the_fix():
    with pytest.raises(SettingsError, match="AWS_REGION"):
        async with open_placement_scores(""):
            pass


@pytest.mark.program
async def test_a_server_that_knows_no_scores_is_no_more_than_missing(monkeypatch):
    """moto answers the operation with an error that is none of EC2's."""
    with silent(), Moto() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", server.url)
        async with open_placement_scores(REGION) as client:
            market = await kept(client)
    assert market.health(AT).state is InputState.ABSENT
    assert market.placement([A]) == {}
