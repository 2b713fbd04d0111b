"""Who is alive: a task at work must beat, each within a limit of its own.

Comes in: beats. Goes out: the names of the tasks that are late, for /healthz. A task that waits for
input is at rest and cannot be late; the collector, which makes the input, is always at work. Ages
are on the loop's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.decision.messages import Plan
from spotvortex.core.domain.inputs import InputHealth, InputState
from spotvortex.ports.cluster import ClusterView
from spotvortex.ports.series import LOOP_BUSY, LOOP_STALL
from spotvortex.ports.telemetry import Telemetry


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


INTERVAL_S: Final = 0.02


async def watch_stalls(
    telemetry: Telemetry, stop: asyncio.Event, computed_s: Callable[[], float]
) -> None:
    """Measure until told to stop.

    Args:
        telemetry: where lateness goes, and how much of it was our own computing: on a machine that
            is short of processor time, the rest was spent waiting for a core.
        stop: ends it.
        computed_s: processor time that the loop's thread has used so far, in seconds.
    """
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        due, before_s = loop.time() + INTERVAL_S, computed_s()
        await asyncio.sleep(INTERVAL_S)
        late_s = max(0.0, loop.time() - due)
        telemetry.measure(LOOP_STALL, late_s)
        telemetry.measure(LOOP_BUSY, min(late_s, computed_s() - before_s))


@dataclass(slots=True, kw_only=True)
class Readiness:
    """The latest plan, and whether the daemon is fit to be asked."""

    cluster: ClusterView
    max_input_age_s: float
    plan: Plan | None = None

    def planned(self, plan: Plan) -> None:
        """Take note of the latest plan."""
        self.plan = plan

    def last_plan(self) -> Plan | None:
        """Return the latest plan, None before the first."""
        return self.plan

    def reasons(self, now: float) -> list[str]:
        """Return why the daemon is not ready, in words; empty when it is."""
        found = [self._words(h) for h in self.cluster.health(now) if self._unfit(h)]
        if self.plan is None:
            found.append("no decision yet")
        return found

    def _unfit(self, health: InputHealth) -> bool:
        if not health.required:
            return False
        return health.state is not InputState.OK or not health.age_s <= self.max_input_age_s

    @staticmethod
    def _words(health: InputHealth) -> str:
        detail = f": {health.detail}" if health.detail else ""
        return f"{health.name} {health.state}, confirmed {health.age_s:.0f} s ago{detail}"
