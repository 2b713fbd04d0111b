"""A scripted API server over real sockets, for answers that the real one cannot be made to give.

A test gives lists and watch scripts for one path; each request takes the next one. A watch script
is a list of steps: bytes are sent as they are, a float is a pause, `CUT` drops the connection.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from kubernetes_asyncio.client import Configuration

from spotvortex.kube.api.client import KubeClient

CUT = "cut"
SILENCE = 3600.0


@dataclass
class Answer:
    """One answer: a body with a status, or a stream of steps."""

    body: object = None
    status: int = 200
    headers: dict = field(default_factory=dict)
    steps: list | None = None


def listed(*objects, version="10", token="") -> Answer:
    return Answer({"metadata": {"resourceVersion": version, "continue": token}, "items": objects})


def watched(*steps) -> Answer:
    return Answer(steps=list(steps))


def refused(status, message="no", reason="", headers=None, causes=()) -> Answer:
    details = {"causes": [{"reason": cause} for cause in causes]}
    body = {"kind": "Status", "code": status, "message": message, "reason": reason}
    body["details"] = details
    return Answer(body, status=status, headers=headers or {})


def event(kind, obj) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def bookmark(version) -> bytes:
    return event("BOOKMARK", {"kind": "Node", "metadata": {"resourceVersion": version}})


@dataclass
class FakeApi:
    """The server's script and what was asked of it."""

    lists: list[Answer] = field(default_factory=list)
    watches: list[Answer] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    posted: list[object] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        self.headers.append(dict(request.headers))
        self.methods.append(request.method)
        if request.can_read_body:
            self.posted.append(await request.json())
        script = self.watches if "watch" in request.query else self.lists
        # The last answer of a script is repeated for ever; an empty watch script is silent.
        answer = script.pop(0) if len(script) > 1 else (script or [watched(SILENCE)])[0]
        if answer.steps is None:
            return web.json_response(answer.body, status=answer.status, headers=answer.headers)
        return await self._stream(request, answer.steps)

    async def _stream(self, request: web.Request, steps: list) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for step in steps:
            if step == CUT:
                request.transport.abort()
                return response
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                await response.write(step)
        await response.write_eof()
        return response

    @property
    def watch_versions(self) -> list[str]:
        return [query["resourceVersion"] for query in self.asked if "watch" in query]

    @property
    def n_lists(self) -> int:
        return sum("watch" not in query for query in self.asked)


@dataclass
class FakeCluster:
    """Scripts by path; `/version` always answers."""

    apis: dict[str, FakeApi]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/version":
            return web.json_response({})
        return await self.apis[request.path].handle(request)


@asynccontextmanager
async def serving(api: FakeApi | FakeCluster) -> AsyncIterator[KubeClient]:
    """Serve a script on loopback and give a client for it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    client = client_for(f"http://127.0.0.1:{port}")
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def client_for(url: str) -> KubeClient:
    configuration = Configuration()
    configuration.host = url
    return KubeClient(configuration, "test")


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
