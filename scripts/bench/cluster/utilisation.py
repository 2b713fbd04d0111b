"""One read of metrics.k8s.io: what 5,000 nodes and 10,000 pods cost the daemon.

Usage: python -m scripts.bench.cluster.utilisation
Prints one JSON line. The answers are served on loopback by a thread of this process, so `wall_s`
holds its work too; `stall_ms` is the longest piece of work of the daemon's loop, of the processor.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from aiohttp import web
from kubernetes_asyncio.client import Configuration

from scripts.bench.machine import machine
from spotvortex.core.domain.usage import Amount
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.usage.metrics_api import NODES, PODS, MetricsApi

N_NODES: Final = 5_000
N_PODS: Final = 10_000
N_WORKLOADS: Final = 1_000
ROUNDS: Final = 5


class Clock:
    """The machine's."""

    def now(self) -> float:
        """Return the time."""
        return time.time()


class Requests:
    """Implements `KnownRequests` by names: ten pods a workload, each asking for half a core."""

    n_pods = N_PODS
    has_pods = True

    def asked(self, key: str) -> tuple[str, Amount] | None:
        """Return a pod's workload and what it requests."""
        return f"shop/Deployment/{key.rpartition('-')[0]}", Amount(500, 1 << 28)


def bodies() -> dict[str, bytes]:
    """Return both lists as metrics-server writes them."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    seen = {"timestamp": stamp, "window": "15.046s"}
    nodes = [
        {
            "metadata": {"name": f"ip-10-{i // 250}-{i % 250}.ec2.internal", "labels": {"a": "b"}},
            "usage": {"cpu": f"{1_234_567 + i}n", "memory": f"{2_345_678 + i}Ki"},
            **seen,
        }
        for i in range(N_NODES)
    ]
    pods = [
        {
            "metadata": {"name": f"web{i % N_WORKLOADS}-{i}", "namespace": "shop"},
            "containers": [
                {"name": name, "usage": {"cpu": f"{765_432 + i}n", "memory": f"{54_321 + i}Ki"}}
                for name in ("app", "proxy")
            ],
            **seen,
        }
        for i in range(N_PODS)
    ]
    return {
        path: json.dumps({"metadata": {}, "items": items}).encode()
        for path, items in ((NODES, nodes), (PODS, pods))
    }


@contextmanager
def serving(answers: Mapping[str, bytes]) -> Iterator[str]:
    """Serve the lists on a thread with a loop of its own; gives the address of their root."""
    loop, addresses = asyncio.new_event_loop(), queue.SimpleQueue[str]()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=answers[request.path], content_type="application/json")

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        addresses.put(f"http://127.0.0.1:{runner.addresses[0][1]}")

    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield addresses.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


async def longest_stall(begun: asyncio.Event) -> float:
    """Return the longest work between two breaths of the loop, until it is cancelled, in s."""
    longest, last = 0.0, time.thread_time()
    begun.set()
    try:
        while True:  # ends by cancellation
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now
    except asyncio.CancelledError:
        return longest


async def measured(subject: MetricsApi) -> dict[str, float]:
    """Read a few times, after a first one that warms everything."""
    await subject.look()
    begun = asyncio.Event()
    watch = asyncio.create_task(longest_stall(begun))
    await begun.wait()
    began = time.perf_counter()
    for _ in range(ROUNDS):
        await subject.look()
    wall_s = (time.perf_counter() - began) / ROUNDS
    watch.cancel()
    return {"wall_s": round(wall_s, 3), "stall_ms": round(1e3 * await watch, 1)}


async def main() -> None:
    """Read what is served, and tell."""
    answers, configuration = bodies(), Configuration()
    with serving(answers) as configuration.host:
        client = KubeClient(configuration, "bench")
        subject = MetricsApi(client, Clock(), Requests())
        try:
            figures = await measured(subject)
        finally:
            await client.close()
    sizes = {
        "n_nodes": len(subject.facts(time.time()).nodes),
        "n_pods": N_PODS,
        "mib": round(sum(map(len, answers.values())) / 2**20, 1),
    }
    print(json.dumps({"machine": machine(), **sizes, **figures}))


if __name__ == "__main__":
    asyncio.run(main())
