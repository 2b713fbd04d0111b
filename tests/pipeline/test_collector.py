"""Observations come on exact seconds; what comes late is not made up for."""

import asyncio

import pytest

from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.types import Offering
from spotvortex.core.drain.messages import InHand
from spotvortex.errors import UnreachableError
from spotvortex.pipeline.channels import ClosedError, Latest
from spotvortex.pipeline.collector import HEAD_START_S, Collector
from spotvortex.pipeline.health import Heartbeats
from spotvortex.sim.runtime.virtual_loop import SimClock
from tests.core.builders import AT, WEB_A, WEB_B, cluster, pool, spot
from tests.core.in_flight import instance, loss, marked, notice, on_instances, with_nodes
from tests.pipeline.world import (
    MemoryNotices,
    MemoryTelemetry,
    SetAuthority,
    StillCluster,
    StillMarket,
    now,
    run,
)


def collect(cluster, seconds, bring=(), **ports):
    """Collect for so many seconds; returns telemetry, the channel, and when the collector ended."""

    async def main():
        telemetry, out, stop = MemoryTelemetry(), Latest("observations"), asyncio.Event()
        collector = Collector(
            cluster=cluster,
            clock=SimClock(AT, asyncio.get_running_loop()),
            telemetry=telemetry,
            heartbeats=Heartbeats({"collector": 60.0}),
            tick_s=30.0,
            **({"market": StillMarket()} | ports),
        )
        for at, found in bring:
            asyncio.get_running_loop().call_later(at, ports["notices"].bring, *found)
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


def test_an_observation_tells_what_is_in_hand():
    hand = Latest("in-hand")
    assert observed_with(hand, 1.0) == set()
    hand.put(InHand(uids=frozenset({"uid-s0"})))
    hand.put(InHand(uids=frozenset({"uid-s1"})))
    assert observed_with(hand, 1.0) == {"uid-s1"}


def test_what_is_in_hand_counts_until_the_drainer_says_otherwise():
    hand = Latest("in-hand")
    hand.put(InHand(uids=frozenset({"uid-s1"})))
    assert observed_with(hand, 65.0) == {"uid-s1"}  # the third tick: nothing new was said
    hand.put(InHand())
    assert observed_with(hand, 65.0) == set()


def observed_with(hand, seconds):
    """What the last observation of so many seconds says is in hand."""
    _, out, _ = collect(StillCluster(), seconds, in_hand=hand)
    return run(out.get).in_hand


def test_an_observation_nobody_read_is_replaced_and_counted():
    telemetry, out, _ = collect(StillCluster(), 65.0)
    assert telemetry.of("channel_replaced") == [(30.0, "observations"), (60.0, "observations")]
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
    assert facts.offerings == (early, WEB_B)


def test_a_notice_wakes_it_at_once_and_the_next_tick_is_counted_from_there():
    brought = [(40.0, [notice("a")])]
    telemetry, out, _ = collect(StillCluster(), 101.0, brought, notices=MemoryNotices())
    expected = [(0.0, 1), (30.0, 2), (40.0 + HEAD_START_S, 3), (70.0, 4), (100.0, 5)]
    assert [(round(at, 3), n) for at, n in ticks(telemetry)] == expected
    assert run(out.get).cycle == 5


def test_the_first_of_a_burst_of_notices_is_seen_at_once_and_the_others_together():
    brought = [(40.0 + n / 100.0, [notice(f"n{n}")]) for n in range(10)]
    facts = cluster(pool(nodes=tuple(spot(f"n{n}") for n in range(10))))
    telemetry, *_ = collect(StillCluster(facts), 40.5, brought, notices=MemoryNotices())
    at = [round(at, 3) for at, _ in ticks(telemetry)]
    assert at[:4] == pytest.approx([0.0, 30.0, 40.0 + HEAD_START_S, 40.1 + HEAD_START_S])
    assert len(at) <= 5


def test_what_is_lost_is_told_apart_from_what_is_only_seen():
    calm, losses, notices = Latest("losses"), Latest("losses"), MemoryNotices()
    collect(StillCluster(), 1.0, notices=MemoryNotices(), losses=calm)
    assert calm.poll() is None
    notices.bring(notice("web-s0"))
    notices.came.clear()
    _, out, _ = collect(StillCluster(), 1.0, notices=notices, losses=losses)
    lost, seen = run(losses.get), run(out.get)
    assert lost.notices == seen.notices != ()
    assert (lost.cluster, lost.traceparent) == (seen.cluster, seen.traceparent)


def test_what_is_lost_goes_on_before_any_price_is_asked_for_and_the_rest_a_moment_later():
    losses, asked, met = Latest("losses"), [], []

    class SlowMarket(StillMarket):
        def facts(self, offerings, at):
            asked.append(now())
            met.append(losses.poll())
            return super().facts(offerings, at)

    notices = MemoryNotices()
    brought = [(40.0, [notice("web-s0")])]
    facts = StillCluster(cluster(on_instances(pool())))
    collect(facts, 41.0, brought, notices=notices, losses=losses, market=SlowMarket())
    assert [lost is not None for lost in met] == [False, False, True]
    assert asked[-1] == pytest.approx(40.0 + HEAD_START_S)


def test_a_stop_wakes_it_although_it_waits_for_notices():
    *_, ended_at = collect(StillCluster(), 45.0, notices=MemoryNotices())
    assert ended_at == 45.0


def test_the_state_of_the_source_of_notices_is_one_of_the_inputs():
    away = InputHealth(
        name=InputName.NOTICES,
        state=InputState.STALE,
        age_s=70.0,
        required=False,
        detail="no answer",
    )
    _, out, _ = collect(StillCluster(), 1.0, notices=MemoryNotices(inputs=(away,)))
    assert run(out.get).inputs[-1] == away


def test_an_observation_carries_notices_and_our_standing():
    notices, authority = MemoryNotices(), SetAuthority()
    notices.bring(notice("web-s0"))
    notices.came.clear()
    facts = cluster(on_instances(pool()))
    _, out, _ = collect(StillCluster(facts), 1.0, notices=notices, authority=authority)
    observed = run(out.get)
    assert [n.instance_id for n in observed.notices] == [instance("web-s0")]
    assert observed.standing.leader


def test_what_is_settled_is_said_after_it_was_observed():
    facts = on_instances(pool())
    facts = with_nodes(facts, marked(facts.nodes[0], loss("web-s0")))
    notices = MemoryNotices()
    notices.bring(notice("web-s0"), notice("web-s1"), notice("foreign"))
    notices.came.clear()
    _, out, _ = collect(StillCluster(cluster(facts)), 1.0, notices=notices)
    assert len(run(out.get).notices) == 3
    assert notices.settled == {"notice-web-s0", "notice-foreign"}
