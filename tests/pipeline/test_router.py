"""Decisions are journalled, shown, and handed on once a node."""

import asyncio

import pytest

from spotvortex.core.limits import Limits
from spotvortex.pipeline.channels import ClosedError, Lane, Latest
from spotvortex.pipeline.heartbeats import Heartbeats
from spotvortex.pipeline.router import Router
from spotvortex.pipeline.status import Status
from tests.core.builders import AT, assessment, observation, pool
from tests.pipeline.world import MemoryJournal, MemoryTelemetry, StillCluster, run


def router(**limits):
    return Router(
        limits=Limits(**limits),
        journal=MemoryJournal(),
        status=Status(cluster=StillCluster(), max_input_age_s=60.0),
        telemetry=MemoryTelemetry(),
        heartbeats=Heartbeats({"router": 60.0}),
    )


def route(subject, *assessments):
    """Route one after the other; returns the lane after its close."""

    async def main():
        source, lane = Latest("assessments"), Lane("drains", 9)
        async with asyncio.TaskGroup() as group:
            group.create_task(subject.run(source, lane))
            for one in assessments:
                source.put(one)
                await asyncio.sleep(1.0)
            source.close()
        return lane

    return run(main)


def test_a_plan_goes_to_the_journal_to_the_board_and_down_the_lane():
    subject = router()
    lane = route(subject, assessment(observation(pool())))
    (plan,) = subject.journal.plans
    assert subject.status.last_plan() is plan
    assert run(lane.take) == ("uid-web-d0", plan.orders[0])
    with pytest.raises(ClosedError):
        run(lane.take)
    assert subject.telemetry.of("planned") == [(0.0, 7, 0.0)]


def test_state_is_carried_from_cycle_to_cycle():
    subject = router()
    first, second = (assessment(observation(pool(), at=AT + s)) for s in (0.0, 30.0))
    route(subject, first, second)
    assert [len(p.orders) for p in subject.journal.plans] == [1, 0]
    assert subject.state.pools["web"].last_wave_at == AT


def test_a_node_that_is_on_its_way_already_is_not_queued_twice(caplog):
    subject = router(settle_s=0.0)
    lane = route(subject, *(assessment(observation(pool(), at=AT + s)) for s in (0.0, 30.0)))
    assert (len(lane), lane.refused) == (1, 1)
    assert [(r.message, r.node) for r in caplog.records] == [("router.order_not_queued", "web-d0")]


def test_the_loop_breathes_after_each_pool():
    async def main():
        subject, turns = router(), 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        await subject.decide(assessment(observation(*(pool(f"p{i}") for i in range(5)))))
        counting.cancel()
        return turns

    assert run(main) >= 5
