"""From a notice to the cordon: one after the other, then hundreds at once.

Usage: python -m scripts.bench.notice_to_cordon [--single 100] [--burst 500] [--pools 5]
    [--writes-per-s 200]

The control plane of the tests with scheduler and KWOK, without those of workloads: pods that are
evicted end, and none follows them. Every node has ten pods, spare nodes take the placeholders. The
queue is an SQS in memory, a process of its own; so is the daemon, in active mode under the shipped
rights, without quota and fence. All times but that of sending are the API server's own, from its
audit log: a cordon counts when the server has answered it.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.bench.machine import machine
from tests.active.scene.notices import SHOP, USER, Queue, settings
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.direct import put_pods, sibling
from tests.controlplane.fill import Filler
from tests.controlplane.manifests import (
    Manifest,
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_manifest,
    owner_reference,
    pod_manifest,
    pod_status,
    replica_set_manifest,
)
from tests.controlplane.processes.components import STATIC_CONTROLLERS
from tests.core.events import interruption
from tests.deploy.manifests import active_roles
from tests.e2e.equipment.daemon import Daemon
from tests.witness.home import prepare_home
from tests.witness.judge.names import PLAN
from tests.witness.writes import Write, order_of, writes_of

PODS_PER_NODE = 10
SPARE_PER_POOL = 3
SETTLED_S = 120.0


def main() -> None:
    """Fill, start, measure and print."""
    parser = argparse.ArgumentParser(description="from a notice to the cordon")
    parser.add_argument("--single", type=int, default=100)
    parser.add_argument("--burst", type=int, default=500)
    parser.add_argument("--pools", type=int, default=5)
    parser.add_argument("--writes-per-s", type=int, default=200)
    parser.add_argument("--watch-s", type=float, default=60.0, help="time given to the burst")
    asked = parser.parse_args()
    print(machine())
    print(f"  load {os.getloadavg()[0]:.1f}, at most {asked.writes_per_s} writes a second")
    with (
        ControlPlane(with_kwok=True, karpenter_crds=True, controllers=STATIC_CONTROLLERS) as plane,
        _queue_server() as endpoint,
        tempfile.TemporaryDirectory() as folder,
    ):
        nodes = asyncio.run(fill(plane, asked.single + asked.burst, asked.pools))
        queue = Queue(endpoint, "notices")
        variables = settings(plane, Path(folder), endpoint, queue.url) | {
            "SPOTVORTEX_MAX_WRITES_PER_S": str(asked.writes_per_s),
            "SPOTVORTEX_LOG_LEVEL": "INFO",
            "SPOTVORTEX_TICK_S": "30",
        }
        wait_until(lambda: n_running(plane) == len(nodes) * PODS_PER_NODE, 300, 2.0)
        with Daemon(Path(folder), variables) as daemon:
            daemon.wait_ready(120)
            time.sleep(3.0)
            if asked.single:
                singles(plane, queue, nodes[: asked.single], asked.burst)
            if asked.burst:
                burst(plane, queue, nodes[asked.single :], asked)
            print_stalls(daemon)


@contextmanager
def _queue_server() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.aws.memory_sqs"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


async def fill(plane: ControlPlane, n_nodes: int, n_pools: int) -> list[Manifest]:
    """Make Spot nodes with running pods, and spare on-demand nodes; return the first ones."""
    prepare_home(plane)
    plane.apply([namespace_manifest(SHOP), *active_roles(plane.username(USER))])
    pools = [f"pool-{i}" for i in range(n_pools)]
    spare = NodeShape(capacity_type="on-demand", cpu="256", memory="1Ti", n_pods=2000)
    started = time.perf_counter()
    async with Filler(plane) as filler:
        nodes = await filler.create_and_return(
            node_manifest(f"node-{i:04}", NodeShape(pool=pools[i % n_pools]))
            for i in range(n_nodes)
        )
        owners = [await _owner(filler, pool) for pool in pools]
        await _write_pods(plane, filler, nodes, owners)
        await filler.create(
            node_manifest(f"spare-{pool}-{i}", replace(spare, pool=pool))
            for pool in pools
            for i in range(SPARE_PER_POOL)
        )
    print(
        f"  {n_nodes} nodes and {n_nodes * PODS_PER_NODE} pods in {n_pools} pools, filled in "
        f"{time.perf_counter() - started:.0f} s"
    )
    return nodes


def _shape(pool: str) -> PodShape:
    spec = {"nodeSelector": {"karpenter.sh/nodepool": pool}}
    return PodShape(app=pool, namespace=SHOP, cpu="100m", memory="64Mi", grace_s=5, spec=spec)


async def _owner(filler: Filler, pool: str) -> Manifest:
    shape = _shape(pool)
    (deployment,) = await filler.create_and_return([deployment_manifest(shape, replicas=1)])
    owner = owner_reference(deployment)
    (owned,) = await filler.create_and_return(
        [replica_set_manifest(shape, replicas=1, owner=owner)]
    )
    return owner_reference(owned)


async def _write_pods(
    plane: ControlPlane, filler: Filler, nodes: list[Manifest], owners: list[Manifest]
) -> None:
    """Create one running pod of each pool, and write its siblings into etcd."""
    firsts = [_first(pool, nodes[pool], owner) for pool, owner in enumerate(owners)]
    await filler.create(firsts, status=True)
    api = plane.api()
    stored = [api.get(api.path_of(first)) for first in firsts]
    # Controllers watch: each pod needs a revision of its own.
    await put_pods(plane.layout.etcd_url, _siblings(nodes, stored), a_transaction=1)


def _first(pool: int, node: Manifest, owner: Manifest) -> Manifest:
    bound = replace(_shape(f"pool-{pool}"), node_name=node["metadata"]["name"], owner=owner)
    pod = pod_manifest(f"pod-{pool:04}-0", bound)
    return pod | {"status": pod_status(pod)}


def _siblings(nodes: list[Manifest], firsts: list[Manifest]) -> Iterator[Manifest]:
    for number, node in enumerate(nodes):
        first = firsts[number % len(firsts)]
        for i in range(PODS_PER_NODE):
            name = f"pod-{number:04}-{i}"
            if name != first["metadata"]["name"]:
                ip = f"10.{64 + number // 250}.{number % 250}.{i + 1}"
                yield sibling(first, name, node_name=node["metadata"]["name"], pod_ip=ip)


def notice(node: Manifest) -> Manifest:
    """Make an interruption notice for a node, of now."""
    instance = node["spec"]["providerID"].rpartition("/")[2]
    return interruption(instance, f"event-{instance}", at=time.time())


def our_writes(plane: ControlPlane) -> list[Write]:
    """Return what the daemon has written so far."""
    return writes_of(plane.audit_events(), [plane.username(USER)])


def marks_of(writes: list[Write], nodes: list[Manifest]) -> dict[str, Write]:
    """Return the first mark of each of these nodes that the server carried out."""
    names = {node["metadata"]["name"] for node in nodes}
    found: dict[str, Write] = {}
    for write in writes:
        if write.done and write.is_mark and write.name in names:
            found.setdefault(write.name, write)
    return found


def singles(plane: ControlPlane, queue: Queue, nodes: list[Manifest], n_others: int) -> None:
    """Send one notice after the other, each once the last one's node is cordoned and emptied."""
    sent: dict[str, float] = {}
    for node in nodes:
        name = node["metadata"]["name"]
        path = f"/api/v1/nodes/{name}"
        sent[name] = time.time()
        queue.send(notice(node))
        wait_until(lambda path=path: plane.api().get(path)["spec"].get("unschedulable"), 60, 0.02)
    marks = marks_of(our_writes(plane), nodes)
    took = sorted(marks[name].done_at - at for name, at in sent.items())
    middle, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
    print(
        f"  one after the other: {len(took)} notices, to the cordon p50 {middle:.3f} s, "
        f"p99 {p99:.3f} s, longest {took[-1]:.3f} s (wanted: p99 <= 1)"
    )
    wait_until(lambda: n_pods(plane) == n_others * PODS_PER_NODE, SETTLED_S, 1.0)


