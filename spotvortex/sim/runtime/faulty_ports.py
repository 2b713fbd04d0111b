"""The ports of one simulated process, as good or bad as its schedule of faults says.

Comes in: the world, the true market and model, and which faults are at work. Goes out: the ports
that the daemon's tasks ask: writes, prices, scores, the time. May not decide what goes wrong.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.autoscaling import released_instance
from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.types import Offering, Predictor
from spotvortex.core.drain.calls import (
    Again,
    Answer,
    Call,
    ClearRisk,
    Done,
    MarkNode,
    NoteRisk,
    ReleaseNode,
    UnmarkNode,
)
from spotvortex.core.drain.group_calls import GrowGroup, SettleGroup
from spotvortex.core.scoring.features import Matrix, OfferingContext
from spotvortex.errors import ApiError, ModelContractError
from spotvortex.kube.api.errors import of_write
from spotvortex.kube.write.scaling.provisioner import ScalingProvisioner
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.market import Market
from spotvortex.ports.model import Forecaster
from spotvortex.ports.writing import OwnWrite
from spotvortex.sim.cluster.api_server import ReadsFirst, Seen
from spotvortex.sim.runtime.faults import Fault, FaultKind

REMEMBER_S: Final = 60.0
"""How long a process remembers its own writes, as `kube.write.nodes`."""

CARRIES_ON_S: Final = 1.0
"""For how long the server may carry on with what its client has given up: within the margin."""

ON_THE_WAY_S: Final = 0.01
"""Seconds from a process to the server, and back."""

STALE_BY_S: Final = 7 * 86_400.0
"""How old prices are that have stood still."""


class FaultTarget(Protocol):
    """The process that the faults are about."""

    @property
    def chance(self) -> Random:
        """What draws its delays and failures."""
        ...

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def alive(self) -> bool:
        """Whether what it sends still reaches anything."""
        ...

    @property
    def cut_for_s(self) -> float:
        """For how long it has been cut off, 0 while it is not."""
        ...

    def fault(self, kind: FaultKind) -> Fault | None:
        """Return a lasting fault that is at work on it."""
        ...

    def dies_at(self, kind: FaultKind) -> bool:
        """Count a write, and tell whether it dies at it."""
        ...

    def late_s(self) -> float:
        """Return for how long this write is held up on its way."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def now(self) -> float:
        """Return the true time, seconds since the epoch."""
        ...

    def read_at_server(self, call: ReadsFirst) -> Answer | Seen:
        """Let the server answer the request of a call that only reads."""
        ...

    def at_server(self, call: Call, seen: Seen | None, checked_at: float) -> Answer:
        """Let the server carry out a call on what it has read, before witnesses."""
        ...

    def told_of(self, call: Call, checked_at: float) -> None:
        """Let the witnesses know of a call that a driver is about to make requests of."""
        ...

    def own_mark(self, name: str, uid: str) -> OwnWrite | None:
        """Return what a write has just left on a node, None where it is gone."""
        ...


@dataclass(frozen=True, slots=True)
class _Change:
    """A request that changes something: `at` is when the process asked itself whether it may."""

    call: Call
    seen: Seen | None
    at: float


_UNSENT: Final = Again(reason="not sent, the lease ends too soon")
_UNANSWERED: Final = Again(reason="no answer in time")


