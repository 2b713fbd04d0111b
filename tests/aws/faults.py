"""A loopback proxy before an SQS endpoint that answers in its place, or not at all."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web

DROP = "drop"
HANG = "hang"
PAGE = "page"


class FaultProxy:
    """What goes wrong, by operation: an error as (status, code), or one of the words above.

    `asked` counts requests by operation, `waits` are the long polls in seconds.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.url = ""
        self.faults: dict[str, tuple[int, str] | str] = {}
        self.asked: Counter[str] = Counter()
        self.waits: list[int] = []

    async def answer(self, request: web.Request) -> web.Response:
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.asked[operation] += 1
        if operation == "ReceiveMessage":
            self.waits.append((await request.json())["WaitTimeSeconds"])
        fault = self.faults.get(operation) or self.faults.get("*")
        if fault == DROP:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault == HANG:
            await asyncio.sleep(60)
        if fault == PAGE:
            return web.Response(text="<html>busy</html>", status=503)
        if isinstance(fault, tuple):
            body = json.dumps({"__type": f"com.amazonaws.sqs#{fault[1]}", "message": "told so"})
            return web.Response(
                text=body, status=fault[0], content_type="application/x-amz-json-1.0"
            )
        return await self._forward(request)

    async def _forward(self, request: web.Request) -> web.Response:
        kept = ("Authorization", "Content-Type", "X-Amz-Target", "X-Amz-Date")
        headers = {name: request.headers[name] for name in kept if name in request.headers}
        async with (
            ClientSession() as session,
            session.post(self._target, data=await request.read(), headers=headers) as response,
        ):
            return web.Response(
                body=await response.read(),
                status=response.status,
                content_type="application/x-amz-json-1.0",
            )


@asynccontextmanager
async def fault_proxy(target: str) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(target)
    app = web.Application(client_max_size=4 * 2**20)
    app.router.add_post("/", proxy.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield proxy
    finally:
        await runner.cleanup()
