"""The controller's other objects in the cluster: lease, freeze, state, queue of notices.

Comes in: requests of processes, and what people do. Goes out: who leads, whether a person has
stopped the controller, what was remembered, which notices wait. May not know what any of it means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from spotvortex.aio import pause
from spotvortex.core.decision.messages import UNSURE_S, ControllerState
from spotvortex.core.domain.cloud.notices import Notice
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.observation import WriteAuthority
from spotvortex.core.domain.types import Freeze
from spotvortex.core.record import state as record_state
from spotvortex.core.record.state import StateFormatError
from spotvortex.core.scoring import interruption_memory, memory_text
from spotvortex.ports.lease_timing import LeaseTiming

POLL_S: Final = 1.0
"""How often the queue of notices is asked, in seconds."""

SHORTEST_PAUSE_S: Final = 0.1


@dataclass(slots=True, kw_only=True)
class CoordinationObjects:
    """The lease, the freeze, the saved state and the queue of notices.

    Times are true ones, seconds since the epoch.

    Attributes:
        holder: who holds the lease, "" where nobody does.
        renewed_at: when the lease was last renewed, minus infinity before the first time.
        terms: who took the lease when, oldest first.
        freezes: the changes of the freeze, oldest first.
        state: the saved state, None where there is none.
        memory: the saved interruption memory, "" where there is none.
        version: version of the object that holds both.
        was_kept: a state has been saved before.
        notices: the notices in the queue, by id.
        n_told: notices put into the queue so far.
    """

    holder: str = ""
    renewed_at: float = float("-inf")
    terms: list[tuple[float, str]] = field(default_factory=list)
    freezes: list[tuple[float, Freeze]] = field(default_factory=list)
    state: str | None = None
    memory: str = ""
    version: int = 0
    was_kept: bool = False
    notices: dict[str, Notice] = field(default_factory=dict)
    n_told: int = 0

    def freeze_at(self, at: float) -> Freeze:
        """Return the freeze as it was at a time."""
        begun = [freeze for since, freeze in self.freezes if since <= at]
        return begun[-1] if begun else Freeze.NONE

    def renew(self, who: str, at: float) -> None:
        """Write the lease, whoever held it."""
        if self.holder != who:
            self.terms.append((at, who))
        self.holder, self.renewed_at = who, at

    def release(self, who: str) -> None:
        """Give the lease back."""
        if self.holder == who:
            self.holder = ""

    def tell(self, notice: Notice) -> None:
        """Put a notice into the queue; one with the same id takes its place."""
        self.notices[notice.id] = notice
        self.n_told += 1


@dataclass(slots=True, kw_only=True)
class Leadership:
    """One process's lease and its watch on the freeze: implements `ports.Authority`.

    Attributes:
        shelf: the objects in the cluster.
        name: the process's identity in the lease.
        clock: true time, seconds since the epoch.
        lag_s: tells how far its watch is behind, in seconds.
        cut_for_s: tells for how long the process has been cut off, in seconds, 0 while it is not.
        stale_after_s: time cut off after which the freeze is unknown, in seconds.
        timing: how often the lease is renewed, and how long it lasts.
        is_stuck: tells whether its requests for the lease alone get no answer.
        valid_until: true time until which the process holds the lease, seconds since the epoch.
    """

    shelf: CoordinationObjects
    name: str
    clock: Callable[[], float]
    lag_s: Callable[[], float]
    cut_for_s: Callable[[], float]
    stale_after_s: float
    timing: LeaseTiming = field(default_factory=LeaseTiming)
    is_stuck: Callable[[], bool] = lambda: False
    valid_until: float = float("-inf")
    _seen: tuple[str, float] | None = None
    _seen_at: float = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Keep asking for the lease; give it back at the stop."""
        try:
            while not stop.is_set():
                if self._is_answered():
                    self._turn()
                await pause(stop, self._pause_s())
        finally:
            if stop.is_set() and self._is_answered():
                self.shelf.release(self.name)
            self.valid_until = float("-inf")

    def _is_answered(self) -> bool:
        return self.cut_for_s() == 0.0 and not self.is_stuck()

    def _pause_s(self) -> float:
        left_s = self.valid_until - self.clock()
        if left_s <= 0.0:
            return self.timing.poll_s
        return max(SHORTEST_PAUSE_S, min(self.timing.renew_s, left_s / 2))

    def _turn(self) -> None:
        """Renew a lease that is held, or take one that stood still for a lease's time under watch.

        A lease in the process's own name may be that of a life before this one: it is awaited like
        anybody's.
        """
        at, shelf = self.clock(), self.shelf
        if self._seen != (shelf.holder, shelf.renewed_at):
            self._seen, self._seen_at = (shelf.holder, shelf.renewed_at), at
        is_ours = shelf.holder == self.name and at < self.valid_until
        if is_ours or not shelf.holder or at >= self._seen_at + self.timing.lease_s:
            shelf.renew(self.name, at)
            self.valid_until = at + self.timing.lease_s

    def standing(self) -> WriteAuthority:
        """Return whether the process may write at this instant."""
        leader = self.clock() + self.timing.margin_s < self.valid_until
        return WriteAuthority(leader=leader, freeze=self._freeze(), own_node="")

    def writes_until(self) -> float:
        """Return the loop time by which every write has to be over."""
        left_s = self.valid_until - self.timing.margin_s - self.clock()
        return asyncio.get_running_loop().time() + left_s

    def _freeze(self) -> Freeze:
        cut_s = self.cut_for_s()
        if cut_s > self.stale_after_s:
            return Freeze.UNKNOWN
        return self.shelf.freeze_at(self.clock() - max(self.lag_s(), cut_s))


