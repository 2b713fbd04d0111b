"""The drain of one node, step by step.

Comes in: an order, the hand that carries it out, and how its wave stands. Goes out: one step at a
time, until there is an end. `core.drain.machine` says what the step is; here it is done.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from spotvortex.aio import Nap
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.answers import advance
from spotvortex.core.drain.machine import Do, Finish, Wait, next_step
from spotvortex.core.drain.messages import DrainEnd, DrainOrder, OrderKind
from spotvortex.core.drain.progress import begin, proceed
from spotvortex.core.drain.remaining import DrainPhase, DrainProgress
from spotvortex.core.drain.views import Halt, NodeView
from spotvortex.errors import ApiError
from spotvortex.pipeline.drains.wave_barrier import WaveBarrier
from spotvortex.ports.cluster import ClusterActuator, WallClock
from spotvortex.ports.telemetry import Span

log = logging.getLogger(__name__)

REFRESH_PAUSE_S: Final = 1.0
"""Pause after a fresh read of a node that had no answer."""

_LEFT: Final = Finish(DrainEnd.HANDED_OVER, "stopped in an interruption: left to who comes next")


@dataclass(slots=True, kw_only=True)
class DrainTask:
    """One order on its way.

    Attributes:
        order: the order; it may be sharpened from outside at any time.
        hand: what carries its requests out.
        clock: the wall clock.
        waves: how the nodes that are drained together stand.
        span: the order's part of the trace.
        progress: how far it has got.
    """

    order: DrainOrder
    hand: ClusterActuator
    clock: WallClock
    waves: WaveBarrier
    span: Span
    progress: DrainProgress
    _refreshed: bool = False
    _nap: Nap = field(default_factory=Nap)

    @classmethod
    async def start(
        cls,
        order: DrainOrder,
        hand: ClusterActuator,
        clock: WallClock,
        waves: WaveBarrier,
        span: Span,
    ) -> DrainTask:
        """Look at the node and begin, or go on where an earlier process was."""
        progress = begin(order, await hand.look(order))
        return cls(order=order, hand=hand, clock=clock, waves=waves, span=span, progress=progress)

    def sharpen(self, newer: DrainOrder) -> None:
        """Take a newer order for the same node into account, at once where it is lost now."""
        before, self.order = self.order, sharpened(self.order, newer)
        if self.order.kind is not before.kind:
            self._nap.end()

    async def step(self, stop: asyncio.Event, *, give_up: bool) -> Finish | None:
        """Do the next thing; an end is returned, not done.

        Args:
            stop: set when the process is to end: a planned move is then undone.
            give_up: undo at once, whatever the deadline says.
        """
        now = self.clock.now()
        if stop.is_set() and self.order.kind is OrderKind.INTERRUPTION:
            return _LEFT
        view = await self._look(stop, give_up=give_up)
        self.progress = proceed(self.order, self.progress, view, now)
        if self._wants_refresh():
            await self._refresh()
            return None
        return await self._do(view, now, stop)

    async def _look(self, stop: asyncio.Event, *, give_up: bool) -> NodeView:
        view = await self.hand.look(self.order)
        view = self.waves.see(self.order, view, self.progress)
        if view.halt is Halt.NONE and (stop.is_set() or give_up):
            why = "it takes too many steps" if give_up else "the daemon is told to stop"
            view = replace(view, halt=Halt.UNDO, halt_reason=why)
        return view

    def _wants_refresh(self) -> bool:
        """Before a planned mark the node is read anew; a node that is lost has no time for it."""
        planned = self.order.kind is OrderKind.DRAIN
        return planned and self.progress.phase is DrainPhase.MARKING and not self._refreshed

    async def _refresh(self) -> None:
        try:
            await self.hand.refresh(self.order)
        except ApiError as error:
            log.warning("drain.not_refreshed", extra={"node": self.order.node, "error": str(error)})
            await asyncio.sleep(REFRESH_PAUSE_S)
        else:
            self._refreshed = True

    async def _do(self, view: NodeView, now: float, stop: asyncio.Event) -> Finish | None:
        match next_step(self.order, self.progress, view, now):
            case Do(call=call):
                answer = await self.hand.apply(call)
                self.span.event(type(call).__name__, {"answer": type(answer).__name__})
                self.progress = advance(self.progress, call, answer, self.clock.now())
                return None
            case Wait(seconds=seconds):
                # What is undone after a stop waits in full.
                await (asyncio.sleep(seconds) if stop.is_set() else self._nap.take(stop, seconds))
                return None
            case Finish() as finish:
                return finish
            case _ as never:
                assert_never(never)


def sharpened(known: DrainOrder, newer: DrainOrder) -> DrainOrder:
    """Return the order in hand with what a newer one for the same node adds.

    An interruption makes of a planned move an interruption of the same plan, and what was to become
    other Spot may become on-demand: the loss waits for no offering. A deadline only comes nearer.
    """
    deadline = min(known.deadline, newer.deadline)
    urgent = newer.kind is OrderKind.INTERRUPTION and known.kind is OrderKind.DRAIN
    if not urgent:
        return known if deadline == known.deadline else replace(known, deadline=deadline)
    wanted = newer if known.to is CapacityType.SPOT else known
    return replace(
        known,
        kind=newer.kind,
        deadline=deadline,
        reason=newer.reason,
        avoid=newer.avoid,
        to=wanted.to,
        sides=wanted.sides,
    )
