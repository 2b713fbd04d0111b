"""A log of decisions under other settings: what would have differed, by record and in money.

Comes in: a decision log, and limits to change. Goes out: the records that differ, sums by pool, as
text or JSON. Money is at list price, and counts each difference until the next record of its pool,
for an hour at most: that one starts from the world as it was. May not say what would have followed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spotvortex.core.record.codec import CodecError, rfc3339
from spotvortex.core.record.record import HEARTBEAT_S, read_record
from spotvortex.core.record.redecision import Limit, Redecision, redecided
from spotvortex.errors import RecordError
from spotvortex.report.document import Json, plain
from spotvortex.report.explain.records import record_lines
from spotvortex.results.schemas import WHAT_IF

MAX_LISTED: Final = 1000
"""Records that are listed; the sums cover all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingRecord:
    """One decision that would have been another.

    Attributes:
        id: the decision's own id.
        time: when, RFC 3339.
        pool: the pool's name.
        action: what was decided.
        other_action: what would have been.
        n_nodes: nodes of the wave.
        other_n_nodes: nodes that it would have had.
        target_ratio: the Spot share that was to be reached.
        other_target_ratio: the share that would have been.
        gates: the gates that answer otherwise.
        savings_usd_per_hour: what the wave would have saved more at list price, None where a price
            is unknown.
        hours: until the next record of the pool, 1 at most.
        usd: the two multiplied.
    """

    id: str
    time: str
    pool: str
    action: str
    other_action: str
    n_nodes: int
    other_n_nodes: int
    target_ratio: float
    other_target_ratio: float
    gates: tuple[str, ...]
    savings_usd_per_hour: float | None
    hours: float
    usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDifference:
    """What would have differed in one pool.

    Attributes:
        pool: its name.
        n_records: decisions of it.
        n_differing: those of them that would have been others.
        nodes_to_spot: nodes that waves would have taken to Spot more, over all of them; negative
            for more that leave it.
        usd: what they would have saved more at list price.
        n_unpriced: differing ones that are not in it, since a price is unknown.
    """

    pool: str
    n_records: int
    n_differing: int
    nodes_to_spot: int
    usd: float
    n_unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfReport:
    """What other settings would have made of a log.

    Attributes:
        settings: the changed settings with their values.
        first: the time of the first record, RFC 3339.
        last: that of the last one.
        n_records: records decided again.
        n_differing: those that would have been others.
        n_other_code: those of which this code already decides otherwise than was recorded; they are
            compared with what it decides.
        usd: what all of them would have saved more at list price.
        pools: sums by pool.
        records: the differing records, the first thousand.
    """

    settings: Mapping[str, str]
    first: str
    last: str
    n_records: int
    n_differing: int
    n_other_code: int
    usd: float
    pools: tuple[PoolDifference, ...]
    records: tuple[DifferingRecord, ...]


@dataclass(slots=True)
class _Tally:
    """One pool as it is read: its sums, and the difference whose time is not over."""

    n_records: int = 0
    n_differing: int = 0
    nodes_to_spot: int = 0
    usd: float = 0.0
    n_unpriced: int = 0
    open: Redecision | None = None


@dataclass(slots=True)
class _Reader:
    """Reads a log record by record."""

    changes: Mapping[str, Limit]
    pools: dict[str, _Tally] = field(default_factory=dict)
    records: list[DifferingRecord] = field(default_factory=list)
    n_other_code: int = 0
    first: float = math.inf
    last: float = -math.inf

    def take(self, line: str) -> None:
        """Decide one record again."""
        found = redecided(read_record(line).basis, self.changes)
        at = found.before.at
        self.first, self.last = min(self.first, at), max(self.last, at)
        self.n_other_code += _recorded(line) != (found.before.action.value, found.before.n_nodes)
        tally = self.pools.setdefault(found.before.pool, _Tally())
        self.close(tally, at)
        tally.n_records += 1
        tally.open = found if found.differs else None

    def close(self, tally: _Tally, at: float) -> None:
        """Count a difference up to a time."""
        found, tally.open = tally.open, None
        if found is None:
            return
        row = _row(found, min(HEARTBEAT_S, max(0.0, at - found.before.at)) / 3600.0)
        tally.n_differing += 1
        tally.nodes_to_spot += found.nodes_to_spot
        tally.usd += row.usd or 0.0
        tally.n_unpriced += row.usd is None
        if len(self.records) < MAX_LISTED:
            self.records.append(row)


