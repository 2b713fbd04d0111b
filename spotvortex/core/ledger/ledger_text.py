"""The ledger as text: what a file, a ConfigMap or the server keeps and gives of it.

Comes in: a ledger. Goes out: one JSON document, whose rows have named columns; and the same ledger
read back. A column that is not known is left out, one that is missing is 0, so that a later version
may add some. What was counted up to now is written in full, the periods to six decimals. May not
judge a figure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from spotvortex.core.domain.types import CapacityType, short
from spotvortex.core.ledger.flow import Flow
from spotvortex.core.ledger.ledger import Baseline, Ledger
from spotvortex.core.ledger.periods import Key, Period, PeriodLength
from spotvortex.core.ledger.sums import ClusterSums, NodeSums, PoolSums, Sums
from spotvortex.core.record.codec import Json

SCHEMA: Final = "spotvortex.ledger"
VERSION: Final = 1

_COLUMNS: Final = {
    "cluster": ClusterSums._fields,
    "nodes": NodeSums._fields,
    "pools": PoolSums._fields,
}
_BASELINE: Final = ("node_hours", "spot_hours", "ended_at", "ended_ratio")


class LedgerFormatError(ValueError):
    """A stored ledger cannot be read; the text says what is wrong."""


def to_text(ledger: Ledger) -> str:
    """Write a ledger as one line of JSON."""
    return json.dumps(document(ledger), separators=(",", ":"), allow_nan=False)


def document(ledger: Ledger) -> dict[str, Json]:
    """Return what the JSON holds."""
    flow = ledger.flow
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "currency": "USD",
        "since": _time(ledger.since),
        "at": _time(ledger.at),
        "columns": {name: list(fields) for name, fields in _COLUMNS.items()},
        "flow": _body(flow.cluster, flow.nodes, flow.pools, _whole),
        "periods": [
            {"span": p.span.value, "start": p.start}
            | _body(p.cluster, p.nodes, p.pools, _short_row)
            for p in ledger.periods
        ],
        "totals": [[pool, *sums] for pool, sums in sorted(ledger.totals.items())],
        "baselines": [
            [pool, *(getattr(known, name) for name in _BASELINE)]
            for pool, known in sorted(ledger.baselines.items())
        ],
    }


def _time(at: float) -> float | None:
    return at if math.isfinite(at) else None


def _whole(sums: Iterable[float]) -> list[float]:
    return list(sums)


def _short_row(sums: Iterable[float]) -> list[float]:
    return [short(value) for value in sums]


def _body(
    cluster: ClusterSums,
    nodes: Mapping[Key, NodeSums],
    pools: Mapping[str, PoolSums],
    row: Callable[[Iterable[float]], list[float]],
) -> dict[str, Json]:
    return {
        "cluster": row(cluster),
        "nodes": [[pool, kind.value, *row(sums)] for (pool, kind), sums in sorted(nodes.items())],
        "pools": [[pool, *row(sums)] for pool, sums in sorted(pools.items())],
    }


def from_text(text: str) -> Ledger:
    """Read a stored ledger back.

    Raises:
        LedgerFormatError: it is none, of a later version, or a figure in it is none.
    """
    try:
        data = _object(json.loads(text))
    except LedgerFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise LedgerFormatError(f"no JSON: {error}") from error
    try:
        return _ledger(data)
    except LedgerFormatError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise LedgerFormatError(f"{type(error).__name__}: {error}") from error


def _ledger(data: Mapping[str, object]) -> Ledger:
    if (data.get("schema"), data.get("version")) != (SCHEMA, VERSION):
        raise LedgerFormatError(f"expected {SCHEMA}, version {VERSION}")
    reading = _Reading(data)
    at, since = data["at"], data["since"]
    return Ledger(
        since=math.inf if since is None else _figure(since),
        flow=reading.flow(-math.inf if at is None else _figure(at), _object(data["flow"])),
        periods=tuple(reading.period(_object(body)) for body in _list(data["periods"])),
        totals=reading.pools(data["totals"]),
        baselines=dict(_baseline(_list(row)) for row in _list(data["baselines"])),
    )


class _Reading:
    """Reads rows by the columns that a document names."""

    def __init__(self, data: Mapping[str, object]) -> None:
        columns = _object(data["columns"])
        self._columns = {name: [_text(c) for c in _list(columns[name])] for name in _COLUMNS}

    def flow(self, at: float, body: Mapping[str, object]) -> Flow:
        """Read the newest look."""
        return Flow(
            at=at,
            nodes=self.nodes(body["nodes"]),
            pools=self.pools(body["pools"]),
            cluster=self._sums(ClusterSums(), "cluster", _list(body["cluster"])),
        )

    def period(self, body: Mapping[str, object]) -> Period:
        """Read one period."""
        return Period(
            span=PeriodLength(_text(body["span"])),
            start=_figure(body["start"]),
            nodes=self.nodes(body["nodes"]),
            pools=self.pools(body["pools"]),
            cluster=self._sums(ClusterSums(), "cluster", _list(body["cluster"])),
        )

    def nodes(self, rows: object) -> dict[Key, NodeSums]:
        """Read rows of nodes."""
        found: dict[Key, NodeSums] = {}
        for pool, kind, *figures in map(_list, _list(rows)):
            key = _text(pool), CapacityType(_text(kind))
            found[key] = self._sums(NodeSums(), "nodes", figures)
        return found

    def pools(self, rows: object) -> dict[str, PoolSums]:
        """Read rows of pools."""
        return {
            _text(pool): self._sums(PoolSums(), "pools", figures)
            for pool, *figures in map(_list, _list(rows))
        }

    def _sums(self, empty: Sums, name: str, figures: Sequence[object]) -> Sums:
        given = dict(zip(self._columns[name], map(_figure, figures), strict=True))
        return type(empty)(*(given.get(column, 0.0) for column in empty._fields))


def _baseline(row: Sequence[object]) -> tuple[str, Baseline]:
    pool, node_hours, spot_hours, ended_at, ended_ratio = row
    return _text(pool), Baseline(
        node_hours=_figure(node_hours),
        spot_hours=_figure(spot_hours),
        ended_at=None if ended_at is None else _figure(ended_at),
        ended_ratio=_figure(ended_ratio),
    )


def _figure(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise LedgerFormatError(f"{value!r} is no figure")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise LedgerFormatError(f"{value!r} is no text")
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise LedgerFormatError(f"{value!r} is no array")
    return value


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise LedgerFormatError(f"{value!r} is no object")
    return value
