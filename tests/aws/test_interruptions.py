"""Notices come, wait for their mark and go; nothing that the queue does loses one."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from spotvortex.aws.inbox import Inbox
from spotvortex.aws.interruptions import IDLE_S, QueueOptions, SqsNotices, open_notices
from spotvortex.core.domain.inputs import InputHealth, InputState
from spotvortex.errors import SettingsError
from tests.aws.conftest import Queue, queue_at
from tests.aws.faults import DROP, HANG, PAGE, fault_proxy
from tests.core.events import interruption, rebalance, scheduled_change, state_change

SOON_S = 90.0


class Clock:
    def now(self) -> float:
        return time.time()


CLOCK = Clock()


@asynccontextmanager
async def reading(endpoint: str, queue: str, **options) -> AsyncIterator[SqsNotices]:
    """A reader beside the test, stopped in order at its end."""
    may_read = options.pop("may_read", lambda: True)
    # One poll at a time: moto now and then gives one message to two polls at once.
    given = {"region": "us-east-1", "wait_s": 1, "n_polls": 1}
    given |= {"first_pause_s": 0.05, "longest_pause_s": 0.2, "stop_grace_s": 0.1}
    chosen = QueueOptions(queue=queue, **given | options)
    stop = asyncio.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SQS", endpoint)
        opening = open_notices(chosen, clock=CLOCK, rng=Random(1), may_read=may_read)
        async with opening as notices, asyncio.TaskGroup() as group:
            group.create_task(notices.run(stop))
            try:
                yield notices
            finally:
                stop.set()


async def until(is_so: Callable[[], object], within_s: float = SOON_S) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():
            await asyncio.sleep(0.02)


async def until_empty(queue: Queue, within_s: float = SOON_S) -> None:
    async with asyncio.timeout(within_s):
        while await queue.counts() != (0, 0):
            await asyncio.sleep(0.05)


def ids(notices: SqsNotices) -> list[str]:
    return [n.id for n in notices.pending(CLOCK.now())]


def health(notices: SqsNotices) -> InputHealth:
    (one,) = notices.health(CLOCK.now())
    assert (one.name, one.required) == ("notices", False)
    return one


def now(event: Callable[..., dict], *args, **more) -> str:
    return json.dumps(event(*args, **{"at": time.time()} | more))


async def test_a_notice_wakes_who_waits_and_its_message_goes_when_it_is_settled(endpoint):
    async with queue_at(endpoint) as queue, reading(endpoint, queue.url) as notices:
        await queue.send(now(interruption, "i-1", "e1"))
        async with asyncio.timeout(SOON_S):
            await notices.arrived()
        (notice,) = notices.pending(CLOCK.now())
        assert (notice.id, notice.instance_id, notice.deadline) == ("e1", "i-1", notice.at + 120.0)
        assert 0.0 <= notice.received_at - notice.at < SOON_S
        assert (await queue.counts()) == (0, 1)
        assert notices.traffic().deleted == 0
        notices.settle(["e1"])
        await until_empty(queue)
        assert ids(notices) == []
        # The queue is empty before its answer is here.
        await until(lambda: notices.traffic().deleted)
        traffic = notices.traffic()
        assert (traffic.received, traffic.deleted, traffic.settled) == (1, 1, 1)
        assert traffic.notices == {"interruption": 1}
        assert (health(notices).state, health(notices).detail) == (InputState.OK, "")


async def test_who_has_seen_all_notices_waits_for_the_next_one(endpoint):
    async with queue_at(endpoint) as queue, reading(endpoint, queue.url) as notices:
        await queue.send(now(interruption, "i-1", "e1"))
        await until(lambda: ids(notices))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await notices.arrived()
        await queue.send(now(rebalance, "i-1", "e2"))
        async with asyncio.timeout(SOON_S):
            await notices.arrived()
        assert ids(notices) == ["e1", "e2"]


async def test_a_notice_that_is_not_settled_comes_again_and_is_known(endpoint):
    async with (
        queue_at(endpoint) as queue,
        reading(endpoint, queue.url, visibility_s=1) as notices,
    ):
        await queue.send(now(interruption, "i-1", "e1"))
        await until(lambda: notices.traffic().redelivered >= 2)
        assert ids(notices) == ["e1"]
        assert notices.traffic().notices == {"interruption": 1}
        notices.settle(["e1"])
        await until_empty(queue)


async def test_duplicates_are_one_notice_and_go_with_it(endpoint):
    async with queue_at(endpoint) as queue, reading(endpoint, queue.url) as notices:
        same, other = now(interruption, "i-1", "e1"), now(interruption, "i-1", "e9")
        await queue.send(same, same, other)
        await until(lambda: notices.traffic().duplicates == 2)
        (kept,) = ids(notices)
        assert (await queue.counts()) == (0, 3)
        notices.settle([kept])
        await until_empty(queue)
        await queue.send(same)
        await until(lambda: notices.traffic().duplicates == 3)
        await until_empty(queue)
        assert ids(notices) == []


async def test_a_change_of_several_instances_goes_with_the_last_of_them(endpoint):
    async with queue_at(endpoint) as queue, reading(endpoint, queue.url) as notices:
        await queue.send(json.dumps(scheduled_change("i-1", "i-2", start=time.time() + 3600.0)))
        await until(lambda: len(ids(notices)) == 2)
        notices.settle(["e4/i-1"])
        await asyncio.sleep(0.3)
        assert (await queue.counts()) == (0, 1)
        notices.settle(["e4/i-2"])
        await until_empty(queue)


async def test_what_holds_no_notice_is_counted_deleted_and_never_in_the_way(endpoint):
    async with queue_at(endpoint) as queue, reading(endpoint, queue.url) as notices:
        await queue.send(
            "not JSON",
            "{}",
            json.dumps(interruption(source="aws.s3")),
            now(state_change, "running"),
            json.dumps(interruption(instance="x" * 200_000)),
            "[" * 60_000,
            now(interruption, "i-1", "e1"),
            now(interruption, "i-2", "old", at=time.time() - 7200.0),
        )
        await until(lambda: notices.traffic().received == 8)
        assert ids(notices) == ["e1"]
        await until(lambda: notices.traffic().deleted == 7)
        rejects = {"malformed": 2, "unknown": 2, "not-a-loss": 1, "huge": 1}
        assert notices.traffic().rejects == rejects
        assert notices.traffic().expired == 1


async def test_a_flood_is_taken_whole_by_several_polls(endpoint):
    async with queue_at(endpoint) as queue, reading(endpoint, queue.url, n_polls=4) as notices:
        await queue.send(*(now(interruption, f"i-{n:x}", f"e{n}") for n in range(60)))
        await until(lambda: len(ids(notices)) == 60)
        notices.settle(ids(notices))
        await until_empty(queue)
        await until(lambda: notices.traffic().deleted >= 60)
        assert notices.traffic().settled == 60


async def test_a_queue_may_be_given_by_its_name(endpoint):
    async with queue_at(endpoint) as queue, reading(endpoint, queue.name) as notices:
        await queue.send(now(interruption, "i-1", "e1"))
        await until(lambda: ids(notices) == ["e1"])


@pytest.mark.parametrize("by", ["name", "url"])
async def test_a_queue_that_is_not_there_is_told_with_the_fix_and_found_when_it_is(endpoint, by):
    async with queue_at(endpoint, created=False) as queue:
        named = queue.name if by == "name" else f"{endpoint}/123456789012/{queue.name}"
        async with reading(endpoint, named) as notices:
            await until(lambda: health(notices).state is InputState.ABSENT)
            assert "SPOTVORTEX_INTERRUPTION_QUEUE" in health(notices).detail
            assert notices.traffic().errors.keys() == {"absent"}
            await queue.create()
            await until(lambda: health(notices).state is InputState.OK)
            await queue.send(now(interruption, "i-1", "e1"))
            await until(lambda: ids(notices) == ["e1"])


FAULTS = [
    ((403, "AccessDenied"), InputState.DENIED, "denied", "sqs:ReceiveMessage"),
    ((403, "SomethingNew"), InputState.DENIED, "denied", "ServiceAccount"),
    ((400, "ExpiredTokenException"), InputState.DENIED, "denied", "ServiceAccount"),
    ((400, "RequestThrottled"), InputState.STALE, "throttled", "RequestThrottled"),
    ((500, "InternalError"), InputState.STALE, "server", "InternalError"),
    (PAGE, InputState.STALE, "server", "503"),
    (DROP, InputState.STALE, "unreachable", "network"),
]


@pytest.mark.parametrize(("fault", "state", "kind", "words"), FAULTS)
async def test_an_outage_is_told_and_ends_and_nothing_is_lost(memory, fault, state, kind, words):
    async with (
        queue_at(memory) as queue,
        fault_proxy(memory) as proxy,
        reading(proxy.url, queue.url) as notices,
    ):
        await until(lambda: health(notices).state is InputState.OK)
        proxy.faults["ReceiveMessage"] = fault
        await until(lambda: health(notices).state is state)
        assert words in health(notices).detail
        assert len(health(notices).detail) < 1000
        assert kind in notices.traffic().errors
        await queue.send(now(interruption, "i-1", "e1"))
        proxy.faults.clear()
        await until(lambda: health(notices).state is InputState.OK)
        await until(lambda: ids(notices) == ["e1"])


async def test_who_has_brought_something_is_asked_again_at_once(memory, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", memory)
    async with queue_at(memory) as queue:
        chosen = QueueOptions(queue=queue.url, region="us-east-1")
        await queue.send(now(interruption, "i-1", "e1"))
        async with open_notices(chosen, clock=CLOCK, rng=Random(1)) as notices:
            assert await notices._poll(notices._backoff()) == 0.0
            assert ids(notices) == ["e1"]
            # A long poll of 20 s, and 10 s each for two attempts at an answer.
            for age_s, state in ((39.0, InputState.OK), (41.0, InputState.STALE)):
                (seen,) = notices.health(CLOCK.now() + age_s)
                assert seen.state is state
                assert seen.age_s == pytest.approx(age_s, abs=1.0)
            (early,) = notices.health(CLOCK.now() - 60.0)
            assert early.age_s == 0.0


@asynccontextmanager
async def at_hand(memory, monkeypatch, *bodies: str, wait_s: int = 3):
    """A queue behind a proxy, and a reader that asks only when it is told to."""
    async with queue_at(memory) as queue, fault_proxy(memory) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", proxy.url)
        await queue.send(*bodies)
        chosen = QueueOptions(queue=queue.url, region="us-east-1", wait_s=wait_s)
        async with open_notices(chosen, clock=CLOCK, rng=Random(1)) as notices:
            yield queue, proxy, notices


async def test_a_poll_is_short_until_the_queue_is_known_to_be_well(memory, monkeypatch):
    async with at_hand(memory, monkeypatch) as (queue, proxy, notices):

        async def poll():
            await queue.send(now(interruption, "i-1", "e1"))
            await notices._poll(notices._backoff())

        await poll()
        await poll()
        proxy.faults["ReceiveMessage"] = (403, "AccessDenied")
        await poll()
        proxy.faults.clear()
        await poll()
        await poll()
        assert proxy.waits == [1, 3, 3, 1, 3]


async def test_a_whole_batch_is_taken_in_one_go(memory, monkeypatch):
    bodies = [now(interruption, f"i-{i}", f"e{i}") for i in range(10)]
    async with at_hand(memory, monkeypatch, *bodies) as (_, _, notices):
        begun = time.monotonic()
        await notices._poll(notices._backoff())
        assert len(ids(notices)) == 10
        assert time.monotonic() - begun < 8.0


async def test_an_empty_answer_before_its_time_is_followed_by_a_pause(memory, monkeypatch):
    async with at_hand(memory, monkeypatch, wait_s=2) as (_, proxy, notices):
        # The first poll is of a second, which this queue makes shorter.
        await notices._poll(notices._backoff())
        assert await notices._poll(notices._backoff()) == 0.0
        proxy.faults["ReceiveMessage"] = (200, "Nothing")
        assert await notices._poll(notices._backoff()) == IDLE_S


async def test_where_no_more_notices_fit_it_is_told(memory, monkeypatch):
    async with at_hand(memory, monkeypatch, now(interruption, "i-1", "e1")) as (_, _, notices):
        notices._inbox = Inbox(1800.0, max_held=1)
        await notices._poll(notices._backoff())
        assert (health(notices).state, health(notices).detail) == (
            InputState.OK,
            "no room: 1 notices wait to be settled",
        )


async def test_deletions_wait_for_others_to_fill_their_batch(memory):
    async with (
        queue_at(memory) as queue,
        fault_proxy(memory) as proxy,
        reading(proxy.url, queue.url) as notices,
    ):
        await queue.send(*(now(interruption, f"i-{i}", f"e{i}") for i in range(3)))
        await until(lambda: len(ids(notices)) == 3)
        for i in range(3):
            notices.settle([f"e{i}"])
            for _ in range(5):
                await asyncio.sleep(0)
        await until(lambda: notices.traffic().deleted == 3)
        assert proxy.asked["DeleteMessageBatch"] == 1


async def test_each_request_is_counted_once_and_what_is_gone_makes_room_for_the_next(
    memory, monkeypatch
):
    async with queue_at(memory) as queue, fault_proxy(memory) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", proxy.url)
        await queue.send(now(interruption, "i-1", "e1"), now(interruption, "i-2", "e2"))
        chosen = QueueOptions(queue=queue.url, region="us-east-1")
        async with open_notices(chosen, clock=CLOCK, rng=Random(1)) as notices:
            proxy.faults["ReceiveMessage"] = (403, "AccessDenied")
            assert 0.0 < await notices._poll(notices._backoff()) <= chosen.first_pause_s
            assert notices.traffic().errors == {"denied": 1}
            proxy.faults.clear()
            while len(ids(notices)) < 2:
                await notices._poll(notices._backoff())
            assert await notices._delete(notices._backoff()) == 0.0
            assert notices.traffic().deleted == 0
            notices.settle(["e1", "e2"])
            assert await notices._delete(notices._backoff()) == 0.0
            assert (notices.traffic().deleted, notices.traffic().errors) == (2, {"denied": 1})


async def test_an_outage_is_logged_once_and_so_is_its_end(memory, caplog):
    def said():
        return [(r.levelname, r.message) for r in caplog.records if "notices" in r.name + r.message]

    caplog.set_level(logging.INFO, logger="spotvortex")
    async with (
        queue_at(memory) as queue,
        fault_proxy(memory) as proxy,
        reading(proxy.url, queue.url) as notices,
    ):
        await until(lambda: health(notices).state is InputState.OK)
        assert said() == []
        proxy.faults["ReceiveMessage"] = (403, "AccessDenied")
        await until(lambda: notices.traffic().errors.get("denied", 0) >= 3)
        proxy.faults.clear()
        await until(lambda: health(notices).state is InputState.OK)
        n_asked = proxy.asked["ReceiveMessage"]
        await until(lambda: proxy.asked["ReceiveMessage"] > n_asked)
    assert said() == [("WARNING", "notices.denied"), ("INFO", "notices.recovered")]


async def test_a_queue_that_does_not_answer_grows_old_and_a_stop_does_not_wait_for_it(endpoint):
    async with queue_at(endpoint) as queue, fault_proxy(endpoint) as proxy:
        proxy.faults["ReceiveMessage"] = HANG
        async with reading(proxy.url, queue.url, stop_grace_s=0.2) as notices:
            await until(lambda: proxy.asked["ReceiveMessage"])
            assert health(notices).state is InputState.STALE
            assert health(notices).detail == "the queue has not answered yet"
            stopped = time.monotonic()
        # The answer would come after 60 s.
        assert time.monotonic() - stopped < 15.0


async def test_a_server_that_goes_and_comes_is_read_on(server):
    with server:
        async with queue_at(server.url) as queue, reading(server.url, queue.url) as notices:
            await queue.send(now(interruption, "i-1", "e1"))
            await until(lambda: ids(notices) == ["e1"])
            await asyncio.to_thread(server.__exit__, None, None, None)
            await until(lambda: health(notices).state is InputState.STALE)
            notices.settle(["e1"])
            await until(lambda: notices.traffic().errors.get("unreachable", 0) >= 2)
            await asyncio.to_thread(server.__enter__)
            await until(lambda: health(notices).state is InputState.OK)
            await queue.send(now(interruption, "i-2", "e2"))
            await until(lambda: ids(notices) == ["e2"])


@pytest.mark.parametrize("fault", [(403, "AccessDenied"), (500, "InternalError"), DROP])
async def test_what_cannot_be_deleted_comes_again_and_is_deleted_then(endpoint, fault):
    async with (
        queue_at(endpoint) as queue,
        fault_proxy(endpoint) as proxy,
        reading(proxy.url, queue.url, visibility_s=2) as notices,
    ):
        proxy.faults["DeleteMessageBatch"] = fault
        await queue.send(now(interruption, "i-1", "e1"))
        await until(lambda: ids(notices))
        notices.settle(["e1"])
        await until(lambda: "while delete fails" in health(notices).detail)
        proxy.faults.clear()
        await until_empty(queue)
        assert ids(notices) == []
        assert notices.traffic().notices == {"interruption": 1}
        # The queue is empty before its answer is here.
        await until(lambda: health(notices).state is InputState.OK)


async def test_at_a_stop_what_is_held_goes_back_and_what_is_settled_is_deleted(endpoint):
    async with queue_at(endpoint) as queue:
        async with reading(endpoint, queue.url, stop_grace_s=20.0) as notices:
            await queue.send(now(interruption, "i-1", "e1"), now(interruption, "i-2", "e2"))
            await until(lambda: len(ids(notices)) == 2)
            notices.settle(["e1"])
        assert await queue.counts() == (1, 0)
        async with reading(endpoint, queue.url) as successor:
            await until(lambda: ids(successor) == ["e2"])


async def test_a_stop_waits_no_longer_than_its_grace(endpoint):
    async with queue_at(endpoint) as queue, fault_proxy(endpoint) as proxy:
        async with reading(proxy.url, queue.url, wait_s=20, stop_grace_s=0.3) as notices:
            await until(lambda: health(notices).state is InputState.OK)
            await until(lambda: proxy.asked["ReceiveMessage"])
            stopped = time.monotonic()
        # The poll would end after 20 s.
        assert time.monotonic() - stopped < 15.0


async def test_who_does_not_lead_gives_back_what_it_holds_and_reads_nothing(endpoint):
    leads = True
    async with (
        queue_at(endpoint) as queue,
        fault_proxy(endpoint) as proxy,
        reading(proxy.url, queue.url, stop_grace_s=20.0, may_read=lambda: leads) as notices,
    ):
        await queue.send(now(interruption, "i-1", "e1"))
        await until(lambda: ids(notices))
        leads = False
        await until(lambda: not ids(notices))
        # A poll that was under way may take it once more, and gives it back then.
        await asyncio.sleep(1.5)
        async with asyncio.timeout(SOON_S):
            while await queue.counts() != (1, 0):
                await asyncio.sleep(0.05)
        n_asked = proxy.asked["ReceiveMessage"]
        await asyncio.sleep(1.0)
        assert proxy.asked["ReceiveMessage"] == n_asked
        assert "the replica that leads" in health(notices).detail
        leads = True
        await until(lambda: ids(notices) == ["e1"])


async def test_without_credentials_the_fix_is_told(endpoint, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with queue_at(endpoint, created=False), reading(endpoint, "any") as notices:
        await until(lambda: health(notices).state is InputState.DENIED)
        assert "ServiceAccount" in health(notices).detail


async def test_a_token_file_that_is_not_there_is_told(endpoint, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x")
    async with reading(endpoint, "any") as notices:
        await until(lambda: health(notices).state is InputState.DENIED)
        assert "/nowhere/token" in health(notices).detail


async def test_without_a_region_the_start_is_refused_with_the_fix():
    with pytest.raises(SettingsError, match="AWS_REGION"):
        async with open_notices(QueueOptions(queue="any"), clock=CLOCK, rng=Random(1)):
            raise AssertionError("opened")


async def test_the_region_of_an_url_is_enough():
    url = "https://sqs.eu-west-3.amazonaws.com/123456789012/any"
    async with open_notices(QueueOptions(queue=url), clock=CLOCK, rng=Random(1)) as notices:
        assert health(notices).state is InputState.STALE
