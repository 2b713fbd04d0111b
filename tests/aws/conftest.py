"""Queues to test against: moto's, and our own in memory; both over HTTP on loopback."""

import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import cache
from typing import Any

import pytest
from aiohttp import ClientSession
from botocore.loaders import create_loader

from tests.aws.memory_sqs import MemorySqs
from tests.controlplane.processes.ports import free_port

Server = AbstractContextManager[Any]


class Moto:
    """moto's server on a thread; what it holds, and its port, stay over a second start.

    The port is none that a system gives to outgoing connections: while the server is away, nobody
    else may get it, least of all a client that asks for it.
    """

    def __init__(self) -> None:
        self._port = free_port()

    def __enter__(self) -> "Moto":
        # Half a second of imports, which only those pay who ask for it.
        from moto.server import ThreadedMotoServer  # noqa: PLC0415

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        # moto leaves its listening socket to the garbage collector.
        self._server._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"


MAKERS: dict[str, Callable[[], Any]] = {
    "moto": Moto,
    "memory": lambda: MemorySqs(free_port(), second_s=0.2),
}
BOTH = ["memory", pytest.param("moto", marks=pytest.mark.program)]


@contextmanager
def silent() -> Iterator[None]:
    """Keep the server's own log of requests out of the tests'."""
    log = logging.getLogger("werkzeug")
    level, log.level = log.level, logging.CRITICAL
    try:
        yield
    finally:
        log.level = level


@pytest.fixture(scope="session", params=BOTH)
def endpoint(request) -> Iterator[str]:
    """An SQS endpoint for the whole session; each test has a queue of its own name."""
    with silent(), MAKERS[request.param]() as server:
        yield server.url


@pytest.fixture(scope="session")
def memory() -> Iterator[str]:
    """Our own endpoint, where another one would add nothing."""
    with MemorySqs(second_s=0.2) as server:
        yield server.url


@pytest.fixture(params=BOTH)
def server(request) -> Iterator[Any]:
    """An SQS server that the test itself enters and leaves."""
    with silent():
        yield MAKERS[request.param]()


@pytest.fixture(scope="session", autouse=True)
def _service_descriptions() -> Iterator[None]:
    """Read botocore's descriptions of services once, and not for each client again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", cache(create_loader))
        yield


@pytest.fixture(autouse=True)
def _aws_environment(monkeypatch) -> None:
    """Credentials of the test's own, and no way to those of the machine."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class Queue:
    """A queue, filled and counted by plain requests of the test's own."""

    def __init__(self, http: ClientSession, endpoint: str, name: str) -> None:
        self._http = http
        self._endpoint = endpoint
        self.name = name
        self.url = ""

    async def _ask(self, operation: str, **asked: Any) -> dict[str, Any]:
        headers = {
            "X-Amz-Target": f"AmazonSQS.{operation}",
            "Authorization": "AWS4-HMAC-SHA256 Credential=t/20260101/us-east-1/sqs/aws4_request",
            "Content-Type": "application/x-amz-json-1.0",
        }
        body = json.dumps(asked)
        async with self._http.post(self._endpoint, data=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            return json.loads(await response.read() or b"{}")

    async def create(self) -> None:
        self.url = (await self._ask("CreateQueue", QueueName=self.name))["QueueUrl"]

    async def send(self, *bodies: str) -> None:
        for body in bodies:
            await self._ask("SendMessage", QueueUrl=self.url, MessageBody=body)

    async def counts(self) -> tuple[int, int]:
        """Messages that may be received now, and messages in somebody's hands."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = await self._ask("GetQueueAttributes", QueueUrl=self.url, AttributeNames=names)
        return int(told["Attributes"][names[0]]), int(told["Attributes"][names[1]])


@asynccontextmanager
async def queue_at(endpoint: str, *, created: bool = True) -> AsyncIterator[Queue]:
    name = f"notices-{uuid.uuid4().hex[:12]}"
    async with ClientSession() as http:
        queue = Queue(http, endpoint, name)
        if created:
            await queue.create()
        yield queue
