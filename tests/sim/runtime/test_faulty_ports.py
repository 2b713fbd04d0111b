"""The ports of one process under each lasting fault, and without any."""

import asyncio
import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from spotvortex.core.drain.calls import Again, Done
from spotvortex.errors import ModelContractError
from spotvortex.faultsearch.episode import START_AT
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.writing import OwnWrite
from spotvortex.sim.cluster.api_server import plan_on
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.runtime.faults import Fault, FaultKind
from spotvortex.sim.runtime.faulty_ports import (
    CARRIES_ON_S,
    REMEMBER_S,
    STALE_BY_S,
    FaultyForecaster,
    FaultyMarket,
    FaultyWriter,
    SkewedClock,
)
from spotvortex.sim.runtime.forecasters import ScriptedForecaster
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop
from tests.sim.small import Clock, anchor, mark, node_of, placeholder, world_of

TIMING = LeaseTiming()
ANSWER_S = TIMING.write_answer_s


@dataclass
class Sufferer:
    """A process that suffers what a test says."""

    clock: object = field(default_factory=Clock)
    world: object = None
    faults: dict = field(default_factory=dict)
    cut_for_s: float = 0.0
    dies: FaultKind | None = None
    late: float = 0.0
    alive: bool = True
    chance: object = field(default_factory=lambda: stream(1, "weather"))
    reached: list = field(default_factory=list)
    read: list = field(default_factory=list)

    def fault(self, kind):
        size = self.faults.get(kind)
        return None if size is None else Fault(kind=kind, at_s=0.0, lasts_s=1e9, size=size)

    def dies_at(self, kind):
        return kind is self.dies

    def late_s(self):
        return self.late

    def kill(self):
        self.alive = False

    def now(self):
        return self.clock.now()

    def read_at_server(self, call):
        self.read.append(self.now() - START_AT)
        return self.world.server.read(call)

    def at_server(self, call, seen, checked_at):
        self.reached.append((call, self.now() - START_AT, checked_at - START_AT))
        return self.world.apply(call, seen)

    def own_mark(self, name, uid):
        node = self.world.cluster.nodes.get(name)
        if node is None or node.uid != uid:
            return None
        return OwnWrite(
            resource_version=node.version, cordoned=node.cordoned, plan_id=plan_on(node)
        )


def sent(of_node, left_s=60.0, **suffering):
    """Send one request in virtual time; returns the answer, the sufferer and the seconds.

    `left_s` is how long we may write still; whatever else happens is awaited.
    """

    async def main():
        clock = SimClock(START_AT, asyncio.get_running_loop())
        sufferer = Sufferer(clock=clock, world=world_of(clock), **suffering)
        writer = FaultyWriter(sufferer)
        call = of_node(node_of(sufferer.world))
        try:
            answer = await writer.apply(call, asyncio.get_running_loop().time() + left_s)
        except asyncio.CancelledError:
            answer = None
        took_s = round(clock.now() - START_AT, 2)
        await asyncio.sleep(35.0)
        return answer, sufferer, took_s, writer, call

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def test_a_request_reaches_the_server_and_its_answer_comes_back():
    answer, sufferer, seconds, *_ = sent(anchor)
    assert (answer, seconds) == (Done(), 0.02)
    ((_, reached_at, sent_at),) = sufferer.reached
    assert (round(reached_at, 2), sent_at) == (0.01, 0.0)


@pytest.mark.parametrize(
    ("suffering", "reason", "seconds"),
    [
        ({"faults": {FaultKind.API_ERRORS: 1.0}}, "500", 0.02),
        ({"faults": {FaultKind.THROTTLED: 1.0}}, "too many", 0.02),
        ({"cut_for_s": 5.0}, "no answer", ANSWER_S),
    ],
)
def test_a_request_that_is_refused_on_its_way_never_reaches_the_server(suffering, reason, seconds):
    answer, sufferer, took_s, *_ = sent(anchor, **suffering)
    assert isinstance(answer, Again)
    assert reason in answer.reason
    assert took_s == seconds
    assert sufferer.reached == []


