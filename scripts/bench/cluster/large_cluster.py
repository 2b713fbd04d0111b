"""A large cluster on a real API server: cold list, memory, stalls, and the time of a reconcile.

Usage: python -m scripts.bench.cluster.large_cluster [--small] [--ticks N]

Fills 1,000 nodes and 30,000 pods, measures, fills up to 5,000 and 150,000 with 200 pools, and
measures again while 50 pods a second change. `--small` does both at a tenth of the size. Needs
about 20 GiB and half an hour. The daemon runs as its own process; all figures are its own
histograms over the window, its CPU time and memory by the operating system, and the audit log.
"""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from scripts.bench.histogram import Histogram, read_histogram
from scripts.bench.machine import machine
from tests.controlplane.api import MERGE_PATCH
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.fill import Filler, Scene, fill
from tests.deploy.manifests import shadow_cluster_role
from tests.e2e.equipment.daemon import Daemon
from tests.e2e.equipment.prices import write_price_file

USER = "spotvortex-shadow"
TICK_S = 2.0
CHANGES_PER_S = 50
STALLS = "spotvortex_event_loop_stall_seconds"
BUSY = "spotvortex_event_loop_busy_seconds"
RECONCILE = "spotvortex_reconcile_loop_duration_seconds"
OBSERVE = "spotvortex_observe_duration_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The daemon's histograms and CPU seconds at one moment."""

    at: float
    cpu_s: float
    n_lists: int
    stalls: Histogram
    busy: Histogram
    reconcile: Histogram
    observe: Histogram


def cold_list(plane: ControlPlane, which: str) -> dict[str, float]:
    """Run one cold list as its own process."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "scripts.bench.cluster.cold_list",
            which,
            str(plane.kubeconfig(USER)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def read(plane: ControlPlane, daemon: Daemon) -> Reading:
    """Take a reading."""
    assert daemon.process is not None
    _, text = daemon.get("/metrics")
    cpu = psutil.Process(daemon.process.pid).cpu_times()
    lists = sum(event["verb"] == "list" for event in plane.audit_events(USER))
    return Reading(
        at=time.monotonic(),
        cpu_s=cpu.user + cpu.system,
        n_lists=lists,
        stalls=read_histogram(text, STALLS),
        busy=read_histogram(text, BUSY),
        reconcile=read_histogram(text, RECONCILE),
        observe=read_histogram(text, OBSERVE),
    )


async def churn(plane: ControlPlane, names: list[str], seconds: float) -> int:
    """Change pods at an even rate: each becomes unready, or ready again."""
    rng = random.Random(1)
    n_changes = 0
    loop = asyncio.get_running_loop()
    async with Filler(plane, n_connections=16) as filler:

        async def change(path: str, value: int) -> None:
            condition = {"type": "Ready", "status": "False" if value % 2 else "True"}
            body = {"status": {"conditions": [condition]}}
            await filler.send("PATCH", f"{path}/status", body, content_type=MERGE_PATCH)

        end = loop.time() + seconds
        while loop.time() < end:
            second = loop.time()
            async with asyncio.TaskGroup() as group:
                for _ in range(CHANGES_PER_S // 10):
                    n_changes += 1
                    group.create_task(change(rng.choice(names), n_changes))
            await asyncio.sleep(max(0.0, second + 0.1 - loop.time()))
    return n_changes


def pod_paths(plane: ControlPlane, n: int) -> list[str]:
    """Return the paths of some pods to change."""
    items = plane.api().items(f"/api/v1/pods?limit={n}")
    return [
        f"/api/v1/namespaces/{p['metadata']['namespace']}/pods/{p['metadata']['name']}"
        for p in items
    ]


def run_daemon(plane: ControlPlane, folder: Path, n_ticks: int, *, churning: bool) -> None:
    """Start the daemon, let it settle, and measure a window of ticks."""
    paths = pod_paths(plane, 2000) if churning else []
    variables = {
        "KUBECONFIG": str(plane.kubeconfig(USER)),
        "SPOTVORTEX_TICK_S": str(TICK_S),
        "SPOTVORTEX_LOG_LEVEL": "INFO",
        "SPOTVORTEX_PRICE_FILE": str(write_price_file(folder / "prices.jsonl")),
    }
    with Daemon(folder, variables) as daemon:
        started = time.monotonic()
        daemon.wait_ready(timeout=300)
        print(f"  ready after               {time.monotonic() - started:8.1f} s")
        time.sleep(3 * TICK_S)
        before = read(plane, daemon)
        seconds = n_ticks * TICK_S
        n_changes = asyncio.run(churn(plane, paths, seconds)) if churning else 0
        if not churning:
            time.sleep(seconds)
        after = read(plane, daemon)
        assert daemon.process is not None
        memory = psutil.Process(daemon.process.pid).memory_info().rss / 2**20
        peak = max_rss_mib(daemon.process.pid)
        show(before, after, n_changes)
        print(f"  resident memory           {memory:8.0f} MiB (highest {peak:.0f})")
        assert daemon.stop(signal.SIGTERM) == 0


def max_rss_mib(pid: int) -> float:
    """Return the highest resident memory of a process, as the kernel counts it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def show(before: Reading, after: Reading, n_changes: int) -> None:
    """Print one window's figures."""
    seconds = after.at - before.at
    reconcile = after.reconcile.since(before.reconcile)
    observe = after.observe.since(before.observe)
    stalls = after.stalls.since(before.stalls)
    busy = after.busy.since(before.busy)
    print(f"  window                    {seconds:8.0f} s, {n_changes} pod changes")
    print(f"  cycles                    {reconcile.total:8.0f}")
    print(f"  reconcile p50 / p95 / p99  <= {quantiles(reconcile)} s")
    print(f"  observe   p50 / p95 / p99  <= {quantiles(observe)} s")
    print(f"  stalls > 50 ms / > 100 ms {stalls.above(0.05):8.0f} / {stalls.above(0.1):.0f}")
    print(f"  by its own computing      {busy.above(0.05):8.0f} / {busy.above(0.1):.0f}")
    print(f"  LISTs                     {after.n_lists - before.n_lists:8d}")
    print(f"  CPU                       {(after.cpu_s - before.cpu_s) / seconds:8.2f} cores")


