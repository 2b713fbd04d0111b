"""Notices on Karpenter's AWS provider: pods Running again, by Karpenter alone and by SpotVortex.

Usage: python -m scripts.bench.losses.karpenter_notice [--notices 1 4] [--boot 5 30]

The same scene for both, built once for each, the cases one after the other: a NodePool of six nodes
on Spot, full of pods with budgets of one pod each, Karpenter with its real AWS provider over an
emulator of AWS on loopback, nodes that take `--boot` seconds to come. Notices go to the queue that
is read: by Karpenter, or, as operations.md has it, by SpotVortex in the active mode as it ships,
with Karpenter's own queue left out. An instance ends two minutes after its notice, whoever has
emptied it or not.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bench.machine import machine
from tests.controlplane.api import wait_until
from tests.core.events import INTERRUPTION
from tests.karpenter_aws.scene import AwsScene, aws_scene, instance_of, told
from tests.witness.scene import Shape

OURS = "SpotVortex"
WHO = ("Karpenter alone", OURS)
N_NODES, GRACE_S = 6, 2
WARNING_S = 120.0
LOOK_EVERY_S = 0.1
STEADY_S = 5.0
Case = tuple[int, float]
"""How many notices come at once, and how long a node takes to come, in seconds."""


@dataclass(frozen=True, slots=True)
class NoticeCourse:
    """Ready pods over time, from the notice on."""

    looks: tuple[tuple[float, int], ...]
    n_wanted: int

    @property
    def first_missing_s(self) -> float | None:
        """When a pod was first missing; None where none ever was."""
        return next((at for at, n in self.looks if n < self.n_wanted), None)

    @property
    def again_s(self) -> float | None:
        """When all pods ran again for good; None where none was missing, or some still were."""
        missing = [at for at, n in self.looks if n < self.n_wanted]
        after = [at for at, _ in self.looks if missing and at > missing[-1]]
        return after[0] if after else None

    @property
    def least(self) -> int:
        """The least number of pods that ran."""
        return min(n for _, n in self.looks)

    @property
    def missing_pod_s(self) -> float:
        """Pod-seconds that were missing."""
        pairs = zip(self.looks, self.looks[1:], strict=False)
        return sum((b - a) * (self.n_wanted - n) for (a, n), (b, _) in pairs)


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--notices", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--boot", type=float, nargs="+", default=[5.0, 30.0])
    parser.add_argument("--who", nargs="+", choices=WHO, default=list(WHO))
    given = parser.parse_args()
    cases = [(n_notices, boot_s) for boot_s in given.boot for n_notices in given.notices]
    print(machine())
    print("| who | notices | boot, s | first pod missing | all again | fewest | pod-s missing |")
    print("|---|---|---|---|---|---|---|")
    for who in given.who:
        for (n_notices, boot_s), course in run(cases, ours=who == OURS):
            print(row(course, n_notices, boot_s, who), flush=True)


def row(course: NoticeCourse, n_notices: int, boot_s: float, who: str) -> str:
    """Return one line of the table."""
    return (
        f"| {who} | {n_notices} | {boot_s:g} | {_text(course.first_missing_s)} "
        f"| {_text(course.again_s)} | {course.least} of {course.n_wanted} "
        f"| {course.missing_pod_s:.0f} |"
    )


def _text(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def run(cases: list[Case], *, ours: bool) -> Iterator[tuple[Case, NoticeCourse]]:
    """Build one scene, play the cases in it, one after the other, and yield their courses."""
    shape = Shape(
        n_nodes=N_NODES, n_stateful=0, grace_s=GRACE_S, consolidate_after="Never", calm_s=5
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        aws_scene(shape, hears=not ours) as aws,
        reader(aws, Path(folder)) if ours else nullcontext(),
    ):
        for n_notices, boot_s in cases:
            wait_until(aws.scene.all_running, 120)
            aws.karpenter.bridge.boot_s = boot_s
            yield (n_notices, boot_s), _course(aws, n_notices)


@contextmanager
def reader(aws: AwsScene, folder: Path) -> Iterator[None]:
    """Let the daemon read the queue, as it ships for that."""
    with aws.reader(folder / "mover") as daemon:
        daemon.wait_ready()
        yield
        assert daemon.stop() == 0


def _course(aws: AwsScene, n_notices: int) -> NoticeCourse:
    nodes = aws.nodes()[:n_notices]
    looks: list[tuple[float, int]] = []
    began = time.monotonic()
    end = threading.Event()
    ending = threading.Thread(target=_end_instances, args=(aws, nodes, end))
    aws.karpenter.send(*(told(INTERRUPTION, n, **{"instance-action": "terminate"}) for n in nodes))
    ending.start()
    names = {node["metadata"]["name"] for node in nodes}
    while time.monotonic() - began < WARNING_S + STEADY_S:
        looks.append((time.monotonic() - began, aws.scene.n_ready()))
        if _is_over(aws, names, looks):
            break
        time.sleep(LOOK_EVERY_S)
    end.set()
    ending.join(30)
    return NoticeCourse(tuple(looks), aws.scene.n_wanted)


def _is_over(aws: AwsScene, names: set[str], looks: list[tuple[float, int]]) -> bool:
    """Tell whether the nodes are gone and all pods have run for a while."""
    since = looks[-1][0] - STEADY_S
    steady = all(n == aws.scene.n_wanted for at, n in looks if at >= since)
    there = {node["metadata"]["name"] for node in aws.scene.nodes()}
    return steady and not names & there


def _end_instances(aws: AwsScene, nodes: list[dict[str, Any]], end: threading.Event) -> None:
    """End the instances when their warning is over, unless all is over before."""
    if not end.wait(WARNING_S):
        for node in nodes:
            aws.karpenter.end_instance(instance_of(node))


if __name__ == "__main__":
    main()
