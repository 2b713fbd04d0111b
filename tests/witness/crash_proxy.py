"""A proxy between a daemon and the API server that reads each request and can make it go wrong.

It ends TLS with the API server's own certificate, so that a kubeconfig for it differs by its port
alone. Each request has a kind (kinds.py); by kind and number a test kills the daemon right before
or right after a request, gives answers of its own, delays, cuts or drops. Watches pass through
piece by piece. It runs on a thread of its own.
"""

from __future__ import annotations

import asyncio
import fnmatch
import os
import queue
import signal
import ssl
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from tests.controlplane.cluster import ControlPlane
from tests.witness.judge.kinds import classify, is_mutating

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_SEEN = 200_000
_HOPS = {"connection", "keep-alive", "transfer-encoding", "host", "content-length", "upgrade"}


class Do(StrEnum):
    """What happens to a request that a fault is meant for."""

    KILL_BEFORE = "kill-before"
    """Kill, and never pass the request on."""
    KILL_AFTER = "kill-after"
    """Pass it on, kill once the server has answered, and never pass the answer back."""
    ANSWER = "answer"
    """Answer in the server's place."""
    SLOW = "slow"
    """Pass the answer back later."""
    CUT = "cut"
    """Pass half of the answer's body back, and close."""
    DROP = "drop"
    """Close without passing the request on."""
    LOSE = "lose"
    """Pass the request on, and close without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer in the server's place."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it came in; `number` counts those of its kind from 1."""

    kind: str
    number: int
    method: str
    uri: str
    body: bytes
    mutating: bool


@dataclass(slots=True, kw_only=True)
class Fault:
    """What to do with which requests; made by `CrashProxy.arm`, and tells how often it was."""

    pattern: str
    do: Do
    first: int
    left: int
    pid: int = 0
    seconds: float = 0.0
    reply: Reply | None = None
    n_met: int = 0
    n_done: int = 0

    def takes(self, seen: Seen) -> bool:
        """Tell whether it is this request's turn, and count it."""
        fits = seen.mutating if self.pattern == "mutating" else _fits(seen.kind, self.pattern)
        if not fits:
            return False
        self.n_met += 1
        if self.n_met < self.first or self.left <= 0:
            return False
        self.left -= 1
        self.n_done += 1
        return True


