"""What can be asked over HTTP: health, readiness, metrics, decisions, pools, and the console.

Comes in: views that answer at once from what is in memory. Goes out: a server. Reads only. May not
change anything, wait for anything but another replica's answer (`forward`), or answer 500: a bad
question is answered with 400 and the name of its parameter.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hmac
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from spotvortex.errors import SettingsError
from spotvortex.server.forward import Handler, LeaderClient
from spotvortex.server.pages import CONSOLE, PATHS, Pages, json_answer
from spotvortex.server.query import BadQueryError
from spotvortex.server.views import PageSources

OPEN: Final = frozenset({"/healthz", "/livez", "/readyz", "/metrics"})
"""Paths that need no token: the kubelet and Prometheus ask them."""

ANSWERS_AT_ONCE: Final = 4
"""Answers, but for `OPEN`, that are made and read at once: each may have 16 MiB, and is held until
its reader has it. Further questions wait."""

READ_S: Final = 30.0
"""How long a reader may take for an answer; then its connection is cut."""

_KEEPALIVE_S: Final = 75.0
_SHUTDOWN_S: Final = 2.0


@asynccontextmanager
async def serve(
    host: str, port: int, views: PageSources, *, time_scale: float = 1.0, token: str = ""
) -> AsyncIterator[int]:
    """Serve until the block is left.

    Args:
        host: the address to bind.
        port: the port, 0 for any free one.
        views: what is answered.
        time_scale: how many seconds of the loop's clock pass in one real second; the time-outs
            towards clients are kept in real seconds.
        token: what a client has to show for all but `OPEN`; "" asks for none, and serves the
            console on a loopback address only.

    Yields:
        The bound port.

    Raises:
        SettingsError: the address cannot be bound.
    """
    leader = LeaderClient(port, views.leader_address)
    runner = web.AppRunner(
        _application(views, token, leader, is_local=_is_loopback(host), read_s=READ_S * time_scale),
        handle_signals=False,
        access_log=None,
        keepalive_timeout=_KEEPALIVE_S * time_scale,
        lingering_time=_SHUTDOWN_S * time_scale,
        shutdown_timeout=_SHUTDOWN_S * time_scale,
    )
    await runner.setup()
    try:
        async with leader:
            await _bind(runner, host, port)
            yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            why = "taken" if error.errno == errno.EADDRINUSE else "not allowed to this user"
            raise SettingsError(f"SPOTVORTEX_HTTP_PORT={port} is {why}; choose another") from error
        raise SettingsError(f"SPOTVORTEX_HTTP_HOST={host} cannot be bound: {error}") from error


def console_address(host: str, port: int, token: str) -> str:
    """Return where the console is served, "" where it is not."""
    return f"http://{host}:{port}{CONSOLE}" if token or _is_loopback(host) else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _application(
    views: PageSources, token: str, leader: LeaderClient, *, is_local: bool, read_s: float
) -> web.Application:
    pages = Pages(views, shows_console=bool(token) or is_local)
    guards: list[Middleware] = [_guard(token)] if token else []
    application = web.Application(
        middlewares=[_errors_as_json, *guards, _few_at_once(read_s), _passing_on(leader)]
    )
    handlers = (
        pages.index,
        pages.healthz,
        pages.healthz,
        pages.readyz,
        pages.metrics,
        pages.decisions,
        pages.decision,
        pages.pools,
        pages.ledger,
        pages.console,
    )
    for path, handler in zip(PATHS, handlers, strict=True):
        application.router.add_get(path, handler)
    application.router.add_get(CONSOLE + "/{path:.*}", pages.console)
    return application


def _few_at_once(read_s: float) -> Middleware:
    """Return a middleware that bounds how many answers are held for readers, and for how long."""
    places = asyncio.Semaphore(ANSWERS_AT_ONCE)

    @web.middleware
    async def few(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN:
            return await handler(request)
        async with places:
            if request.transport is None or request.transport.is_closing():
                return web.Response()
            answer = await handler(request)
            await _read_whole(answer, request, read_s)
            return answer

    return few


async def _read_whole(answer: web.StreamResponse, request: web.Request, read_s: float) -> None:
    """Wait until a reader has an answer; one that takes too long is cut off."""
    try:
        async with asyncio.timeout(read_s):
            await answer.prepare(request)
            await answer.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        return  # the reader has gone


def _passing_on(leader: LeaderClient) -> Middleware:
    """Return a middleware that answers as the leader does, for all but `OPEN`."""

    @web.middleware
    async def pass_on(request: web.Request, handler: Handler) -> web.StreamResponse:
        own = request.path in OPEN
        return await handler(request) if own else await leader.answer(request, handler)

    return pass_on


def _guard(token: str) -> Middleware:
    """Return a middleware that asks for the token, as a bearer's or as a password of a browser."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        shown = _shown_token(request.headers.get("Authorization", ""))
        # A header may hold bytes that are no UTF-8.
        found = shown.encode("utf-8", "surrogateescape")
        if request.path in OPEN or hmac.compare_digest(found, token.encode()):
            return await handler(request)
        error = {"error": "SPOTVORTEX_HTTP_TOKEN is wanted: as bearer token, or as a password"}
        return json_answer(
            error, 401, {"WWW-Authenticate": 'Basic realm="SpotVortex", charset="UTF-8"'}
        )

    return guard


def _shown_token(header: str) -> str:
    """Return the token that a header carries, "" where it carries none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        name_and_password = base64.b64decode(value.strip(), validate=True).decode()
    except ValueError:  # no base64, or no UTF-8 in it
        return ""
    return name_and_password.partition(":")[2]


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadQueryError as error:
        return json_answer({"error": str(error)}, 400)
    except web.HTTPNotFound as error:
        unrouted = request.match_info.http_exception is not None
        words = f"nothing is served at {request.path}; / lists what is"
        return json_answer({"error": words if unrouted else error.reason}, 404)
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return json_answer({"error": error.reason}, error.status, allow)
