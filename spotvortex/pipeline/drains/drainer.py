"""The fourth task: carries orders out, each beside the others.

Comes in: `DrainOrder`s and chores from the lane. Goes out: calls to the actuator of their mode, a
`DrainResult` to telemetry, and what it holds, as `InHand`. How one node is drained is in
`drain_task`. An order for a node in hand only sharpens the one that it has.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.decision.messages import MaintenanceCall
from spotvortex.core.drain.calls import Answer, Done, Gone
from spotvortex.core.drain.machine import Finish
from spotvortex.core.drain.messages import DrainEnd, DrainOrder, DrainResult, InHand
from spotvortex.pipeline.channels import ClosedError, Lane, Latest
from spotvortex.pipeline.drains.actuators import Actuators
from spotvortex.pipeline.drains.drain_task import DrainTask
from spotvortex.pipeline.drains.wave_barrier import WaveBarrier
from spotvortex.pipeline.health import Heartbeats
from spotvortex.ports.cluster import WallClock
from spotvortex.ports.telemetry import Telemetry
from spotvortex.ports.writing import Announcer

log = logging.getLogger(__name__)

MAX_STEPS: Final = 20_000
"""More steps than any node's drain should take: an order that reaches it is undone."""

MAX_UNDOING_STEPS: Final = 200
"""More steps than undoing takes; reaching it is a fault of the controller."""

REST_S: Final = 5.0
"""Time after its end in which an order or a chore is not taken up again: the view may lag."""

A_TURN: Final = 8
"""Orders that begin in one turn of the loop; hundreds may come at once, and it has to breathe."""

_CHORE: Final = ""
"""The plan of what belongs to none."""

_BAD_ENDS: Final = frozenset({DrainEnd.ABORTED, DrainEnd.REFUSED, DrainEnd.NO_REPLACEMENT})

Order = DrainOrder | MaintenanceCall


