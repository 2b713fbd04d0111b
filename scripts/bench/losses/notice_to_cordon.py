"""From a notice to the cordon and to the end of the last pod: one by one, then hundreds at once.

Usage: python -m scripts.bench.losses.notice_to_cordon [--single 100] [--burst 500] [--pools 5]

The control plane of the tests with scheduler, KWOK and the Job controller, without those of
workloads: pods that are evicted end after their 30 s of grace, and none follows them. Every node
has ten pods, spare nodes take the placeholders. The queue is an SQS in memory, a process of its
own; so is the daemon, in active mode with the roles, quotas and fence of the active overlay. The
rival is a bare client: as many nodes that nobody moves, patched with the very bodies of a cordon as
fast as 32 connections can, before the daemon starts and after it has ended, as the same user. With
`--bare-evictions` it evicts as many pods from nodes of its own, too, as an administrator and before
the daemon starts, and asks for no room: so fast are the server, KWOK and these cores. All times but
that of sending are the API server's own, from its audit log: a cordon counts when it is answered.
"""

import argparse
import asyncio
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil

from scripts.bench.histogram import Histogram, read_histogram
from scripts.bench.losses.notice_scene import (
    BARE,
    PODS_PER_NODE,
    fill,
    fill_bare,
    queue_server,
)
from scripts.bench.machine import machine
from tests.active.scene.notices import SHOP, USER, Queue, settings
from tests.controlplane.api import MERGE_PATCH, wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.fill import Filler
from tests.controlplane.manifests import Manifest, NodeShape, node_manifest
from tests.controlplane.processes.components import STATIC_CONTROLLERS
from tests.core.events import interruption
from tests.e2e.equipment.daemon import Daemon
from tests.witness.writes import Write, order_of, seconds, writes_of

SETTLED_S = 120.0
APART_S = 0.4
RIVAL = "spotvortex-bench/bare"
STALL = "spotvortex_event_loop_stall_seconds"
BUSY = "spotvortex_event_loop_busy_seconds"


def main() -> None:
    """Fill, start, measure and print."""
    parser = argparse.ArgumentParser(description="from a notice to the cordon")
    parser.add_argument("--single", type=int, default=100)
    parser.add_argument("--burst", type=int, default=500)
    parser.add_argument("--pools", type=int, default=5)
    parser.add_argument("--watch-s", type=float, default=150.0, help="time given to the burst")
    parser.add_argument("--bare-evictions", action="store_true")
    asked = parser.parse_args()
    print(machine())
    with (
        ControlPlane(with_kwok=True, karpenter_crds=True, controllers=STATIC_CONTROLLERS) as plane,
        queue_server() as endpoint,
        tempfile.TemporaryDirectory() as folder,
    ):
        nodes = asyncio.run(fill(plane, asked.single + asked.burst, asked.pools))
        others = asyncio.run(bystanders(plane, asked.burst))
        queue = Queue(endpoint, "notices")
        variables = settings(plane, Path(folder), endpoint, queue.url) | {
            "SPOTVORTEX_LOG_LEVEL": "INFO",
            "SPOTVORTEX_TICK_S": "30",
        }
        wait_until(lambda: n_running(plane) == len(nodes) * PODS_PER_NODE, 300, 2.0)
        if asked.bare_evictions:
            evict_bare(plane, others)
        rivals, found = [rival(plane, others)], Burst()
        patches = asyncio.run(one_by_one(plane, others[: asked.single]))
        with Daemon(Path(folder), variables) as daemon:
            daemon.wait_ready(120)
            time.sleep(3.0)
            print(f"  load {os.getloadavg()[0]:.1f} when the daemon is ready")
            if asked.single:
                singles(plane, queue, nodes[: asked.single], asked.burst)
            if asked.burst:
                before, cpu_s = stalls(daemon), used_s()
                found = burst(plane, queue, nodes[asked.single :], asked.watch_s)
                print(f"    processor time, s: {said(cpu_s)}")
                print_stalls(before, stalls(daemon))
        if asked.burst:
            rivals.append(rival(plane, others))
            patches = sorted(patches + asyncio.run(one_by_one(plane, others[: asked.single])))
            if patches:
                print(
                    f"  one patch after the other of the bare client, before and after: p50 "
                    f"{at_share(patches, 0.5):.3f} s, p99 {at_share(patches, 0.99):.3f} s"
                )
            report(plane, found, rivals, asked.single)


