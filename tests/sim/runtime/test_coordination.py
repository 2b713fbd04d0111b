"""What lies in the cluster beside nodes and pods: lease, freeze, state and the queue of notices."""

import asyncio
from dataclasses import replace

import pytest

from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.domain.cloud.notices import Notice, NoticeKind
from spotvortex.core.domain.types import Freeze
from spotvortex.core.scoring import interruption_memory, memory_text
from spotvortex.faultsearch.episode import START_AT
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.sim.runtime.coordination import (
    CoordinationObjects,
    Leadership,
    MemoryPort,
    QueueReader,
    StateAccess,
    StatePort,
)
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop
from tests.sim.small import Clock

STALE_AFTER_S = 20.0
TIMING = LeaseTiming()


def leadership_of(shelf, clock, name="one", cut_s=lambda: 0.0, lag_s=0.0):
    return Leadership(
        shelf=shelf,
        name=name,
        clock=clock.now,
        lag_s=lambda: lag_s,
        cut_for_s=cut_s,
        stale_after_s=STALE_AFTER_S,
    )


def test_a_term_begins_where_the_holder_changes():
    shelf = CoordinationObjects()
    shelf.renew("one", 0.0)
    shelf.renew("one", 10.0)
    shelf.renew("two", 25.0)
    assert shelf.terms == [(0.0, "one"), (25.0, "two")]


def test_only_its_holder_gives_a_lease_back():
    shelf = CoordinationObjects()
    shelf.renew("one", 0.0)
    shelf.release("two")
    assert shelf.holder == "one"
    shelf.release("one")
    assert shelf.holder == ""


