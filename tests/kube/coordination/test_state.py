"""What we remember, on a real API server: kept, lost, unreadable, or somebody else's by now."""

import json

import pytest

from spotvortex.core.decision.messages import UNSURE_S, ControllerState, PoolState
from spotvortex.core.domain.types import Mode
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.kube.coordination.state import VERSION, ClusterState
from spotvortex.kube.coordination.state_store import ASIDE
from tests.core.builders import AT
from tests.kube.coordination.places import BOTH, Place, place_of
from tests.kube.fake_api import FakeApi, refused, serving

STATE = ControllerState(
    pools={"web": PoolState(last_wave_at=AT, rules=PoolRules(mode=Mode.CANARY))}
)


class StoppedClock:
    def now(self):
        return AT


def state_of(place, *, was_kept=False, keep=None):
    return ClusterState(
        store=place.state(VERSION),
        clock=StoppedClock(),
        was_kept=lambda: was_kept,
        keep=keep or (lambda: None),
    )


@pytest.fixture(params=BOTH)
async def place(request):
    async with place_of(request) as found:
        yield found


async def test_a_first_start_ever_is_sure_of_itself(place):
    assert await state_of(place).load() == ControllerState()


async def test_the_state_comes_back_for_the_next_leader(place):
    kept = []
    first, second = (state_of(place, was_kept=n, keep=lambda: kept.append("now")) for n in (0, 1))
    await first.load()
    assert await first.save(STATE)
    assert kept == ["now"]
    assert await second.load() == STATE
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


async def test_a_server_out_of_reach_gives_advice_only_and_saves_nothing():
    async with serving(FakeApi([refused(500)])) as client:
        state = state_of(Place(None, client))
        assert await state.load() == ControllerState(unsure_until=AT + UNSURE_S)
        assert await state.save(STATE) is False
