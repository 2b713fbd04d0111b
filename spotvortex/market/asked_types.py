"""The instance types in use, each asked about again after a while: what sources of prices share.

Comes in: types that are wanted, and a request that may fail. Goes out: calls of the request for
what is due, and whether the last one could be had. May not know what is asked, nor whom.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeVar

from spotvortex.aio import Retries, pause, retried
from spotvortex.errors import PriceSourceError
from spotvortex.ports.cluster import WallClock

AGAIN_S: Final = 300.0
"""Time after an answer that could not be had."""

LOOK_S: Final = 1.0
"""How often it is looked whether another type is in use."""

MAX_TYPES: Final = 400
"""Instance types that are asked about; those that come later have no price."""

RETRIES: Final = Retries(
    n_attempts=4,
    within_s=60.0,
    first_s=1.0,
    longest_s=10.0,
    is_worth=lambda error: isinstance(error, PriceSourceError) and error.is_passing,
)

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class AskedTypes:
    """Which types are asked about, and when each was answered.

    Attributes:
        known_at: wall time of the last whole answer about each type; who asks keeps it.
        first: set when the types in use have been asked about once, however that went.
        trouble: why the last answer could not be had, "" where it could.
    """

    def __init__(self, event: str, every_s: float, clock: WallClock, rng: Random) -> None:
        """Begin with no type; `event` names the source in the log, `every_s` is how often."""
        self._unread, self._read_again = f"{event}.unread", f"{event}.read_again"
        self._every_s = every_s
        self._clock, self._rng = clock, rng
        self._wanted: dict[str, None] = {}
        self.known_at: dict[str, float] = {}
        self.first = asyncio.Event()
        self.trouble = ""

    def want(self, instance_type: str) -> None:
        """Take note that a type is in use."""
        if len(self._wanted) < MAX_TYPES:
            self._wanted.setdefault(instance_type)

    def give_up(self, why: str) -> None:
        """Take note that nobody can be asked."""
        log.error(self._unread, extra={"error": why})
        self.trouble = why
        self.first.set()

    async def keep(self, ask: Callable[[list[str]], Awaitable[None]], stop: asyncio.Event) -> None:
        """Ask until told to stop: for what is new at once, for the rest when it is due."""
        again_at = -math.inf
        while not stop.is_set():
            now = self._clock.now()
            due = [t for t in self._wanted if now - self._last_at(t) >= self._every_s]
            if due and now >= again_at:
                await self._once(ask, due)
                again_at = self._clock.now() + AGAIN_S if self.trouble else -math.inf
                self.first.set()
            await pause(stop, LOOK_S)

    def _last_at(self, instance_type: str) -> float:
        return self.known_at.get(instance_type, -math.inf)

    async def _once(self, ask: Callable[[list[str]], Awaitable[None]], due: list[str]) -> None:
        try:
            await ask(due)
        except PriceSourceError as error:
            if not self.trouble:
                log.warning(self._unread, extra={"error": str(error)})
            self.trouble = str(error)
            return
        if self.trouble:
            log.info(self._read_again)
        self.trouble = ""

    async def patiently(self, request: Callable[[], Awaitable[Answer]]) -> Answer:
        """Send a request, and again where its failure may pass."""
        return await retried(request, RETRIES, self._rng)
