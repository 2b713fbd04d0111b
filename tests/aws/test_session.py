"""A request to the queue is sent once more where that may help, by our own policy alone."""

from random import Random

import pytest

from spotvortex.aws.session import RETRIES, open_queue
from spotvortex.errors import QueueError, QueueFault
from tests.aws.conftest import queue_at
from tests.aws.faults import DROP, PAGE, fault_proxy


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