def quantiles(histogram: Histogram) -> str:
    """Return three quantiles as upper bounds."""
    return " / ".join(f"{histogram.quantile_at_most(share):g}" for share in (0.5, 0.95, 0.99))


def measure(plane: ControlPlane, title: str, n_ticks: int, *, churning: bool) -> None:
    """Measure one size of cluster."""
    print(title, flush=True)
    # In turn, twice, so that a machine whose speed drifts drifts for both.
    rounds = [(cold_list(plane, "plain"), cold_list(plane, "ours")) for _ in range(2)]
    for plain, ours in rounds:
        ratio = ours["seconds"] / plain["seconds"]
        print(
            f"  cold list plain / ours    {plain['seconds']:8.2f} / {ours['seconds']:.2f} s = "
            f"{ratio:.2f}x  ({plain['bytes'] / 2**20:.0f} MiB, {plain['pages']} pages, "
            f"first snapshot {ours['first_snapshot_s']:.2f} s, {ours['rss_mib']:.0f} MiB)",
            flush=True,
        )
    with tempfile.TemporaryDirectory() as folder:
        run_daemon(plane, Path(folder), n_ticks, churning=churning)


def main() -> None:
    """Fill and measure twice."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.cluster.large_cluster")
    parser.add_argument("--small", action="store_true", help="a tenth of the size")
    parser.add_argument("--ticks", type=int, default=300, help="ticks of 2 s in each window")
    options = parser.parse_args()
    part = 10 if options.small else 1
    print(machine(), flush=True)
    with ControlPlane(with_controllers=False, with_scheduler=False, karpenter_crds=True) as plane:
        role = shadow_cluster_role()
        plane.apply([role])
        plane.grant(USER, role["metadata"]["name"])
        for prefix, share, n_pools in (("a", 1, 40), ("b", 4, 160)):
            scene = Scene(
                n_nodes=1000 * share // part,
                n_pods=30_000 * share // part,
                n_pools=n_pools // min(part, 4),
                n_namespaces=20,
                ballast=True,
                direct=True,
                prefix=prefix,
            )
            report = fill(plane, scene)
            rate = (report.n_nodes + report.n_pods) / (report.nodes_s + report.pods_s)
            print(f"filled {report.n_nodes} nodes, {report.n_pods} pods: {rate:.0f} objects/s")
            title = f"{'1,000 / 30,000' if share == 1 else '5,000 / 150,000'} (1/{part})"
            measure(plane, title, options.ticks, churning=share == 4)


if __name__ == "__main__":
    main()