def _fits(kind: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(kind, pattern)


class CrashProxy:
    """The proxy before one control plane; use it as a context manager."""

    def __init__(self, plane: ControlPlane) -> None:
        self._target = URL(plane.url)
        self._trust = plane.ssl_context()
        self._own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate = plane.layout.certificates / "apiserver"
        self._own.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._counts: Counter[str] = Counter()
        self._seen: deque[Seen] = deque(maxlen=MAX_SEEN)
        self._port = 0
        self._transports: set[asyncio.BaseTransport] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._open, self._end = asyncio.Event(), asyncio.Event()
        self._session: aiohttp.ClientSession | None = None

    def __enter__(self) -> Self:
        started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(started,), name="crash-proxy")
        self._thread.start()
        error = started.get(timeout=20)
        if error is not None:
            self._thread.join(10)
            raise error
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._call(self._end.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        """The URL for `ControlPlane.kubeconfig(user, server=...)`."""
        return f"https://127.0.0.1:{self._port}"

    # -- what was seen ------------------------------------------------------

    def counts(self, *, mutating: bool = True) -> dict[str, int]:
        """Return how many requests of each kind came in, by default only those that write."""
        with self._lock:
            kinds = {seen.kind for seen in self._seen if seen.mutating or not mutating}
            return {kind: self._counts[kind] for kind in sorted(kinds)}

    def seen(self, pattern: str = "*") -> list[Seen]:
        """Return the requests of some kinds, oldest first."""
        with self._lock:
            return [seen for seen in self._seen if _fits(seen.kind, pattern)]

    # -- faults -------------------------------------------------------------

    def kill(self, pid: int, kind: str, *, n: int = 1, after: bool = False) -> Fault:
        """Kill a process with SIGKILL at the n-th request of a kind from now on.

        Args:
            pid: whom to kill.
            kind: a kind, a pattern with `*`, or `mutating` for every request that writes.
            n: counted from 1, from now on.
            after: once the server has answered, else before it is asked.
        """
        do = Do.KILL_AFTER if after else Do.KILL_BEFORE
        return self.arm(Fault(pattern=kind, do=do, first=n, left=1, pid=pid))

    def answer(self, kind: str, reply: Reply, *, times: int = 1, n: int = 1) -> Fault:
        """Answer the next requests of a kind in the server's place."""
        return self.arm(Fault(pattern=kind, do=Do.ANSWER, first=n, left=times, reply=reply))

    def slow(self, kind: str, seconds: float, *, times: int = 1) -> Fault:
        """Delay the answers to the next requests of a kind."""
        return self.arm(Fault(pattern=kind, do=Do.SLOW, first=1, left=times, seconds=seconds))

    def cut(self, kind: str, *, times: int = 1) -> Fault:
        """Cut the bodies of the answers to the next requests of a kind in half."""
        return self.arm(Fault(pattern=kind, do=Do.CUT, first=1, left=times))

    def drop(self, kind: str, *, times: int = 1) -> Fault:
        """Close the connections of the next requests of a kind, which the server never sees."""
        return self.arm(Fault(pattern=kind, do=Do.DROP, first=1, left=times))

    def lose(self, kind: str, *, times: int = 1) -> Fault:
        """Carry the next requests of a kind out, and lose their answers."""
        return self.arm(Fault(pattern=kind, do=Do.LOSE, first=1, left=times))

    def arm(self, fault: Fault) -> Fault:
        """Add a fault; of several that fit, the oldest one acts."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def disarm(self) -> None:
        """Take every fault away."""
        with self._lock:
            self._faults.clear()

    def partition(self) -> None:
        """Carry nothing from now on; connections stay open, and new ones are accepted."""
        self._call(self._open.clear)

    def heal(self) -> None:
        """Carry again, and what was held back first."""
        self._call(self._open.set)

    @contextmanager
    def partitioned(self) -> Iterator[None]:
        """Carry nothing for as long as the block lasts."""
        self.partition()
        try:
            yield
        finally:
            self.heal()

    def reset_all(self) -> None:
        """Close every connection, watches too."""
        self._call(self._abort_all)

    # -- carrying -----------------------------------------------------------

    def _call(self, function: Callable[[], object]) -> None:
        assert self._loop is not None
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (function(), done.set()))
        assert done.wait(10)

    def _run(self, started: queue.SimpleQueue[BaseException | None]) -> None:
        try:
            asyncio.run(self._serve(started))
        except OSError as error:
            started.put(error)

    async def _serve(self, started: queue.SimpleQueue[BaseException | None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._open.set()
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5
        )
        await runner.setup()
        connector = aiohttp.TCPConnector(ssl=self._trust, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False
        ) as self._session:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._own)
            await site.start()
            self._port = runner.addresses[0][1]
            started.put(None)
            await self._end.wait()
            self._open.set()
            self._abort_all()
            await runner.cleanup()

    def _abort_all(self) -> None:
        for transport in list(self._transports):
            transport.abort()  # type: ignore[attr-defined]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._transports.add(transport)
        try:
            body = await request.read()
            fault = self._note(request, body)
            await self._open.wait()
            return await self._act(request, body, fault)
        except aiohttp.ClientError:
            return self._close(request)
        finally:
            self._transports.discard(transport)

    def _note(self, request: web.Request, body: bytes) -> Fault | None:
        kind = classify(request.method, request.raw_path, body)
        with self._lock:
            self._counts[kind] += 1
            seen = Seen(
                kind=kind,
                number=self._counts[kind],
                method=request.method,
                uri=request.raw_path,
                body=body,
                mutating=is_mutating(kind, request.method),
            )
            self._seen.append(seen)
            return next((fault for fault in self._faults if fault.takes(seen)), None)

    async def _act(
        self, request: web.Request, body: bytes, fault: Fault | None
    ) -> web.StreamResponse:
        if fault is None:
            return await self._stream(request, body)
        match fault.do:
            case Do.ANSWER:
                return _written(fault.reply)
            case Do.DROP:
                return self._close(request)
            case Do.KILL_BEFORE:
                _kill(fault.pid)
                return self._close(request)
        answer = await self._whole(request, body)
        match fault.do:
            case Do.KILL_AFTER:
                _kill(fault.pid)
                return self._close(request)
            case Do.CUT:
                return await self._half(request, answer)
            case Do.SLOW:
                await asyncio.sleep(fault.seconds)
                return _written(answer)
            case _:
                return self._close(request)

    async def _whole(self, request: web.Request, body: bytes) -> Reply:
        async with self._forward(request, body) as answer:
            content = await answer.read()
            headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOPS}
            return Reply(status=answer.status, body=content, headers=headers)

    async def _stream(self, request: web.Request, body: bytes) -> web.StreamResponse:
        async with self._forward(request, body) as answer, _ending(answer):
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOPS:
                    response.headers[name] = value
            response.content_length = answer.content_length
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await self._open.wait()
                await response.write(piece)
            await self._open.wait()
            await response.write_eof()
            return response

    async def _half(self, request: web.Request, answer: Reply) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
        response.content_length = len(answer.body)
        await response.prepare(request)
        await response.write(answer.body[: len(answer.body) // 2])
        # Closed in order, so that what was written arrives; the client still misses the rest.
        if request.transport is not None:
            request.transport.close()
        return response

    def _forward(self, request: web.Request, body: bytes) -> aiohttp.client._RequestContextManager:
        assert self._session is not None
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOPS}
        url = URL(f"{self._target}".rstrip("/") + request.raw_path, encoded=True)
        return self._session.request(
            request.method,
            url,
            headers=headers,
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    def _close(self, request: web.Request) -> web.StreamResponse:
        """End the connection without an answer."""
        if request.transport is not None:
            request.transport.abort()  # type: ignore[attr-defined]
        return web.Response(status=502)


@asynccontextmanager
async def _ending(answer: aiohttp.ClientResponse) -> AsyncIterator[None]:
    """Abort the server's connection where its answer is left half read.

    Closed in order, TLS would wait for the server, and the loop may be gone before it answers.
    """
    try:
        yield
    finally:
        if answer.connection is not None and answer.connection.transport is not None:
            answer.connection.transport.abort()


def _written(reply: Reply | None) -> web.Response:
    assert reply is not None
    headers = {"Content-Type": "application/json", **reply.headers}
    return web.Response(status=reply.status, body=reply.body, headers=headers)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
