"""A request to the queue is sent once more where that may help, by our own policy alone."""

import gc
import time
from random import Random

import pytest

from spotvortex.aws import session
from spotvortex.aws.session import RETRIES, open_queue
from spotvortex.errors import QueueError, QueueFault, SettingsError
from tests.aws.conftest import queue_at
from tests.aws.faults import DROP, HANG, PAGE, fault_proxy


class Script(dict):
    """Faults of an operation, each for one request."""

    def get(self, operation, default=None):
        return self[operation].pop(0) if self.setdefault(operation, []) else default


async def receive(memory, monkeypatch, *faults):
    """Ask once, and return the messages or the error, and how many requests it took."""
    async with queue_at(memory) as queue, fault_proxy(memory) as proxy:
        proxy.faults = Script({"ReceiveMessage": list(faults)})
        await queue.send("a text")
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", proxy.url)
        opening = open_queue(
            queue.url, region="us-east-1", wait_s=1, n_connections=2, rng=Random(1)
        )
        async with opening as client:
            try:
                answer = await client.receive(1, 30)
            except QueueError as error:
                answer = error
        return answer, proxy.asked["ReceiveMessage"]


@pytest.mark.parametrize(("by", "operation"), [("url", "ReceiveMessage"), ("name", "GetQueueUrl")])
async def test_what_is_not_answered_is_given_up_after_twice_the_time_of_an_answer(
    memory, monkeypatch, by, operation
):
    async with queue_at(memory) as queue, fault_proxy(memory) as proxy:
        proxy.faults[operation] = HANG
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", proxy.url)
        opening = open_queue(
            getattr(queue, by), region="us-east-1", wait_s=1, n_connections=2, rng=Random(1)
        )
        async with opening as client:
            monkeypatch.setattr(session, "ANSWER_S", 1.0)
            begun = time.monotonic()
            with pytest.raises(QueueError, match="no answer in 2 s"):
                await client.receive(0, 30)
            assert 2.0 <= time.monotonic() - begun < 60.0
        assert proxy.asked[operation] == 1, "there was no time left for another attempt"


async def test_a_batch_is_deleted_and_released_and_what_is_done_is_counted(memory, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", memory)
    async with queue_at(memory) as queue:
        opening = open_queue(
            queue.url, region="us-east-1", wait_s=1, n_connections=2, rng=Random(1)
        )
        await queue.send("a", "b", "c")
        async with opening as client:
            held = await client.receive(0, 30)
            assert await queue.counts() == (0, 3)
            first, *others = [message.receipt for message in held]
            assert await client.delete([first, "of nobody"]) == 1
            assert await client.release(others) == 2
            assert await queue.counts() == (2, 0)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("NoCredentialsError", QueueFault.DENIED),
        ("TokenRetrievalError", QueueFault.DENIED),
        ("ProfileNotFound", QueueFault.DENIED),
        ("EndpointConnectionError", QueueFault.UNREACHABLE),
    ],
)
def test_missing_credentials_are_told_from_a_broken_connection(name, fault):
    assert session._fault_of_library(name) is fault


@pytest.mark.parametrize(
    ("queue", "region"),
    [
        ("https://sqs.eu-west-3.amazonaws.com/123456789012/q", "eu-west-3"),
        ("https://sqs-fips.us-gov-west-1.amazonaws.com/1/q", "us-gov-west-1"),
        ("http://127.0.0.1:4566/1/q", ""),
        ("q", ""),
    ],
)
def test_a_region_is_read_from_the_url_of_aws_alone(queue, region):
    assert session.region_of(queue) == region


@pytest.mark.parametrize("fault", [(500, "InternalError"), (400, "RequestThrottled"), PAGE, DROP])
async def test_what_may_pass_is_asked_once_more(memory, monkeypatch, fault):
    (message,), n_asked = await receive(memory, monkeypatch, fault)
    assert (message.body, n_asked) == (b"a text", 2)


async def test_what_stays_is_told_after_the_last_attempt_and_the_library_adds_none(
    memory, monkeypatch
):
    error, n_asked = await receive(memory, monkeypatch, *[PAGE] * 9)
    assert (error.fault, n_asked) == (QueueFault.SERVER, RETRIES.n_attempts)


async def test_a_refusal_is_asked_once(memory, monkeypatch):
    error, n_asked = await receive(memory, monkeypatch, (403, "AccessDenied"), PAGE)
    assert (error.fault, n_asked) == (QueueFault.DENIED, 1)
    assert "give credentials that may do sqs:GetQueueUrl" in str(error)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("KMS.AccessDeniedException", QueueFault.DENIED),
        ("KMS.DisabledException", QueueFault.DENIED),
        ("KMS.InvalidStateException", QueueFault.DENIED),
        ("KMS.NotFoundException", QueueFault.DENIED),
        ("KMS.ThrottlingException", QueueFault.THROTTLED),
    ],
)
async def test_trouble_with_the_key_of_a_queue_is_told_from_an_outage(
    memory, monkeypatch, code, fault
):
    error, _ = await receive(memory, monkeypatch, *[(400, code)] * 2)
    assert error.fault is fault
    assert "kms:Decrypt" in str(error) or fault is QueueFault.THROTTLED


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_CONFIG_FILE"])
async def test_a_profile_that_is_none_is_refused_in_words(monkeypatch, tmp_path, name):
    broken = tmp_path / "config"
    broken.write_text("[default\nregion=")
    monkeypatch.setenv(name, {"AWS_PROFILE": "absent"}.get(name, str(broken)))
    opening = open_queue("q", region="us-east-1", wait_s=1, n_connections=1, rng=Random(1))
    with pytest.raises(SettingsError, match=r"SPOTVORTEX_INTERRUPTION_QUEUE=q: (The|Unable)"):
        await opening.__aenter__()


async def test_what_a_client_has_read_is_kept_out_of_garbage_collections(memory):
    async with queue_at(memory) as queue:
        n_frozen = gc.get_freeze_count()
        try:
            opening = open_queue(
                queue.url, region="us-east-1", wait_s=1, n_connections=2, rng=Random(1)
            )
            async with opening:
                assert gc.get_freeze_count() > n_frozen
        finally:
            gc.unfreeze()
