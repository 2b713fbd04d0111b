"""The controller's state in one ConfigMap: waves and rules by pool, the interruption memory.

Comes in: the controller's state before it is acted on, and the memory now and then. Goes out: both
again after a restart, or for the next leader. Where they are lost, unreadable or of a newer
version, the state says so, and for a day nothing is moved for its price. May not judge them
otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from spotvortex.aio import pause
from spotvortex.core.decision.messages import UNSURE_S, ControllerState
from spotvortex.core.record import state as record_state
from spotvortex.core.record.state import StateFormatError
from spotvortex.core.scoring import interruption_memory, memory_text
from spotvortex.errors import ApiError
from spotvortex.kube.coordination.state_store import (
    Aside,
    Changed,
    Saved,
    TooLargeError,
    VersionedConfigMap,
)
from spotvortex.ports.cluster import WallClock

VERSION: Final = 1
POOLS: Final = "pools"
MEMORY: Final = "memory"

SAVE_MEMORY_EVERY_S: Final = 300.0
"""Time between two savings of the memory by itself; with a wave it is saved too."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class LatestMemory:
    """Implements `ports.MemoryStore`: keeps the newest text until the ConfigMap is written."""

    text: str = ""
    loaded: interruption_memory.Memory = field(default=interruption_memory.EMPTY_MEMORY)

    def load(self) -> interruption_memory.Memory:
        """Return what the ConfigMap held when this process came to lead."""
        return self.loaded

    def save(self, memory: interruption_memory.Memory) -> bool:
        """Keep the newest."""
        self.text = memory_text.to_text(memory)
        return True


@dataclass(slots=True, kw_only=True)
class ClusterState:
    """Implements `ports.StateStore`.

    Attributes:
        store: the ConfigMap that holds the state.
        clock: the wall clock.
        leads: tells whether this process may write.
        was_kept: tells whether anybody has saved a state before: one that is not there is then
            lost, and this is not just a first start.
        keep: notes that a state was saved.
        memory: the interruption memory that is saved with the state.
    """

    store: VersionedConfigMap
    clock: WallClock
    leads: Callable[[], bool]
    was_kept: Callable[[], bool]
    keep: Callable[[], None]
    memory: LatestMemory = field(default_factory=LatestMemory)
    _pools: str | None = None
    _saved_memory: str = ""

    async def load(self) -> ControllerState:
        """Return what was saved last; unsure for a day where that cannot be had."""
        try:
            found = await self.store.load()
        except ApiError as error:
            log.warning("state.unread", extra={"error": str(error)})
            return self._unsure()
        if isinstance(found, Aside):
            log.error("state.aside", extra={"reason": found.reason})
            return self._unsure()
        self._take_memory(found.data.get(MEMORY, ""))
        text = found.data.get(POOLS)
        if text is None:
            return self._missing()
        try:
            state = record_state.from_text(text)
        except StateFormatError as error:
            await self._aside(str(error))
            return self._unsure()
        self._pools = text
        self.keep()
        return state

    def _missing(self) -> ControllerState:
        if not self.was_kept():
            return ControllerState()
        log.error("state.lost", extra={"no_growth_s": UNSURE_S})
        return self._unsure()

    async def _aside(self, reason: str) -> None:
        log.error("state.aside", extra={"reason": reason})
        try:
            await self.store.put_aside(reason)
        except ApiError as error:
            log.warning("state.not_kept_aside", extra={"error": str(error)})

    def _unsure(self) -> ControllerState:
        return ControllerState(unsure_until=self.clock.now() + UNSURE_S)

    def _take_memory(self, text: str) -> None:
        if not text:
            return
        try:
            self.memory.loaded = memory_text.from_text(text)
        except ValueError as error:
            log.warning("memory.unreadable", extra={"error": str(error)})
        else:
            self.memory.text = self._saved_memory = text

    async def save(self, state: ControllerState) -> bool:
        """Save before anything is done on it; False where that failed."""
        return await self._write(record_state.to_text(state))

    async def _write(self, pools: str) -> bool:
        memory = self.memory.text
        try:
            answer = await self.store.save({POOLS: pools, MEMORY: memory})
        except (ApiError, TooLargeError) as error:
            log.warning("state.not_saved", extra={"error": str(error)})
            return False
        match answer:
            case Saved():
                self._pools, self._saved_memory = pools, memory
                self.keep()
                return True
            case Changed():
                log.warning("state.not_saved", extra={"error": "somebody else has written it"})
                return False

    async def run(self, stop: asyncio.Event) -> None:
        """Save the memory now and then while this process leads, and a last time at the stop."""
        while not stop.is_set():
            await pause(stop, SAVE_MEMORY_EVERY_S)
            if self._pools is not None and self.leads() and self._saved_memory != self.memory.text:
                await self._write(self._pools)
