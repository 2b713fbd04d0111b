"""A replica that stands by asks the one that leads, so that one Service speaks with one voice.

Comes in: a request, and the address that the lease gives. Goes out: the leader's answer, or this
replica's own where it leads, where nobody does, and where the leader does not answer in time.
Passes on reading requests alone, each of them once, to the port on which this replica
answers. May not follow where an answer sends it, or keep one.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import web

CONNECT_S: Final = 1.0
TOTAL_S: Final = 5.0
"""How long the leader has to take a connection, and to answer whole."""

AT_ONCE: Final = 4
MAX_BYTES: Final = 24 * 2**20
"""Questions that wait for the leader at once, and the size of an answer: 1,000 records of 16 KiB
fit. A question beyond them is answered here."""

FORWARDED: Final = "SpotVortex-Forwarded"
"""Header of a request that has been passed on: it is answered where it arrives."""

ANSWERED_BY: Final = "SpotVortex-Answered-By"
"""Header of a standby's answers: "leader" where they are the leader's, "standby" where that was
asked in vain."""

_ASKED_WITH: Final = ("Accept", "Authorization")
_TOLD_WITH: Final = (
    "Allow",
    "Cache-Control",
    "Content-Security-Policy",
    "Content-Type",
    "Location",
    "Referrer-Policy",
    "WWW-Authenticate",
    "X-Content-Type-Options",
)

log = logging.getLogger(__name__)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LeaderClient:
    """Asks the replica that leads.

    Args:
        port: the port on which every replica answers, 0 where that is any.
        address: says where the leader answers, "" where there is no other.
    """

    def __init__(self, port: int, address: Callable[[], str]) -> None:
        self._port = port
        self._address = address
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        limit = aiohttp.ClientTimeout(total=TOTAL_S, sock_connect=CONNECT_S)
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        self._session = aiohttp.ClientSession(connector=connector, timeout=limit)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def answer(self, request: web.Request, here: Handler) -> web.StreamResponse:
        """Return what the leader answers, or else what is answered here."""
        host = self._host(request)
        if not host:
            return await here(request)
        found = await self._tried(host, request)
        if found is not None:
            return found
        own = await here(request)
        own.headers[ANSWERED_BY] = "standby"
        return own

    async def _tried(self, host: str, request: web.Request) -> web.Response | None:
        assert self._session is not None
        try:
            return await self._asked(self._session, host, request)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("leader.unanswered", extra={"host": host, "error": repr(error)})
        return None

    def _host(self, request: web.Request) -> str:
        """Return whom to ask, "" for nobody."""
        if not self._port or request.method != "GET" or FORWARDED in request.headers:
            return ""
        return _usable(self._address())

    async def _asked(
        self, session: aiohttp.ClientSession, host: str, request: web.Request
    ) -> web.Response | None:
        """Ask the same question there; None where the answer is too large."""
        url = f"http://{host}:{self._port}{request.rel_url.raw_path_qs}"
        headers = {name: request.headers[name] for name in _ASKED_WITH if name in request.headers}
        headers[FORWARDED] = "1"
        async with session.get(url, headers=headers, allow_redirects=False) as found:
            body = bytearray()
            async for chunk in found.content.iter_chunked(2**16):
                body += chunk
                if len(body) > MAX_BYTES:
                    return None
            told = {name: found.headers[name] for name in _TOLD_WITH if name in found.headers}
            told[ANSWERED_BY] = "leader"
            return web.Response(body=bytes(body), status=found.status, headers=told)


def _usable(address: str) -> str:
    """Return an address that a pod can have, as a URL has it; "" for all else a lease may say."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    plain = getattr(ip, "ipv4_mapped", None) or ip
    if plain.is_link_local or plain.is_multicast or plain.is_unspecified:
        return ""
    return f"[{ip}]" if ip.version == 6 else str(ip)
