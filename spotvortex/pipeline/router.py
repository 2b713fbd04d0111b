"""The third task: decisions, and beside it orders for lost nodes, which wait for no decision.

Comes in: an `Assessment`. Goes out: a `Plan` to the journal and the status board, and its orders
and chores to the lane. An `Observation` with notices comes in as well, before it is scored: its
lost nodes go to the lane at once, and once more with the plan, which then only repeats them. All
judgement is in `core.decision`; this task gives the loop a breath after each pool and carries the
controller's state from cycle to cycle. What writes is handed on only once the state that remembers
it is saved; what is lost, or in flight already, needs nothing remembered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from spotvortex.core.decision.losses import loss_orders
from spotvortex.core.decision.messages import ControllerState, Decision, Plan
from spotvortex.core.decision.reconcile import reconcile_steps
from spotvortex.core.decision.steering import Steered, steer
from spotvortex.core.decision.weights import Steering, WeightRules, patch_text
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import Observation
from spotvortex.core.domain.types import Mode
from spotvortex.core.drain.calls import UnmarkNode
from spotvortex.core.drain.group_calls import RestoreGroup, SettleGroup, SteerGroup
from spotvortex.core.drain.keeping import FreeNode
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.pipeline.channels import ClosedError, Lane, Latest
from spotvortex.pipeline.drains.drainer import Order
from spotvortex.pipeline.health import Heartbeats, Readiness
from spotvortex.ports.null import NullStateStore
from spotvortex.ports.series import WEIGHTS_GIVEN_UP
from spotvortex.ports.telemetry import Journal, Telemetry
from spotvortex.ports.writing import Announcer, StateStore

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Router:
    """The task that decides on each assessment.

    Attributes:
        limits: bounds and thresholds of all pools.
        journal: where decision records go.
        status: what readiness is read from.
        telemetry: where metrics go.
        heartbeats: where the task shows that it lives.
        announcer: tells people at the nodes what would be done, where a mode is to advise.
        store: where the state is saved before anything is done on it.
        pool_rules: rules of pools that the settings state, by name.
        weights: how pairs of groups are steered.
        state: the only thing that lives from cycle to cycle.
    """

    limits: Limits
    journal: Journal
    status: Readiness
    telemetry: Telemetry
    heartbeats: Heartbeats
    announcer: Announcer
    store: StateStore = field(default_factory=NullStateStore)
    pool_rules: Mapping[str, PoolRules] = field(default_factory=dict)
    weights: WeightRules = field(default_factory=WeightRules)
    state: ControllerState = field(default_factory=ControllerState)
    _saved: ControllerState = field(default_factory=ControllerState)
    _led: bool = False
    _steered: Steered = field(default_factory=Steered)

    async def run(self, source: Latest[Assessment], lane: Lane[Order]) -> None:
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

    async def run_losses(self, source: Latest[Observation], lane: Lane[Order]) -> None:
        """Hand on what is lost until the source is closed.

        Nothing is done on a state that may be outdated: a leader's first plan reads the last one's.
        """
        try:
            while True:
                observation = await source.get()
                if not (self._led and observation.standing.leader):
                    continue
                for order in loss_orders(self.state, observation, self.limits, self.pool_rules):
                    lane.offer(order.uid, order)
        except ClosedError:
            return

    async def decide(self, assessment: Assessment) -> Plan:
        """Reconcile one assessment, pool by pool."""
        started = asyncio.get_running_loop().time()
        await self._take_over(assessment)
        plan = self._steer(await self._reconcile(assessment))
        await asyncio.sleep(0)
        decided_s = asyncio.get_running_loop().time() - started
        seconds = assessment.observation.seconds + assessment.seconds + decided_s
        await self.telemetry.planned(plan, seconds)
        return plan

    async def _reconcile(self, assessment: Assessment) -> Plan:
        """Decide pool by pool, each in a span that lasts as long as its decision."""
        steps = reconcile_steps(self.state, assessment, self.limits)
        next(steps)
        for _ in assessment.pools:
            await asyncio.sleep(0)
            with self.telemetry.span("decide", assessment.observation.traceparent) as span:
                decision = next(steps)
                assert decision is not None
                self.telemetry.decided(span, decision)
        await asyncio.sleep(0)
        try:
            next(steps)
        except StopIteration as end:
            self.state, plan = cast("tuple[ControllerState, Plan]", end.value)
            return plan
        raise AssertionError("a step beyond the last pool")

    def _steer(self, plan: Plan) -> Plan:
        """Add what is asked of the groups of pairs, or only tell it."""
        before = self._steered.groups
        self._steered = steer(before, plan.observation, plan.decisions, self.weights)
        calls = self._steered.calls
        if self.weights.steering is not Steering.EXPORT:
            return replace(plan, maintenance_calls=(*plan.maintenance_calls, *calls))
        for told in calls:
            if isinstance(told.call, SteerGroup | RestoreGroup):
                fields = {"nodepool": told.call.group, "patch": patch_text(told.call)}
                log.info("weights.patch", extra={"pool": told.pool, "reason": told.reason} | fields)
        return plan

    async def _take_over(self, assessment: Assessment) -> None:
        """Read the state anew whenever this process comes to lead: the last leader wrote it."""
        leads = assessment.observation.standing.leader
        if leads and not self._led:
            self.state = self._saved = await self.store.load()
        self._led = leads

    async def _hand_on(self, plan: Plan, lane: Lane[Order]) -> None:
        await self.journal.append(plan)
        self.status.planned(plan)
        self._advise(plan.decisions)
        self._tell_given_up()
        may_write = await self._saved_first(plan)
        leads = plan.observation.standing.leader
        for order in plan.orders:
            if order.mode.writes and not may_write:
                continue
            if not lane.offer(order.uid, order):
                log.warning("router.order_not_queued", extra={"node": order.node})
        for order in plan.resumed:
            # What is in flight is remembered by the cluster, and has to come to its end.
            if leads or not order.mode.writes:
                lane.offer(order.uid, order)
        for chore in plan.maintenance_calls:
            # Neither a kept node nor a cordon nor a grown group expires, and to give one back
            # nothing need be remembered.
            frees = leads and isinstance(chore.call, FreeNode | SettleGroup | UnmarkNode)
            if may_write or frees or not chore.mode.writes:
                lane.offer(chore.key, chore)

    async def _saved_first(self, plan: Plan) -> bool:
        """Save what is remembered, where it has changed in what matters; False: write nothing."""
        if not plan.observation.standing.leader:
            return False
        if _essence(self.state) == _essence(self._saved):
            return True
        if not await self.store.save(self.state):
            log.warning("router.state_not_saved", extra={"cycle": plan.cycle})
            self._take_back(plan.decisions)
            return False
        self._saved = self.state
        return True

    def _take_back(self, decisions: Iterable[Decision]) -> None:
        """Forget the waves that are not handed on: the next one must not wait for them."""
        not_made = {d.pool: d.basis.state for d in decisions if d.moves and d.mode.writes}
        self.state = replace(self.state, pools={**self.state.pools, **not_made})

    def _advise(self, decisions: Iterable[Decision]) -> None:
        """Say at the nodes what would be done, where a pool's mode is to advise."""
        for decision in decisions:
            if decision.mode is not Mode.ADVISE:
                continue
            for move in decision.moves:
                text = f"would move this node to {move.to}: {decision.action} {decision.reason}"
                who = move.candidate
                self.announcer.say(who.node, who.uid, "SpotVortexAdvice", text)

    def _tell_given_up(self) -> None:
        """Say which groups are left alone from now on, in the log, in an Event and as a metric."""
        for group in self._steered.given_up:
            self.telemetry.count(WEIGHTS_GIVEN_UP)
            fields = {"nodepool": group.group, "pool": group.pool, "reason": group.reason}
            log.error("weights.given_up", extra=fields)
            self.announcer.warn_of_group(
                group.group, group.uid, "SpotVortexWeightsGivenUp", group.reason
            )


def _essence(state: ControllerState) -> tuple[object, ...]:
    """What has to be saved at once; the rest of the state follows with the next wave."""
    pools = (
        (name, s.last_wave_at, s.n_failed_returns, s.n_probation, s.rules)
        for name, s in sorted(state.pools.items())
    )
    return (state.unsure_until, tuple(pools))
