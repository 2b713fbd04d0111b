"""What the world of `make run` costs under SpotVortex and under Karpenter alone, by seed.

    python -m scripts.bench.decisions.demo_day --seeds 5
    python -m scripts.bench.decisions.demo_day --seeds 5 --set evacuate=true

Comes in: how many seeds, and settings to change. Goes out, for each seed, both worlds after five
and a half simulated hours: what the nodes cost, Spot nodes lost, and minutes in which pods that
were wanted were not Ready. The daemon decides once a minute, in virtual time, by the shipped
settings and bundle: 25 s of processor time a seed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from spotvortex.app.daemon import run_daemon
from spotvortex.core.domain.types import Mode
from spotvortex.ports.edges import Edges
from spotvortex.results.course import ALONE, CoursePoint
from spotvortex.settings.model import Settings
from spotvortex.sim.runtime.demo import OURS, simulated_edges
from spotvortex.sim.runtime.virtual_loop import VirtualLoop

HOURS: Final = 5.5
TICK_S: Final = 60.0

Courses = dict[str, CoursePoint]


class InlineLoop(VirtualLoop):
    """A loop of virtual time that runs at once what others would give to a thread."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Run a function now: only the end of the telemetry asks for a thread here."""
        del executor
        done: asyncio.Future[Any] = self.create_future()
        done.set_result(func(*args))
        return done


async def play(seed: int, settings: Settings, hours: float = HOURS) -> Courses:
    """Play one seed, and return both worlds as they are at its end."""
    stop = asyncio.Event()
    found: Courses = {}

    @asynccontextmanager
    async def edges() -> AsyncIterator[Edges]:
        async with simulated_edges(seed, Mode.ACTIVE) as opened:
            asyncio.get_running_loop().call_later(hours * 3600.0, end, opened)
            yield opened

    def end(opened: Edges) -> None:
        found.update({name: course() for name, course in opened.courses.items()})
        stop.set()

    await run_daemon(settings, edges(), stop)
    return found


def row(seed: int, found: Courses) -> str:
    """Return a row of the table."""
    ours, alone = found[OURS], found[ALONE]
    return (
        f"| {seed} | {ours.usd:.2f} / {alone.usd:.2f} | {ours.n_lost} / {alone.n_lost} "
        f"| {ours.missing_pod_minutes:.0f} / {alone.missing_pod_minutes:.0f} |"
    )


def total(rows: Sequence[Courses], name: str) -> tuple[float, int, float]:
    """Return the sums of one world over all seeds."""
    points = [found[name] for found in rows]
    return (
        sum(p.usd for p in points),
        sum(p.n_lost for p in points),
        sum(p.missing_pod_minutes for p in points),
    )


def main() -> None:
    """Play the seeds and print a row each, and their sum."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    typed = parser.parse_args()
    logging.disable(logging.CRITICAL)
    changed: dict[str, Any] = dict(one.split("=", 1) for one in typed.set)
    usual: dict[str, Any] = {"mode": "active", "tick_s": TICK_S, "http_port": 0}
    settings = Settings(decision_log=Path(os.devnull), **usual | changed)
    print(
        "| seed | USD, ours / alone | Spot nodes lost | pod-minutes not Ready |\n|---|---|---|---|"
    )
    rows = []
    for seed in range(1, typed.seeds + 1):
        with asyncio.Runner(loop_factory=InlineLoop) as runner:
            rows.append(runner.run(play(seed, settings)))
        print(row(seed, rows[-1]), flush=True)
    ours, alone = total(rows, OURS), total(rows, ALONE)
    print(
        f"| all | {ours[0]:.2f} / {alone[0]:.2f} | {ours[1]} / {alone[1]} "
        f"| {ours[2]:.0f} / {alone[2]:.0f} |"
    )


if __name__ == "__main__":
    main()
