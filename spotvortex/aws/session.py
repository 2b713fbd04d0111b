"""The one door to AWS, and the only module that knows aiobotocore.

Comes in: a service, or a queue's name or URL. Goes out: clients, messages, or an error that says
the fix. Endpoint, credentials and profile are the library's own matter (`AWS_*` variables, the
pod's role). Each use has a client of its own, since a long poll keeps its connection to itself.
Every request is bounded. May not read a message, and does not repeat a request for longer than a
moment: the callers know what a retry is worth.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache, partial
from random import Random
from typing import Any, Final, TypeVar

import aiohttp

from spotvortex.aio import Retries, retried
from spotvortex.aws.inbox import Message
from spotvortex.errors import QueueError, QueueFault, SettingsError

BATCH: Final = 10
"""Most messages of one request (SQS Developer Guide, "Amazon SQS message quotas")."""

CONNECT_S: Final = 5.0
ANSWER_S: Final = 10.0
"""Time for an answer, on top of what a long poll may take."""

_LONGEST_MESSAGE: Final = 256
_REGION: Final = re.compile(r"https?://sqs(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com[./].*")
_HTTP_DENIED: Final = (401, 403)


def rights_to(operation: str) -> str:
    """Say what to give whom AWS refuses an operation, be it a person or a pod."""
    return (
        f"give credentials that may do {operation} (a pod has them by the role of its "
        "ServiceAccount)"
    )


_FIXES: Final[Mapping[QueueFault, str]] = {
    QueueFault.DENIED: rights_to(
        "sqs:GetQueueUrl, sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility "
        "on the queue, and kms:Decrypt on its key"
    ),
    QueueFault.ABSENT: (
        "create the queue, or name the right one, in this account and region, in "
        "SPOTVORTEX_INTERRUPTION_QUEUE"
    ),
    QueueFault.THROTTLED: "fewer readers of one queue, or wait",
    QueueFault.UNREACHABLE: "see to the network way to SQS, or to AWS_ENDPOINT_URL_SQS",
    QueueFault.SERVER: "wait; if it stays, see the AWS Health Dashboard",
}
PASSING: Final = frozenset({QueueFault.THROTTLED, QueueFault.UNREACHABLE, QueueFault.SERVER})

# "Common errors" and the errors of each action in the Amazon SQS API Reference, and those of STS.
# SQS says its errors by the codes of its older query protocol too, which the library prefers.
_FAULTS: Final[Mapping[str, QueueFault]] = {
    "AWS.SimpleQueueService.NonExistentQueue": QueueFault.ABSENT,
    "QueueDoesNotExist": QueueFault.ABSENT,
    "InvalidAddress": QueueFault.ABSENT,
    "AccessDenied": QueueFault.DENIED,
    "AccessDeniedException": QueueFault.DENIED,
    "ExpiredToken": QueueFault.DENIED,
    "ExpiredTokenException": QueueFault.DENIED,
    "InvalidClientTokenId": QueueFault.DENIED,
    "InvalidIdentityToken": QueueFault.DENIED,
    "InvalidSecurity": QueueFault.DENIED,
    "KMS.AccessDeniedException": QueueFault.DENIED,
    "KMS.DisabledException": QueueFault.DENIED,
    "KMS.InvalidStateException": QueueFault.DENIED,
    "KMS.NotFoundException": QueueFault.DENIED,
    "KmsAccessDenied": QueueFault.DENIED,
    "UnrecognizedClientException": QueueFault.DENIED,
    "KMS.ThrottlingException": QueueFault.THROTTLED,
    "KmsThrottled": QueueFault.THROTTLED,
    "OverLimit": QueueFault.THROTTLED,
    "RequestThrottled": QueueFault.THROTTLED,
    "Throttling": QueueFault.THROTTLED,
    "ThrottlingException": QueueFault.THROTTLED,
}

# At DEBUG the library logs whole bodies, and what it signs; at INFO how it found its settings.
for _name in ("aiobotocore", "botocore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

Answer = TypeVar("Answer")


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, QueueError) and error.fault in PASSING


RETRIES: Final = Retries(n_attempts=2, within_s=2.0, first_s=0.5, longest_s=0.5, is_worth=_may_pass)
"""The one policy for SQS. Every request may be sent twice: a message that was received and not
heard of comes again, and a receipt names the very delivery that is deleted or released."""


def region_of(queue: str) -> str:
    """Return the region that a queue's URL names, "" where it names none."""
    found = _REGION.fullmatch(queue)
    return found[1] if found else ""


