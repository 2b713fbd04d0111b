"""Groups of AWS: what reading them asks for in an hour, stalls, and memory with every client open.

Usage: python -m scripts.bench.cloud.groups memory
       python -m scripts.bench.cloud.groups calls asg|mng N_POOLS

Prints one JSON line. `memory` opens every client that the daemon may have and takes in a day of
prices; nothing is asked. `calls` reads the groups of so many pools for ten minutes of the loop's
clock, which is put forward between two rounds, at moto behind the tests' proxy in a process of its
own; requests are those of an hour. `stall_ms` is the longest piece of processor time without a
breath for the loop, while clients are opened and while groups are read.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from random import Random
from typing import Any, Final

import psutil

from scripts.bench.cloud.day_of_prices import N_RECORDS, Scene, Stalls, day
from scripts.bench.machine import machine
from spotvortex.aws.groups.service import EVERY_S, GroupScope, open_groups
from spotvortex.aws.groups.wire import GroupTags
from spotvortex.aws.session import open_client
from tests.groups.cloud import CREDENTIALS, REGION, Cloud

ROUNDS: Final = 20
HOUR_S: Final = 3_600.0
ALL_CLIENTS: Final = ("ec2", "pricing", "sqs", "autoscaling", "eks", "service-quotas", "cloudwatch")
MIB: Final = 2**20
KINDS: Final = ("spot", "on-demand")


class SkippingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward."""

    skipped_s = 0.0

    def time(self) -> float:
        """Return the time, with what was skipped."""
        return super().time() + self.skipped_s


def serve(pipe: Connection, kind: str, n_pools: int) -> None:
    """Be the cloud until the other side asks for the counts, twice."""
    with Cloud() as cloud:
        cloud.quotas.update({"L-34B43A08": 1e6, "L-1216C47A": 1e6})
        for number in range(n_pools):
            for word in KINDS:
                if kind == "mng":
                    bought = word.upper().replace("-", "_")
                    cloud.make_nodegroup("blue", f"p{number}-{word}", bought, 1)
                    continue
                tags = {"spotvortex.io/pool": f"p{number}", "spotvortex.io/capacity-type": word}
                cloud.make_group(f"p{number}-{word}", tags, 1)
        pipe.send(cloud.url)
        pipe.recv()
        pipe.send(Counter(operation for operation, _ in cloud.asked))


async def watched(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """Await something, and return the longest piece without a breath, in ms."""
    stalls = Stalls()
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(stalls.watch())
        found = await work
        watch.cancel()
    return found, round(1000.0 * stalls.longest_s, 1)


async def read_rounds(kind: str) -> dict[str, object]:
    """Read all groups round by round."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    scope = GroupScope(
        tags=GroupTags(), tagged=kind == "asg", managed_too=kind == "mng", all_managed=True
    )
    async with AsyncExitStack() as stack:
        opening = stack.enter_async_context(open_groups(REGION, scope, time.time))
        groups, opened_ms = await watched(opening)
        rounds_s: list[float] = []
        stalls_ms: list[float] = []
        n_groups = 0
        for _ in range(ROUNDS):
            begun = time.monotonic()
            found, longest_ms = await watched(groups.all_groups(60.0))
            n_groups = len(found)
            stalls_ms.append(longest_ms)
            rounds_s.append(time.monotonic() - begun)
            loop.skipped_s += EVERY_S - rounds_s[-1]
    return {
        "n_groups": n_groups,
        "first_round_s": round(rounds_s[0], 2),
        "later_round_s": round(sorted(rounds_s[1:])[len(rounds_s) // 2], 2),
        "opening_stall_ms": opened_ms,
        "first_stall_ms": stalls_ms[0],
        "later_stall_ms": max(stalls_ms[1:]),
    }


def calls(kind: str, n_pools: int) -> dict[str, object]:
    """Measure what reading asks for."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(there, kind, n_pools)
    )
    process.start()
    os.environ.update(CREDENTIALS | {"AWS_ENDPOINT_URL": str(here.recv())})
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        found = runner.run(read_rounds(kind))
    here.send("counts")
    counted: Counter[str] = here.recv()
    process.join(30)
    per_hour = {
        # A quota is asked for once an hour, all else again and again.
        name: n if name == "GetServiceQuota" else round(n * HOUR_S / (ROUNDS * EVERY_S))
        for name, n in sorted(counted.items())
    }
    return {"measure": "calls", "kind": kind, "n_pools": n_pools, **found, "per_hour": per_hour}


def rss_mib() -> float:
    """Return the resident memory of this process."""
    gc.collect()
    return round(psutil.Process().memory_info().rss / MIB, 1)


async def open_all() -> dict[str, object]:
    """Open every client, and take in a day of prices."""
    os.environ.update(CREDENTIALS)
    scene, before = Scene(), rss_mib()
    async with AsyncExitStack() as stack:
        for service in ALL_CLIENTS:
            await stack.enter_async_context(open_client(service, REGION, 0, 2))
        clients = rss_mib()
        await scene.take(day(scene.known, N_RECORDS, Random(7)))
        scene.tick()
        after = rss_mib()
    return {
        "measure": "memory",
        "before_mib": before,
        "clients_mib": round(clients - before, 1),
        "prices_mib": round(after - clients, 1),
        "all_mib": round(after - before, 1),
    }


def main(words: list[str]) -> int:
    """Measure what the words say."""
    print(json.dumps({"machine": machine()}))
    if words == ["memory"]:
        print(json.dumps(asyncio.run(open_all())))
        return 0
    kind, n_pools = words[1], int(words[2])
    print(json.dumps(calls(kind, n_pools)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
