"""A day of prices: what 15,000 changes of 2,000 offerings cost, in memory, time and by tick.

Usage: python -m scripts.bench.cloud.day_of_prices
Prints one JSON line a measurement. The daemon's own market is asked as the collector asks it, for
every offering in use, all layers included; the history is in memory. Times are of the processor, so
that who else works on the machine matters less. `renewed` is what an answer with so many changed
offerings costs between two ticks, `stall_ms` the longest piece of it without a breath for the loop.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Sequence
from random import Random
from typing import Final

import psutil

from scripts.bench.machine import machine
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.types import Offering
from spotvortex.market.freshest import FreshestMarket
from spotvortex.market.last_resort import LastResortMarket, LayeredMarket
from spotvortex.market.spot_history import SpotHistoryMarket
from spotvortex.ports.market import Market
from spotvortex.ports.prices import SpotPriceRecord

N_OFFERINGS: Final = 2_000
N_RECORDS: Final = 15_000
ZONES: Final = 6
DAY_S: Final = 86_400.0
AT: Final = 1_784_000_000.0
TICK_S: Final = 30.0
TICKS: Final = 20
CHANGED: Final = (0, 10, 100, 1_000)
"""Offerings that change between two ticks."""


class Clock:
    """Goes on when it is told to."""

    at = AT

    def now(self) -> float:
        """Return the time."""
        return self.at


class History:
    """Implements `ports.SpotPriceHistory` by records in memory."""

    def __init__(self) -> None:
        self.records: list[SpotPriceRecord] = []

    async def since(self, types: Sequence[str], start_at: float) -> list[SpotPriceRecord]:  # noqa: ARG002
        """Return every record of these types."""
        asked = frozenset(types)
        return [r for r in self.records if r.offering.instance_type in asked]


def offerings(n: int = N_OFFERINGS) -> list[Offering]:
    """Return offerings of six zones of one region, each type in all of them."""
    return [
        Offering(instance_type=f"m5.x{i // ZONES}", zone=f"us-east-1{'abcdef'[i % ZONES]}")
        for i in range(n)
    ]


def day(known: Sequence[Offering], n: int, rng: Random) -> list[SpotPriceRecord]:
    """Return changes spread over the day before `AT`, of every offering the first one at its begin.

    One change is in force a week before, as EC2 answers who asks about a week.
    """
    first = [(o, AT - 7 * DAY_S) for o in known]
    later = [(rng.choice(known), AT - rng.uniform(0.0, DAY_S)) for _ in range(n - len(first))]
    return [
        SpotPriceRecord(offering=o, usd_per_hour=round(rng.uniform(0.02, 0.2), 4), at=at)
        for o, at in (*first, *later)
    ]


class Stalls:
    """Takes every breath that the loop has."""

    longest_s = 0.0

    async def watch(self) -> None:
        """Note the longest time between two breaths, of the processor, until it is cancelled."""
        last = time.process_time()
        while True:  # ends by cancellation
            await asyncio.sleep(0)
            now = time.process_time()
            self.longest_s, last = max(self.longest_s, now - last), now


class Scene:
    """A market as the daemon opens it, and what has been recorded."""

    def __init__(self) -> None:
        self.clock, self.history, self.rng = Clock(), History(), Random(7)
        self.known = offerings()
        self.spot = SpotHistoryMarket(self.clock, self.rng)
        first = FreshestMarket([self.spot])
        self.market: Market = LayeredMarket(first, LastResortMarket())

    def tick(self) -> MarketFacts:
        """Ask as the collector does."""
        self.clock.at += TICK_S
        return self.market.facts(self.known, self.clock.at)

    async def take(self, records: list[SpotPriceRecord]) -> float:
        """Let the market ask for records once; return the longest piece without a breath, in s."""
        self.history.records = records
        types = sorted({r.offering.instance_type for r in records})
        stalls = Stalls()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(stalls.watch())
            await self.spot.take(self.history, types, self.clock.at - DAY_S)
            watch.cancel()
        return stalls.longest_s

    def changes(self, n: int) -> list[SpotPriceRecord]:
        """Return a change of each of so many offerings."""
        chosen = self.rng.sample(self.known, n)
        price = round(self.rng.uniform(0.02, 0.2), 4)
        return [SpotPriceRecord(offering=o, usd_per_hour=price, at=self.clock.at) for o in chosen]


def _mib() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


def _tell(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


async def _first_day(scene: Scene) -> None:
    """Take a day in, and make the first look."""
    scene.tick()
    records = day(scene.known, N_RECORDS, scene.rng)
    before, began = _mib(), time.process_time()
    stall_s = await scene.take(records)
    taken_s, began = time.process_time() - began, time.process_time()
    scene.tick()
    _tell(
        n_records=N_RECORDS,
        n_offerings=N_OFFERINGS,
        taken_s=round(taken_s, 3),
        stall_ms=round(1e3 * stall_s, 1),
        first_tick_ms=round(1e3 * (time.process_time() - began), 1),
        grown_mib=round(_mib() - before, 1),
    )


async def _ticks(scene: Scene, n_changed: int) -> None:
    """Change so many offerings between any two ticks."""
    ticks: list[float] = []
    renewed_s = stall_s = 0.0
    for _ in range(TICKS):
        began = time.process_time()
        if n_changed:
            stall_s = max(stall_s, await scene.take(scene.changes(n_changed)))
        renewed_s += time.process_time() - began
        began = time.process_time()
        scene.tick()
        ticks.append(time.process_time() - began)
    _tell(
        n_changed=n_changed,
        renewed_ms=round(1e3 * renewed_s / TICKS, 2),
        stall_ms=round(1e3 * stall_s, 1),
        tick_ms=round(1e3 * statistics.median(ticks), 1),
        longest_tick_ms=round(1e3 * max(ticks), 1),
    )


async def main() -> None:
    """Measure one scene."""
    _tell(machine=machine())
    scene = Scene()
    await _first_day(scene)
    for n_changed in CHANGED:
        await _ticks(scene, n_changed)


if __name__ == "__main__":
    asyncio.run(main())
