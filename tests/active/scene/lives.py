"""Lives of the daemon that end at a request, one after the other, until the last one.

Comes in: a bench, a proxy, and crash points by kind of request. Goes out: the points that were
reached, and the bench as the last life has left it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.active.scene.bench import Ours
from tests.controlplane.api import wait_until
from tests.e2e.equipment.daemon import Daemon
from tests.witness.crash_proxy import CrashProxy

LIFE_S = 200.0
"""A death may cut an eviction between the budget's count and the pod's deletion. It then holds its
budget for two minutes (`DeletionTimeout` of Kubernetes' disruption controller)."""


@dataclass(frozen=True, slots=True)
class Point:
    """Right before, or right after, the `n`-th request of a kind in one life."""

    kind: str
    after: bool = False
    n: int = 1

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.kind} {self.n}"


@dataclass(slots=True, kw_only=True)
class Lives:
    """What it takes to start the daemon again and again."""

    bench: Ours
    proxy: CrashProxy
    folder: Path
    reached: list[Point] = field(default_factory=list)

    def die_at(self, points: Sequence[Point], variables: dict[str, str]) -> None:
        """Start the daemon once for each point, and have it killed there."""
        for point in points:
            self.die_once(point, variables)

    def die_once(
        self, point: Point, variables: dict[str, str], stir: Callable[[], object] | None = None
    ) -> None:
        """Start the daemon and have it killed at a point.

        Args:
            point: where.
            variables: its settings.
            stir: what a person or the cloud does once the daemon is up.
        """
        with Daemon(self.folder, variables) as daemon:
            process = daemon.process
            assert process is not None
            fault = self.proxy.kill(process.pid, point.kind, n=point.n, after=point.after)
            if stir is not None:
                stir()
            try:
                wait_until(lambda: process.poll() is not None, LIFE_S)
            except TimeoutError:
                raise AssertionError(f"never came {point}:\n{tail(daemon)}") from None
            assert fault.n_done == 1, f"died by itself {point}:\n{tail(daemon)}"
        self.proxy.disarm()
        self.reached.append(point)
        self.bench.release_lease()

    def die_or_live(
        self, point: Point, variables: dict[str, str], until: Callable[[], bool]
    ) -> None:
        """Let the daemon be killed at a point if it comes, and see the work to its end."""
        with Daemon(self.folder, variables) as daemon:
            process = daemon.process
            assert process is not None
            self.proxy.kill(process.pid, point.kind, n=point.n, after=point.after)
            over = lambda: daemon.is_ready() and until()  # noqa: E731
            wait_until(lambda: process.poll() is not None or over(), LIFE_S, every_s=0.3)
            self.proxy.disarm()
            if process.poll() is None:
                assert daemon.stop() == 0, tail(daemon)
                return
        self.reached.append(point)
        self.bench.release_lease()
        self.live_on(variables, until)

    def live_on(
        self, variables: dict[str, str], until: Callable[[], bool], *, timeout_s: float = LIFE_S
    ) -> None:
        """Start the daemon and let it live until all is as it should be; then stop it in order."""
        with Daemon(self.folder, variables) as daemon:
            try:
                # One that has not come up yet does not know how to stop in order.
                wait_until(lambda: daemon.is_ready() and until(), timeout_s, every_s=0.3)
            except TimeoutError:
                points = ", ".join(map(str, self.reached))
                said = f"{self.bench.standing()} after {points}"
                raise AssertionError(f"{said}\n{tail(daemon)}") from None
            assert daemon.stop() == 0, tail(daemon)


def tail(daemon: Daemon, n: int = 60) -> str:
    """Return the last lines of the daemon's log."""
    lines = [line for line in daemon.log_path.read_text().splitlines() if '"DEBUG"' not in line]
    return "\n".join(line[:400] for line in lines[-n:])
