"""A small SQS in memory: standard queues behind the JSON protocol, on a thread of its own.

It knows what our edge and its tests ask for, and is fast enough to measure the edge with. It keeps
what moto keeps (long polls, visibility, receipts, errors by code), and passes the same tests.

Usage, as a process of its own: python -m tests.aws.memory_sqs
"""

import asyncio
import hashlib
import itertools
import json
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

LARGEST_BYTES = 256 * 1024
VISIBILITY_S = 30
_JSON = "application/x-amz-json-1.0"


class RefusedError(Exception):
    """An answer with an error code."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(slots=True)
class Stored:
    """One message; `visible_at` is loop time, and only the newest `receipt` deletes it."""

    id: str
    body: str
    md5: str
    visible_at: float = 0.0
    receipt: str = ""


@dataclass(slots=True)
class Queue:
    """Messages that may be received in `ready`, all of them in `stored`, by id."""

    url: str
    stored: dict[str, Stored] = field(default_factory=dict)
    ready: deque[str] = field(default_factory=deque)
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def wake(self) -> None:
        """Let one long poll look again."""
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class MemorySqs:
    """The server; use it as a context manager.

    A port of 0 takes a free one. A poll of one second, the shortest long poll that there is, is
    held open for `second_s`: a test whose queue is empty waits for many of them.
    """

    def __init__(self, port: int = 0, *, second_s: float = 1.0) -> None:
        self._port, self._second_s = port, second_s
        self._queues: dict[str, Queue] = {}
        self._serial = itertools.count(1)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._operations: dict[str, Callable[[dict[str, Any]], Any]] = {
            "CreateQueue": self._create_queue,
            "GetQueueUrl": self._get_queue_url,
            "GetQueueAttributes": self._get_queue_attributes,
            "SendMessage": self._send_message,
            "SendMessageBatch": self._send_message_batch,
            "DeleteMessage": self._delete_message,
            "DeleteMessageBatch": self._delete_message_batch,
            "ChangeMessageVisibility": self._change_visibility,
            "ChangeMessageVisibilityBatch": self._change_visibility_batch,
        }

    def __enter__(self) -> Self:
        started: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(started,), name="memory-sqs")
        self._thread.start()
        started.get(timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """The endpoint; the port stays over a second start."""
        return f"http://127.0.0.1:{self._port}"

    def _run(self, started: queue.SimpleQueue[None]) -> None:
        asyncio.run(self._serve(started))

    async def _serve(self, started: queue.SimpleQueue[None]) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        for one in self._queues.values():
            one.waiting.clear()
        app = web.Application(client_max_size=4 * 2**20)
        app.router.add_post("/", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        self._port = runner.addresses[0][1]
        started.put(None)
        await self._end.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        asked = json.loads(await request.read())
        try:
            if operation == "ReceiveMessage":
                return _reply(await self._receive(asked))
            return _reply(self._operations.get(operation, _unknown)(asked))
        except RefusedError as refused:
            body = {"__type": f"com.amazonaws.sqs#{refused.code}", "message": str(refused)}
            return _reply(body, status=refused.status, code=refused.code)

    def _queue(self, asked: dict[str, Any]) -> Queue:
        name = str(asked.get("QueueUrl") or asked.get("QueueName")).rpartition("/")[2]
        if name not in self._queues:
            raise RefusedError("QueueDoesNotExist", "The specified queue does not exist.")
        return self._queues[name]

    def _create_queue(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["QueueName"]
        self._queues.setdefault(name, Queue(url=f"{self.url}/123456789012/{name}"))
        return self._get_queue_url(asked)

    def _get_queue_url(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"QueueUrl": self._queue(asked).url}

    def _get_queue_attributes(self, asked: dict[str, Any]) -> dict[str, Any]:
        one, now = self._queue(asked), time.monotonic()
        n_hidden = sum(m.visible_at > now for m in one.stored.values())
        counts = {
            "ApproximateNumberOfMessages": str(len(one.stored) - n_hidden),
            "ApproximateNumberOfMessagesNotVisible": str(n_hidden),
        }
        return {"Attributes": counts}

    def _send_message(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._store(self._queue(asked), asked["MessageBody"])

    def _send_message_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        one = self._queue(asked)
        sent = [{"Id": e["Id"]} | self._store(one, e["MessageBody"]) for e in asked["Entries"]]
        return {"Successful": sent}

    def _store(self, one: Queue, body: str) -> dict[str, str]:
        if len(body.encode()) > LARGEST_BYTES:
            raise RefusedError("InvalidParameterValue", "One or more parameters are invalid.")
        md5 = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
        message = Stored(id=f"message-{next(self._serial)}", body=body, md5=md5)
        one.stored[message.id] = message
        one.ready.append(message.id)
        one.wake()
        return {"MessageId": message.id, "MD5OfMessageBody": md5}

    async def _receive(self, asked: dict[str, Any]) -> dict[str, Any]:
        one, n = self._queue(asked), asked.get("MaxNumberOfMessages", 1)
        wait_s = asked.get("WaitTimeSeconds", 0)
        if not 1 <= n <= 10 or not 0 <= wait_s <= 20:
            raise RefusedError("InvalidParameterValue", "Value is invalid.")
        loop = asyncio.get_running_loop()
        until = loop.time() + (self._second_s if wait_s == 1 else wait_s)
        while True:  # ends with a message, or with the wait
            found = self._pick(one, n, asked.get("VisibilityTimeout", VISIBILITY_S))
            if found or loop.time() >= until:
                return {"Messages": found} if found else {}
            waiter = loop.create_future()
            one.waiting.append(waiter)
            await asyncio.wait((waiter,), timeout=until - loop.time())
            waiter.cancel()

    def _pick(self, one: Queue, n: int, visibility_s: int) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        while one.ready and len(found) < n:
            message = one.stored.get(one.ready.popleft())
            if message is None:
                continue
            message.receipt = f"{message.id}/{next(self._serial)}"
            self._hide(one, message, visibility_s)
            found.append(
                {
                    "MessageId": message.id,
                    "ReceiptHandle": message.receipt,
                    "MD5OfBody": message.md5,
                    "Body": message.body,
                }
            )
        return found

    def _hide(self, one: Queue, message: Stored, seconds: float) -> None:
        """Hide a message; it is ready again when nobody has hidden or deleted it meanwhile."""
        message.visible_at = until = time.monotonic() + seconds

        def show() -> None:
            if message.id in one.stored and message.visible_at == until:
                one.ready.append(message.id)
                one.wake()

        if seconds:
            self._loop.call_later(seconds, show)
        else:
            show()

    def _held(self, one: Queue, asked: dict[str, Any]) -> Stored | None:
        """Return the message of a receipt, None where it is gone; an old receipt names none."""
        message_id, slash, _ = str(asked["ReceiptHandle"]).partition("/")
        if not slash:
            raise RefusedError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
        message = one.stored.get(message_id)
        return message if message and message.receipt == asked["ReceiptHandle"] else None

    def _delete_message(self, asked: dict[str, Any]) -> dict[str, Any]:
        one = self._queue(asked)
        message = self._held(one, asked)
        if message is not None:
            del one.stored[message.id]
        return {}

    def _change_visibility(self, asked: dict[str, Any]) -> dict[str, Any]:
        one = self._queue(asked)
        message = self._held(one, asked)
        if message is not None:
            self._hide(one, message, asked["VisibilityTimeout"])
        return {}

    def _delete_message_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        return _each(self._delete_message, asked)

    def _change_visibility_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        return _each(self._change_visibility, asked)


def _unknown(asked: dict[str, Any]) -> None:
    raise RefusedError("InvalidAction", "no such operation here")


def _each(one: Callable[[dict[str, Any]], Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Do each entry of a batch by itself, and tell those that failed."""
    entries = asked["Entries"]
    if not 1 <= len(entries) <= 10:
        raise RefusedError("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "1 to 10 entries")
    done: dict[str, list[dict[str, Any]]] = {"Successful": [], "Failed": []}
    for entry in entries:
        try:
            one({"QueueUrl": asked["QueueUrl"]} | entry)
        except RefusedError as refused:
            failure = {"Id": entry["Id"], "Code": refused.code, "SenderFault": True}
            done["Failed"].append(failure)
        else:
            done["Successful"].append({"Id": entry["Id"]})
    return done


def _reply(body: object, *, status: int = 200, code: str = "") -> web.Response:
    headers = {"x-amzn-query-error": f"{code};Sender"} if code else None
    text = json.dumps(body)
    return web.Response(text=text, status=status, content_type=_JSON, headers=headers)


def main() -> None:
    """Serve until standard input ends; the first line printed is the endpoint."""
    with MemorySqs() as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
