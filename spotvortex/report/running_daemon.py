"""A running daemon, asked over HTTP by a command.

Comes in: its address, and the token that it may want. Goes out: what it answers. Reads only.
"""

from __future__ import annotations

from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from spotvortex.errors import RecordError, in_words

TIMEOUT_S: Final = 10.0

_DIRECT: Final = build_opener(ProxyHandler({}))


def base_of(url: str) -> str:
    """Return an address without the slash at its end.

    Raises:
        RecordError: it is no address of HTTP.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise RecordError(f"--url {url}: give an address such as http://127.0.0.1:8080")
    return url.rstrip("/")


def ask(url: str, token: str, way_out: str = "give --url of a running daemon") -> str | None:
    """Ask for one page, without any proxy; None where the answer is 404.

    Args:
        url: the page's address.
        token: what the daemon may want to see, "" where it wants none.
        way_out: what the user may type instead where nobody answers.

    Raises:
        RecordError: it cannot be reached, or refuses.
    """
    asked = Request(url)  # noqa: S310 - the scheme was looked at
    if token:
        asked.add_header("Authorization", f"Bearer {token}")
    try:
        with _DIRECT.open(asked, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read()
            return body.decode(errors="replace")
    except HTTPError as error:
        if error.code == 404:
            return None
        if error.code == 401:
            raise RecordError(f"{url} wants a token: set SPOTVORTEX_HTTP_TOKEN") from error
        raise RecordError(f"{url} answers {error.code} {error.reason}") from error
    except (URLError, OSError, HTTPException) as error:
        why = error.reason if isinstance(error, URLError) else error
        said = why if isinstance(why, str) else in_words(why)
        raise RecordError(f"{url} cannot be reached: {said}; {way_out}") from error