class QueueClient:
    """A connection to one queue. `name` is what it is called in words."""

    def __init__(self, client: Any, queue: str, rng: Random) -> None:  # noqa: ANN401 - untyped
        self._client = client
        self._rng = rng
        self.name = queue
        self._url = queue if "://" in queue else ""

    async def receive(self, wait_s: int, visibility_s: int) -> list[Message]:
        """Wait for messages, and return up to ten.

        Args:
            wait_s: how long the queue may wait for the first one, 0 to 20.
            visibility_s: how long nobody else gets them.

        Raises:
            QueueError: they could not be had.
        """
        found = await self._ask(
            self._client.receive_message,
            bound_s=wait_s + 2 * ANSWER_S,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=visibility_s,
        )
        return [
            Message(
                id=str(m["MessageId"]),
                receipt=str(m["ReceiptHandle"]),
                # A text may hold what UTF-8 cannot; then it is no event, and is read as none.
                body=str(m.get("Body", "")).encode("utf-8", "replace"),
            )
            for m in found.get("Messages", ())
        ]

    async def delete(self, receipts: list[str]) -> int:
        """Delete up to ten messages and return how many are gone.

        Raises:
            QueueError: none is known to be gone.
        """
        entries = [{"Id": str(i), "ReceiptHandle": r} for i, r in enumerate(receipts)]
        done = await self._ask(self._client.delete_message_batch, Entries=entries)
        return len(done.get("Successful", ()))

    async def release(self, receipts: list[str]) -> int:
        """Give up to ten messages back to the queue, and return how many it has taken back.

        Raises:
            QueueError: of none for certain.
        """
        entries = [
            {"Id": str(i), "ReceiptHandle": r, "VisibilityTimeout": 0}
            for i, r in enumerate(receipts)
        ]
        done = await self._ask(self._client.change_message_visibility_batch, Entries=entries)
        return len(done.get("Successful", ()))

    async def _ask(
        self,
        operation: Callable[..., Awaitable[Any]],
        *,
        bound_s: float = 2 * ANSWER_S,
        **args: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - as the library gives it
        if not self._url:
            look_up = partial(self._client.get_queue_url, QueueName=self.name)
            self._url = str((await self._patiently(look_up, 2 * ANSWER_S))["QueueUrl"])
        return await self._patiently(partial(operation, QueueUrl=self._url, **args), bound_s)

    async def _patiently(
        self,
        request: Callable[[], Awaitable[Any]],
        bound_s: float,
    ) -> Any:  # noqa: ANN401 - as the library gives it
        async def once() -> Any:  # noqa: ANN401
            return await _answer(self.name, request(), bound_s)

        return await retried(once, RETRIES, self._rng)


@asynccontextmanager
async def open_queue(
    queue: str, *, region: str, wait_s: int, n_connections: int, rng: Random
) -> AsyncIterator[QueueClient]:
    """Open a client of its own for one queue; nothing is asked yet.

    Args:
        queue: its URL, or its name in the account and region of the credentials.
        region: the region of a queue that is given by name; "" leaves it to the AWS profile.
        wait_s: the longest long poll.
        n_connections: most requests at once.
        rng: for the jitter of pauses.

    Raises:
        SettingsError: no region is known, or a setting of AWS is wrong.
    """
    region = region_of(queue) or region
    try:
        async with open_client("sqs", region, wait_s, n_connections) as client:
            yield QueueClient(client, queue, rng)
    except NoClientError as error:
        raise SettingsError(
            f"no client for SPOTVORTEX_INTERRUPTION_QUEUE={queue[:_LONGEST_MESSAGE]}: {error}; "
            "give the queue's URL, or set AWS_REGION"
        ) from error.__cause__


class NoClientError(Exception):
    """No client could be made; the cause says why."""


@asynccontextmanager
async def open_client(
    service: str, region: str, wait_s: int, n_connections: int
) -> AsyncIterator[Any]:
    """Open a client of its own for one service, which repeats no request by itself.

    Raises:
        NoClientError: no region is known, or a setting of AWS is wrong.
    """
    # 25 to 40 MiB, which only who needs AWS pays.
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        # Reads the profile too, which may be none.
        make = await asyncio.to_thread(_opening, service, region, wait_s, n_connections)
        opening = make()
        client = await opening.__aenter__()
    except (BotoCoreError, ValueError) as error:
        raise NoClientError(str(error)) from error
    try:
        yield client
    finally:
        await opening.__aexit__(None, None, None)


def _opening(service: str, region: str, wait_s: int, n_connections: int) -> Callable[[], Any]:
    """Return what opens a client, with the service's description read from disk: 10 MB of EC2.

    On the loop this is a stall of a quarter of a second. What was read stays, and is kept out of
    garbage collections: one that walks through it holds every thread for a tenth of a second.
    """
    from aiobotocore.config import AioConfig  # noqa: PLC0415
    from aiobotocore.session import get_session  # noqa: PLC0415

    session = get_session()
    loader = _descriptions(session.get_config_variable("data_path"))
    session.register_component("data_loader", loader)
    for kind in ("service-2", "endpoint-rule-set-1"):
        loader.load_service_model(service, kind)
    loader.load_data("endpoints")
    gc.freeze()
    config = AioConfig(
        connect_timeout=CONNECT_S,
        read_timeout=wait_s + ANSWER_S,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=n_connections,
    )
    return partial(session.create_client, service, region_name=region or None, config=config)


@cache
def _descriptions(data_path: str | None) -> Any:  # noqa: ANN401 - untyped
    """Return what reads descriptions of services, and keeps them: one for all sessions.

    Each client has a session of its own, and so what credentials say at its opening.
    """
    from botocore.loaders import create_loader  # noqa: PLC0415

    return create_loader(data_path)


class RequestFailedError(Exception):
    """A request that failed: the kind of error, and what was said."""

    def __init__(self, fault: QueueFault, words: str) -> None:
        super().__init__(words)
        self.fault, self.words = fault, words


async def _answer(queue: str, request: Awaitable[Answer], bound_s: float) -> Answer:
    """Wait for an answer of a queue."""
    try:
        return await answered(request, bound_s)
    except RequestFailedError as trouble:
        raise _error(queue, trouble.fault, trouble.words) from trouble.__cause__


async def answered(request: Awaitable[Answer], bound_s: float) -> Answer:
    """Wait for an answer, the one place where errors are mapped."""
    # See open_client.
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    try:
        # Credentials are fetched on the way, which only this bounds.
        async with asyncio.timeout(bound_s):
            return await request
    except ClientError as error:
        raise _refusal(error.response) from error
    except ResponseParserError as error:
        raise RequestFailedError(QueueFault.SERVER, "an answer that cannot be read") from error
    except BotoCoreError as error:
        raise RequestFailedError(_fault_of_library(type(error).__name__), str(error)) from error
    except TimeoutError as error:
        raise RequestFailedError(QueueFault.UNREACHABLE, f"no answer in {bound_s:.0f} s") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise RequestFailedError(QueueFault.UNREACHABLE, str(error)) from error
    except OSError as error:
        # The file with the pod's token is not there.
        raise RequestFailedError(QueueFault.DENIED, str(error)) from error


def _fault_of_library(name: str) -> QueueFault:
    """Tell missing credentials from a broken connection, by the name of the error."""
    is_credentials = any(word in name for word in ("Credential", "Token", "Auth", "Profile", "SSO"))
    return QueueFault.DENIED if is_credentials else QueueFault.UNREACHABLE


def _refusal(response: Mapping[str, Any]) -> RequestFailedError:
    told = response.get("Error", {})
    code = str(told.get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    fault = _FAULTS.get(code)
    if fault is None:
        fault = QueueFault.DENIED if status in _HTTP_DENIED else QueueFault.SERVER
    return RequestFailedError(fault, f"{code}: {told.get('Message', '')}")


def _error(queue: str, fault: QueueFault, words: str) -> QueueError:
    text = f"{queue[:_LONGEST_MESSAGE]}: {short_words(words)}; {_FIXES[fault]}"
    return QueueError(text, fault=fault)


def short_words(words: str) -> str:
    """Return a message on one line, and not for ever."""
    return " ".join(words.split())[:_LONGEST_MESSAGE]
