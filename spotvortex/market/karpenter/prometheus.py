"""Questions to a Prometheus, in pieces, the newest first.

Comes in: a query, a time and a step. Goes out: series of finite values, each with its labels. Each
request is bounded in time and size and asked again where that may help; what an answer holds of
other times, or of no number, is left out. May not know what a series means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import aiohttp
import msgspec

from spotvortex.aio import Retries, retried
from spotvortex.errors import MetricsError
from spotvortex.market.karpenter import http

ANSWER_S: Final = 20.0
MAX_BYTES: Final = 32 * 1024 * 1024
MAX_SERIES: Final = 20_000
RETRIES: Final = Retries(
    n_attempts=3,
    within_s=30.0,
    first_s=0.5,
    longest_s=5.0,
    is_worth=lambda error: isinstance(error, MetricsError) and error.is_passing,
)
_PASSING: Final = frozenset({"timeout", "unavailable", "canceled"})


class _Series(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str = ""
    result: list[_Series] = []


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    data: _Data | None = None
    error_type: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of time on a grid: its first and last instant, and the step, in seconds."""

    start: float
    end: float
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series: its labels, and its values as (wall time, value), rising in time."""

    labels: Mapping[str, str]
    values: Sequence[tuple[float, float]]


def pieces(end: float, n_days: int, step_s: float) -> list[Piece]:
    """Return days up to an instant, the newest first; the first instant of a piece is its own."""
    day = 86_400.0
    return [
        Piece(start=end - (n + 1) * day + step_s, end=end - n * day, step_s=step_s)
        for n in range(n_days)
    ]


class Prometheus:
    """Asks one Prometheus."""

    def __init__(self, url: str, client: aiohttp.ClientSession, rng: Random) -> None:
        self._url, self._client, self._rng = url.rstrip("/"), client, rng

    async def query_range(self, query: str, piece: Piece) -> list[Series]:
        """Return every series of a query over a piece of time.

        Raises:
            MetricsError: no answer that can be used.
        """
        asked = {
            "query": query,
            "start": f"{piece.start:.0f}",
            "end": f"{piece.end:.0f}",
            "step": f"{piece.step_s:.0f}",
            "timeout": f"{ANSWER_S:.0f}s",
        }

        async def request() -> list[Series]:
            return await self._ask(asked, piece)

        return await retried(request, RETRIES, self._rng)

    async def _ask(self, asked: Mapping[str, str], piece: Piece) -> list[Series]:
        parts: list[bytes] = []
        url = f"{self._url}/api/v1/query_range"
        await http.read(self._client, url, parts.append, query=asked, max_bytes=MAX_BYTES)
        try:
            answer = msgspec.json.decode(b"".join(parts), type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            text = f"{http.shown(url)} does not answer as a Prometheus does: {error}"
            raise MetricsError(text, is_passing=False) from error
        if answer.status != "success" or answer.data is None:
            text = f"{http.shown(url)} answered {answer.error_type}: {answer.error[:200]}"
            raise MetricsError(text, is_passing=answer.error_type in _PASSING)
        if answer.data.result_type != "matrix" or len(answer.data.result) > MAX_SERIES:
            n = len(answer.data.result)
            text = f"{http.shown(url)} answered {n} series of kind {answer.data.result_type!r}"
            raise MetricsError(text, is_passing=False)
        return [
            Series(labels=found.metric, values=_sound(found.values, piece))
            for found in answer.data.result
        ]


def _sound(values: Sequence[tuple[float, str]], piece: Piece) -> list[tuple[float, float]]:
    """Keep what is finite, not negative, of the time asked for, and later than the one before."""
    kept: list[tuple[float, float]] = []
    last = piece.start - piece.step_s
    for at, text in values:
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value) and value >= 0.0 and last < at <= piece.end + piece.step_s:
            kept.append((at, value))
            last = at
    return kept
