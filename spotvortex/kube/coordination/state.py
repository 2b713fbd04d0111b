"""The controller's state in one ConfigMap: waves, waits and rules by pool.

Comes in: the controller's state before it is acted on. Goes out: the same after a restart, or for
the next leader. Where it is lost, unreadable or of a newer version, the state says so, and for a
day nothing is moved for its price. May not judge it otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from spotvortex.core.decision.messages import UNSURE_S, ControllerState
from spotvortex.core.record import state as record_state
from spotvortex.core.record.state import StateFormatError
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

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class ClusterState:
    """Implements `ports.StateStore`.

    Attributes:
        store: the ConfigMap that holds the state.
        clock: the wall clock.
        was_kept: tells whether anybody has saved a state before: one that is not there is then
            lost, and this is not just a first start.
        keep: notes that a state was saved.
    """

    store: VersionedConfigMap
    clock: WallClock
    was_kept: Callable[[], bool]
    keep: Callable[[], None]

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
        text = found.data.get(POOLS)
        if text is None:
            return self._missing()
        try:
            state = record_state.from_text(text)
        except StateFormatError as error:
            await self._aside(str(error))
            return self._unsure()
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

    async def save(self, state: ControllerState) -> bool:
        """Save before anything is done on it; False where that failed."""
        try:
            answer = await self.store.save({POOLS: record_state.to_text(state)})
        except (ApiError, TooLargeError) as error:
            log.warning("state.not_saved", extra={"error": str(error)})
            return False
        match answer:
            case Saved():
                self.keep()
                return True
            case Changed():
                log.warning("state.not_saved", extra={"error": "somebody else has written it"})
                return False