@dataclass(slots=True)
class FaultyWriter:
    """The way from one process to the server: implements `ports.writing.ClusterWriter`."""

    process: FaultTarget
    timing: LeaseTiming = field(default_factory=LeaseTiming)
    groups: ScalingProvisioner | None = None
    _own: dict[str, tuple[float, OwnWrite]] = field(default_factory=dict)

    async def apply(self, call: Call, until: float) -> Answer:
        """Carry a call out: its requests may each be late, lost, or the last one."""
        checked_at = self.process.now()
        if self.groups is not None and _is_by_groups(call):
            self.process.told_of(call, checked_at)
            return await _by_groups(self.groups, call, until)
        seen = await self._read(call, until) if isinstance(call, ReadsFirst) else None
        if seen is not None and not isinstance(seen, Seen):
            return seen
        answer_s = self._answer_s(until)
        if answer_s is None:
            return _UNSENT
        if self.process.dies_at(FaultKind.KILL_BEFORE):
            self.process.kill()
        return await self._change(_Change(call, seen, checked_at), answer_s)

    def _answer_s(self, until: float) -> float | None:
        """Return how long a request may take that is sent now, None where it may not be sent."""
        return self.timing.answer_s(until - asyncio.get_running_loop().time())

    async def _read(self, call: ReadsFirst, until: float) -> Answer | Seen:
        """Send the request of a call that only reads."""
        answer_s = self._answer_s(until)
        if answer_s is None:
            return _UNSENT
        way_s = ON_THE_WAY_S + self._slow_s()
        if self.process.cut_for_s > 0.0 or way_s >= answer_s:
            await asyncio.sleep(answer_s)
            return _UNANSWERED
        await asyncio.sleep(way_s)
        found = self._refused() or self.process.read_at_server(call)
        await asyncio.sleep(ON_THE_WAY_S)
        return found

    async def _change(self, change: _Change, answer_s: float) -> Answer:
        """Send the request of a call that changes something.

        One that is on its way is carried out also where its process is cut off meanwhile.
        """
        way_s = ON_THE_WAY_S + self.process.late_s() + self._slow_s()
        if self.process.cut_for_s > 0.0:
            await asyncio.sleep(answer_s)
            return _UNANSWERED
        if way_s >= answer_s:
            await asyncio.sleep(answer_s)
            self._give_up(change, way_s - answer_s)
            return _UNANSWERED
        await asyncio.sleep(way_s)
        refused = self._refused()
        if refused is not None:
            await asyncio.sleep(ON_THE_WAY_S)
            return refused
        if not self.process.alive:
            raise asyncio.CancelledError
        return await self._carried_out(change, answer_s - way_s)

    def _give_up(self, change: _Change, missing_s: float) -> None:
        """Close the connection, which every other time the server notices too late.

        It has then gone so far that it carries on for a moment.
        """
        chance = self.process.chance
        if chance.random() < 0.5:
            after_s = min(missing_s, chance.uniform(0.0, CARRIES_ON_S))
            loop = asyncio.get_running_loop()
            loop.call_later(after_s, self.process.at_server, change.call, change.seen, change.at)

    async def _carried_out(self, change: _Change, left_s: float) -> Answer:
        """Let the server carry a change out, and wait `left_s` at most for its answer."""
        process, call = self.process, change.call
        before = self._left_by(call)
        answer = process.at_server(call, change.seen, change.at)
        left = self._left_by(call) if isinstance(answer, Done) else None
        if left == before and not isinstance(call, MarkNode):
            left = None  # it changed nothing, as the unmark of another plan
        if process.dies_at(FaultKind.KILL_AFTER):
            process.kill()
        lost = process.fault(FaultKind.ANSWERS_LOST)
        is_lost = lost is not None and process.chance.random() < lost.size
        if is_lost or process.cut_for_s > 0.0:
            await asyncio.sleep(left_s)
            return _UNANSWERED
        await asyncio.sleep(ON_THE_WAY_S)
        if left is not None:
            self._own[left[0]] = (process.now() + REMEMBER_S, left[1])
        return answer

    def _slow_s(self) -> float:
        slow = self.process.fault(FaultKind.SLOW)
        return 0.0 if slow is None else self.process.chance.uniform(0.0, slow.size)

    def _refused(self) -> Again | None:
        process = self.process
        errors = process.fault(FaultKind.API_ERRORS)
        if errors is not None and process.chance.random() < errors.size:
            return Again(reason="the server answered 500")
        busy = process.fault(FaultKind.THROTTLED)
        if busy is not None and process.chance.random() < busy.size:
            return Again(reason="too many requests", retry_s=process.chance.choice((0.0, 1.0, 5.0)))
        return None

    def _left_by(self, call: Call) -> tuple[str, OwnWrite] | None:
        if not isinstance(call, MarkNode | UnmarkNode | NoteRisk | ClearRisk):
            return None
        left = self.process.own_mark(call.node, call.uid)
        return None if left is None else (call.uid, left)

    def own_write(self, uid: str, seen_version: str) -> OwnWrite | None:
        """Return what the newest write left on a node that the watch has not shown yet."""
        until, left = self._own.get(uid, (-math.inf, None))
        if left is None or self.process.now() >= until:
            return None
        return left if int(seen_version or -1) < left.resource_version else None


