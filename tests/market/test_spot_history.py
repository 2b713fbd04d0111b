"""Spot prices from a history: of the types in use, each as old as the last whole answer."""

import asyncio
import math
from random import Random

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.types import Offering
from spotvortex.errors import PriceSourceError
from spotvortex.market.asked_types import AGAIN_S, MAX_TYPES
from spotvortex.market.price_series import MAX_POINTS
from spotvortex.market.spot_history import (
    BACK_S,
    EVERY_S,
    MAX_CHANGES,
    OVERLAP_S,
    SpotHistoryMarket,
)
from spotvortex.ports.prices import SpotPriceRecord
from spotvortex.sim.runtime.virtual_loop import SimClock
from tests.core.builders import AT
from tests.pipeline.world import run

M5A = Offering(instance_type="m5.large", zone="us-east-1a")
M5B = Offering(instance_type="m5.large", zone="us-east-1b")
C5A = Offering(instance_type="c5.large", zone="us-east-1a")


class History:
    """Changes that are there from the start; a test may let it fail for a while."""

    def __init__(self, *records):
        self.records, self.asked, self.trouble = list(records), [], None

    async def since(self, types, start_at):
        self.asked.append((tuple(types), start_at))
        if self.trouble is not None:
            raise self.trouble
        return [r for r in self.records if r.offering.instance_type in types]


def change(offering, usd, at):
    """A change so many seconds after the start, which is before it where they are negative."""
    return SpotPriceRecord(offering=offering, usd_per_hour=usd, at=AT + at)


def playing(scene, *records):
    """Play a scene beside a market that is kept, in virtual time."""

    async def play():
        clock = SimClock(AT, asyncio.get_running_loop())
        history, stop = History(*records), asyncio.Event()
        market = SpotHistoryMarket(clock, Random(1), spot_max_age_s=2 * EVERY_S)
        async with asyncio.TaskGroup() as group:
            group.create_task(market.run(history, stop))
            await scene(market, history, clock)
            stop.set()

    run(play)


def quote(market, clock, offering=M5A):
    return market.facts([offering], clock.now()).quotes[offering]


def test_nothing_is_asked_before_anything_is_in_use_and_then_a_week_back_at_once():
    async def scene(market, history, clock):
        await asyncio.sleep(60.0)
        assert history.asked == []
        start = clock.now()
        assert quote(market, clock).spot_usd_per_hour is None
        await market.first.wait()
        ((types, since),) = history.asked
        assert types == ("m5.large",)
        assert 0.0 <= since - (start - BACK_S) < 2.0
        found = quote(market, clock)
        assert (found.spot_usd_per_hour, found.source) == (0.04, "aws")
        assert found.age_s < 2.0
        assert len(found.history_usd_per_hour) > 900

    playing(scene, change(M5A, 0.03, -BACK_S), change(M5A, 0.04, -10.0), change(M5B, 0.9, -10.0))


def test_a_price_stays_in_force_and_is_confirmed_once_an_hour_from_the_last_answer_on():
    async def scene(market, history, clock):
        quote(market, clock)
        await market.first.wait()
        first = clock.now()
        await asyncio.sleep(EVERY_S - 60.0)
        assert len(history.asked) == 1
        assert EVERY_S - 120.0 < quote(market, clock).age_s < EVERY_S
        history.records.append(change(M5A, 0.05, clock.now() - AT))
        await asyncio.sleep(120.0)
        _, since = history.asked[1]
        assert abs(since - (first - OVERLAP_S)) < 5.0
        assert quote(market, clock).spot_usd_per_hour == 0.05

    playing(scene, change(M5A, 0.03, -100.0))


def test_a_type_that_comes_into_use_is_asked_about_at_once_and_alone():
    async def scene(market, history, clock):
        quote(market, clock)
        await market.first.wait()
        assert quote(market, clock, C5A).spot_usd_per_hour is None
        await asyncio.sleep(5.0)
        assert [types for types, _ in history.asked] == [("m5.large",), ("c5.large",)]
        assert quote(market, clock, C5A).spot_usd_per_hour == 0.02

    playing(scene, change(M5A, 0.03, -100.0), change(C5A, 0.02, -100.0))


def test_an_answer_that_cannot_be_had_leaves_prices_to_grow_old_and_is_asked_for_again(caplog):
    async def scene(market, history, clock):
        quote(market, clock)
        await market.first.wait()
        history.trouble = PriceSourceError("no right", is_passing=False)
        await asyncio.sleep(EVERY_S + 10.0)
        assert market.trouble == "no right"
        assert quote(market, clock).spot_usd_per_hour == 0.03
        n_asked = len(history.asked)
        await asyncio.sleep(AGAIN_S)
        assert len(history.asked) == n_asked + 1
        await asyncio.sleep(EVERY_S)
        (health,) = market.facts([M5A], clock.now()).inputs
        assert quote(market, clock).spot_usd_per_hour is None
        assert health.state is not InputState.OK
        history.trouble = None
        await asyncio.sleep(AGAIN_S + 5.0)
        assert market.trouble == ""
        assert quote(market, clock).spot_usd_per_hour == 0.03

    playing(scene, change(M5A, 0.03, -100.0))
    said = [r.message for r in caplog.records]
    assert said.count("spot_prices.unread") == 1


def test_an_error_that_may_pass_is_tried_again_within_the_minute():
    async def scene(market, history, clock):
        history.trouble = PriceSourceError("busy", is_passing=True)
        quote(market, clock)
        await asyncio.sleep(2.0)
        history.trouble = None
        await market.first.wait()
        assert market.trouble == ""
        assert quote(market, clock).spot_usd_per_hour == 0.03

    playing(scene, change(M5A, 0.03, -100.0))


def test_who_cannot_be_asked_at_all_is_no_wait_and_no_price():
    async def give_up():
        market = SpotHistoryMarket(SimClock(AT, asyncio.get_running_loop()), Random(1))
        market.give_up("no region")
        await market.first.wait()
        return market.facts([M5A], AT)

    found = run(give_up)
    assert found.quotes[M5A].spot_usd_per_hour is None
    assert math.isinf(found.quotes[M5A].age_s)


def test_types_and_changes_are_bounded_and_the_latest_changes_stay():
    async def scene(market, history, clock):
        many = [Offering(instance_type=f"m5.x{i}", zone="z") for i in range(MAX_TYPES + 5)]
        market.facts([M5A, *many], clock.now())
        await market.first.wait()
        assert len(history.asked[0][0]) == MAX_TYPES
        assert quote(market, clock).spot_usd_per_hour == 1.0
        assert len(market._changes[M5A]) == MAX_CHANGES

    far = [change(M5A, 1.0 + i, -float(i)) for i in range(MAX_CHANGES + 50)]
    playing(scene, *far)


def test_equal_points_of_a_history_are_one_number():
    async def scene(market, history, clock):
        history.records = [change(M5A, 0.03, -8 * 86_400.0), change(M5A, 0.04, -3_000.0)]
        market.facts([M5A], clock.now())
        await market.first.wait()
        found = market.facts([M5A], clock.now()).quotes[M5A].history_usd_per_hour
        assert len(found) == MAX_POINTS
        assert set(found[:1_000]) == {0.03}
        assert found[-1] == 0.04
        assert len({id(price) for price in found}) <= 3

    playing(scene)
