"""Where there is nothing behind a port, nothing is kept and nothing ever comes."""

import asyncio
import math

import pytest

from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.domain.observation import NO_AUTHORITY
from spotvortex.core.scoring.interruption_memory import EMPTY_MEMORY, update
from spotvortex.ports.null import (
    NullAnnouncer,
    NullAuthority,
    NullMemoryStore,
    NullNotices,
    NullStateStore,
    NullTelemetry,
)
from spotvortex.ports.series import CALLS, LOOP_STALL
from tests.core.builders import AT, cluster, observation, pool
from tests.pipeline.world import run


async def test_telemetry_that_nobody_looks_at_drops_everything():
    quiet = NullTelemetry()
    with quiet.span("cycle") as span:
        span.event("seen", {})
    assert span.traceparent == ""
    await quiet.planned(None, 0.0)
    quiet.seen(observation(pool()))
    quiet.count(CALLS, "EvictPod", "Done", n=2)
    quiet.measure(LOOP_STALL, 0.1)


def test_nobody_leads_and_nothing_is_said():
    assert NullAuthority().standing() is NO_AUTHORITY
    assert NullAuthority().writes_until() == -math.inf
    NullAnnouncer().say("n1", "uid-n1", "Reason", "text", warning=True)


async def test_a_state_may_be_acted_on_and_is_not_kept():
    store = NullStateStore()
    assert await store.save(ControllerState(pools={"web": PoolState(last_wave_at=AT)}))
    assert await store.load() == ControllerState()


def test_a_memory_is_not_kept():
    store = NullMemoryStore()
    assert store.save(update(EMPTY_MEMORY, cluster(pool()), AT))
    assert store.load() == EMPTY_MEMORY


def test_no_notice_ever_comes_and_there_is_no_input_to_be_stale():
    notices = NullNotices()
    notices.settle(["n1"])
    assert (notices.pending(AT), notices.health(AT)) == ((), ())

    async def main():
        async with asyncio.timeout(86_400.0):
            await notices.arrived()

    with pytest.raises(TimeoutError):
        run(main)
