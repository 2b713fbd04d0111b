"""The fourth task: carries orders out, one at a time.

Comes in: `DrainOrder`s from the lane. Goes out: calls to the actuator it was given, and a
`DrainResult` to telemetry. What to do next is said by `core.drain`; this task does it, looks again,
and stops at the order's deadline.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import assert_never

from spotvortex.core.drain import Do, Finish, Progress, Wait, advance, begin, next_step, proceed
from spotvortex.core.messages import DrainEnd, DrainOrder, DrainResult
from spotvortex.pipeline.channels import ClosedError, Lane
from spotvortex.pipeline.heartbeats import Heartbeats
from spotvortex.ports import ClusterActuator, Telemetry, WallClock

log = logging.getLogger(__name__)


MAX_STEPS = 20_000
"""More steps than any node's drain should take: an order that reaches it is undone."""

MAX_UNDOING_STEPS = 100
"""More steps than undoing takes; reaching it is a fault of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drainer:
    """Drains nodes by the actuator's hand."""

    actuator: ClusterActuator
    clock: WallClock
    telemetry: Telemetry
    heartbeats: Heartbeats

    async def run(self, lane: Lane[DrainOrder], stop: asyncio.Event) -> None:
        """Carry out orders until the lane is closed and empty; at a stop, undo the one in hand."""
        try:
            while True:
                key, order = await lane.take()
                with self.heartbeats.at_work("drainer"):
                    result = await self.drain(order, stop)
                lane.done(key)
                self._report(result)
        except ClosedError:
            return

    async def drain(self, order: DrainOrder, stop: asyncio.Event) -> DrainResult:
        """Move one node, step by step, to whatever end. A stop is a deadline that has come."""
        attributes = {"node": order.node, "pool": order.pool, "to": str(order.to)}
        with self.telemetry.span("drain", order.traceparent, attributes) as span:
            progress = begin(await self.actuator.look(order))
            for n_steps in range(MAX_STEPS + MAX_UNDOING_STEPS):
                self.heartbeats.beat("drainer")
                now = self.clock.now()
                view = await self.actuator.look(order)
                deadline = now if stop.is_set() or n_steps >= MAX_STEPS else order.deadline
                progress = proceed(progress, view, deadline, now)
                match next_step(order, progress, view, now):
                    case Do(call=call):
                        answer = await self.actuator.apply(call)
                        progress = advance(progress, call, answer, now)
                        span.event(type(call).__name__, {"answer": type(answer).__name__})
                    case Wait(seconds=seconds):
                        await _pause(seconds, stop)
                    case Finish(end=end, reason=reason):
                        self.actuator.forget(order)
                        return self._result(order, progress, end, reason)
                    case _ as never:
                        assert_never(never)
        raise AssertionError(f"the drain of {order.node} cannot even be undone")

    def _result(
        self, order: DrainOrder, progress: Progress, end: DrainEnd, reason: str
    ) -> DrainResult:
        return DrainResult(
            order=order,
            end=end,
            reason=reason,
            at=self.clock.now(),
            n_calls=progress.n_calls,
            n_evicted=len(progress.evicted),
        )

    def _report(self, result: DrainResult) -> None:
        self.telemetry.drained(result)
        log.info(
            "drain.ended",
            extra={
                "node": result.order.node,
                "pool": result.order.pool,
                "end": result.end,
                "reason": result.reason,
                "calls": result.n_calls,
                "evicted": result.n_evicted,
            },
        )


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    """Wait, but no longer than until the stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
