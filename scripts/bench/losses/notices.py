"""A flood of notices: how long until all are settled and deleted, what is lost, what stays.

Usage: python -m scripts.bench.losses.notices [--messages 15000] [--polls 4]

An SQS in memory (`tests.aws.memory_sqs`) runs as a process of its own on the same machine. Nine of
ten messages are foreign (an instance that is not ours), a duplicate, or no notice at all. The
collector is played by a task that settles, in each round, the foreign notices at once and ours one
round later, as if their nodes had been marked meanwhile. The same flood runs three times: the first
one warms up what is kept for good (connections, the memory of settled ids), memory is compared
over the others.
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from random import Random

import aiohttp
import psutil

from scripts.bench.machine import machine
from spotvortex.aws.interruptions import QueueOptions, SqsNotices, open_notices
from tests.core.events import interruption, rebalance, scheduled_change, state_change

ROUND_S = 0.25
STALL_S = 0.02
LONGEST_S = 300.0
BATCH = 10
HEADERS = {"Content-Type": "application/x-amz-json-1.0"}


class Clock:
    """The machine's clock."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()


@dataclass
class Flood:
    """The messages of one run, and which instances are ours."""

    bodies: list[str] = field(default_factory=list)
    ours: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)


def flood(n: int, run: int, rng: Random) -> Flood:
    """Make `n` messages of which a tenth is news on our nodes, shuffled."""
    made, at = Flood(), time.time()
    for i in range(n // 10):
        instance, event_id = f"i-{run:02x}{i:06x}", f"ours-{run}-{i}"
        made.ours.add(instance)
        made.events.add(event_id)
        kind = (interruption, rebalance, interruption)[i % 3]
        made.bodies.append(json.dumps(kind(instance, event_id, at=at)))
    news = list(made.bodies)
    while len(made.bodies) < n:
        i = len(made.bodies)
        foreign = f"i-ffff{run:02x}{i:06x}"
        body = (
            rng.choice(news),
            json.dumps(interruption(foreign, f"foreign-{run}-{i}", at=at)),
            json.dumps(state_change("terminated", foreign, f"foreign-{run}-{i}", at=at)),
            json.dumps(scheduled_change(foreign, start=at, event_id=f"foreign-{run}-{i}")),
            json.dumps(state_change("running", foreign, f"calm-{run}-{i}", at=at)),
            "not an event",
        )[rng.choices(range(6), (4, 2, 2, 1, 1, 1))[0]]
        made.bodies.append(body)
    rng.shuffle(made.bodies)
    return made


class Endpoint:
    """The queue's server, asked without the code that is measured."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url, self._http = url, http
        self.queue = f"{url}/123456789012/flood"

    async def ask(self, operation: str, **asked: object) -> dict:
        """Ask once."""
        headers = HEADERS | {"X-Amz-Target": f"AmazonSQS.{operation}"}
        async with self._http.post(self._url, data=json.dumps(asked), headers=headers) as answer:
            answer.raise_for_status()
            return json.loads(await answer.read())

    async def fill(self, bodies: list[str]) -> None:
        """Send all messages."""
        for start in range(0, len(bodies), BATCH):
            batch = enumerate(bodies[start : start + BATCH])
            entries = [{"Id": str(i), "MessageBody": body} for i, body in batch]
            await self.ask("SendMessageBatch", QueueUrl=self.queue, Entries=entries)

    async def left(self) -> int:
        """Count what is not deleted, in hand or not."""
        told = await self.ask("GetQueueAttributes", QueueUrl=self.queue, AttributeNames=["All"])
        return sum(map(int, told["Attributes"].values()))


@dataclass
class Collector:
    """Plays the collector, and remembers what it saw."""

    notices: SqsNotices
    marked: dict[str, int] = field(default_factory=dict)
    stalls: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)

    def observe(self, ours: set[str]) -> None:
        """Settle foreign notices now, and ours when they are seen for the second time."""
        done, started = [], time.process_time()
        for notice in self.notices.pending(time.time()):
            if notice.instance_id not in ours or notice.id in self.marked:
                done.append(notice.id)
            if notice.instance_id in ours:
                self.marked[notice.id] = self.marked.get(notice.id, 0) + 1
        self.notices.settle(done)
        self.rounds.append(time.process_time() - started)

    async def watch_stalls(self) -> None:
        """Note how late the loop is by work of our own, until cancelled.

        On a shared machine most lateness is others' work: what we did not compute does not count.
        """
        while True:
            due, busy = time.perf_counter() + STALL_S, time.process_time()
            await asyncio.sleep(STALL_S)
            late = time.perf_counter() - due
            self.stalls.append(min(late, time.process_time() - busy))


async def run_once(endpoint: Endpoint, collector: Collector, one: Flood) -> tuple[float, float]:
    """Take one flood; return seconds until all is deleted, and processor seconds."""
    n_before = collector.notices.traffic().deleted
    await endpoint.fill(one.bodies)
    started, busy = time.perf_counter(), time.process_time()
    stop = asyncio.Event()
    async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as group:
        group.create_task(collector.notices.run(stop))
        watch = group.create_task(collector.watch_stalls())
        while collector.notices.traffic().deleted - n_before < len(one.bodies):
            await asyncio.sleep(ROUND_S)
            collector.observe(one.ours)
        took = time.perf_counter() - started, time.process_time() - busy
        watch.cancel()
        stop.set()
    return took


def resident_mib() -> float:
    """Return what the process holds, after the garbage is out."""
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


async def measure(url: str, n: int, n_polls: int) -> None:
    """Run the floods and print."""
    options = QueueOptions(
        queue=f"{url}/123456789012/flood", region="us-east-1", n_polls=n_polls, wait_s=1
    )
    rng = Random(7)
    async with (
        aiohttp.ClientSession() as http,
        open_notices(options, clock=Clock(), rng=rng) as notices,
    ):
        endpoint, collector = Endpoint(url, http), Collector(notices)
        await endpoint.ask("CreateQueue", QueueName="flood")
        before = resident_mib()
        print(f"  resident before any message     {before:8.1f} MiB")
        for run in range(3):
            one = flood(n, run, rng)
            collector.marked.clear()
            collector.stalls.clear()
            collector.rounds.clear()
            seconds, cpu = await run_once(endpoint, collector, one)
            n_lost = len(one.events - collector.marked.keys())
            n_twice = sum(count > 2 for count in collector.marked.values())
            left = await endpoint.left()
            del one
            after = resident_mib()
            print(
                f"  run {run + 1}: {n} messages in {seconds:5.1f} s, {n / seconds:6.0f} a second, "
                f"{cpu:5.1f} s of processor; lost {n_lost}, left {left}, "
                f"settled more than once {n_twice}; longest stall of our own "
                f"{max(collector.stalls) * 1e3:.0f} ms (a round of the collector takes "
                f"{max(collector.rounds) * 1e3:.0f} ms); resident {after:.1f} MiB "
                f"({(after / before - 1) * 100:+.1f} % since the last)"
            )
            before = after
        traffic = notices.traffic()
        print(f"  {traffic}")


def main() -> None:
    """Start the endpoint, measure, end it."""
    parser = argparse.ArgumentParser(description="a flood of notices")
    parser.add_argument("--messages", type=int, default=15_000)
    parser.add_argument("--polls", type=int, default=4)
    asked = parser.parse_args()
    print(machine())
    command = [sys.executable, "-m", "tests.aws.memory_sqs"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        os.environ |= {
            "AWS_ENDPOINT_URL_SQS": url,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
        }
        asyncio.run(measure(url, asked.messages, asked.polls))


if __name__ == "__main__":
    main()