@dataclass(frozen=True, kw_only=True)
class Burst:
    """Which nodes were lost, and from when to when (seconds since the epoch) it was watched."""

    started: float = 0.0
    ended: float = 0.0
    nodes: list[Manifest] = field(default_factory=list)


async def bystanders(plane: ControlPlane, n: int) -> list[Manifest]:
    """Make nodes of no pool, for the rival."""
    async with Filler(plane) as filler:
        shapes = (node_manifest(f"other-{i:04}", NodeShape(style="plain")) for i in range(n))
        return await filler.create_and_return(shapes)


def notice(node: Manifest) -> Manifest:
    """Make an interruption notice for a node, of now."""
    instance = node["spec"]["providerID"].rpartition("/")[2]
    return interruption(instance, f"event-{instance}", at=time.time())


def marks_of(writes: list[Write], nodes: list[Manifest]) -> dict[str, Write]:
    """Return the first mark of each of these nodes that the server carried out."""
    names = {node["metadata"]["name"] for node in nodes}
    found: dict[str, Write] = {}
    for write in writes:
        if write.done and write.is_mark and write.name in names:
            found.setdefault(write.name, write)
    return found


def singles(plane: ControlPlane, queue: Queue, nodes: list[Manifest], n_others: int) -> None:
    """Send one notice after the other, each `APART_S` after the last one's node is cordoned."""
    sent: dict[str, float] = {}
    for node in nodes:
        name = node["metadata"]["name"]
        path = f"/api/v1/nodes/{name}"
        sent[name] = time.time()
        queue.send(notice(node))
        while not plane.api().get(path)["spec"].get("unschedulable"):
            time.sleep(0.05)
        time.sleep(APART_S)
    marks = marks_of(writes_of(plane.audit_events(), [plane.username(USER)]), nodes)
    took = sorted(marks[name].done_at - at for name, at in sent.items())
    print(
        f"  one after the other: {len(took)} notices, to the cordon p50 {at_share(took, 0.5):.3f} "
        f"s, p99 {at_share(took, 0.99):.3f} s, longest {took[-1]:.3f} s (wanted: p99 <= 0.15)"
    )
    wait_until(lambda: n_pods(plane) == n_others * PODS_PER_NODE, SETTLED_S, 1.0)


def at_share(ordered: list[float], share: float) -> float:
    """Return the value below which this share lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def n_pods(plane: ControlPlane, namespace: str = SHOP) -> int:
    """Count a namespace's pods; a page of one spares the server, which shares our cores."""
    page = plane.api().get(f"/api/v1/namespaces/{namespace}/pods?limit=1")
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))


def n_running(plane: ControlPlane) -> int:
    """Count the workloads' pods that run."""
    pods = plane.api().items(f"/api/v1/namespaces/{SHOP}/pods")
    return sum(pod["status"].get("phase") == "Running" for pod in pods)


Request = tuple[str, str, bytes]
"""Method, path and body."""


async def bare(plane: ControlPlane, user: str, requests: Iterable[Request]) -> float:
    """Send requests over 32 connections as fast as they are answered; return the seconds."""
    turn = iter(requests)
    patch = {"Content-Type": MERGE_PATCH}
    headers = {"Authorization": f"Bearer {plane.token(user)}", "User-Agent": RIVAL}
    connector = aiohttp.TCPConnector(limit=32, ssl=plane.ssl_context())
    async with aiohttp.ClientSession(
        base_url=plane.url, connector=connector, headers=headers
    ) as session:

        async def work() -> None:
            for method, path, body in turn:
                kind = patch if method == "PATCH" else {"Content-Type": "application/json"}
                async with session.request(method, path, data=body, headers=kind) as answer:
                    assert answer.status < 300, await answer.text()
                    await answer.read()

        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(work())
        return time.perf_counter() - started