def _is_by_groups(call: Call) -> bool:
    is_instance = isinstance(call, ReleaseNode) and bool(released_instance(call.claim))
    return is_instance or isinstance(call, GrowGroup | SettleGroup)


async def _by_groups(groups: ScalingProvisioner, call: Call, until: float) -> Answer:
    """Let the product's own driver make its requests."""
    try:
        if isinstance(call, ReleaseNode):
            return await groups.release(call, until)
        assert isinstance(call, GrowGroup | SettleGroup)
        return await groups.grow(call, until)
    except ApiError as error:
        return of_write(error)


@dataclass(frozen=True, slots=True)
class SkewedClock:
    """The process's time of day."""

    process: FaultTarget

    def now(self) -> float:
        """Return seconds since the epoch, as far off as the schedule says."""
        skew = self.process.fault(FaultKind.CLOCK_SKEW)
        return self.process.now() + (0.0 if skew is None else skew.size)


@dataclass(slots=True)
class FaultyMarket:
    """Prices that stand still, are no numbers, or are gone, as the schedule says."""

    market: Market
    process: FaultTarget

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return quotes as the provider gives them."""
        wanted = list(offerings)
        if self.process.fault(FaultKind.PRICES_GONE) is not None:
            return self.market.facts((), now)
        stale = self.process.fault(FaultKind.PRICES_STALE)
        if stale is not None:
            old = self.market.facts(wanted, now - STALE_BY_S)
            quotes = {o: replace(q, age_s=q.age_s + STALE_BY_S) for o, q in old.quotes.items()}
            return replace(old, quotes=quotes)
        facts = self.market.facts(wanted, now)
        if self.process.fault(FaultKind.PRICES_NAN) is not None:
            quotes = {o: replace(q, spot_usd_per_hour=math.nan) for o, q in facts.quotes.items()}
            return replace(facts, quotes=quotes)
        return facts


@dataclass(slots=True)
class FaultyForecaster:
    """A model that fails, or gives no numbers, as the schedule says."""

    model: Forecaster
    process: FaultTarget

    @property
    def digest(self) -> str:
        """As the model's."""
        return self.model.digest

    @property
    def scope(self) -> Scope:
        """As the model's."""
        return self.model.scope

    @property
    def decides(self) -> Predictor:
        """As the model's."""
        return self.model.decides

    @property
    def has_policy(self) -> bool:
        """As the model's."""
        return self.model.has_policy

    def tensor(self, contexts: Sequence[OfferingContext], at: float) -> Matrix:
        """As the model's."""
        return self.model.tensor(contexts, at)

    def in_range(self, tensor: Matrix) -> NDArray[np.bool_]:
        """As the model's."""
        return self.model.in_range(tensor)

    def q_values(self, states: Matrix) -> Matrix:
        """As the model's."""
        return self.model.q_values(states)

    def score(self, tensor: Matrix) -> Matrix:
        """Score, or fail."""
        if self.process.fault(FaultKind.MODEL_FAILS) is not None:
            raise ModelContractError("the model cannot be run, as the schedule says")
        rows = self.model.score(tensor)
        if self.process.fault(FaultKind.MODEL_NAN) is not None:
            return np.full_like(rows, np.nan)
        return rows
