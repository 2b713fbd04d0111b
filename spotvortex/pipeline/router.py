"""The third task: decisions.

Comes in: an `Assessment`. Goes out: a `Plan` to the journal and the status board, and its drain
orders to the lane. All judgement is in `core.reconcile`; this task gives the loop a breath after
each pool and carries the controller's state from cycle to cycle.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import cast

from spotvortex.core.limits import Limits
from spotvortex.core.messages import Assessment, ControllerState, DrainOrder, Plan
from spotvortex.core.reconcile import reconcile_steps
from spotvortex.pipeline.channels import ClosedError, Lane, Latest
from spotvortex.pipeline.heartbeats import Heartbeats
from spotvortex.pipeline.status import Status
from spotvortex.ports import Journal, Telemetry

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Router:
    """Decides on each assessment. `state` is the only thing that lives from cycle to cycle."""

    limits: Limits
    journal: Journal
    status: Status
    telemetry: Telemetry
    heartbeats: Heartbeats
    state: ControllerState = field(default_factory=ControllerState)

    async def run(self, source: Latest[Assessment], lane: Lane[DrainOrder]) -> None:
        """Decide until the source is closed, then close the lane."""
        try:
            while True:
                assessment = await source.get()
                with self.heartbeats.at_work("router"):
                    await self._hand_on(await self.decide(assessment), lane)
        except ClosedError:
            return
        finally:
            lane.close()

    async def decide(self, assessment: Assessment) -> Plan:
        """Reconcile one assessment, pool by pool."""
        started = asyncio.get_running_loop().time()
        steps = reconcile_steps(self.state, assessment, self.limits)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                self.state, plan = cast("tuple[ControllerState, Plan]", end.value)
                break
            await asyncio.sleep(0)
        decided_s = asyncio.get_running_loop().time() - started
        seconds = assessment.observation.seconds + assessment.seconds + decided_s
        await self.telemetry.planned(plan, seconds)
        return plan

    async def _hand_on(self, plan: Plan, lane: Lane[DrainOrder]) -> None:
        await self.journal.append(plan)
        self.status.planned(plan)
        for order in plan.orders:
            if not lane.offer(order.uid, order):
                log.warning("router.order_not_queued", extra={"node": order.node})
