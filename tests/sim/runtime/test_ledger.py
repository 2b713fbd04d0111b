"""The ledger of a daemon agrees with what the simulated world itself says that its nodes cost."""

import asyncio

import pytest

from spotvortex.core.decision.messages import Plan
from spotvortex.core.domain.observation import Observation
from spotvortex.report.ledger.account import account_of
from spotvortex.sim.account.course import Course
from spotvortex.sim.cluster.demo_scenario import DEMO_START_AT, demo
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop
from spotvortex.sim.runtime.world import World
from tests.core.ledger.looks import Book

TICK_S = 30.0


def plan_of(world, market, now):
    cluster = world.snapshot(now)
    seen = Observation(
        cycle=1, at=now, cluster=cluster, market=market.facts(cluster.offerings, now)
    )
    return Plan(cycle=1, at=now, decisions=(), orders=(), observation=seen)


async def played(hours):
    """The demo's world under its provisioner alone, a famine of Spot after 75 minutes."""
    clock = SimClock(DEMO_START_AT, asyncio.get_running_loop())
    market = SimulatedMarket(seed=1, start_at=DEMO_START_AT)
    world = World(scenario=demo(), seed=1, clock=clock, market=market)
    world.ledger = Course(cluster=world.cluster, market=market, at=DEMO_START_AT)
    stop, book = asyncio.Event(), Book()
    async with asyncio.TaskGroup() as group:
        group.create_task(world.run(stop))
        await asyncio.sleep(1.0)
        before = world.ledger.point().usd
        for _ in range(round(hours * 3600.0 / TICK_S)):
            book.take(plan_of(world, market, clock.now()))
            await asyncio.sleep(TICK_S)
        book.take(plan_of(world, market, clock.now()))
        stop.set()
    return account_of(book.ledger), world.ledger.point().usd - before


def run(hours):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(played(hours))


def test_a_quarter_of_an_hour_agrees():
    account, usd = run(0.25)
    assert account.total.cost_usd == pytest.approx(usd, rel=0.01)


@pytest.mark.trial
def test_six_hours_with_a_famine_of_spot_agree_to_one_percent():
    account, usd = run(6.0)
    assert account.total.cost_usd == pytest.approx(usd, rel=0.01)
    assert account.cluster.unknown_hours == 0.0
    assert account.total.unpriced_node_hours == 0.0
