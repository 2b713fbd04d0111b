"""Observations come on exact seconds; what comes late is not made up for."""

import asyncio

import pytest

from spotvortex.core.types import Offering
from spotvortex.errors import UnreachableError
from spotvortex.pipeline.channels import ClosedError, Latest
from spotvortex.pipeline.collector import Collector, offerings_of
from spotvortex.pipeline.heartbeats import Heartbeats
from spotvortex.sim.loop import SimClock
from tests.core.builders import AT, WEB_A, WEB_B, cluster, pool, spot
from tests.pipeline.world import MemoryTelemetry, StillCluster, StillMarket, now, run


def collect(cluster, seconds):
    """Collect for so many seconds; returns telemetry, the channel, and when the collector ended."""

    async def main():
        telemetry, out, stop = MemoryTelemetry(), Latest("observations"), asyncio.Event()
        collector = Collector(
            cluster=cluster,
            market=StillMarket(),
            clock=SimClock(AT, asyncio.get_running_loop()),
            telemetry=telemetry,
            heartbeats=Heartbeats({"collector": 60.0}),
            tick_s=30.0,
        )
        asyncio.get_running_loop().call_later(seconds, stop.set)
        await collector.run(out, stop)
        return telemetry, out, now()

    return run(main)


def ticks(telemetry):
    return [(at, cycle) for at, cycle, _ in telemetry.of("observed")]


def test_it_observes_at_once_and_then_on_every_tick():
    telemetry, _, ended_at = collect(StillCluster(), 95.0)
    assert ticks(telemetry) == [(0.0, 1), (30.0, 2), (60.0, 3), (90.0, 4)]
    assert ended_at == 95.0


def test_an_observation_nobody_read_is_replaced_and_counted():
    telemetry, out, _ = collect(StillCluster(), 65.0)
    assert telemetry.of("replaced") == [(30.0, "observations", 1), (60.0, "observations", 1)]
    assert out.replaced == 2


def test_a_tick_that_comes_late_moves_the_next_and_is_not_made_up_for():
    telemetry, _, _ = collect(StillCluster(held_up_s={2: 75.0, 4: 10.0}), 200.0)
    assert ticks(telemetry) == [
        (0.0, 1),
        (105.0, 2),
        (105.0, 3),
        (145.0, 4),
        (165.0, 5),
        (195.0, 6),
    ]
    assert [seconds for *_, seconds in telemetry.of("observed")][1] == 75.0


def test_it_waits_for_the_first_sync():
    telemetry, _, _ = collect(StillCluster(sync_s=70.0), 131.0)
    assert ticks(telemetry) == [(70.0, 1), (100.0, 2), (130.0, 3)]


def test_a_stop_before_the_first_sync_ends_it_and_closes_the_channel():
    telemetry, out, ended_at = collect(StillCluster(sync_s=1e6), 45.0)
    assert (ticks(telemetry), ended_at) == ([], 45.0)
    with pytest.raises(ClosedError):
        run(out.get)


def test_a_sync_that_fails_is_not_swallowed():
    class Unreachable(StillCluster):
        async def synced(self):
            await asyncio.sleep(1.0)
            raise UnreachableError("connection refused")

    with pytest.RaisesGroup(pytest.RaisesExc(UnreachableError, match="refused")):
        collect(Unreachable(), 10.0)


def test_it_beats_while_it_waits_for_the_first_sync():
    async def main():
        beats = Heartbeats({"collector": 60.0})
        stop = asyncio.Event()
        collector = Collector(
            cluster=StillCluster(sync_s=1e6),
            market=StillMarket(),
            clock=SimClock(AT, asyncio.get_running_loop()),
            telemetry=MemoryTelemetry(),
            heartbeats=beats,
            tick_s=30.0,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(collector.run(Latest("observations"), stop))
            await asyncio.sleep(1000.0)
            failing = beats.failing()
            stop.set()
        return failing

    assert run(main) == []


def test_an_observation_carries_its_time_and_its_trace():
    telemetry, out, _ = collect(StillCluster(cluster(pool())), 31.0)
    observed = run(out.get)
    assert (observed.cycle, observed.at) == (2, AT + 30.0)
    assert observed.traceparent == "trace-of-cycle"
    assert set(observed.market.quotes) == {WEB_A, WEB_B}
    assert [s.name for s in telemetry.spans] == ["cycle", "cycle"]


def test_offerings_are_listed_once_and_sorted():
    early = Offering(instance_type="a1.large", zone="z")
    facts = cluster(pool(nodes=(spot("s1", WEB_B), spot("s2", WEB_B), spot("s3", early))))
    assert offerings_of(facts) == [early, WEB_B]