def test_a_share_of_the_requests_passes():
    n_passed = sum(
        isinstance(sent(anchor, faults={kind: 0.0})[0], Done)
        for kind in (FaultKind.API_ERRORS, FaultKind.THROTTLED, FaultKind.ANSWERS_LOST)
    )
    assert n_passed == 3


def test_a_lost_answer_leaves_the_request_carried_out():
    answer, sufferer, seconds, *_ = sent(anchor, faults={FaultKind.ANSWERS_LOST: 1.0})
    assert isinstance(answer, Again)
    assert seconds == ANSWER_S
    assert len(sufferer.world.cluster.own) == 1


def test_slow_and_late_requests_reach_the_server_later():
    slow = sent(anchor, faults={FaultKind.SLOW: 8.0})[1].reached[0][1]
    assert 0.01 < slow < 8.02
    assert sent(anchor, late=5.0)[1].reached[0][1] == pytest.approx(5.01)


def late_by(seconds, left_s=60.0, luck=1):
    """When a request of that lateness was given up, and when it was carried out."""
    answer, sufferer, took_s, *_ = sent(
        anchor, left_s, late=seconds, chance=stream(luck, "weather")
    )
    assert isinstance(answer, Again)
    return took_s, [reached_at for _, reached_at, _ in sufferer.reached]


def test_a_request_that_is_too_late_is_given_up_and_may_be_carried_out_a_moment_later():
    outcomes = [late_by(30.0, luck=luck) for luck in range(20)]
    assert {given_up_s for given_up_s, _ in outcomes} == {ANSWER_S}
    reached = [at for _, found in outcomes for at in found]
    assert 0 < len(reached) < 20, "every other one, about"
    assert all(ANSWER_S <= at <= ANSWER_S + CARRIES_ON_S for at in reached)


def test_a_request_that_comes_right_after_it_was_given_up_is_not_held_back():
    found = [late_by(ANSWER_S, luck=luck)[1] for luck in range(20)]
    assert all(at <= ANSWER_S + 0.02 for reached in found for at in reached)
    assert any(found)


def test_what_the_server_carries_on_with_is_over_before_the_lease_is():
    assert TIMING.margin_s > CARRIES_ON_S


def test_a_request_is_given_up_when_we_may_no_longer_write():
    given_up_s, _ = late_by(30.0, left_s=3.0)
    assert given_up_s == 3.0


@pytest.mark.parametrize("of_node", [anchor, lambda node: placeholder(node.movable[0], node)])
def test_with_too_little_time_left_nothing_is_sent(of_node):
    answer, sufferer, took_s, *_ = sent(of_node, left_s=TIMING.shortest_answer_s - 0.01)
    assert isinstance(answer, Again)
    assert "lease" in answer.reason
    assert (took_s, sufferer.reached, sufferer.read) == (0.0, [], [])


def test_a_call_that_reads_first_asks_anew_whether_it_may_write():
    """It is read slowly, and then too little time is left."""
    answer, sufferer, *_ = sent(
        lambda node: placeholder(node.movable[0], node),
        left_s=0.52,
        faults={FaultKind.SLOW: 0.5},
    )
    assert isinstance(answer, Again)
    assert "lease" in answer.reason
    assert len(sufferer.read) == 1
    assert sufferer.reached == []


def test_a_call_that_reads_first_is_two_requests_apart():
    answer, sufferer, took_s, *_ = sent(lambda node: placeholder(node.movable[0], node))
    assert (answer, took_s) == (Done(), 0.04)
    assert [round(at, 2) for at in sufferer.read] == [0.01]
    assert [round(reached_at, 2) for _, reached_at, _ in sufferer.reached] == [0.03]


def test_a_read_that_gets_no_answer_ends_the_call():
    answer, sufferer, took_s, *_ = sent(
        lambda node: placeholder(node.movable[0], node), cut_for_s=5.0
    )
    assert isinstance(answer, Again)
    assert (took_s, sufferer.read, sufferer.reached) == (ANSWER_S, [], [])


