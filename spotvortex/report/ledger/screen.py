"""The ledger as lines, as JSON and as CSV.

Comes in: an account. Goes out: text. Shows what the account holds, and computes nothing. A list
price is called so, and where commitments were not stated the saving is a range.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from spotvortex.core.record.codec import rfc3339
from spotvortex.report.document import Json, plain
from spotvortex.report.ledger.account import LedgerAccount, Row
from spotvortex.report.money import usd

SCHEMA: Final = "spotvortex.ledger-report"
VERSION: Final = 1

NOTHING_MORE: Final[Mapping[str, Json]] = {}

_MONEY: Final = (
    ("COST", "cost_usd"),
    ("SAVED", "saved_usd"),
    ("AT LEAST", "saved_at_least_usd"),
    ("PROJECTED", "projected_usd"),
    ("BEFORE", "before_usd"),
)


def lines_of(account: LedgerAccount) -> Iterator[str]:
    """Yield the ledger for a terminal."""
    if account.since is None or account.at is None:
        yield "Nothing is accounted for yet: a ledger begins with the second cycle."
        return
    yield from summary(account)
    yield ""
    name = "POOL" if all(row.pool for row in account.rows) else "FROM (UTC)"
    width = max([len(name), *(len(_label(row)) for row in account.rows)])
    heads = "".join(f" {head:>10}" for head, _ in _MONEY)
    yield f"{name:<{width}} {'NODE-H':>9} {'SPOT-H':>9}{heads} {'DOUBLE':>7} {'RESTARTS':>8}"
    for row in account.rows:
        yield _line(row, width)


def _line(row: Row, width: int) -> str:
    sums = row.sums
    money = "".join(f" {usd(getattr(sums, name)):>10}" for _, name in _MONEY)
    unknown = row.cluster.unknown_hours
    gap = f"  {unknown:.1f} h unknown" if unknown > 0.0 else ""
    return (
        f"{_label(row):<{width}} {sums.node_hours:>9,.1f} {sums.spot_node_hours:>9,.1f}{money} "
        f"{sums.double_running_minutes:>5,.0f} m {sums.n_restarts:>8,.0f}{gap}"
    )


def _label(row: Row) -> str:
    if row.pool:
        return row.pool
    return "before that" if row.span == "before" else f"{moment(row.start)} {row.span}"


def summary(account: LedgerAccount) -> Iterator[str]:
    """Yield what the ledger says in sentences."""
    total, cluster = account.total, account.cluster
    assert account.since is not None
    gap = f"{cluster.unknown_hours:,.1f} h unknown: nobody looked, and no figure covers them"
    missed = gap if cluster.unknown_hours > 0.0 else "no gap"
    yield f"since {moment(account.since)} UTC: {cluster.seen_hours:,.1f} h seen, {missed}"
    yield f"cost {usd(total.cost_usd)}; saved {saving(account)}"
    yield f"at the allowed target it would have been {usd(total.projected_usd)}"
    yield f"at the Spot share before the first move it would have cost {_beside(account)}"
    if cluster.alone_hours > 0.0:
        yield f"the same cluster under its provisioner alone cost {usd(cluster.alone_usd)}"
    if account.is_stated:
        yield f"commitments that nothing used cost {usd(cluster.unused_usd)}"
    yield (
        f"moves: {total.double_running_minutes:,.0f} node-minutes double "
        f"({usd(total.double_running_usd)}, in the cost), {total.n_restarts:,.0f} pods restarted "
        f"({usd(total.restart_usd)} of room while they started)"
    )
    if total.unpriced_node_hours > 0.0:
        yield f"{total.unpriced_node_hours:,.1f} node-hours without a price are in no sum"


def _beside(account: LedgerAccount) -> str:
    more = account.total.before_usd - account.total.cost_usd
    return f"{usd(abs(more))} {'less' if more < 0.0 else 'more'}"


def saving(account: LedgerAccount) -> str:
    """Say what was saved, as a range where commitments were not stated all the time."""
    total = account.total
    if account.is_stated:
        return f"{usd(total.saved_usd)} beside all on-demand, beyond the commitments stated"
    return (
        f"{usd(total.saved_at_least_usd)} .. {usd(total.saved_usd)} beside all on-demand: "
        "list prices, commitments not stated"
    )


def moment(at: float) -> str:
    """Write a time to the minute, UTC."""
    return rfc3339(at)[:16].replace("T", " ")


def render(account: LedgerAccount, more: Mapping[str, Json] = NOTHING_MORE) -> str:
    """Render an account as indented JSON, with further members."""
    body: dict[str, Json] = {
        "schema": SCHEMA,
        "version": VERSION,
        "currency": "USD",
        "since": None if account.since is None else rfc3339(account.since),
        "at": None if account.at is None else rfc3339(account.at),
        "commitments_stated": account.is_stated,
        "cluster": plain(account.cluster._asdict()),
        "total": plain(account.total),
        "rows": [plain(_flat(row)) for row in account.rows],
    }
    return json.dumps(body | dict(more), indent=2, allow_nan=False)


def _flat(row: Row) -> Mapping[str, object]:
    """Return a row with one level of names, without those that say nothing of it."""
    if row.pool:
        return {"pool": row.pool} | asdict(row.sums)
    named = {"span": row.span, "start": rfc3339(row.start)}
    hours = {"seen_hours": row.cluster.seen_hours, "unknown_hours": row.cluster.unknown_hours}
    return named | hours | asdict(row.sums)


def as_csv(account: LedgerAccount) -> str:
    """Render the rows as CSV with a head; a ledger without rows has no line at all."""
    rows = [_flat(row) for row in account.rows]
    return written(rows, list(rows[0])) if rows else ""


def written(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Write rows as CSV; None is an empty cell, and a figure has six decimals at most."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(row[name]) for name in columns} for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
