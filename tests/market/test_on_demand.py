"""List prices of the types in use: once a day, one after the other, for one region."""

import asyncio
from random import Random

from spotvortex.core.domain.types import Offering
from spotvortex.errors import PriceSourceError
from spotvortex.market import asked_types
from spotvortex.market.asked_types import AGAIN_S, MAX_TYPES
from spotvortex.market.on_demand import EVERY_S, OnDemandMarket
from spotvortex.sim.runtime.virtual_loop import SimClock
from tests.core.builders import AT
from tests.pipeline.world import run

M5 = Offering(instance_type="m5.large", zone="eu-west-1a")
C5 = Offering(instance_type="c5.large", zone="eu-west-1b")
ELSEWHERE = Offering(instance_type="m5.large", zone="us-east-1a")


class PriceList:
    def __init__(self, prices):
        self.prices, self.asked, self.trouble = prices, [], None

    async def price(self, instance_type):
        self.asked.append(instance_type)
        if self.trouble is not None:
            raise self.trouble
        return self.prices.get(instance_type)


def playing(scene, **prices):
    async def play():
        clock, listed = SimClock(AT, asyncio.get_running_loop()), PriceList(prices)
        market, stop = OnDemandMarket("eu-west-1", clock, Random(1)), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(market.run(listed, stop))
            await scene(market, listed)
            stop.set()

    run(play)


def quote(market, offering=M5):
    return market.facts([offering], AT).quotes[offering]


def test_each_type_in_use_is_asked_about_once_a_day(monkeypatch):
    # A look a second would be 86,400; half a minute is less than the minute that is looked for.
    monkeypatch.setattr(asked_types, "LOOK_S", 30.0)

    async def scene(market, listed):
        await asyncio.sleep(60.0)
        assert listed.asked == []
        market.facts([M5, C5, ELSEWHERE], AT)
        await market.first.wait()
        assert listed.asked == ["m5.large", "c5.large"]
        assert (quote(market).on_demand_usd_per_hour, quote(market).source) == (0.1, "aws list")
        assert quote(market).spot_usd_per_hour is None
        await asyncio.sleep(EVERY_S - 60.0)
        assert len(listed.asked) == 2
        listed.prices["m5.large"] = 0.2
        await asyncio.sleep(120.0)
        assert len(listed.asked) == 4
        assert quote(market).on_demand_usd_per_hour == 0.2

    playing(scene, **{"m5.large": 0.1})


def test_what_is_not_sold_or_lies_in_another_region_has_no_price():
    async def scene(market, listed):
        market.facts([C5], AT)
        await market.first.wait()
        assert (quote(market, C5).on_demand_usd_per_hour, quote(market, C5).source) == (
            None,
            "none",
        )
        assert quote(market, ELSEWHERE).on_demand_usd_per_hour is None
        assert listed.asked == ["c5.large"]

    playing(scene, **{"m5.large": 0.1})


def test_after_a_refusal_the_rest_waits_and_is_asked_for_again_and_prices_stay(caplog):
    async def scene(market, listed):
        market.facts([M5], AT)
        await market.first.wait()
        listed.trouble = PriceSourceError("no right", is_passing=False)
        market.facts([C5], AT)
        await asyncio.sleep(5.0)
        assert (market.trouble, quote(market).on_demand_usd_per_hour) == ("no right", 0.1)
        n_asked = len(listed.asked)
        await asyncio.sleep(AGAIN_S)
        assert len(listed.asked) == n_asked + 1
        listed.trouble = None
        await asyncio.sleep(AGAIN_S + 5.0)
        assert market.trouble == ""

    playing(scene, **{"m5.large": 0.1})
    assert [r.message for r in caplog.records].count("on_demand_prices.unread") == 1


def test_who_cannot_be_asked_at_all_is_no_wait_and_types_are_bounded():
    async def scene(market, listed):
        market.give_up("no region")
        assert market.first.is_set()
        many = [Offering(instance_type=f"m5.x{i}", zone="eu-west-1a") for i in range(MAX_TYPES + 9)]
        market.facts(many, AT)
        await asyncio.sleep(5.0)
        assert len(listed.asked) == MAX_TYPES

    playing(scene)
