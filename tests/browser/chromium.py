"""Chromium without a window, driven by its own protocol over a WebSocket on loopback.

Comes in: addresses on loopback, and expressions. Goes out: what the page's own engine says of it,
and pictures. May not load a page from elsewhere.
"""

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.debian import find_program

START_S = 30


class BrowserError(RuntimeError):
    """The browser did not do what was asked; the text says what."""


class Page:
    """One page of a running browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._n_sent = 0
        self.said: list[str] = []
        """Errors of the page: of its script, its console, and what its policy refused."""

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; what the page reports meanwhile is kept."""
        self._n_sent += 1
        number = self._n_sent
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = json.loads((await self._socket.receive(timeout=START_S)).data)
            if message.get("id") == number:
                if "error" in message:
                    raise BrowserError(f"{method}: {message['error']}")
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.said.append(params["entry"]["text"])
        if message.get("method") == "Runtime.exceptionThrown":
            self.said.append(params["exceptionDetails"]["text"])

    async def open(self, address: str) -> None:
        """Load an address of loopback, and wait until it has painted."""
        assert address.startswith("http://127.0.0.1:")
        await self.send("Page.navigate", url=address)
        await self.wait_for("performance.getEntriesByName('first-contentful-paint').length > 0")

    async def value_of(self, expression: str) -> Any:
        """Return what an expression gives in the page."""
        found = await self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise BrowserError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    async def wait_for(self, expression: str, timeout_s: float = START_S) -> None:
        """Wait until an expression is true in the page."""
        async with asyncio.timeout(timeout_s):
            while not await self.value_of(expression):
                await asyncio.sleep(0.05)

    async def first_paint_s(self) -> float:
        """Return seconds from the begin of loading to the first paint of content."""
        entry = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        return float(await self.value_of(entry)) / 1000.0

    async def look_as(self, scheme: str, width: int, height: int) -> None:
        """Show the page in a colour scheme, and as large as a screen."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self.send("Emulation.setEmulatedMedia", features=[feature])
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    async def press(self, key: str) -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    async def picture(self, path: Path) -> None:
        """Keep a picture of what is shown."""
        found = await self.send("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(found["data"]))


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """Run a browser for as long as the block runs, with a profile of its own in a folder."""
    program = find_program("chromium")
    process = subprocess.Popen(
        [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--hide-scrollbars",
            "--no-first-run",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder / 'profile'}",
            "about:blank",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = await _port_of(folder / "profile", process)
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
            client.ws_connect(await _address_of(client), max_msg_size=0) as socket,
        ):
            page = Page(socket)
            for domain in ("Page", "Runtime", "Log"):
                await page.send(f"{domain}.enable")
            yield page
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, START_S)


async def _port_of(profile: Path, process: "subprocess.Popen[bytes]") -> int:
    said = profile / "DevToolsActivePort"
    async with asyncio.timeout(START_S):
        while not (said.exists() and said.read_text().strip()):
            if process.poll() is not None:
                raise BrowserError(f"the browser ended with {process.returncode}")
            await asyncio.sleep(0.05)
    return int(said.read_text().splitlines()[0])


async def _address_of(client: aiohttp.ClientSession) -> str:
    async with client.get("/json") as answer:
        pages = [target for target in await answer.json() if target["type"] == "page"]
    return str(pages[0]["webSocketDebuggerUrl"])