def what_if(
    paths: Sequence[Path], settings: Mapping[str, str], changes: Mapping[str, Limit]
) -> WhatIfReport:
    """Decide every record of some logs again.

    Args:
        paths: the logs, the oldest first; lines that are no record are passed over.
        settings: what was asked for, to be said again.
        changes: the same as limits.

    Raises:
        RecordError: a file cannot be read, a record cannot, or there is none.
    """
    reader = _Reader(changes=changes)
    for place, line in record_lines(paths):
        try:
            reader.take(line)
        except (CodecError, ArithmeticError, ValueError) as error:
            raise RecordError(f"{place}: {error}") from error
    if not reader.pools:
        raise RecordError(f"{paths[0]} holds no record to decide again; name a decision log")
    for tally in reader.pools.values():
        reader.close(tally, reader.last)
    return _report(reader, settings)


def _report(reader: _Reader, settings: Mapping[str, str]) -> WhatIfReport:
    tallies = reader.pools.values()
    return WhatIfReport(
        settings=dict(settings),
        first=rfc3339(reader.first),
        last=rfc3339(reader.last),
        n_records=sum(tally.n_records for tally in tallies),
        n_differing=sum(tally.n_differing for tally in tallies),
        n_other_code=reader.n_other_code,
        usd=math.fsum(tally.usd for tally in tallies),
        pools=tuple(
            PoolDifference(
                pool=name,
                n_records=tally.n_records,
                n_differing=tally.n_differing,
                nodes_to_spot=tally.nodes_to_spot,
                usd=tally.usd,
                n_unpriced=tally.n_unpriced,
            )
            for name, tally in sorted(reader.pools.items())
        ),
        records=tuple(sorted(reader.records, key=lambda row: (row.time, row.pool))),
    )


def _row(found: Redecision, hours: float) -> DifferingRecord:
    before, after, savings = found.before, found.after, found.savings_usd_per_hour
    return DifferingRecord(
        id=before.decision_id,
        time=rfc3339(before.at),
        pool=before.pool,
        action=before.action.value,
        other_action=after.action.value,
        n_nodes=before.n_nodes,
        other_n_nodes=after.n_nodes,
        target_ratio=before.target_ratio,
        other_target_ratio=after.target_ratio,
        gates=found.gates,
        savings_usd_per_hour=savings,
        hours=hours,
        usd=None if savings is None else savings * hours,
    )


def _recorded(line: str) -> tuple[object, object]:
    document = json.loads(line)
    return document.get("action"), document.get("n_nodes")


def render(report: WhatIfReport) -> str:
    """Return it as JSON."""
    return json.dumps(document_of(report), indent=1)


def document_of(report: WhatIfReport) -> dict[str, Json]:
    """Return it as what JSON knows."""
    document = plain(report)
    assert isinstance(document, dict)
    return {"schema": WHAT_IF, **document}


MAX_SHOWN: Final = 20
"""Records on a screen, unless all are asked for."""


def lines(report: WhatIfReport, *, details: bool = False) -> Iterator[str]:
    """Say it line by line."""
    asked = ", ".join(f"{name}={value}" for name, value in report.settings.items())
    yield f"{asked}: {report.n_differing} of {report.n_records} decisions would have differed"
    yield f"{report.first} to {report.last}; {_dollars(report.usd)} at list price"
    if report.n_other_code:
        yield f"{report.n_other_code} were recorded by code that decided otherwise than this one"
    yield ""
    yield f"{'pool':<20} {'records':>8} {'differ':>7} {'to Spot':>8} {'USD':>10}"
    for pool in report.pools:
        unpriced = f"  {pool.n_unpriced} without a price" if pool.n_unpriced else ""
        yield (
            f"{pool.pool[:20]:<20} {pool.n_records:>8} {pool.n_differing:>7} "
            f"{pool.nodes_to_spot:>+8} {pool.usd:>+10.4f}{unpriced}"
        )
    shown = report.records if details else report.records[:MAX_SHOWN]
    if shown:
        yield ""
        yield (
            f"{'time':<24} {'pool':<16} {'decided':<18} {'would have':<18} {'target':<12} "
            f"{'USD':>9}  gates"
        )
    for row in shown:
        usd = "-" if row.usd is None else f"{row.usd:+.4f}"
        target = f"{row.target_ratio:.2f} > {row.other_target_ratio:.2f}"
        yield (
            f"{row.time:<24} {row.pool[:16]:<16} {_action(row.action, row.n_nodes):<18} "
            f"{_action(row.other_action, row.other_n_nodes):<18} {target:<12} "
            f"{usd:>9}  {', '.join(row.gates)}"
        )
    if report.n_differing > len(shown):
        yield f"... {report.n_differing - len(shown)} more"


def _action(action: str, n_nodes: int) -> str:
    return f"{action} {n_nodes}" if n_nodes else action


def _dollars(usd: float) -> str:
    more = "more" if usd >= 0.0 else "less"
    return f"{abs(usd):.4f} USD {more} would have been saved"