def n_pods(plane: ControlPlane) -> int:
    """Count the workloads' pods; a page of one spares the server, which shares our cores."""
    page = plane.api().get(f"/api/v1/namespaces/{SHOP}/pods?limit=1")
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))


def n_running(plane: ControlPlane) -> int:
    """Count the workloads' pods that run."""
    pods = plane.api().items(f"/api/v1/namespaces/{SHOP}/pods")
    return sum(pod["status"].get("phase") == "Running" for pod in pods)


def burst(plane: ControlPlane, queue: Queue, nodes: list[Manifest], asked: Any) -> None:
    """Send all notices at once and watch."""
    started = time.time()
    queue.send_many([notice(node) for node in nodes])
    sent_s = time.time() - started
    until = started + asked.watch_s
    while time.time() < until and n_pods(plane):
        time.sleep(2.0)
    emptied_s = time.time() - started
    writes = our_writes(plane)
    marks = marks_of(writes, nodes)
    at = sorted(mark.done_at - started for mark in marks.values())
    pods = f"pod-{asked.single:04}"
    evicted = sorted(
        w.done_at - started
        for w in writes
        if w.done and w.resource == "pods/eviction" and w.name >= pods
    )
    uids = {node["metadata"]["uid"] for node in nodes}
    room = [w for w in writes if w.done and w.resource == "pods" and w.verb == "create"]
    room = [w for w in room if w.label.get("spotvortex.io/for") in uids]
    plans = {str(w.label.get(PLAN)) for w in room}
    journals = {str(order_of(m.note["spotvortex.io/drain"]).get("plan")) for m in marks.values()}
    print(f"  at once: {len(nodes)} notices, sent in {sent_s:.2f} s")
    print(
        f"    cordoned {len(at)}, first {at[0]:.2f} s, half {at[len(at) // 2]:.2f} s, "
        f"all {at[-1]:.2f} s (wanted: <= 5)"
    )
    print(
        f"    placeholders {len(room)} of {len(plans)} plans, journals of {len(journals)} plans "
        f"(wanted: {asked.pools})"
    )
    if room:
        print(
            f"    first placeholder {room[0].done_at - started:.2f} s, "
            f"last {room[-1].done_at - started:.2f} s"
        )
    if evicted:
        print(
            f"    evicted {len(evicted)}: first {evicted[0]:.2f} s (wanted: <= 15), half "
            f"{evicted[len(evicted) // 2]:.2f} s, last {evicted[-1]:.2f} s"
        )
    print(f"    looked for {emptied_s:.0f} s, {n_pods(plane)} pods left")
    refused = [w for w in writes if not w.done and w.at > started]
    codes = sorted({(w.resource, w.code) for w in refused})
    print(f"    requests refused {len(refused)}: {codes}")


def print_stalls(daemon: Daemon) -> None:
    """Say how late the daemon's loop was."""
    for name in (
        "event_loop_stall_seconds",
        "inference_latency_seconds",
        "observe_duration_seconds",
        "reconcile_loop_duration_seconds",
    ):
        count = daemon.metric(f"spotvortex_{name}_count")
        total = daemon.metric(f"spotvortex_{name}_sum")
        print(f"    {name}: {count:.0f} times, {total:.2f} s in all")


if __name__ == "__main__":
    main()
