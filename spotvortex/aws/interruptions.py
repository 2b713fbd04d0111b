"""Notices from an SQS queue that EventBridge fills.

Comes in: messages, through long polls side by side, and ids that the collector has settled. Goes
out: pending notices, and the deletion of messages whose notices are all settled. A message that
waits longer than its visibility time-out comes again and is known by its id: nothing is renewed, so
a frozen replica never keeps a message to itself. An outage is told by `health`, and ends by itself.
What is held goes back to the queue at the end. May not judge whether an instance belongs to the
cluster, and logs no word of a message.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from spotvortex.aio import Backoff, pause
from spotvortex.aws.inbox import Inbox
from spotvortex.aws.session import ANSWER_S, BATCH, QueueClient, open_queue
from spotvortex.core.domain.cloud.notices import REBALANCE_TTL_S, Notice
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.errors import QueueError, QueueFault
from spotvortex.ports.cluster import WallClock
from spotvortex.ports.writing import NoticeTraffic

FIRST_WAIT_S: Final = 1
"""Long poll while the queue is not known to be well: an idle queue answers only at its end."""

LINGER_S: Final = 0.05
"""Deletions wait this long for others to fill their batch."""

IDLE_S: Final = 0.25
"""Pause where there is nothing to ask for, or an empty answer came too soon."""

N_DELETERS: Final = 2

log = logging.getLogger(__name__)

_STATES: Final = {QueueFault.DENIED: InputState.DENIED, QueueFault.ABSENT: InputState.ABSENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """Which queue, and how it is read.

    Attributes:
        queue: its URL, or its name in the account of the credentials and `region`.
        region: "" leaves it to the URL or the AWS profile.
        rebalance_ttl_s: how long a rebalance recommendation counts, in seconds.
        evidence_only: somebody else answers the notices: a message is deleted as soon as it is
            read, and its notice kept for as long as it counts.
        wait_s: a long poll, 1 to 20 seconds.
        visibility_s: seconds for which nobody else gets what this process holds; a notice that is
            not settled by then comes again.
        n_polls: long polls side by side; each brings up to ten messages.
        first_pause_s: pause after a failure, in seconds; it doubles with each, and is jittered.
        longest_pause_s: the longest such pause, in seconds.
        stop_grace_s: at a stop, the time for each of: polls to end, deletions, handing back.
    """

    queue: str
    region: str = ""
    rebalance_ttl_s: float = REBALANCE_TTL_S
    evidence_only: bool = False
    wait_s: int = 20
    visibility_s: int = 30
    n_polls: int = 4
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    stop_grace_s: float = 2.0

    def __post_init__(self) -> None:
        assert 1 <= self.wait_s <= 20, "an empty queue would be asked without a pause"
        assert self.n_polls >= 1


def _always() -> bool:
    return True


class SqsNotices:
    """The `Notices` port over one queue; `run` has to run beside it."""

    def __init__(
        self,
        client: QueueClient,
        options: QueueOptions,
        *,
        clock: WallClock,
        rng: Random,
        may_read: Callable[[], bool] = _always,
    ) -> None:
        self._client = client
        self._options = options
        self._clock = clock
        self._rng = rng
        self._may_read = may_read
        self._inbox = Inbox(options.rebalance_ttl_s, holds=not options.evidence_only)
        self._new = asyncio.Event()
        self._deletable = asyncio.Event()
        self._confirmed_at = -math.inf
        self._faults: dict[str, QueueError] = {}

    @property
    def evidence_only(self) -> bool:
        """Whether somebody else answers them; see `ports.Notices`."""
        return self._options.evidence_only

    def pending(self, now: float) -> tuple[Notice, ...]:
        """Return the notices that count and are not settled; see `ports.Notices`."""
        found = self._inbox.pending(now)
        self._new.clear()
        self._wake_deleters()
        return found

    def settle(self, ids: Collection[str]) -> None:
        """Let the messages of these notices be deleted; see `ports.Notices`."""
        self._inbox.settle(ids, self._clock.now())
        self._wake_deleters()

    async def arrived(self) -> None:
        """Wait until there is a notice that no `pending` has returned yet."""
        await self._new.wait()

    def traffic(self) -> NoticeTraffic:
        """Return what came since start."""
        return self._inbox.traffic()

    def health(self, now: float) -> tuple[InputHealth, ...]:
        """Return the health of the queue; its detail names the fix."""
        age_s = max(0.0, now - self._confirmed_at)
        state, detail = self._judge(age_s)
        health = InputHealth(
            name=InputName.NOTICES, state=state, age_s=age_s, required=False, detail=detail
        )
        return (health,)

    def _judge(self, age_s: float) -> tuple[InputState, str]:
        if not self._may_read():
            return InputState.OK, "not read here: the replica that leads reads the queue"
        for operation, error in self._faults.items():
            state = _STATES.get(error.fault, InputState.STALE)
            return state, f"notices are missed while {operation} fails: {error}"
        if age_s > self._options.wait_s + 2 * ANSWER_S:
            return InputState.STALE, "the queue has not answered yet"
        if self._inbox.is_full:
            return InputState.OK, f"no room: {self._inbox.n_pending} notices wait to be settled"
        return InputState.OK, ""

    async def run(self, stop: asyncio.Event) -> None:
        """Read and delete until `stop` is set, then give back what is held."""
        async with asyncio.TaskGroup() as group:
            polls = [
                group.create_task(self._poll_until(stop), name=f"poll-{i}")
                for i in range(self._options.n_polls)
            ]
            deletes = [
                group.create_task(self._delete_until(stop), name=f"delete-{i}")
                for i in range(N_DELETERS)
            ]
            await stop.wait()
            await self._end(polls)
            self._deletable.set()
            await self._end(deletes)
        await self._hand_back()

    async def _end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Let tasks end in order, then cancel them.

        A queue may give a message to a poll that was cancelled a moment ago; nobody gets it then
        before its visibility time-out, which is why polls are given a little time.
        """
        await asyncio.wait(tasks, timeout=self._options.stop_grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    def _backoff(self) -> Backoff:
        return Backoff(self._options.first_pause_s, self._options.longest_pause_s, self._rng)

    async def _poll_until(self, stop: asyncio.Event) -> None:
        backoff = self._backoff()
        while not stop.is_set():
            if not self._may_read():
                await self._hand_back()
                await pause(stop, IDLE_S)
            elif self._inbox.is_full:
                await pause(stop, IDLE_S)
            else:
                await pause(stop, await self._poll(backoff))

    async def _poll(self, backoff: Backoff) -> float:
        """Ask once, and return how long to pause before the next time, in seconds."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        is_well = not self._faults and self._confirmed_at > -math.inf
        wait_s = self._options.wait_s if is_well else FIRST_WAIT_S
        try:
            messages = await self._client.receive(wait_s, self._options.visibility_s)
        except QueueError as error:
            self._failed("receive", error)
            return backoff.after_failure()
        self._confirmed_at = self._clock.now()
        self._succeeded("receive")
        backoff.reset()
        for message in messages:
            self._inbox.take(message, self._clock.now())
            self._wake_deleters()
            await asyncio.sleep(0)
        if self._inbox.n_new:
            # Of all messages of an answer at once: one observation shows them all.
            self._new.set()
        return 0.0 if messages or loop.time() - asked >= wait_s / 2 else IDLE_S

    def _wake_deleters(self) -> None:
        if self._inbox.n_deletable:
            self._deletable.set()

    async def _delete_until(self, stop: asyncio.Event) -> None:
        backoff = self._backoff()
        while True:  # ends when nothing is left after the stop, or by cancellation
            if not self._inbox.n_deletable:
                if stop.is_set():
                    return
                self._deletable.clear()
                await self._deletable.wait()
            if self._inbox.n_deletable < BATCH:
                await pause(stop, LINGER_S)
            await pause(stop, await self._delete(backoff))

    async def _delete(self, backoff: Backoff) -> float:
        """Delete one batch, and return how long to pause, in seconds; what fails is tried again."""
        batch = self._inbox.next_deletable(BATCH)
        if not batch:
            return 0.0
        try:
            # IMPORTANT: not in one statement, or what others count meanwhile would be lost.
            n_gone = await self._client.delete(list(batch.values()))
        except QueueError as error:
            self._failed("delete", error)
            self._inbox.keep(batch)
            return backoff.after_failure()
        self._inbox.counts.deleted += n_gone
        self._succeeded("delete")
        backoff.reset()
        return 0.0

    async def _hand_back(self) -> None:
        """Give what is held back to the queue at once, for as long as a stop may take."""
        receipts = list(self._inbox.release().values())
        self._new.clear()
        try:
            async with asyncio.timeout(self._options.stop_grace_s):
                for start in range(0, len(receipts), BATCH):
                    await self._client.release(receipts[start : start + BATCH])
        except TimeoutError:
            log.warning("notices.not_handed_back", extra={"n_messages": len(receipts)})
        except QueueError as error:
            self._failed("release", error)

    def _failed(self, operation: str, error: QueueError) -> None:
        self._inbox.counts.errors[error.fault] += 1
        known = self._faults.get(operation)
        is_new = known is None or known.fault is not error.fault
        # A hand-over is tried once, and the queue mends what it missed.
        if operation != "release":
            self._faults[operation] = error
        level = logging.WARNING if is_new else logging.DEBUG
        log.log(level, "notices.%s", error.fault, extra={"do": operation, "error": str(error)})

    def _succeeded(self, operation: str) -> None:
        if self._faults.pop(operation, None) is not None:
            log.info("notices.recovered", extra={"do": operation})


@asynccontextmanager
async def open_notices(
    options: QueueOptions,
    *,
    clock: WallClock,
    rng: Random,
    may_read: Callable[[], bool] = _always,
) -> AsyncIterator[SqsNotices]:
    """Open a queue of notices; nothing is asked before `run`.

    Args:
        options: which queue, and how it is read.
        clock: the time of day.
        rng: for the jitter of backoff.
        may_read: whether this replica leads. Two readers would take each other's messages, so one
            that stands by gives back what it holds and asks for nothing.

    Raises:
        SettingsError: no region is known, or a setting of AWS is wrong.
    """
    async with open_queue(
        options.queue,
        region=options.region,
        wait_s=options.wait_s,
        n_connections=options.n_polls + N_DELETERS + 2,
        rng=rng,
    ) as client:
        yield SqsNotices(client, options, clock=clock, rng=rng, may_read=may_read)
