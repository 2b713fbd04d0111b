"""A task at work must beat; one at rest cannot be late. The board says whether we are ready."""

import asyncio
import math

import pytest

from spotvortex.core.decision.messages import Plan
from spotvortex.core.domain.inputs import InputState
from spotvortex.pipeline.health import INTERVAL_S, Heartbeats, Readiness, watch_stalls
from tests.core.builders import AT, cluster, health, observation
from tests.pipeline.world import MemoryTelemetry, StillCluster, run, spend


def test_a_silent_task_at_work_fails_after_its_own_limit():
    async def main():
        beats = Heartbeats({"router": 60.0, "drainer": 10.0})
        with beats.at_work("router"), beats.at_work("drainer"):
            await asyncio.sleep(10.0)
            assert beats.failing() == []
            await asyncio.sleep(1.0)
            assert beats.failing() == ["drainer: silent for 11 s, limit 10 s"]
            beats.beat("drainer")
            await asyncio.sleep(50.0)
            return beats.failing()

    assert run(main) == [
        "drainer: silent for 50 s, limit 10 s",
        "router: silent for 61 s, limit 60 s",
    ]


def test_a_task_at_rest_is_never_late():
    async def main():
        beats = Heartbeats({"router": 1.0})
        with beats.at_work("router"):
            pass
        await asyncio.sleep(1000.0)
        return beats.failing()

    assert run(main) == []


def test_work_that_overlaps_is_at_rest_only_when_all_of_it_is_done():
    async def main():
        beats = Heartbeats({"drainer": 1.0})
        with beats.at_work("drainer"):
            with beats.at_work("drainer"):
                pass
            await asyncio.sleep(2.0)
            late = beats.failing()
        await asyncio.sleep(9.0)
        return late, beats.failing()

    assert run(main) == (["drainer: silent for 2 s, limit 1 s"], [])


async def test_a_task_without_a_limit_may_not_beat():
    with pytest.raises(AssertionError, match="nobody has no limit"):
        Heartbeats({}).beat("nobody")


def status_of(*inputs):
    facts = cluster(inputs=inputs)
    return Readiness(cluster=StillCluster(facts=facts), max_input_age_s=60.0)


def test_readiness_names_what_is_missing():
    stale = health("nodes", age_s=61.0)
    denied = health("pdbs", state=InputState.DENIED, age_s=math.inf, detail="no right to list")
    optional = health("prices", state=InputState.ABSENT, required=False)
    assert status_of(stale, denied, optional).reasons(AT) == [
        "nodes ok, confirmed 61 s ago",
        "pdbs denied, confirmed inf s ago: no right to list",
        "no decision yet",
    ]


def test_readiness_comes_with_the_first_plan():
    status = status_of(health("nodes"))
    assert status.last_plan() is None
    plan = Plan(cycle=1, at=AT, decisions=(), orders=(), observation=observation())
    status.planned(plan)
    assert status.last_plan() is plan
    assert status.reasons(AT) == []


def test_an_input_at_its_very_limit_is_still_fresh():
    status = status_of(health("nodes", age_s=60.0))
    assert status.reasons(AT) == ["no decision yet"]


def test_stalls_of_the_loop_are_measured():
    async def main():
        telemetry, stop = MemoryTelemetry(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(watch_stalls(telemetry, stop, lambda: computed_s[0]))
            await asyncio.sleep(0.01)
            spend(0.5)
            computed_s[0] += 0.2
            await asyncio.sleep(INTERVAL_S)
            spend(0.1)
            computed_s[0] += 0.3
            await asyncio.sleep(INTERVAL_S)
            stop.set()
        names = ("event_loop_stall_seconds", "event_loop_busy_seconds")
        return [[seconds for _, seconds in telemetry.of(name)] for name in names]

    computed_s = [0.0]
    late, own = run(main)
    assert late == pytest.approx([0.49, 0.1, 0.0])
    assert own == pytest.approx([0.2, 0.1, 0.0])
