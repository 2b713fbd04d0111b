"""Who is alive: a task at work must beat, each within a limit of its own.

Comes in: beats. Goes out: the names of the tasks that are late, for /healthz. A task that waits for
input is at rest and cannot be late; the collector, which makes the input, is always at work. Ages
are on the loop's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """The last sign of life of each task at work. `limits` holds the longest healthy silence, s."""

    limits: Mapping[str, float]
    _last: dict[str, float] = field(default_factory=dict)
    _depth: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def at_work(self, task: str) -> Iterator[None]:
        """Expect beats of a task for as long as the block runs; blocks may overlap."""
        self._depth[task] = self._depth.get(task, 0) + 1
        self.beat(task)
        try:
            yield
        finally:
            self._depth[task] -= 1
            if not self._depth[task]:
                del self._last[task]

    def beat(self, task: str) -> None:
        """Note a sign of life."""
        assert task in self.limits, f"{task} has no limit"
        self._last[task] = asyncio.get_running_loop().time()

    def failing(self) -> list[str]:
        """Return `task: silent for N s, limit M s` for every task that is late, by name."""
        now = asyncio.get_running_loop().time()
        silences = {task: now - last for task, last in sorted(self._last.items())}
        return [
            f"{task}: silent for {silence:.0f} s, limit {self.limits[task]:.0f} s"
            for task, silence in silences.items()
            if silence > self.limits[task]
        ]
