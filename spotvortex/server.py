"""What can be asked over HTTP: health, readiness, metrics, decisions, pools, and the console.

Comes in: views that answer at once from what is in memory. Goes out: JSON, the text exposition
under `/metrics`, and the pages of the console. Reads only. May not change anything, wait for
anything, or answer 500: a bad question is answered with 400 and the name of its parameter.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hmac
import ipaddress
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware

from spotvortex.core.decision.messages import Decision, Plan, Verdict
from spotvortex.core.domain.types import Action
from spotvortex.core.record.codec import Json, encode, rfc3339
from spotvortex.core.record.record import DecisionRecord
from spotvortex.errors import SettingsError
from spotvortex.ports.cluster import WallClock

PAGES: Final[Mapping[str, str]] = {
    "/": "this list",
    "/healthz": "whether the tasks are at work",
    "/readyz": "whether decisions can be made, and what is missing",
    "/metrics": "Prometheus series",
    "/decisions": "the newest decisions; ?pool= &action= &since= &limit=",
    "/decisions/{id}": "one decision, whole",
    "/pools": "the newest decision of every pool",
    "/console": "pages for a browser; with a token, or on a loopback address",
}
"""Every path, with what it answers."""

PATHS: Final = tuple(PAGES)
OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths that need no token: the kubelet and Prometheus ask them."""
MAX_LIMIT: Final = 1_000
DEFAULT_LIMIT: Final = 100

_KEEPALIVE_S: Final = 75.0
_SHUTDOWN_S: Final = 2.0
_CONSOLE: Final = "/console"
_SAFE: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What a browser is told with every page: nothing from elsewhere, in no frame, kept nowhere."""

_EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Health(Protocol):
    """What knows the heartbeats of the tasks."""

    def failing(self) -> Sequence[str]:
        """Name the tasks whose heartbeat is older than their own limit."""
        ...


class ReadinessSource(Protocol):
    """What knows what is still missing before decisions can be made."""

    def reasons(self, now: float) -> Sequence[str]:
        """Say in words why not; empty where ready."""
        ...


class Exposition(Protocol):
    """What renders the metrics."""

    def exposition(self) -> bytes:
        """Return every series in the Prometheus text format."""
        ...


class Plans(Protocol):
    """What keeps the newest plan."""

    def last_plan(self) -> Plan | None:
        """Return the newest plan, None before the first."""
        ...


class Decisions(Protocol):
    """What keeps the latest decision records: the journal's ring."""

    def get(self, decision_id: str) -> DecisionRecord | None:
        """Return the record of a decision."""
        ...

    def find(
        self, *, pool: str | None, action: Action | None, since: float | None, limit: int
    ) -> Sequence[DecisionRecord]:
        """Return matching records, newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The answer to a path of the console.

    Attributes:
        status: the HTTP status.
        content_type: the media type of the body, always UTF-8.
        body: the page, style sheet or script.
    """

    status: int
    content_type: str
    body: str


class Console(Protocol):
    """What makes the pages of the console."""

    def answer(self, path: str, query: Mapping[str, str]) -> Asked:
        """Answer a path below `/console/`, without the slash before it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSources:
    """What the server answers from.

    Attributes:
        health: heartbeats of the tasks, for `/healthz`.
        readiness: what is still missing, for `/readyz`.
        metrics: every series, for `/metrics`.
        decisions: the latest decision records, for `/decisions`.
        plans: the newest plan, for `/pools`.
        clock: the wall clock.
        console: pages for a browser, None without them.
    """

    health: Health
    readiness: ReadinessSource
    metrics: Exposition
    decisions: Decisions
    plans: Plans
    clock: WallClock
    console: Console | None = None


class _BadQueryError(Exception):
    """A query parameter that cannot be used; the text names it."""


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
    runner = web.AppRunner(
        _application(views, token, is_local=_is_loopback(host)),
        handle_signals=False,
        access_log=None,
        keepalive_timeout=_KEEPALIVE_S * time_scale,
        lingering_time=_SHUTDOWN_S * time_scale,
        shutdown_timeout=_SHUTDOWN_S * time_scale,
    )
    await runner.setup()
    try:
        await _bind(runner, host, port)
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            why = "taken" if error.errno == errno.EADDRINUSE else "not allowed to us"
            raise SettingsError(f"SPOTVORTEX_HTTP_PORT={port} is {why}; choose another") from error
        raise SettingsError(f"SPOTVORTEX_HTTP_HOST={host} cannot be bound: {error}") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _application(views: PageSources, token: str, *, is_local: bool) -> web.Application:
    pages = _Pages(views, shows_console=bool(token) or is_local)
    guards: list[Middleware] = [_guard(token)] if token else []
    application = web.Application(middlewares=[_errors_as_json, *guards])
    handlers = (
        pages.index,
        pages.healthz,
        pages.readyz,
        pages.metrics,
        pages.decisions,
        pages.decision,
        pages.pools,
        pages.console,
    )
    for path, handler in zip(PATHS, handlers, strict=True):
        application.router.add_get(path, handler)
    application.router.add_get(_CONSOLE + "/{path:.*}", pages.console)
    return application


def _guard(token: str) -> Middleware:
    """Return a middleware that asks for the token, as a bearer's or as a password of a browser."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        shown = _shown_token(request.headers.get("Authorization", ""))
        if request.path in OPEN or hmac.compare_digest(shown.encode(), token.encode()):
            return await handler(request)
        error = {"error": "SPOTVORTEX_HTTP_TOKEN is wanted: as bearer token, or as a password"}
        return _json(error, 401, {"WWW-Authenticate": 'Basic realm="SpotVortex", charset="UTF-8"'})

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
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return name_and_password.partition(":")[2]


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except _BadQueryError as error:
        return _json({"error": str(error)}, 400)
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _json({"error": error.reason}, error.status, allow)


