"""Ways to the API server on which whatever changes something is held back, as an L7 proxy may.

Comes in: a control plane. Goes out: URLs, each for one client. A request is read whole, held for as
long as its way says, and passed on only if the client's connection still stands: a proxy that sees
the client close drops what it holds, and one that is passing it on closes its own connection. It
does not play a network that delivers what was sent after its sender has reset the connection.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from socket import socket

import aiohttp
from aiohttp import web
from yarl import URL

from tests.controlplane.cluster import ControlPlane

_HOPS = {"connection", "keep-alive", "transfer-encoding", "host", "content-length", "upgrade"}


@dataclass
class Way:
    """One client's way. `longest_s` is how long it holds a change at most; 0 where it is good.

    Attributes:
        held: how many changes were held back.
        passed: of these, how many were passed on in the end.
    """

    url: str
    rng: Random
    longest_s: float = 0.0
    held: int = 0
    passed: int = 0

    async def hold(self, request: web.Request) -> None:
        """Hold a request back; what renews a lease for the longest time, so that it is lost."""
        if request.method == "GET" or not self.longest_s:
            return
        self.held += 1
        renews = "/leases" in request.path
        await asyncio.sleep(self.longest_s if renews else self.rng.uniform(0.0, self.longest_s))
        self.passed += 1


@dataclass
class HoldingProxy:
    """Listens on a port for each way."""

    plane: ControlPlane
    runner: web.AppRunner
    session: aiohttp.ClientSession
    own: ssl.SSLContext
    ways: dict[int, Way] = field(default_factory=dict)

    async def way(self, name: str) -> Way:
        """Open one more way; its luck is drawn by its name."""
        listening = socket()
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        self.ways[port] = Way(url=f"https://127.0.0.1:{port}", rng=Random(name))
        await web.SockSite(self.runner, listening, ssl_context=self.own).start()
        return self.ways[port]

    async def handle(self, request: web.Request) -> web.Response:
        if request.transport is None:
            raise ConnectionResetError
        body = await request.read()
        await self.ways[request.transport.get_extra_info("sockname")[1]].hold(request)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOPS}
        url = URL(self.plane.url.rstrip("/") + request.raw_path, encoded=True)
        async with self.session.request(
            request.method, url, headers=headers, data=body or None
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOPS}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


@asynccontextmanager
async def holding(plane: ControlPlane) -> AsyncIterator[HoldingProxy]:
    """Open a proxy before a control plane."""
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate = plane.layout.certificates / "apiserver"
    own.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
    app = web.Application()
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(ssl=plane.ssl_context(), limit=0)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, auto_decompress=False)
        )
        proxy = HoldingProxy(plane=plane, runner=runner, session=session, own=own)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        yield proxy
