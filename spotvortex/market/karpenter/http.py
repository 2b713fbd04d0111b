"""Requests to metrics endpoints, each bounded in time and size.

Comes in: an address and a query. Goes out: the answer in chunks. A password in an address is used,
and never shown. May not know what an answer says.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from spotvortex.errors import MetricsError

CONNECT_S: Final = 5.0
CHUNK_BYTES: Final = 16 * 1024
_SHOWN_BYTES: Final = 200
_PASSWORD: Final = re.compile(r"//[^/]*@")


def shown(url: str) -> str:
    """Return an address without the name and the password that it may hold."""
    return _PASSWORD.sub("//", url).partition("?")[0]


@asynccontextmanager
async def session(within_s: float) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client whose every request is a connection of its own, over within a time.

    Behind one Service may be several processes, of which only one has what is asked for.
    """
    limit = aiohttp.ClientTimeout(total=within_s, sock_connect=CONNECT_S)
    connector = aiohttp.TCPConnector(force_close=True, limit=2)
    async with aiohttp.ClientSession(connector=connector, timeout=limit) as opened:
        yield opened


async def read(
    client: aiohttp.ClientSession,
    url: str,
    take: Callable[[bytes], None],
    *,
    query: Mapping[str, str] | None = None,
    max_bytes: int,
) -> None:
    """Hand an answer on in chunks, with a breath for the loop between two.

    Raises:
        MetricsError: no answer, another status than 200, or more bytes than may be.
    """
    try:
        async with client.get(url, params=query, allow_redirects=False) as response:
            if response.status != 200:
                await _refuse(response)
            left = max_bytes
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    text = f"{shown(url)} answered more than {max_bytes} bytes"
                    raise MetricsError(text, is_passing=False)
                take(chunk)
                await asyncio.sleep(0)
    except TimeoutError as error:
        raise MetricsError(f"{shown(url)} did not answer in time", is_passing=True) from error
    except aiohttp.InvalidURL as error:
        raise MetricsError(f"{shown(url)} is no address", is_passing=False) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        text = f"{shown(url)}: {type(error).__name__}: {error}".replace(url, shown(url))
        raise MetricsError(text, is_passing=True) from error


async def _refuse(response: aiohttp.ClientResponse) -> None:
    said = (await response.content.read(_SHOWN_BYTES)).decode("utf-8", "replace").strip()
    text = f"{shown(str(response.url))} answered {response.status}: {said}"
    raise MetricsError(text, is_passing=response.status in (429, 500, 502, 503, 504))
