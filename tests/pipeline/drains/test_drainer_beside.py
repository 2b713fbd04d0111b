"""Orders and chores beside each other: waves, newer orders for a node in hand, and the stop."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from spotvortex.core.decision.messages import MaintenanceCall
from spotvortex.core.domain.types import CapacityType, Mode, Offering
from spotvortex.core.drain.calls import (
    Again,
    CreatePlaceholder,
    DeleteAnchors,
    DeletePlaceholders,
    Done,
    MarkNode,
    Refused,
    UnmarkNode,
)
from spotvortex.core.drain.messages import DrainEnd, OrderKind
from spotvortex.core.drain.views import Halt
from spotvortex.errors import UnreachableError
from spotvortex.pipeline.channels import Lane
from spotvortex.pipeline.drains.actuators import Actuators, RecordingActuator
from spotvortex.pipeline.drains.drain_task import sharpened
from spotvortex.pipeline.drains.drainer import A_TURN, REST_S
from tests.core.builders import AT
from tests.core.in_flight import loss, order
from tests.pipeline.drains.test_drainer import Stubborn, carry_out, kinds, still, stubborn
from tests.pipeline.drains.test_drainer import a_drainer as drainer
from tests.pipeline.world import MemoryAnnouncer, MemoryTelemetry, now, pod, run


def chore(key="k", **changes):
    values = {
        "key": key,
        "pool": "web",
        "call": DeleteAnchors(node="web-d0", node_uid="uid-web-d0"),
        "mode": Mode.ACTIVE,
        "reason": "why",
        "traceparent": "trace",
    }
    return MaintenanceCall(**(values | changes))


def script(actuator, *entries, stop_at=None):
    """Offer orders at seconds of their own; returns results with their second."""

    async def main():
        stop, lane = asyncio.Event(), Lane("drains", 99)
        subject = drainer(actuator)
        async with asyncio.timeout(9000.0), asyncio.TaskGroup() as group:
            running = group.create_task(subject.run(lane, stop))
            for at, one in entries:
                await asyncio.sleep(at - now())
                lane.offer(one.key if isinstance(one, MaintenanceCall) else one.uid, one)
            if stop_at is not None:
                await asyncio.sleep(stop_at - now())
                stop.set()
            lane.close()
            await running
        return [(at, r.end, r) for at, r in actuator.telemetry.of("drained")]

    return run(main)


def test_a_wave_is_not_begun_before_there_is_room_for_all():
    """One node has more pods, and so its room is there later; both are marked together."""
    names = "abcdefgh"
    world = still(s0=tuple(pod(n) for n in "ab"), s1=tuple(pod(n) for n in names))
    actuator = stubborn(world)
    carry_out(actuator, order("web-s0", n_wave=2), order("web-s1", n_wave=2))
    seen = kinds(actuator)
    assert seen.count("CreatePlaceholder") == 10
    assert "MarkNode" not in seen[:10]
    assert seen.index("EvictPod") > 10


def test_a_node_without_room_ends_its_whole_wave_before_any_mark():
    @dataclass(slots=True)
    class OneWithout(Stubborn):
        async def look(self, wanted):
            seen = await RecordingActuator.look(self, wanted)
            return replace(seen, bound=0) if wanted.node == "web-s1" else seen

    actuator = OneWithout(cluster=still(), telemetry=MemoryTelemetry())
    bind = AT + 60.0
    results = carry_out(
        actuator,
        order("web-s0", n_wave=2, bind_by=bind),
        order("web-s1", n_wave=2, bind_by=bind),
    )
    assert {end for _, end in results} == {DrainEnd.NO_REPLACEMENT}
    assert not {"MarkNode", "EvictPod"} & set(kinds(actuator))
    assert kinds(actuator).count("DeletePlaceholders") == 2


def test_an_order_for_a_node_in_hand_only_sharpens_it():
    actuator = stubborn(binds=False)
    planned = order("web-s0")
    results = script(actuator, (0.0, planned), (10.0, replace(planned, deadline=AT + 50.0)))
    ((at, end, _),) = results
    assert (end, 50.0 <= at < 53.0) == (DrainEnd.NO_REPLACEMENT, True)


def test_an_interruption_upgrades_the_move_in_hand_and_keeps_its_plan_and_room():
    actuator = stubborn(binds=False)
    ((at, end, result),) = script(actuator, (0.0, order("web-s0")), (10.0, loss("web-s0")))
    assert (end, result.order.kind, result.order.plan_id) == (
        DrainEnd.DONE,
        OrderKind.INTERRUPTION,
        "p1",
    )
    assert at < 120.0
    assert kinds(actuator).count("CreatePlaceholder") == 2


def test_a_notice_ends_every_wait_of_a_planned_move():
    """The server asked to be left alone for a minute, half of the time that the node has left."""

    @dataclass(slots=True)
    class Busy(Stubborn):
        marked_at: list = field(default_factory=list)

        async def apply(self, call):
            if isinstance(call, MarkNode):
                self.marked_at.append(now())
            return await Stubborn.apply(self, call)

    busy = {CreatePlaceholder: Again("the server is busy", 60.0)}
    actuator = Busy(cluster=still(), telemetry=MemoryTelemetry(), answers=busy)
    script(actuator, (0.0, order("web-s0")), (5.0, loss("web-s0")))
    assert actuator.marked_at == [pytest.approx(5.0)]


def test_an_order_is_sharpened_by_kind_and_by_the_nearer_deadline():
    planned, lost = (
        order("web-s0"),
        loss("web-s0", plan_id="p9", avoid=(Offering(instance_type="m6i.large", zone="z"),)),
    )
    upgraded = sharpened(planned, lost)
    assert (upgraded.plan_id, upgraded.kind, upgraded.deadline) == ("p1", lost.kind, lost.deadline)
    assert (upgraded.avoid, upgraded.reason, upgraded.to) == (lost.avoid, lost.reason, planned.to)
    assert sharpened(lost, planned) is lost
    assert sharpened(planned, replace(planned, deadline=planned.deadline + 9.0)) is planned
    assert sharpened(lost, replace(lost, deadline=AT)).deadline == AT
    late = replace(lost, deadline=planned.deadline + 9.0)
    assert sharpened(planned, late).deadline == planned.deadline


def test_a_move_to_spot_that_becomes_a_loss_asks_for_any_room():
    lost = loss("web-s0", sides=("web", "web-od"))
    shifted = replace(order("web-s0"), to=CapacityType.SPOT, sides=("web",))
    upgraded = sharpened(shifted, lost)
    assert (upgraded.to, upgraded.sides) == (CapacityType.UNKNOWN, ("web", "web-od"))
    planned = replace(shifted, to=CapacityType.ON_DEMAND)
    kept = sharpened(planned, lost)
    assert (kept.to, kept.sides) == (CapacityType.ON_DEMAND, ("web",))


def test_an_order_that_comes_while_the_first_look_is_on_its_way_is_dropped():
    @dataclass(slots=True)
    class Slow(Stubborn):
        async def look(self, wanted):
            await asyncio.sleep(1.0)
            return await Stubborn.look(self, wanted)

    actuator = Slow(cluster=still(), telemetry=MemoryTelemetry())
    ((_, end, result),) = script(actuator, (0.0, order("web-s0")), (0.5, loss("web-s0")))
    assert (end, result.order.kind) == (DrainEnd.DONE, OrderKind.DRAIN)


def test_a_node_may_be_ordered_again_once_its_order_has_ended():
    actuator = stubborn()
    results = script(actuator, (0.0, order("web-s0")), (10.0, order("web-s0", plan_id="p2")))
    assert [end for _, end, _ in results] == [DrainEnd.DONE] * 2


def test_a_chore_is_one_call_in_a_span_of_its_own(caplog):
    caplog.set_level("INFO")
    actuator = stubborn()
    assert script(actuator, (0.0, chore())) == []
    assert kinds(actuator) == ["DeleteAnchors"]
    (span,) = actuator.telemetry.spans
    assert (span.name, span.parent, span.attributes["call"]) == ("chore", "trace", "DeleteAnchors")
    assert span.events == [("DeleteAnchors", {"answer": "Done"})]
    (line,) = [r for r in caplog.records if r.message == "chore.done"]
    assert (line.levelname, line.reason) == ("INFO", "why")


def test_a_chore_that_failed_is_a_warning_and_may_come_again(caplog):
    actuator = stubborn(answers={DeleteAnchors: Refused("no")})
    script(actuator, (0.0, chore()), (10.0, chore()))
    assert kinds(actuator) == ["DeleteAnchors"] * 2
    assert [r.levelname for r in caplog.records if r.message == "chore.done"] == ["WARNING"] * 2


def test_a_chore_in_hand_or_just_done_is_not_begun_again():
    actuator = stubborn()
    later = REST_S + 0.5
    script(actuator, (0.0, chore()), (0.1, chore()), (0.1, chore("other")), (0.3, chore()))
    assert kinds(actuator) == ["DeleteAnchors"] * 2
    script(actuator, (0.0, chore()), (1.0, chore()), (later, chore()))
    assert kinds(actuator) == ["DeleteAnchors"] * 4


@pytest.mark.parametrize("mode", list(Mode))
def test_the_hand_is_that_of_the_orders_mode(mode):
    recording, writing = stubborn(), stubborn()

    async def main():
        lane = Lane("drains", 9)
        subject = drainer(recording)
        subject.hands = Actuators(recording=recording, writing=writing)
        lane.offer("a", chore(mode=mode))
        lane.close()
        await subject.run(lane, asyncio.Event())

    run(main)
    assert (len(writing.calls), len(recording.calls)) == ((1, 0) if mode.writes else (0, 1))


def test_a_stop_undoes_planned_moves_and_hands_interruptions_over():
    actuator = stubborn(binds=False)
    results = script(
        actuator, (0.0, order("web-s0")), (0.0, loss("web-s1", plan_id="p2")), stop_at=20.25
    )
    ends = {r.order.node: end for _, end, r in results}
    assert ends == {"web-s0": DrainEnd.ABORTED, "web-s1": DrainEnd.HANDED_OVER}
    undone = [c for c in actuator.calls if isinstance(c, DeletePlaceholders)]
    assert [c.for_uid for c in undone] == ["uid-web-s0"]
    assert "UnmarkNode" not in kinds(actuator)


def test_what_is_undone_at_a_stop_waits_in_full_between_two_tries():
    """Once the stop is set nothing wakes a wait any more, and the loop must not be held up."""

    @dataclass(slots=True)
    class Busy(Stubborn):
        async def apply(self, call):
            if isinstance(call, UnmarkNode) and now() < 30.0:
                self.calls.append(call)
                return Again("busy", 3.0)
            return await Stubborn.apply(self, call)

    world = still(s0=(pod("a"),))
    actuator = Busy(cluster=world, telemetry=MemoryTelemetry(), answers={})
    ((at, end, _),) = script(actuator, (0.0, order("web-s0")), stop_at=0.6)
    assert end is DrainEnd.ABORTED
    assert 30.0 <= at < 34.0
    assert kinds(actuator).count("UnmarkNode") == 11


def test_a_planned_mark_comes_after_a_fresh_read_and_an_interruption_has_no_time_for_it():
    @dataclass(slots=True)
    class Reading(Stubborn):
        async def refresh(self, order):
            self.calls.append(order)
            if now() < 5.0:
                raise UnreachableError("connection refused")

    for made, n_reads in ((order("web-s0"), 6), (loss("web-s0"), 0)):
        actuator = Reading(cluster=still(), telemetry=MemoryTelemetry())
        script(actuator, (0.0, made))
        reads = [i for i, c in enumerate(actuator.calls) if c == made]
        mark = next(i for i, c in enumerate(actuator.calls) if isinstance(c, MarkNode))
        assert len(reads) == n_reads
        assert all(i < mark for i in reads)


def test_ends_are_said_at_the_node_where_the_mode_writes():
    for made, answers, said in (
        (order("web-s0"), {}, [("web-s0", "SpotVortexDrainDone", False)]),
        (order("web-s0", mode=Mode.SHADOW), {}, []),
        (
            order("web-s0"),
            {MarkNode: Refused("forbidden")},
            [("web-s0", "SpotVortexDrainRefused", True)],
        ),
    ):
        announcer = MemoryAnnouncer()
        carry_out(stubborn(answers=answers), made, announcer=announcer)
        assert [(n, r, w) for n, r, _, w in announcer.said] == said


def test_an_order_that_is_handed_over_is_said_nowhere():
    @dataclass(slots=True)
    class Deposed(Stubborn):
        async def look(self, wanted):
            return replace(
                await Stubborn.look(self, wanted), halt=Halt.DROP, halt_reason="no lease"
            )

    announcer = MemoryAnnouncer()
    actuator = Deposed(cluster=still(), telemetry=MemoryTelemetry())
    assert carry_out(actuator, order("web-s0"), announcer=announcer) == [
        (0.0, DrainEnd.HANDED_OVER)
    ]
    assert (announcer.said, kinds(actuator)) == ([], [])


def test_done_is_an_answer_of_both_hands():
    assert run(stubborn().apply, chore().call) == Done()


def test_an_order_that_has_just_ended_is_not_taken_up_again_by_an_old_view():
    """Its placeholders may still be seen for a moment; later it is found for a good reason."""
    ending = order("web-s0", bind_by=AT + 10.0)
    ((ended_at, _, _),) = script(stubborn(binds=False), (0.0, ending))
    soon = script(stubborn(binds=False), (0.0, ending), (ended_at + 1.0, ending))
    later = script(stubborn(binds=False), (0.0, ending), (ended_at + REST_S + 1.0, ending))
    assert (len(soon), len(later)) == (1, 2)


def test_of_many_orders_that_come_at_once_a_few_begin_in_each_turn_of_the_loop():
    nodes = [f"n{i}" for i in range(3 * A_TURN)]
    begun, looked = [], set()

    class Noted(Stubborn):
        async def look(self, wanted):
            if wanted.uid not in looked:
                looked.add(wanted.uid)
                begun[-1] += 1
            return await RecordingActuator.look(self, wanted)

    world = still(**{node: (pod("a"),) for node in nodes})
    actuator = Noted(cluster=world, telemetry=MemoryTelemetry())

    async def main():
        async def count():
            while True:
                begun.append(0)
                await asyncio.sleep(0)

        lane, counting = Lane("drains", 99), asyncio.ensure_future(count())
        for node in nodes:
            lane.offer(f"uid-{node}", order(node))
        lane.close()
        await drainer(actuator).run(lane, asyncio.Event())
        counting.cancel()

    run(main)
    assert (sum(begun), max(begun)) == (len(nodes), A_TURN)
