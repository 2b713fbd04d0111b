"""The page of the ledger: what was spent and saved since it was begun.

Comes in: a ledger. Goes out: the parts of a page. Shows what `spotvortex ledger` tells; the saving
is a range where commitments were not stated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from spotvortex.core.ledger.ledger import Ledger
from spotvortex.core.ledger.periods import Period, PeriodLength
from spotvortex.report.console.frame import bullets, tiles
from spotvortex.report.console.trend_plots import hours_line
from spotvortex.report.html.page import heading, paragraph, table
from spotvortex.report.html.plots import Caption, Line, line_plot
from spotvortex.report.ledger.account import By, LedgerAccount, Row, Sum, account_of
from spotvortex.report.ledger.screen import moment, summary
from spotvortex.report.money import usd

MAX_PERIODS: Final = 48
"""Newest hours and days that are listed, each."""

_COURSE: Final = Caption(
    ident="ledger",
    title="Cost by the hour",
    description="What the nodes cost in each hour seen, and what they would have cost on-demand.",
    x_unit="hours, 0 is now",
    y_unit="USD in the hour",
)


def ledger_page(ledger: Ledger) -> Iterator[str]:
    """Yield the parts of the page."""
    account = account_of(ledger)
    if account.since is None:
        yield paragraph("Nothing is accounted for yet: a ledger begins with the second cycle.")
        return
    yield tiles(saved_tiles(account))
    yield bullets(tuple(summary(account)))
    yield from _course(ledger)
    yield heading("By pool")
    yield table("Since the ledger was begun", ("pool", *_HEAD), map(_of_pool, account.rows))
    for by, title in ((By.HOUR, "By the hour"), (By.DAY, "By the day")):
        rows = account_of(ledger, by).rows[-MAX_PERIODS:]
        yield heading(title)
        head = ("from (UTC)", "seen", "unknown", *_HEAD)
        yield table(f"{title}, newest first", head, map(_of_period, reversed(rows)))
    words = "As a table, JSON, CSV or FOCUS 1.2: spotvortex ledger --output, or /ledger."
    yield paragraph(words, "faint")


def saved_tiles(account: LedgerAccount) -> Iterator[tuple[str, str, str]]:
    """Yield the large figures: what was saved and would have been, and beside what."""
    total, cluster = account.total, account.cluster
    since = "" if account.since is None else f"since {moment(account.since)} UTC"
    if account.is_stated:
        beside = "beyond the commitments stated"
    else:
        beside = f"at list price; {usd(total.saved_at_least_usd)} if commitments would have paid"
    yield "Saved so far", usd(total.saved_usd), f"{since}, {beside}"
    yield "At the allowed target", usd(total.projected_usd), "what it would have saved since then"
    if cluster.alone_hours > 0.0:
        less = cluster.alone_usd - total.cost_usd
        words = f"{usd(abs(less))} {'more' if less < 0.0 else 'less'}"
        yield "Beside Karpenter alone", words, f"it cost {usd(cluster.alone_usd)}"


def _course(ledger: Ledger) -> Iterator[str]:
    hours = [
        p for p in ledger.periods if p.span is PeriodLength.HOUR and p.cluster.seen_hours > 0.0
    ]
    if len(hours) > 1:
        yield line_plot(_COURSE, [_line("cost", hours, _cost), _line("on-demand", hours, _whole)])


def _line(name: str, hours: Sequence[Period], figure: Callable[[Period], float]) -> Line:
    return hours_line(name, [(p.start, figure(p)) for p in hours])


def _cost(period: Period) -> float:
    return sum(s.uncovered_usd + s.committed_usd for s in period.nodes.values())


def _whole(period: Period) -> float:
    committed = sum(s.committed_usd for s in period.nodes.values())
    return committed + sum(s.on_demand_usd for s in period.nodes.values())


_HEAD: Final = (
    "node-hours",
    "on Spot",
    "cost",
    "saved",
    "at least",
    "projected",
    "before",
    "double",
    "restarts",
)


def _of_pool(row: Row) -> Sequence[str]:
    return (row.pool, *_figures(row.sums))


def _of_period(row: Row) -> Sequence[str]:
    name = "before that" if row.span == PeriodLength.BEFORE else f"{moment(row.start)} {row.span}"
    seen, unknown = row.cluster.seen_hours, row.cluster.unknown_hours
    return (name, f"{seen:.2f} h", f"{unknown:.2f} h", *_figures(row.sums))


def _figures(sums: Sum) -> Sequence[str]:
    return (
        f"{sums.node_hours:,.1f}",
        f"{sums.spot_node_hours:,.1f}",
        usd(sums.cost_usd),
        usd(sums.saved_usd),
        usd(sums.saved_at_least_usd),
        usd(sums.projected_usd),
        usd(sums.before_usd),
        f"{sums.double_running_minutes:,.0f} min",
        f"{sums.n_restarts:,.0f}",
    )