def patches_of(nodes: list[Manifest], *, cordon: bool) -> Iterator[Request]:
    """Patch every node as a cordon does, or back."""
    for node in nodes:
        name = node["metadata"]["name"]
        yield "PATCH", f"/api/v1/nodes/{name}", _patch(node, cordon=cordon)


def evict_bare(plane: ControlPlane, others: list[Manifest]) -> None:
    """Let the bare client evict as many pods as the burst has, and say how long they took."""
    paths = asyncio.run(fill_bare(plane, others))
    time.sleep(5.0)
    cpu_s, started = used_s(), time.time()
    requests = (("POST", f"{path}/eviction", _eviction(path)) for path in paths)
    took_s = asyncio.run(bare(plane, "admin", requests))
    while n_pods(plane, BARE):
        time.sleep(1.0)
    print(
        f"  bare client: {len(paths)} pods evicted in {took_s:.1f} s, all gone after "
        f"{time.time() - started:.1f} s; processor time, s: {said(cpu_s)}"
    )


def _eviction(path: str) -> bytes:
    namespace, _, name = path.rpartition("/")
    metadata = {"name": name, "namespace": namespace.split("/")[-2]}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    return msgspec.json.encode(body)


async def one_by_one(plane: ControlPlane, nodes: list[Manifest]) -> list[float]:
    """Cordon one node after the other, and undo it; return how long each cordon took."""
    headers = {"Authorization": f"Bearer {plane.token(USER)}", "Content-Type": MERGE_PATCH}
    connector = aiohttp.TCPConnector(ssl=plane.ssl_context())
    found = []
    async with aiohttp.ClientSession(base_url=plane.url, connector=connector) as session:
        for node in nodes:
            path = f"/api/v1/nodes/{node['metadata']['name']}"
            for cordon in (True, False):
                started = time.perf_counter()
                body = _patch(node, cordon=cordon)
                async with session.patch(path, data=body, headers=headers) as answer:
                    await answer.read()
                if cordon:
                    found.append(time.perf_counter() - started)
            await asyncio.sleep(0.05)
    return sorted(found)


def _patch(node: Manifest, *, cordon: bool) -> bytes:
    """Return the body of a cordon with a journal as long as ours, or of its removal."""
    metadata = {
        "uid": node["metadata"]["uid"],
        "labels": {"spotvortex.io/cordoned": "true" if cordon else None},
        "annotations": {"spotvortex.io/drain": "x" * 560 if cordon else None},
    }
    return msgspec.json.encode({"metadata": metadata, "spec": {"unschedulable": cordon or None}})


def rival(plane: ControlPlane, others: list[Manifest]) -> float:
    """Let the bare client cordon its nodes, and undo it; return the seconds of the cordons."""
    took = asyncio.run(bare(plane, USER, patches_of(others, cordon=True)))
    asyncio.run(bare(plane, USER, patches_of(others, cordon=False)))
    return took


def burst(plane: ControlPlane, queue: Queue, nodes: list[Manifest], watch_s: float) -> Burst:
    """Send all notices at once and watch."""
    print(f"  load {os.getloadavg()[0]:.1f} right before the burst")
    started = time.time()
    queue.send_many([notice(node) for node in nodes])
    sent_s = time.time() - started
    while time.time() < started + watch_s and n_pods(plane):
        time.sleep(1.0)
    gone_s, n_left = time.time() - started, n_pods(plane)
    print(f"  at once: {len(nodes)} notices, sent in {sent_s:.2f} s")
    print(f"    all pods gone after {gone_s:.1f} s, {n_left} left (wanted: <= 45 s, 0)")
    print(f"    load {os.getloadavg()[0]:.1f} right after")
    return Burst(started=started, ended=time.time(), nodes=nodes)


