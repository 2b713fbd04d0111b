"""How fast we write.

Comes in: a rate and a burst. Goes out: a wait before each write, on the loop's clock. May not know
what is written.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class WriteRate:
    """A token bucket: `burst` writes at once, then `per_s` a second, in the order of asking."""

    per_s: float
    burst: float
    _spent: float = 0.0
    _at: float = 0.0

    async def take(self) -> None:
        """Wait for a turn."""
        now = asyncio.get_running_loop().time()
        self._spent = max(0.0, self._spent - (now - self._at) * self.per_s) + 1.0
        self._at = now
        if self._spent > self.burst:
            await asyncio.sleep((self._spent - self.burst) / self.per_s)
