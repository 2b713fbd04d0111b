"""How fast the controller writes, and who goes first where writes have to wait.

Comes in: a rate, a burst, a number of writes on their way at once, and the rank of each write. Goes
out: a wait before each write, on the loop's clock. May not know what is written.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

Rank = tuple[int, ...]

FIRST: Final[Rank] = (0,)
"""The rank before which nothing goes."""

IN_A_ROW: Final = 7
"""Slots that go to the first rank one after the other while others wait; the next is another's.
Where a server takes long for the cordons of hundreds, nodes that have theirs are emptied beside."""

_SOON_S: Final = 1e-5
"""A wait that is no longer than this is none. The clock of a process that has run for weeks, and
that of a simulation, tell no shorter times apart: a timer for less would be due without any time
passing, for ever."""


@dataclass(slots=True, kw_only=True)
class WriteRate:
    """A token bucket: `burst` writes at once, then `per_s` a second.

    Of those that wait the lowest rank goes first, then who has asked first.
    """

    per_s: float
    burst: float
    _spent: float = 0.0
    _at: float = 0.0
    _asked: int = 0
    _waiting: list[tuple[Rank, int, asyncio.Future[None]]] = field(default_factory=list)

    async def take(self, rank: Rank = FIRST) -> None:
        """Wait for a turn."""
        if not self._waiting and self._due_s() <= 0.0:
            self._spend()
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._asked += 1
        if not self._waiting:
            loop.call_later(self._due_s(), self._serve)
        heapq.heappush(self._waiting, (rank, self._asked, turn))
        await turn

    def _serve(self) -> None:
        """Give turns to those who wait, as many as are due, and come again for the others."""
        while self._waiting and self._due_s() <= 0.0:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._spend()
                turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_later(self._due_s(), self._serve)

    def _due_s(self) -> float:
        """Return how long it takes until one more may go, in seconds; 0 where it may now."""
        now = asyncio.get_running_loop().time()
        self._spent = max(0.0, self._spent - (now - self._at) * self.per_s)
        self._at = now
        due_s = (self._spent + 1.0 - self.burst) / self.per_s
        return due_s if due_s > _SOON_S else 0.0

    def _spend(self) -> None:
        self._spent += 1.0


@dataclass(slots=True)
class Slots:
    """At most `n` writes on their way at once; of those that wait the lowest rank goes first.

    `n` may be changed at any time, and counts from the next end of a write on. The first rank
    leaves every eighth slot to the others.
    """

    n: int
    _taken: int = 0
    _in_a_row: int = 0
    _asked: int = 0
    _waiting: list[tuple[Rank, int, asyncio.Future[None]]] = field(default_factory=list)

    @asynccontextmanager
    async def slot(self, rank: Rank) -> AsyncIterator[None]:
        """Hold a slot for as long as the block runs."""
        if self._taken >= self.n:
            turn = asyncio.get_running_loop().create_future()
            self._asked += 1
            heapq.heappush(self._waiting, (rank, self._asked, turn))
            await turn
        else:
            self._taken += 1
        try:
            yield
        finally:
            self._hand_on()

    def _hand_on(self) -> None:
        """Free the slot, and give it to whoever is next as far as `n` allows now."""
        self._taken -= 1
        while self._waiting and self._taken < self.n:
            turn = self._next()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def _next(self) -> asyncio.Future[None]:
        """Take who is next from those that wait."""
        if self._waiting[0][0] != FIRST:
            return heapq.heappop(self._waiting)[2]
        self._in_a_row += 1
        if self._in_a_row <= IN_A_ROW:
            return heapq.heappop(self._waiting)[2]
        self._in_a_row = 0
        others = [entry for entry in self._waiting if entry[0] != FIRST]
        if not others:
            return heapq.heappop(self._waiting)[2]
        chosen = min(others, key=lambda entry: entry[:2])
        self._waiting.remove(chosen)
        heapq.heapify(self._waiting)
        return chosen[2]
