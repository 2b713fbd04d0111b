"""What we remember, on a real API server: kept, lost, unreadable, or somebody else's by now."""

import asyncio
import json

import pytest

from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.domain.types import Mode
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.core.record.state import UNSURE_S
from spotvortex.core.scoring import interruption_memory
from spotvortex.kube.coordination import state as module
from spotvortex.kube.coordination.state import VERSION, ClusterState
from spotvortex.kube.coordination.state_store import ASIDE
from tests.core.builders import AT, cluster, pool
from tests.kube.coordination.test_config_maps import Place
from tests.kube.scenes import await_true, connected

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

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


async def at_place(plane, act):
    async with connected(plane) as client:
        place = Place(plane, client)
        await asyncio.to_thread(
            plane.apply,
            [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.namespace}}],
        )
        return await act(place)


async def test_a_first_start_ever_is_sure_of_itself(control_plane):
    async def act(place):
        return await state_of(place).load()

    assert await at_place(control_plane, act) == ControllerState()


async def test_state_and_memory_come_back_for_the_next_leader(control_plane):
    async def act(place):
        first, second = state_of(place), state_of(place, was_kept=True)
        await first.load()
        first.memory.save(MEMORY)
        assert await first.save(STATE)
        return await second.load(), second.memory.load()

    state, memory = await at_place(control_plane, act)
    assert state == STATE
    assert memory.offerings.keys() == MEMORY.offerings.keys()


async def test_a_state_that_is_lost_gives_advice_only_for_a_day(control_plane):
    async def act(place):
        return await state_of(place, was_kept=True).load()

    assert await at_place(control_plane, act) == ControllerState(unsure_until=AT + UNSURE_S)


@pytest.mark.parametrize(
    "data",
    [
        {"version": str(VERSION), "pools": "{"},
        {"version": str(VERSION), "pools": json.dumps({"v": 99})},
        {"version": str(VERSION + 1), "pools": "of a later time"},
    ],
)
async def test_a_state_that_cannot_be_read_is_kept_aside_and_replaced(control_plane, data):
    async def act(place):
        await place.put("spotvortex-state", data)
        state = state_of(place)
        found = await state.load()
        assert await state.save(STATE)
        again = await state_of(place).load()
        aside = await asyncio.to_thread(control_plane.api().get, f"{place.path}/{ASIDE}")
        return found, again, aside["data"]

    found, again, aside = await at_place(control_plane, act)
    assert found == ControllerState(unsure_until=AT + UNSURE_S)
    assert (again, aside) == (STATE, data)


async def test_a_memory_that_cannot_be_read_costs_the_memory_alone(control_plane):
    async def act(place):
        first = state_of(place)
        await first.load()
        await first.save(STATE)
        stored = await asyncio.to_thread(control_plane.api().get, f"{place.path}/spotvortex-state")
        await place.put("spotvortex-state", stored["data"] | {"memory": "?"})
        second = state_of(place)
        return await second.load(), second.memory.load()

    assert await at_place(control_plane, act) == (STATE, interruption_memory.EMPTY_MEMORY)


async def test_that_something_is_kept_is_said_once_it_is(control_plane):
    kept = []

    async def act(place):
        state = state_of(place, keep=lambda: kept.append("now"))
        await state.load()
        before = list(kept)
        assert await state.save(STATE)
        return before

    assert await at_place(control_plane, act) == []
    assert kept == ["now"]


async def test_what_somebody_else_has_written_meanwhile_is_not_written_over(control_plane):
    async def act(place):
        one, other = state_of(place), state_of(place)
        await one.load()
        await other.load()
        assert await one.save(STATE)
        return await other.save(ControllerState())

    assert await at_place(control_plane, act) is False


@pytest.mark.parametrize("leads", [True, False])
async def test_the_memory_is_saved_now_and_then_by_the_leader_alone(
    control_plane, monkeypatch, leads
):
    monkeypatch.setattr(module, "SAVE_MEMORY_EVERY_S", 0.05)

    async def act(place):
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
        return await is_saved()

    assert await at_place(control_plane, act) is leads
