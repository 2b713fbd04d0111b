"""What we remember, on a real API server: kept, lost, unreadable, or somebody else's by now."""

import asyncio
import json

import pytest

from spotvortex.core.decision.messages import UNSURE_S, ControllerState, PoolState
from spotvortex.core.domain.types import Mode
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.core.scoring import interruption_memory
from spotvortex.kube.coordination import state as module
from spotvortex.kube.coordination.state import VERSION, ClusterState
from spotvortex.kube.coordination.state_store import ASIDE
from tests.core.builders import AT, cluster, pool
from tests.kube.coordination.places import BOTH, Place, place_of
from tests.kube.fake_api import FakeApi, refused, serving
from tests.kube.scenes import await_true

STATE = ControllerState(
    pools={"web": PoolState(last_wave_at=AT, rules=PoolRules(mode=Mode.CANARY))}
)
MEMORY = interruption_memory.update(interruption_memory.EMPTY_MEMORY, cluster(pool()), AT)


class StoppedClock:
    def now(self):
        return AT


def state_of(place, *, was_kept=False, leads=True, keep=None):
    return ClusterState(
        store=place.state(VERSION),
        clock=StoppedClock(),
        leads=lambda: leads,
        was_kept=lambda: was_kept,
        keep=keep or (lambda: None),
    )


@pytest.fixture(params=BOTH)
async def place(request):
    async with place_of(request) as found:
        yield found


async def test_a_first_start_ever_is_sure_of_itself(place):
    assert await state_of(place).load() == ControllerState()


async def test_state_and_memory_come_back_for_the_next_leader(place):
    kept = []
    first, second = (state_of(place, was_kept=n, keep=lambda: kept.append("now")) for n in (0, 1))
    await first.load()
    first.memory.save(MEMORY)
    assert await first.save(STATE)
    assert kept == ["now"]
    assert await second.load() == STATE
    assert second.memory.load().offerings.keys() == MEMORY.offerings.keys()
    assert kept == ["now", "now"], "who has read one keeps it"


async def test_a_state_that_is_lost_gives_advice_only_for_a_day(place):
    unsure = ControllerState(unsure_until=AT + UNSURE_S)
    assert await state_of(place, was_kept=True).load() == unsure


@pytest.mark.parametrize(
    "data",
    [
        {"version": str(VERSION), "pools": "{"},
        {"version": str(VERSION), "pools": json.dumps({"v": 99})},
        {"version": str(VERSION + 1), "pools": "of a later time"},
    ],
)
async def test_a_state_that_cannot_be_read_is_kept_aside_and_replaced(place, data):
    await place.put("spotvortex-state", data)
    state = state_of(place)
    assert await state.load() == ControllerState(unsure_until=AT + UNSURE_S)
    assert await state.save(STATE)
    assert await state_of(place).load() == STATE
    assert (await place.get(ASIDE))["data"] == data


async def test_a_memory_that_cannot_be_read_costs_the_memory_alone(place):
    first = state_of(place)
    await first.load()
    await first.save(STATE)
    stored = await place.get("spotvortex-state")
    await place.put("spotvortex-state", stored["data"] | {"memory": "?"})
    second = state_of(place)
    assert await second.load() == STATE
    assert second.memory.load() == interruption_memory.EMPTY_MEMORY


async def test_that_something_is_kept_is_said_once_it_is(place):
    kept = []
    state = state_of(place, keep=lambda: kept.append("now"))
    await state.load()
    assert kept == []
    assert await state.save(STATE)
    assert kept == ["now"]


async def test_what_somebody_else_has_written_meanwhile_is_not_written_over(place):
    kept = []
    one, other = state_of(place), state_of(place, keep=lambda: kept.append("now"))
    await one.load()
    await other.load()
    assert await one.save(STATE)
    assert await other.save(ControllerState()) is False
    assert kept == []


@pytest.mark.parametrize("leads", [True, False])
async def test_the_memory_is_saved_now_and_then_by_the_leader_alone(place, monkeypatch, leads):
    monkeypatch.setattr(module, "SAVE_MEMORY_EVERY_S", 0.05)
    state, stop = state_of(place, leads=leads), asyncio.Event()
    await state.load()
    await state.save(STATE)
    state.memory.save(MEMORY)

    async def is_saved():
        later = state_of(place)
        await later.load()
        return bool(later.memory.load().offerings)

    async with asyncio.TaskGroup() as group:
        group.create_task(state.run(stop))
        if leads:
            await await_true(is_saved)
        else:
            await asyncio.sleep(0.5)  # ten times what the leader would have taken
        stop.set()
    assert await is_saved() is leads


async def run_for_twenty_times(state, monkeypatch):
    monkeypatch.setattr(module, "SAVE_MEMORY_EVERY_S", 0.01)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(state.run(stop))
        await asyncio.sleep(0.2)
        stop.set()


async def test_a_memory_that_has_not_changed_is_not_saved_again(place, monkeypatch):
    state = state_of(place)
    await state.load()
    state.memory.save(MEMORY)
    await state.save(STATE)
    version = (await place.get("spotvortex-state"))["metadata"]["resourceVersion"]
    await run_for_twenty_times(state, monkeypatch)
    assert (await place.get("spotvortex-state"))["metadata"]["resourceVersion"] == version


async def test_before_a_state_was_read_or_saved_the_memory_is_not_saved_alone(place, monkeypatch):
    state = state_of(place)
    state.memory.save(MEMORY)
    await run_for_twenty_times(state, monkeypatch)
    assert await place.names() == set()


async def test_a_server_out_of_reach_gives_advice_only_and_saves_nothing():
    async with serving(FakeApi([refused(500)])) as client:
        state = state_of(Place(None, client))
        assert await state.load() == ControllerState(unsure_until=AT + UNSURE_S)
        assert await state.save(STATE) is False