def report(plane: ControlPlane, found: Burst, rivals: list[float], n_single: int) -> None:
    """Say what the API server saw of the daemon during the burst."""
    events = plane.audit_events(USER)
    events = [e for e in events if found.started <= seen_at(e) <= found.ended]
    writes = writes_of(events, [plane.username(USER)])
    print_cordons(writes, found, rivals)
    print_evictions(writes, found, n_single)
    print_requests(events)


def seen_at(event: dict[str, Any]) -> float:
    """Return when the server received a request."""
    return seconds(event["requestReceivedTimestamp"])


def print_cordons(writes: list[Write], found: Burst, rivals: list[float]) -> None:
    """Say when nodes were cordoned, and how long the bare client needed."""
    marks = marks_of(writes, found.nodes)
    at = sorted(mark.done_at - found.started for mark in marks.values())
    journals = {str(order_of(m.note["spotvortex.io/drain"]).get("plan")) for m in marks.values()}
    print(
        f"    cordoned {len(at)} by {len(journals)} plans, first {at[0]:.2f} s, half "
        f"{at_share(at, 0.5):.2f} s, all {at[-1]:.2f} s"
    )
    times = " and ".join(f"{s:.2f}" for s in rivals)
    ratio = at[-1] / (sum(rivals) / len(rivals))
    print(f"    bare client, before and after: {times} s; ours is {ratio:.2f}x (wanted: <= 1.5)")


def print_evictions(writes: list[Write], found: Burst, n_single: int) -> None:
    """Say when pods were evicted."""
    evicted = sorted(
        w.done_at - found.started
        for w in writes
        if w.done and w.resource == "pods/eviction" and w.name >= f"pod-{n_single:04}"
    )
    if evicted:
        print(
            f"    evicted {len(evicted)} of {len(found.nodes) * PODS_PER_NODE}: first "
            f"{evicted[0]:.2f} s "
            f"(wanted: <= 3), half {at_share(evicted, 0.5):.2f} s, last {evicted[-1]:.2f} s"
        )


def print_requests(events: list[dict[str, Any]]) -> None:
    """Count the daemon's requests by kind, and what was refused."""
    found: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for event in events:
        if event["stage"] != "ResponseComplete":
            continue
        target = event.get("objectRef") or {}
        names = [target.get("resource", event["requestURI"]), target.get("subresource", "")]
        kind = f"{event['verb']} {'/'.join(filter(None, names))}"
        found[kind] += 1
        code = (event.get("responseStatus") or {}).get("code", 0)
        if code >= 400:
            refused[f"{kind} {code}"] += 1
    for kind, n in found.most_common():
        print(f"    {n:6} {kind}")
    print(f"    refused: {dict(refused)}")


def used_s() -> dict[str, float]:
    """Return the processor time that each process of this run has used so far, in seconds."""
    found: dict[str, float] = {}
    for child in psutil.Process().children(recursive=True):
        command = child.cmdline()
        name = command[2] if command[1:2] == ["-m"] else Path(command[0]).name
        times = child.cpu_times()
        found[name] = found.get(name, 0.0) + times.user + times.system
    return found


def said(before: dict[str, float]) -> str:
    """Say who has used how much since then, the most first."""
    used = {name: s - before.get(name, 0.0) for name, s in used_s().items()}
    most = sorted(used.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {s:.1f}" for name, s in most if s >= 0.05)


def stalls(daemon: Daemon) -> list[Histogram]:
    """Return how late the daemon's loop was, and how much of that it computed itself."""
    _, text = daemon.get("/metrics")
    return [read_histogram(re.sub(r"#.*", "", str(text)), name) for name in (STALL, BUSY)]


def print_stalls(before: list[Histogram], after: list[Histogram]) -> None:
    """Say how late the daemon's loop was."""
    late, own = (now.since(then) for then, now in zip(before, after, strict=True))
    print(
        f"    stalls over 50 ms {late.above(0.05):.0f} (wanted: <= 5), over 100 ms "
        f"{late.above(0.1):.0f}; by its own computing {own.above(0.05):.0f} and "
        f"{own.above(0.1):.0f}"
    )


if __name__ == "__main__":
    main()
