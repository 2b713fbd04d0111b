"""The first task: one immutable observation each tick.

Comes in: the cluster view's and the market's current values, notices, and the drainer's word on
what it holds. Goes out: an `Observation` in a `Latest`, with a new trace, each tick or at once on a
notice. Where there are notices, what is seen of them and of the cluster goes to `losses` before
anything else is asked, and the rest waits for a moment. Starts after the first sync; from then on
it observes also when inputs are stale, so that the decisions say so. May not wait for anything
else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.observation import ClusterFacts, Observation
from spotvortex.core.drain.interruption import settled
from spotvortex.core.drain.messages import NOTHING_IN_HAND, InHand
from spotvortex.core.drain.orders import in_flight
from spotvortex.core.pool.offerings import usable_in
from spotvortex.pipeline.channels import Latest
from spotvortex.pipeline.health import Heartbeats
from spotvortex.ports.cluster import ClusterView, WallClock
from spotvortex.ports.market import Market
from spotvortex.ports.null import NullAuthority, NullNotices
from spotvortex.ports.series import CHANNEL_REPLACED
from spotvortex.ports.telemetry import Telemetry
from spotvortex.ports.usage import UNMEASURED, Usage
from spotvortex.ports.writing import Authority, Notices

BURST_S: Final = 0.1
"""Least seconds between two observations that notices wake: the first is seen at once, and what
follows it in a burst is seen together."""

HEAD_START_S: Final = 0.02
"""Seconds for which nothing of the cycle goes on while what is lost is on its way to its cordon:
prices, metrics, scores and decisions all compute on the same loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Makes an observation every `tick_s` seconds until `stop` is set.

    Attributes:
        cluster: the view of the cluster.
        market: the prices.
        clock: the wall clock.
        telemetry: where metrics and traces go.
        heartbeats: where the task shows that it lives.
        tick_s: seconds between two observations.
        authority: tells whether the controller may write.
        notices: the source of notices.
        in_hand: the newest word of the drainer on the nodes that it holds.
        losses: where what is lost goes first: an observation without prices.
        usage: what measures nodes and pods.
    """

    cluster: ClusterView
    market: Market
    clock: WallClock
    telemetry: Telemetry
    heartbeats: Heartbeats
    tick_s: float
    authority: Authority = field(default_factory=NullAuthority)
    notices: Notices = field(default_factory=NullNotices)
    in_hand: Latest[InHand] = field(default_factory=lambda: Latest("in-hand"))
    losses: Latest[Observation] = field(default_factory=lambda: Latest("losses"))
    usage: Usage = UNMEASURED

    async def run(self, out: Latest[Observation], stop: asyncio.Event) -> None:
        """Observe until told to stop, then close the channel."""
        try:
            with self.heartbeats.at_work("collector"):
                if await self._first_sync(stop):
                    await self._tick_until(out, stop)
        finally:
            self.losses.close()
            out.close()

    async def _first_sync(self, stop: asyncio.Event) -> bool:
        """Wait for the first sync; an API server that is away is unreadiness, not ill health."""
        async with asyncio.TaskGroup() as group:
            waits = (group.create_task(self.cluster.synced()), group.create_task(stop.wait()))
            while not any(wait.done() for wait in waits):
                self.heartbeats.beat("collector")
                await asyncio.wait(waits, timeout=self.tick_s, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        return not stop.is_set()

    async def _tick_until(self, out: Latest[Observation], stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        cycle, held = 0, NOTHING_IN_HAND
        while not stop.is_set():
            self.heartbeats.beat("collector")
            cycle += 1
            held = self.in_hand.poll() or held
            seen_at = loop.time()
            self._put(await self._observe(cycle, held), out)
            # A tick that came late moves the next one: ticks are never made up for.
            due = max(due + self.tick_s, loop.time())
            if await self._woken_before(due, stop):
                await asyncio.sleep(max(0.0, seen_at + BURST_S - loop.time()))
                due = loop.time()

    def _put(self, observation: Observation, channel: Latest[Observation]) -> None:
        replaced = channel.put(observation)
        if replaced:
            self.telemetry.count(CHANNEL_REPLACED, channel.name, n=replaced)

    async def _woken_before(self, due: float, stop: asyncio.Event) -> bool:
        """Wait for the next tick, the stop, or a notice, the first of them; True for a notice."""
        left = max(0.0, due - asyncio.get_running_loop().time())
        async with asyncio.TaskGroup() as group:
            stopped = group.create_task(stop.wait())
            arrived = group.create_task(self.notices.arrived())
            waits = (stopped, arrived)
            await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            woken = arrived.done()
            for wait in waits:
                wait.cancel()
        return woken

    async def _observe(self, cycle: int, held: InHand) -> Observation:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with self.telemetry.span("cycle", attributes={"cycle": cycle}) as span:
            seen = self._seen(cycle, held, span.traceparent)
            if seen.notices:
                self._put(seen, self.losses)
            waits = loop.time()
            await asyncio.sleep(HEAD_START_S if seen.notices else 0.0)
            started += loop.time() - waits
            observation = replace(
                seen,
                market=self._market(seen.cluster, seen.at),
                notice_inputs=self.notices.health(seen.at),
                usage=self.usage.facts(seen.at),
                seconds=loop.time() - started,
            )
        if seen.notices:
            self.notices.settle(settled(seen.notices, seen.cluster, in_flight(seen.cluster)))
        self.telemetry.seen(observation)
        return observation

    def _seen(self, cycle: int, held: InHand, traceparent: str) -> Observation:
        """Look at the cluster and its notices: all that an order for a lost node reads."""
        now = self.clock.now()
        return Observation(
            cycle=cycle,
            at=now,
            cluster=self.cluster.snapshot(now),
            market=MarketFacts(),
            traceparent=traceparent,
            standing=self.authority.standing(),
            notices=self.notices.pending(now),
            answers_notices=not self.notices.evidence_only,
            in_hand=held.uids,
        )

    def _market(self, cluster: ClusterFacts, now: float) -> MarketFacts:
        """Ask for what is held, and for what pools may use; the health is that of what is held."""
        facts = self.market.facts(cluster.offerings, now)
        others = sorted(set(usable_in(cluster)) - set(cluster.offerings))
        if not others:
            return facts
        more = self.market.facts(others, now).quotes
        return replace(facts, quotes={**more, **facts.quotes})