def in_virtual_time(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        clock = SimClock(START_AT, runner.get_loop())
        return runner.run(main(clock))


def test_a_leader_renews_and_gives_back_at_the_stop():
    async def main(clock):
        shelf, stop = CoordinationObjects(), asyncio.Event()
        first = leadership_of(shelf, clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(first.run(stop))
            await asyncio.sleep(60.0)
            led = first.standing().leader
            stop.set()
        return led, shelf.holder, first.standing().leader

    assert in_virtual_time(main) == (True, "", False)


def test_a_leader_that_is_cut_off_stops_before_another_may_begin():
    async def main(clock):
        shelf, stop, cut_s = CoordinationObjects(), asyncio.Event(), [0.0]
        first = leadership_of(shelf, clock, "one", lambda: cut_s[0])
        second = leadership_of(shelf, clock, "two")
        last_led = first_led = 0.0
        async with asyncio.TaskGroup() as group:
            group.create_task(first.run(stop))
            await asyncio.sleep(1.0)
            group.create_task(second.run(stop))
            await asyncio.sleep(9.0)
            cut_s[0] = 1.0
            for _ in range(600):
                await asyncio.sleep(0.1)
                assert not (first.standing().leader and second.standing().leader)
                last_led = clock.now() if first.standing().leader else last_led
                first_led = first_led or (clock.now() if second.standing().leader else 0.0)
            stop.set()
        return last_led - START_AT, first_led - START_AT

    last_led, first_led = in_virtual_time(main)
    assert first_led - last_led >= TIMING.margin_s - 0.1
    assert first_led <= 10.0 + TIMING.lease_s + TIMING.poll_s


def test_a_freeze_is_seen_after_the_lag_and_unknown_when_blind_for_long():
    shelf, clock, cut_s = CoordinationObjects(), Clock(), [0.0]
    leader = leadership_of(shelf, clock, cut_s=lambda: cut_s[0], lag_s=3.0)
    shelf.freezes.append((clock.at, Freeze.SOFT))
    assert leader.standing().freeze is Freeze.NONE
    clock.at += 3.0
    assert leader.standing().freeze is Freeze.SOFT
    clock.at += 100.0
    shelf.freezes.append((clock.at - 10.0, Freeze.NONE))
    cut_s[0] = 15.0
    assert leader.standing().freeze is Freeze.SOFT
    cut_s[0] = STALE_AFTER_S + 0.1
    assert leader.standing().freeze is Freeze.UNKNOWN


def state_of(shelf, clock, is_cut=False):
    return StateAccess(shelf=shelf, clock=clock.now, is_cut=lambda: is_cut, leads=lambda: True)


async def test_state_is_saved_by_compare_and_set():
    shelf, clock = CoordinationObjects(), Clock()
    one, two = StatePort(state_of(shelf, clock)), StatePort(state_of(shelf, clock))
    assert await one.load() == await two.load() == ControllerState()
    kept = ControllerState(unsure_until=5.0)
    assert await one.save(kept)
    assert not await two.save(ControllerState())
    assert await two.load() == kept
    assert await two.save(kept)
    assert not await one.save(kept)


async def test_nobody_saves_who_has_not_read():
    assert not await StatePort(state_of(CoordinationObjects(), Clock())).save(ControllerState())


@pytest.mark.parametrize("text", [None, '{"v":99}', "scribble"])
async def test_state_that_is_lost_or_cannot_be_read_makes_unsure_for_a_day(text):
    shelf, clock = CoordinationObjects(), Clock()
    port = StatePort(state_of(shelf, clock))
    await port.load()
    await port.save(ControllerState())
    shelf.state = text
    shelf.version += 1
    assert not await port.save(ControllerState())
    assert (await port.load()).unsure_until == clock.at + 86_400.0
    assert await port.save(ControllerState())


async def test_who_is_cut_off_reads_and_saves_nothing():
    port = StatePort(state_of(CoordinationObjects(), Clock(), is_cut=True))
    assert (await port.load()).unsure_until > START_AT
    assert not await port.save(ControllerState())


async def test_the_memory_goes_with_the_state():
    shelf, clock = CoordinationObjects(), Clock()
    at = state_of(shelf, clock)
    memory, state = MemoryPort(at), StatePort(at)
    assert memory.load() == interruption_memory.EMPTY_MEMORY
    learned = replace(interruption_memory.EMPTY_MEMORY, at=START_AT)
    assert memory.save(learned)
    assert shelf.memory == ""
    await state.load()
    await state.save(ControllerState())
    assert shelf.memory == memory_text.to_text(learned)
    assert memory.load().offerings == learned.offerings


def notice(key, instance_id="i-1", deadline=None, until=START_AT + 600.0):
    return Notice(
        id=key,
        kind=NoticeKind.INTERRUPTION,
        instance_id=instance_id,
        at=START_AT,
        deadline=deadline,
        until=until,
        received_at=START_AT,
    )


def test_notices_come_once_each_the_most_urgent_first_until_settled():
    shelf = CoordinationObjects()
    reader = QueueReader(shelf=shelf, may_read=lambda: True)
    shelf.tell(notice("late", "i-2", START_AT + 100.0))
    shelf.tell(notice("none", "i-3"))
    shelf.tell(notice("soon", "i-1", START_AT + 50.0))
    shelf.tell(notice("again", "i-1", START_AT + 50.0))
    shelf.tell(notice("old", "i-4", until=START_AT - 1.0))
    assert [n.id for n in reader.pending(START_AT)] == ["soon", "late", "none"]
    reader.settle(["soon", "again", "unknown"])
    assert [n.id for n in reader.pending(START_AT)] == ["late", "none"]
    assert [h.name for h in reader.health(START_AT)] == ["notices"]


def test_only_who_leads_reads_the_queue():
    shelf = CoordinationObjects()
    shelf.tell(notice("one"))
    assert QueueReader(shelf=shelf, may_read=lambda: False).pending(START_AT) == ()


def test_a_new_notice_wakes_who_waits_for_it():
    async def main(clock):
        shelf = CoordinationObjects()
        reader = QueueReader(shelf=shelf, may_read=lambda: True)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(reader.arrived())
            await asyncio.sleep(5.5)
            asleep = not waiting.done()
            shelf.tell(notice("one"))
            await waiting
        return asleep, clock.now() - START_AT

    assert in_virtual_time(main) == (True, 6.0)
