"""A loopback TCP proxy that can lose the network between a client and the API server.

It passes bytes through untouched (TLS stays end to end; the API server's
certificate is valid for 127.0.0.1) and runs on a thread of its own, so that
blocking and asynchronous tests alike can break and mend the way.
"""

import asyncio
import queue
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Self
from urllib.parse import urlsplit

_CHUNK_BYTES = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: close sends a reset


class LoopbackProxy:
    """A proxy before one URL; use it as a context manager.

    Args:
        target: the URL behind it, e.g. that of a `ControlPlane`.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._scheme, self._host, self._port = parts.scheme, parts.hostname, parts.port
        self._listen_port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._end = asyncio.Event()
        self.n_accepted = 0

    def __enter__(self) -> Self:
        started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(started,), name="proxy")
        self._thread.start()
        error = started.get(timeout=10)
        if error is not None:
            self._thread.join(10)
            raise error
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The URL that clients use in place of the target's."""
        return f"{self._scheme}://127.0.0.1:{self._listen_port}"

    def partition(self) -> None:
        """Lose everything from now on: connections stay open, are accepted, and carry nothing."""
        self._call(self._set_open(is_open=False))

    def heal(self) -> None:
        """Carry again, held back bytes first, as TCP does after an outage."""
        self._call(self._set_open(is_open=True))

    def cut(self) -> None:
        """Reset all connections; new ones are accepted."""
        self._call(self._cut())

    def close(self) -> None:
        """Reset all connections, stop listening and end the thread."""
        if self._thread is None or self._loop is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        self._thread = None

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
            raise RuntimeError("the proxy does not run")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _run(self, started: queue.SimpleQueue[BaseException | None]) -> None:
        try:
            asyncio.run(self._serve(started))
        except OSError as error:
            started.put(error)

    async def _serve(self, started: queue.SimpleQueue[BaseException | None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._open.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._listen_port = server.sockets[0].getsockname()[1]
        started.put(None)
        await self._end.wait()
        server.close()
        await self._cut()
        await server.wait_closed()

    async def _set_open(self, *, is_open: bool) -> None:
        if is_open:
            self._open.set()
        else:
            self._open.clear()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            raw = writer.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()
        # Copied, because each removes itself; awaited, so that the reset has happened on return.
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        if connections:
            await asyncio.wait(connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._writers.add(writer)
        self.n_accepted += 1
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            # A reset of one side ends both; a cancellation is ours (`_cut`), and the stream
            # server reports tasks that end otherwise than by returning.
            pass
        finally:
            self._writers.discard(writer)
            self._connections.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        self._writers.add(up_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer))
                group.create_task(self._pump(up_reader, writer))
        except* OSError:
            pass
        finally:
            self._writers.discard(up_writer)
            up_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):  # ends with the stream
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        await self._open.wait()
        if writer.can_write_eof():
            writer.write_eof()