def test_nothing_of_a_process_that_dies_before_its_write_reaches_the_server():
    answer, sufferer, *_ = sent(anchor, dies=FaultKind.KILL_BEFORE)
    assert answer is None
    assert not sufferer.alive
    assert sufferer.reached == []


def test_what_a_process_writes_right_before_its_death_is_written():
    _, sufferer, *_ = sent(anchor, dies=FaultKind.KILL_AFTER)
    assert not sufferer.alive
    assert len(sufferer.world.cluster.own) == 1


def test_a_process_knows_its_own_mark_until_the_watch_shows_it():
    _, sufferer, _, writer, call = sent(mark)
    own = writer.own_write(call.uid, call.resource_version)
    assert own.cordoned
    assert own.plan_id == call.plan_id
    assert writer.own_write(call.uid, "") == own
    assert writer.own_write(call.uid, str(own.resource_version)) is None
    assert writer.own_write("other", "1") is None
    sufferer.clock = Clock(START_AT + REMEMBER_S + 1.0)
    assert writer.own_write(call.uid, call.resource_version) is None


def test_a_mark_on_a_node_that_is_gone_is_not_remembered():
    _, _, _, writer, call = sent(lambda node: mark(node, uid="other"))
    assert writer.own_write(call.uid, "1") is None


def test_a_clock_is_as_far_off_as_the_schedule_says():
    assert SkewedClock(Sufferer()).now() == START_AT
    skewed = Sufferer(faults={FaultKind.CLOCK_SKEW: -600.0})
    assert SkewedClock(skewed).now() == START_AT - 600.0


def quotes(**faults):
    world = world_of()
    offerings = [node.offering for node in world.cluster.nodes.values()]
    market = SimulatedMarket(seed=1, start_at=START_AT)
    kinds = {FaultKind(name.replace("_", "-")): 0.0 for name in faults}
    return FaultyMarket(market, Sufferer(faults=kinds)).facts(offerings, START_AT).quotes


def test_prices_come_as_they_are_without_a_fault():
    found = quotes().values()
    assert all(0.0 < q.spot_usd_per_hour < 1.0 and q.age_s < STALE_BY_S for q in found)


def test_prices_that_stand_still_say_how_old_they_are():
    old = quotes(prices_stale=True)
    assert old
    assert all(quote.age_s >= STALE_BY_S for quote in old.values())


def test_prices_may_be_no_numbers_or_gone():
    assert all(math.isnan(q.spot_usd_per_hour) for q in quotes(prices_nan=True).values())
    assert quotes(prices_gone=True) == {}


def model(**faults):
    kinds = {FaultKind(name.replace("_", "-")): 0.0 for name in faults}
    script = ((0.0, 0.1), (60.0, 0.9))
    return FaultyForecaster(
        ScriptedForecaster(script=script, start_at=START_AT), Sufferer(faults=kinds)
    )


def test_the_model_follows_its_script_without_a_fault():
    whole = model()
    for at_s, score in ((-5.0, 0.1), (0.0, 0.1), (59.0, 0.1), (60.0, 0.9)):
        tensor = whole.tensor([None, None], START_AT + at_s)
        assert whole.score(tensor) == pytest.approx(np.full((2, 2), score))
        assert whole.in_range(tensor).tolist() == [True, True]
    assert whole.digest == "scripted"
    assert whole.scope.covers("m6i.xlarge")
    assert not whole.has_policy
    with pytest.raises(ModelContractError, match="no policy network"):
        whole.q_values(np.zeros((1, 13), dtype=np.float32))


def test_a_model_may_fail_or_give_no_numbers():
    tensor = model().tensor([None], START_AT)
    with pytest.raises(ModelContractError):
        model(model_fails=True).score(tensor)
    assert np.isnan(model(model_nan=True).score(tensor)).all()
