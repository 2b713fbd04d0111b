"""The two kinds of channel between tasks.

`Latest` holds one value: a newer one replaces an unread one, so that a slow reader never works on
stale news. `Lane` holds a bounded number of entries, at most one a key. Both close, so that a stop
flows downstream. May not know what travels.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ClosedError(Exception):
    """The channel is closed and everything in it has been taken."""


class Latest(Generic[Item]):
    """One slot. `replaced` counts the values that nobody read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.replaced = 0
        self._slot: list[Item] = []
        self._ready = asyncio.Event()
        self._closed = False

    def put(self, value: Item) -> int:
        """Store a value and return how many unread ones it replaced (0 or 1)."""
        assert not self._closed, f"{self.name}: put after close"
        n = len(self._slot)
        self.replaced += n
        self._slot = [value]
        self._ready.set()
        return n

    def poll(self) -> Item | None:
        """Take the value without waiting, None where there is no unread one."""
        if not self._slot:
            return None
        if not self._closed:
            self._ready.clear()
        return self._slot.pop()

    def close(self) -> None:
        """Let the reader finish: what is stored can still be taken once."""
        self._closed = True
        self._ready.set()

    async def get(self) -> Item:
        """Take the value, waiting for one.

        Raises:
            ClosedError: there will be no more.
        """
        await self._ready.wait()
        if not self._slot:
            raise ClosedError(self.name)
        value = self._slot.pop()
        if not self._closed:
            self._ready.clear()
        return value


class Lane(Generic[Item]):
    """A bounded queue with at most one entry a key; `refused` counts what did not get in."""

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.refused = 0
        self._capacity = capacity
        self._entries: OrderedDict[str, Item] = OrderedDict()
        self._taken: set[str] = set()
        self._ready = asyncio.Event()
        self._closed = False

    def offer(self, key: str, value: Item) -> bool:
        """Append an entry; False where its key is queued or in hand, or the lane is full."""
        full = len(self._entries) >= self._capacity
        if self._closed or full or key in self._entries or key in self._taken:
            self.refused += 1
            return False
        self._entries[key] = value
        self._ready.set()
        return True

    def done(self, key: str) -> None:
        """Say that the entry in hand is finished, so that its key may come again."""
        self._taken.discard(key)

    def close(self) -> None:
        """Let the reader finish what is queued."""
        self._closed = True
        self._ready.set()

    async def take(self) -> tuple[str, Item]:
        """Take the oldest entry, waiting for one. Call `done` with its key afterwards.

        Raises:
            ClosedError: there will be no more.
        """
        await self._ready.wait()
        if not self._entries:
            raise ClosedError(self.name)
        key, value = self._entries.popitem(last=False)
        self._taken.add(key)
        if not self._entries and not self._closed:
            self._ready.clear()
        return key, value

    def __len__(self) -> int:
        return len(self._entries)
