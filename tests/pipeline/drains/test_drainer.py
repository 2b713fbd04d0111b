"""Orders are carried out one at a time; in shadow every call is written down and none is made."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from spotvortex.core.decision.messages import MaintenanceCall
from spotvortex.core.domain.types import CapacityType, Mode
from spotvortex.core.drain.calls import (
    BlockedByBudget,
    DeletePlaceholders,
    Done,
    EvictPod,
    ReleaseNode,
)
from spotvortex.core.drain.messages import DrainEnd, DrainOrder
from spotvortex.pipeline.channels import Lane
from spotvortex.pipeline.drains import actuators, drainer
from spotvortex.pipeline.drains.actuators import Actuators, RecordingActuator
from spotvortex.pipeline.drains.drainer import Drainer
from spotvortex.pipeline.health import Heartbeats
from spotvortex.sim.runtime.virtual_loop import SimClock
from tests.core.builders import AT, cluster, pool
from tests.pipeline.world import MemoryAnnouncer, MemoryTelemetry, StillCluster, pod, run

FULL_MOVE = [
    "CreatePlaceholder",
    "CreatePlaceholder",
    "MarkNode",
    "EvictPod",
    "EvictPod",
    "ReleaseNode",
    "DeletePlaceholders",
]


def order(node="web-s0", **changes):
    values = {
        "plan_id": "p1",
        "pool": "web",
        "node": node,
        "uid": f"uid-{node}",
        "claim": f"claim-{node}",
        "sides": ("web",),
        "to": CapacityType.ON_DEMAND,
        "reason": "DECREASE_10 medium_risk",
        "deadline": AT + 600.0,
        "traceparent": "trace",
    }
    return DrainOrder(**(values | changes))


def still(**pods):
    return StillCluster(cluster(pool()), pods={f"web-{k}": v for k, v in pods.items()})


@dataclass(slots=True)
class Stubborn(RecordingActuator):
    """A shadow that answers some kinds of calls as told; its placeholders may never be bound."""

    answers: dict = field(default_factory=dict)
    binds: bool = True

    async def apply(self, call):
        await asyncio.sleep(0.25)
        if type(call) in self.answers:
            self.calls.append(call)
            return self.answers[type(call)]
        return await RecordingActuator.apply(self, call)

    async def look(self, wanted):
        seen = await RecordingActuator.look(self, wanted)
        return seen if self.binds else replace(seen, bound=0)


def kinds(actuator):
    return [type(call).__name__ for call in actuator.calls]


def a_drainer(actuator, announcer=None):
    return Drainer(
        hands=Actuators(recording=actuator, writing=actuator),
        announcer=announcer or MemoryAnnouncer(),
        clock=SimClock(AT, asyncio.get_running_loop()),
        telemetry=actuator.telemetry,
        heartbeats=Heartbeats({"drainer": 60.0}),
    )


def carry_out(actuator, *orders, stop_at=None, announcer=None):
    """Carry orders out; returns the results with the virtual second of each, and the telemetry."""

    async def main():
        loop, stop, lane = asyncio.get_running_loop(), asyncio.Event(), Lane("drains", 9)
        for one in orders:
            assert lane.offer(one.key if isinstance(one, MaintenanceCall) else one.uid, one)
        lane.close()
        if stop_at == 0.0:
            stop.set()
        elif stop_at is not None:
            loop.call_later(stop_at, stop.set)
        subject = a_drainer(actuator, announcer)
        async with asyncio.timeout(5000.0):
            await subject.run(lane, stop)
        assert subject.heartbeats.failing() == []
        return [(at, result.end) for at, result in actuator.telemetry.of("drained")]

    return run(main)


def shadow(world=None):
    return RecordingActuator(cluster=world or still(), telemetry=MemoryTelemetry())


def stubborn(world=None, **changes):
    return Stubborn(cluster=world or still(), telemetry=MemoryTelemetry(), **changes)


def test_shadow_records_the_whole_move_in_order_and_changes_nothing():
    actuator = shadow()
    assert carry_out(actuator, order()) == [(0.0, DrainEnd.DONE)]
    assert kinds(actuator) == FULL_MOVE
    assert [kind for _, kind in actuator.telemetry.of("shadow_calls")] == FULL_MOVE
    assert [p.name for p in actuator.cluster.pods_on("web-s0")] == ["web-s0-a", "web-s0-b"]


def test_shadow_forgets_an_order_that_has_ended_so_the_next_sees_the_real_node():
    actuator = shadow()
    carry_out(actuator, order())
    carry_out(actuator, order(plan_id="p2"))
    assert kinds(actuator) == FULL_MOVE * 2


def test_shadow_sees_a_real_cordon_and_a_node_of_another_uid():
    facts = pool()
    held = replace(facts, nodes=(replace(facts.nodes[0], cordoned=True), *facts.nodes[1:]))
    actuator = shadow(StillCluster(cluster(held)))
    assert carry_out(actuator, order()) == [(0.0, DrainEnd.ABORTED)]
    assert carry_out(actuator, order(uid="another"))[-1] == (0.0, DrainEnd.GONE)
    assert carry_out(actuator, order("elsewhere"))[-1] == (0.0, DrainEnd.GONE)
    assert actuator.calls == type(actuator.calls)()


def test_shadow_keeps_a_bounded_number_of_nodes(monkeypatch):
    monkeypatch.setattr(actuators, "MAX_NODES_KEPT", 2)
    actuator = shadow()
    evict = EvictPod(namespace="shop", name="a", uid="a", node_uid="", plan_id="p1")

    async def main():
        for uid in ("n1", "n2", "n3"):
            await actuator.apply(replace(evict, node_uid=uid))
        return list(actuator._effects)

    assert run(main) == ["n2", "n3"]


def test_orders_are_carried_out_beside_each_other():
    actuator = stubborn()
    results = carry_out(actuator, order("web-s0"), order("web-s1", plan_id="p2"))
    assert results == [(1.75, DrainEnd.DONE)] * 2
    assert sorted(kinds(actuator)) == sorted(FULL_MOVE * 2)


@pytest.mark.parametrize(("mode", "shown"), [(Mode.ACTIVE, {"uid-web-s0"}), (Mode.SHADOW, set())])
def test_what_may_write_is_in_hand_from_its_order_to_its_end(mode, shown):
    actuator = stubborn()

    async def main():
        lane = Lane("drains", 9)
        subject = a_drainer(actuator)
        one = order(mode=mode)
        lane.offer(one.uid, one)
        async with asyncio.TaskGroup() as group:
            group.create_task(subject.run(lane, asyncio.Event()))
            await asyncio.sleep(0.1)  # its first request has not been answered yet
            seen = subject.in_hand.poll().uids
            lane.close()
        return seen, subject.in_hand.poll().uids

    assert run(main) == (shown, set())


def test_a_result_counts_calls_and_evictions_and_the_span_tells_the_answers():
    actuator = shadow()
    carry_out(actuator, order())
    ((_, result),) = actuator.telemetry.of("drained")
    assert (result.n_calls, result.n_evicted, result.at, result.reason) == (7, 2, AT, "drained")
    (span,) = actuator.telemetry.spans
    assert (span.name, span.parent) == ("drain", "trace")
    assert span.events[0] == ("CreatePlaceholder", {"answer": "Done"})


def test_without_room_the_order_ends_at_its_deadline_without_an_eviction():
    actuator = stubborn(binds=False)
    assert carry_out(actuator, order()) == [(600.75, DrainEnd.NO_REPLACEMENT)]
    assert kinds(actuator) == ["CreatePlaceholder", "CreatePlaceholder", "DeletePlaceholders"]


def test_a_budget_that_never_yields_ends_the_order_at_its_deadline_and_uncordons():
    actuator = stubborn(answers={EvictPod: BlockedByBudget(1e9)})
    ((at, end),) = carry_out(actuator, order())
    assert end is DrainEnd.ABORTED
    assert 600.0 <= at <= 616.0
    assert kinds(actuator)[-2:] == ["UnmarkNode", "DeletePlaceholders"]


def test_an_order_that_takes_too_many_steps_is_undone(monkeypatch):
    monkeypatch.setattr(drainer, "MAX_STEPS", 50)
    actuator = stubborn(answers={EvictPod: BlockedByBudget(0.0)})
    ((_, end),) = carry_out(actuator, order(deadline=AT + 1e9))
    assert end is DrainEnd.ABORTED
    assert kinds(actuator)[-2:] == ["UnmarkNode", "DeletePlaceholders"]


def test_an_order_without_any_step_left_is_not_begun(monkeypatch):
    monkeypatch.setattr(drainer, "MAX_STEPS", 0)
    actuator = shadow()
    ((_, end),) = carry_out(actuator, order())
    assert (end, kinds(actuator)) == (DrainEnd.ABORTED, [])


def test_an_order_that_cannot_even_be_undone_is_a_fault_of_ours(monkeypatch):
    monkeypatch.setattr(drainer, "MAX_STEPS", 3)
    monkeypatch.setattr(drainer, "MAX_UNDOING_STEPS", 0)
    fault = pytest.RaisesExc(AssertionError, match="web-s0 cannot even be undone")
    with pytest.RaisesGroup(fault):
        carry_out(shadow(), order())


@pytest.mark.parametrize(
    ("stop_at", "end", "last"),
    [
        (0.3, DrainEnd.ABORTED, ["CreatePlaceholder", "DeletePlaceholders"]),
        (1.1, DrainEnd.ABORTED, ["UnmarkNode", "DeletePlaceholders"]),
        (1.4, DrainEnd.DONE, ["ReleaseNode", "DeletePlaceholders"]),
    ],
)
def test_a_stop_undoes_the_order_in_hand_unless_its_node_is_drained_already(stop_at, end, last):
    world = still(s0=(pod("a"), pod("b")))
    actuator = stubborn(world)
    ((at, found),) = carry_out(actuator, order(), stop_at=stop_at)
    assert (found, kinds(actuator)[-2:]) == (end, last)
    assert at < stop_at + 1.0


def test_a_stop_wakes_a_drain_that_waits():
    actuator = stubborn(binds=False)
    ((at, end),) = carry_out(actuator, order(), stop_at=100.25)
    assert (at, end) == (100.5, DrainEnd.ABORTED)


def test_orders_that_come_at_a_stop_do_nothing():
    actuator = stubborn()
    results = carry_out(actuator, order("web-s0"), order("web-s1"), stop_at=0.0)
    assert {end for _, end in results} == {DrainEnd.ABORTED}
    assert kinds(actuator) == []


def test_calls_name_what_they_touch():
    actuator = shadow()
    carry_out(actuator, order())
    claim, clean = list(actuator.calls)[-2:]
    assert claim == ReleaseNode(claim="claim-web-s0", node="web-s0", plan_id="p1")
    assert clean == DeletePlaceholders(plan_id="p1", for_uid="uid-web-s0")
    assert run(actuator.apply, clean) == Done()