def _json(
    body: Mapping[str, Json], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


class _Pages:
    """One method a path."""

    def __init__(self, views: PageSources, *, shows_console: bool) -> None:
        self._views = views
        self._shows_console = shows_console

    async def index(self, request: web.Request) -> web.Response:
        """Say what can be asked; a browser is sent to the console."""
        if self._views.console and "text/html" in request.headers.get("Accept", ""):
            return web.Response(status=302, headers={"Location": _CONSOLE})
        return _json({"name": "spotvortex", "paths": dict(PAGES)})

    async def healthz(self, _request: web.Request) -> web.Response:
        failing = self._views.health.failing()
        return _json({"ok": not failing, "failing": failing}, 503 if failing else 200)

    async def readyz(self, _request: web.Request) -> web.Response:
        reasons = self._views.readiness.reasons(self._views.clock.now())
        return _json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def metrics(self, _request: web.Request) -> web.Response:
        body = self._views.metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": _EXPOSITION})

    async def decisions(self, request: web.Request) -> web.Response:
        query = _Query(request)
        records = self._views.decisions.find(
            pool=query.text("pool"), action=query.action(), since=query.since(), limit=query.limit()
        )
        # The lines are served as they were written, so that their digests still hold.
        text = f'{{"decisions":[{",".join(record.line for record in records)}]}}'
        return web.Response(text=text, content_type="application/json")

    async def decision(self, request: web.Request) -> web.Response:
        decision_id = request.match_info["id"]
        record = self._views.decisions.get(decision_id)
        if record is None:
            return _json({"error": f"no decision {decision_id} is kept here"}, 404)
        return web.Response(text=record.line, content_type="application/json")

    async def pools(self, _request: web.Request) -> web.Response:
        plan = self._views.plans.last_plan()
        if plan is None:
            return _json({"cycle": None, "time": None, "pools": []})
        pools = [_pool(decision) for decision in plan.decisions]
        return _json({"cycle": plan.cycle, "time": rfc3339(plan.at), "pools": pools})

    async def console(self, request: web.Request) -> web.Response:
        if self._views.console is None:
            raise web.HTTPNotFound(reason="there is no console here")
        if not self._shows_console:
            raise web.HTTPForbidden(
                reason="the console wants SPOTVORTEX_HTTP_TOKEN, or SPOTVORTEX_HTTP_HOST=127.0.0.1"
            )
        page = self._views.console.answer(request.match_info.get("path", ""), request.query)
        return web.Response(
            text=page.body, status=page.status, content_type=page.content_type, headers=_SAFE
        )


class _Query:
    """The parameters of `/decisions`."""

    def __init__(self, request: web.Request) -> None:
        self._query = request.query
        for name in self._query:
            if name not in ("pool", "action", "since", "limit"):
                raise _BadQueryError(f"{name}: unknown; there are pool, action, since and limit")
            if len(self._query.getall(name)) > 1:
                raise _BadQueryError(f"{name}: given more than once")

    def text(self, name: str) -> str | None:
        return self._query.get(name)

    def action(self) -> Action | None:
        text = self.text("action")
        if text is None:
            return None
        try:
            return Action(text)
        except ValueError:
            raise _BadQueryError(f"action: one of {', '.join(Action)}") from None

    def since(self) -> float | None:
        text = self.text("since")
        if text is None:
            return None
        try:
            return _time(text)
        except (ValueError, OverflowError):
            raise _BadQueryError(
                "since: seconds since the epoch, or RFC 3339 with an offset"
            ) from None

    def limit(self) -> int:
        text = self.text("limit")
        if text is None:
            return DEFAULT_LIMIT
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 4 else 0
        if not 1 <= number <= MAX_LIMIT:
            raise _BadQueryError(f"limit: a whole number from 1 to {MAX_LIMIT}")
        return number


def _time(text: str) -> float:
    """Read seconds or RFC 3339; a plus sign that was not escaped has come as a space."""
    try:
        seconds = float(text)
    except ValueError:
        plus = "+" if text[-6:-5] == " " else text[-6:-5]
        moment = datetime.fromisoformat(f"{text[:-6]}{plus}{text[-5:]}")
        if moment.tzinfo is None:
            raise
        return moment.timestamp()
    if not math.isfinite(seconds):
        raise ValueError(text)
    return seconds


def _pool(decision: Decision) -> Mapping[str, Json]:
    data = decision.input
    return {
        "pool": decision.pool,
        "decision_id": decision.decision_id,
        "provisioner": data.provisioner.value,
        "mode": decision.mode.value,
        "nodes": {
            "spot": data.n_spot,
            "on_demand": data.n_on_demand,
            "reserved": data.n_reserved,
            "unknown": data.n_unknown,
            "moving": data.n_moving,
            "not_ready": data.n_not_ready,
        },
        "current_ratio": encode(decision.current_ratio),
        "target_ratio": encode(decision.target_ratio),
        "proposal": decision.proposal.action.value,
        "action": decision.action.value,
        "reason": decision.reason,
        "kind": decision.proposal.kind.value,
        "n_nodes": decision.n_nodes,
        "moves": [move.candidate.node for move in decision.moves],
        "gates": [_gate(verdict) for verdict in decision.verdicts],
        "confidence": encode(data.confidence),
        "savings_usd_per_hour": encode(decision.savings_usd_per_hour),
    }


def _gate(verdict: Verdict) -> Mapping[str, Json]:
    return {
        "gate": verdict.gate,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "limit": verdict.limit,
    }