@dataclass(slots=True, kw_only=True)
class StateAccess:
    """One process's way to what is remembered: implements `StateStore` and `MemoryStore`.

    Attributes:
        shelf: the objects in the cluster.
        clock: wall time, seconds since the epoch.
        is_cut: tells whether the process is cut off from the API server.
        leads: tells whether it holds the lease.
    """

    shelf: CoordinationObjects
    clock: Callable[[], float]
    is_cut: Callable[[], bool]
    leads: Callable[[], bool]
    _known: int = -1
    _memory: str = ""

    async def state(self) -> ControllerState:
        """Read what was saved last; unsure for a day where that cannot be had."""
        if self.is_cut():
            return self._unsure()
        self._known, text = self.shelf.version, self.shelf.state
        if text is None:
            return self._unsure() if self.shelf.was_kept else ControllerState()
        try:
            return record_state.from_text(text)
        except StateFormatError:
            return self._unsure()

    async def keep(self, state: ControllerState) -> bool:
        """Save by compare-and-set."""
        if self.is_cut() or self.shelf.version != self._known:
            return False
        self.shelf.state, self.shelf.memory = record_state.to_text(state), self._memory
        self.shelf.version += 1
        self._known, self.shelf.was_kept = self.shelf.version, True
        return True

    def _unsure(self) -> ControllerState:
        return ControllerState(unsure_until=self.clock() + UNSURE_S)

    def recall(self) -> interruption_memory.Memory:
        """Read the interruption memory."""
        return (
            memory_text.from_text(self.shelf.memory)
            if self.shelf.memory
            else interruption_memory.EMPTY_MEMORY
        )

    def remember(self, memory: interruption_memory.Memory) -> bool:
        """Keep the newest memory, which is saved with the state."""
        self._memory = memory_text.to_text(memory)
        return True


@dataclass(frozen=True, slots=True)
class StatePort:
    """`ports.writing.StateStore` by a `StateAccess`."""

    at: StateAccess

    async def load(self) -> ControllerState:
        """Read."""
        return await self.at.state()

    async def save(self, state: ControllerState) -> bool:
        """Save."""
        return await self.at.keep(state)


@dataclass(frozen=True, slots=True)
class MemoryPort:
    """`ports.writing.MemoryStore` by a `StateAccess`."""

    at: StateAccess

    def load(self) -> interruption_memory.Memory:
        """Read."""
        return self.at.recall()

    def save(self, memory: interruption_memory.Memory) -> bool:
        """Keep."""
        return self.at.remember(memory)


@dataclass(slots=True, kw_only=True)
class QueueReader:
    """One process's reader of the queue: implements `ports.writing.Notices`.

    Attributes:
        shelf: where the queue is.
        may_read: whether this process leads.
        poll_s: seconds between two looks into the queue.
        evidence_only: somebody else answers the notices.
    """

    shelf: CoordinationObjects
    may_read: Callable[[], bool]
    poll_s: float = POLL_S
    evidence_only: bool = False
    _seen: int = 0

    def pending(self, now: float) -> tuple[Notice, ...]:
        """Return the notices that count, the most urgent first; only who leads reads the queue."""
        if not self.may_read():
            return ()
        self._seen = self.shelf.n_told
        found: dict[tuple[str, str], Notice] = {}
        for notice in self.shelf.notices.values():
            if now < notice.until:
                found.setdefault((notice.instance_id, notice.kind), notice)
        far = float("inf")
        return tuple(
            sorted(found.values(), key=lambda n: (far if n.deadline is None else n.deadline, n.id))
        )

    def settle(self, ids: Collection[str]) -> None:
        """Delete the messages of some notices."""
        for key in ids:
            self.shelf.notices.pop(key, None)

    async def arrived(self) -> None:
        """Wait for a notice that nobody has looked at."""
        while self._seen == self.shelf.n_told or not self.may_read():  # noqa: ASYNC110 - a queue
            await asyncio.sleep(self.poll_s)

    def health(self, now: float) -> tuple[InputHealth, ...]:  # noqa: ARG002 - as the port
        """Return that the queue is well."""
        return (
            InputHealth(name=InputName.NOTICES, state=InputState.OK, age_s=0.0, required=False),
        )