@dataclass(slots=True, kw_only=True)
class Drainer:
    """Drains nodes and does chores by the actuators of their modes.

    Attributes:
        hands: the actuator of each mode.
        clock: the wall clock.
        telemetry: where results go.
        heartbeats: where the task shows that it lives.
        announcer: tells people at the nodes what was done.
        in_hand: the nodes that it holds, published whenever that changes.
    """

    hands: Actuators
    clock: WallClock
    telemetry: Telemetry
    heartbeats: Heartbeats
    announcer: Announcer
    in_hand: Latest[InHand] = field(default_factory=lambda: Latest("in-hand"))
    _drains: dict[str, DrainTask | None] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _chores: set[str] = field(default_factory=set)
    _waves: WaveBarrier = field(default_factory=WaveBarrier)
    _over: dict[tuple[str, str], float] = field(default_factory=dict)
    _beginning: int = 0

    async def run(self, lane: Lane[Order], stop: asyncio.Event) -> None:
        """Carry out orders until the lane is closed and empty; at a stop, undo those in hand."""
        async with asyncio.TaskGroup() as group:
            try:
                while True:
                    key, order = await lane.take()
                    lane.done(key)
                    self._take(order, stop, group)
            except ClosedError:
                return

    def _take(self, order: Order, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        if isinstance(order, MaintenanceCall):
            if order.key not in self._chores and not self._is_over(_CHORE, order.key):
                self._chores.add(order.key)
                group.create_task(self._chore(order))
        elif order.uid in self._drains:
            known = self._drains[order.uid]
            if known is not None:
                known.sharpen(order)
        elif not self._is_over(order.plan_id, order.uid):
            self._hold(order.uid, None)
            # IMPORTANT: before any of the wave takes a step, or it would not wait for the others.
            self._waves.join(order)
            self._beginning += 1
            turns = (self._beginning - 1) // A_TURN
            group.create_task(self._begin_after(turns, order, stop))

    def _hold(self, uid: str, drain: DrainTask | None) -> None:
        """Take a node in hand, and tell; what has not begun counts, whatever its mode."""
        self._drains[uid] = drain
        if drain is None or drain.order.mode.writes:
            self._told.add(uid)
        else:
            self._told.discard(uid)
        self._tell()

    def _let_go(self, uid: str) -> None:
        del self._drains[uid]
        self._told.discard(uid)
        self._tell()

    def _tell(self) -> None:
        self.in_hand.put(InHand(uids=frozenset(self._told)))

    def _rest(self, plan_id: str, key: str) -> None:
        """Take note that an order or a chore has ended well enough not to come again at once."""
        self._over[plan_id, key] = asyncio.get_running_loop().time() + REST_S

    def _is_over(self, plan_id: str, key: str) -> bool:
        """Tell whether this very thing has just ended here, and is found again by mistake."""
        now = asyncio.get_running_loop().time()
        self._over = {key: until for key, until in self._over.items() if now < until}
        return (plan_id, key) in self._over

    async def _chore(self, chore: MaintenanceCall) -> None:
        """Make one request. One that failed comes up again, since its reason is still there."""
        with self.heartbeats.at_work("drainer"):
            attributes = {"call": type(chore.call).__name__, "pool": chore.pool}
            with self.telemetry.span("chore", chore.traceparent, attributes) as span:
                answer = await self.hands.of(chore.mode).apply(chore.call)
                span.event(type(chore.call).__name__, {"answer": type(answer).__name__})
        self._chores.discard(chore.key)
        if isinstance(answer, Done | Gone):
            self._rest(_CHORE, chore.key)
        _log_chore(chore, answer)

    async def _begin_after(self, turns: int, order: DrainOrder, stop: asyncio.Event) -> None:
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
        finally:
            self._beginning -= 1
        await self._carry_out(order, stop)

    async def _carry_out(self, order: DrainOrder, stop: asyncio.Event) -> None:
        with self.heartbeats.at_work("drainer"):
            result = await self.drain(order, stop)
        self._let_go(order.uid)
        if result.end is not DrainEnd.HANDED_OVER:
            self._rest(order.plan_id, order.uid)
        self._report(result)

    async def drain(self, order: DrainOrder, stop: asyncio.Event) -> DrainResult:
        """Move one node, step by step, to whatever end. A stop is a deadline that has come."""
        attributes = {"node": order.node, "pool": order.pool, "to": str(order.to)}
        hand = self.hands.of(order.mode)
        with self.telemetry.span("drain", order.traceparent, attributes) as span:
            one = await DrainTask.start(order, hand, self.clock, self._waves, span)
            self._hold(order.uid, one)
            for n_steps in range(MAX_STEPS + MAX_UNDOING_STEPS):
                self.heartbeats.beat("drainer")
                finish = await one.step(stop, give_up=n_steps >= MAX_STEPS)
                if finish is not None:
                    return self._ended(one, finish)
        raise AssertionError(f"the drain of {order.node} cannot even be undone")

    def _ended(self, one: DrainTask, finish: Finish) -> DrainResult:
        begun = one.progress.begun or one.progress.marked
        self._waves.leave(one.order, finish.end, finish.reason, was_marked=begun)
        one.hand.forget(one.order)
        return DrainResult(
            order=one.order,
            end=finish.end,
            reason=finish.reason,
            at=self.clock.now(),
            n_calls=one.progress.n_calls,
            n_evicted=len(one.progress.evicted),
        )

    def _report(self, result: DrainResult) -> None:
        self.telemetry.seen(result)
        order = result.order
        log.info(
            "drain.ended" if order.mode.writes else "drain.recorded",
            extra={
                "mode": order.mode,
                "node": order.node,
                "pool": order.pool,
                "kind": order.kind,
                "end": result.told_as,
                "reason": result.reason,
                "calls": result.n_calls,
                "evicted" if order.mode.writes else "would_evict": result.n_evicted,
            },
        )
        if order.mode.writes and result.end is not DrainEnd.HANDED_OVER:
            text = f"plan {order.plan_id}: {order.reason}: {result.reason}"
            reason = "SpotVortexDrain" + "".join(w.title() for w in result.end.split("-"))
            warning = result.end in _BAD_ENDS
            self.announcer.say(order.node, order.uid, reason, text, warning=warning)


def _log_chore(chore: MaintenanceCall, answer: Answer) -> None:
    level = logging.INFO if isinstance(answer, Done | Gone) else logging.WARNING
    log.log(
        level,
        "chore.done",
        extra={
            "call": type(chore.call).__name__,
            "pool": chore.pool,
            "reason": chore.reason,
            "answer": str(answer),
        },
    )
