"""The parameters of `/decisions` and `/pools`.

Comes in: a request. Goes out: its parameters, read. A bad one is refused with its name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from aiohttp import web

from spotvortex.core.domain.types import Action

MAX_LIMIT: Final = 1_000
DEFAULT_LIMIT: Final = 100


class BadQueryError(Exception):
    """A query parameter that cannot be used; the text names it."""


def asked_pool(request: web.Request) -> str | None:
    """Return which pool `/pools` is asked for, None for all of them."""
    _refuse_unknown(request, ("pool",))
    return request.query.get("pool")


def _refuse_unknown(request: web.Request, known: Sequence[str]) -> None:
    """Refuse a parameter that the path does not have, or that is given twice."""
    for name in request.query:
        if name not in known:
            raise BadQueryError(f"{name}: unknown; known here: {', '.join(known)}")
        if len(request.query.getall(name)) > 1:
            raise BadQueryError(f"{name}: given more than once")


class DecisionsQuery:
    """The parameters of `/decisions`."""

    def __init__(self, request: web.Request) -> None:
        self._query = request.query
        _refuse_unknown(request, ("pool", "action", "since", "limit"))

    def text(self, name: str) -> str | None:
        """Return a parameter as it was given, None where it was not."""
        return self._query.get(name)

    def action(self) -> Action | None:
        """Return the action that is asked for."""
        text = self.text("action")
        if text is None:
            return None
        try:
            return Action(text)
        except ValueError:
            raise BadQueryError(f"action: one of {', '.join(Action)}") from None

    def since(self) -> float | None:
        """Return from when on, in seconds since the epoch."""
        text = self.text("since")
        if text is None:
            return None
        try:
            return _time(text)
        except (ValueError, OverflowError):
            raise BadQueryError(
                "since: seconds since the epoch, or RFC 3339 with an offset"
            ) from None

    def limit(self) -> int:
        """Return how many at most."""
        text = self.text("limit")
        if text is None:
            return DEFAULT_LIMIT
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 4 else 0
        if not 1 <= number <= MAX_LIMIT:
            raise BadQueryError(f"limit: a whole number from 1 to {MAX_LIMIT}")
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
