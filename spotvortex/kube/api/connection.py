"""What happens to the connection of a change that is given up.

Comes in: the session of a client. Goes out: connections that begin no change after its time, and
that are reset at once where one was given up. Closed in order, a connection would still deliver
what is on its way: TLS says goodbye for up to 30 s, and the kernel sends again for minutes what a
broken network has not taken, after the process has died too. May not know what is sent.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import aiohttp

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: what has not been sent is dropped, and the peer is told so."""


@dataclass(slots=True)
class _Change:
    """A change on its way: until when it may begin, by the loop's clock, and over what."""

    until: float
    transports: list[asyncio.WriteTransport] = field(default_factory=list)

    def reset(self) -> None:
        """Reset what is being closed; what others have got from the pool meanwhile is theirs."""
        for transport in self.transports:
            if transport.is_closing():
                transport.abort()


_CHANGE: ContextVar[_Change | None] = ContextVar("change", default=None)


@contextmanager
def change_until(until: float) -> Iterator[None]:
    """Bound the change in the block: it begins before `until`, and is reset where it is given up.

    Args:
        until: time of the loop's clock.
    """
    change = _Change(until)
    token = _CHANGE.set(change)
    try:
        yield
    finally:
        _CHANGE.reset(token)
        change.reset()


def watch_changes(session: aiohttp.ClientSession) -> None:
    """Let a session's connections obey `change_until`."""
    connector = session.connector
    assert connector is not None
    taken = connector.connect

    async def connect(
        req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await taken(req, traces, timeout)
        change = _CHANGE.get()
        if change is not None and not _begins(change, connection):
            connection.release()
            raise TimeoutError
        return connection

    connector.connect = connect  # type: ignore[method-assign]


def _begins(change: _Change, connection: Connection) -> bool:
    """Take a connection for a change; the next thing that happens is that its bytes leave.

    IMPORTANT: the time is asked here once more. A loop that stood still finds the end of the
    time-out and the free connection in the same turn, in any order.
    """
    transport = connection.transport
    if transport is None or asyncio.get_running_loop().time() >= change.until:
        return False
    assert isinstance(transport, asyncio.WriteTransport)
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    change.transports.append(transport)
    return True
