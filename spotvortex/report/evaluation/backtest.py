"""One world under several policies, side by side: in text, as JSON, and as an HTML page.

Comes in: each policy's account of the same world, and the cost constants. Goes out: the same
figures in all three forms; the page draws cost, share of Spot and events over time. May not judge:
one world is no evaluation.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spotvortex.errors import ResultsError
from spotvortex.report.document import plain
from spotvortex.report.html.page import heading, page, paragraph, table
from spotvortex.report.html.plots import Caption, EventRow, Line, event_plot, line_plot
from spotvortex.results.accounting import (
    Costs,
    net_profit_usd,
    savings_ratio,
    spot_ratio,
    total_cost_usd,
    total_of,
)
from spotvortex.results.timeline import EventKind, RunAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Accounts of one world, in the order in which they are shown."""

    accounts: tuple[RunAccount, ...]
    costs: Costs

    def __post_init__(self) -> None:
        """Refuse accounts that cannot be compared.

        Raises:
            ResultsError: there is none, or they are of different worlds.
        """
        worlds = {account.result.world for account in self.accounts}
        if len(worlds) != 1:
            raise ResultsError(f"a backtest shows one world, and these are of {len(worlds)}")

    @property
    def world(self) -> str:
        """Name the world."""
        family, mix, seed, variant = self.accounts[0].result.world
        return f"{family}/{mix} seed {seed}" + (f", {variant}" if variant else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One policy in numbers, over the whole run.

    Attributes:
        policy: the policy's name.
        n_days: days of the run.
        node_usd: money for nodes.
        savings_ratio: share of the node money of all on-demand that was saved, None without such
            money.
        total_usd: money for nodes, and the price of moves, interruptions and unserved demand.
        net_profit_usd: what the demanded node-minutes are worth, less `total_usd`.
        spot_ratio: share of paid node-minutes on Spot, 0..1, None where no node was paid for.
        n_interrupted: nodes taken away by the provider.
        n_moved: planned moves of a node.
        n_launch_failures: launches that were answered with a lack of capacity.
        outage_minutes: minutes in which a workload had fewer ready pods than its demand less what
            its PodDisruptionBudget allows, summed over workloads.
        unserved_node_minutes: demand that no ready node served.
        n_events: events by kind.
        digest: digest of the run's event log.
    """

    policy: str
    n_days: int
    node_usd: float
    savings_ratio: float | None
    total_usd: float
    net_profit_usd: float
    spot_ratio: float | None
    n_interrupted: int
    n_moved: int
    n_launch_failures: int
    outage_minutes: float
    unserved_node_minutes: float
    n_events: tuple[tuple[EventKind, int], ...]
    digest: str


def figures_of(backtest: Backtest) -> tuple[Figures, ...]:
    """Compute every policy's figures."""
    return tuple(_figures(account, backtest.costs) for account in backtest.accounts)


def _figures(account: RunAccount, costs: Costs) -> Figures:
    result = account.result
    totals = total_of(result.days)
    counts: Counter[EventKind] = Counter()
    for event in account.events:
        counts[event.kind] += event.n
    return Figures(
        policy=result.policy,
        n_days=len(result.days),
        node_usd=totals.node_usd,
        savings_ratio=savings_ratio(totals),
        total_usd=total_cost_usd(totals, costs),
        net_profit_usd=net_profit_usd(totals, costs),
        spot_ratio=spot_ratio(totals),
        n_interrupted=totals.n_interrupted,
        n_moved=totals.n_moved,
        n_launch_failures=totals.n_launch_failures,
        outage_minutes=totals.outage_minutes,
        unserved_node_minutes=totals.unserved_node_minutes,
        n_events=tuple((kind, counts[kind]) for kind in EventKind),
        digest=result.digest,
    )


HEAD = (
    "policy",
    "nodes USD",
    "saved",
    "total USD",
    "on Spot",
    "nodes lost",
    "moves",
    "outage min",
    "unserved node-min",
)


def _cells(figures: Figures) -> tuple[str, ...]:
    return (
        figures.policy,
        f"{figures.node_usd:,.2f}",
        _percent(figures.savings_ratio),
        f"{figures.total_usd:,.2f}",
        _percent(figures.spot_ratio),
        f"{figures.n_interrupted:,}",
        f"{figures.n_moved:,}",
        f"{figures.outage_minutes:,.1f}",
        f"{figures.unserved_node_minutes:,.1f}",
    )


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1%}"


def _note(costs: Costs) -> str:
    """Say what has to be known to read the figures."""
    return (
        f"saved: of the node money of all on-demand; total: nodes, {costs.cm:g} on-demand minutes"
        f" for a move, {costs.ci:g} for a node that AWS took back, and {costs.v:g} times what was"
        " left unserved"
    )


def show(backtest: Backtest, console: Console) -> None:
    """Print the figures side by side."""
    figures = figures_of(backtest)
    console.print(Text.assemble(("spotvortex backtest", "bold"), f"   {_subtitle(backtest)}"))
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    for i, name in enumerate(HEAD):
        two_lines = name.replace(" ", "\n")
        shown.add_column(two_lines, justify="right" if i else "left", overflow="fold")
    for one in figures:
        shown.add_row(*(Text(cell) for cell in _cells(one)))
    console.print(shown)
    console.print(Text(_note(backtest.costs), style="dim"))


def _subtitle(backtest: Backtest) -> str:
    return f"{backtest.world} · {len(backtest.accounts[0].result.days)} days"


def render(backtest: Backtest) -> str:
    """Render figures, days, hours and events as indented JSON."""
    document = {
        "world": backtest.world,
        "costs": plain(backtest.costs),
        "figures": [plain(figures) for figures in figures_of(backtest)],
        "accounts": [plain(account) for account in backtest.accounts],
    }
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False)


def render_html(backtest: Backtest) -> str:
    """Render one page that needs nothing else."""
    figures = figures_of(backtest)
    title = f"SpotVortex backtest: {_subtitle(backtest)}"
    parts = [
        table("Policies side by side", HEAD, (_cells(one) for one in figures)),
        paragraph(_note(backtest.costs), "faint"),
        *_drawings(backtest),
        heading("Cost of nodes by day, USD"),
        _by_day(backtest),
        heading("Events"),
        _events_table(figures),
    ]
    return page(title, parts)


def _drawings(backtest: Backtest) -> Iterator[str]:
    accounts = backtest.accounts
    names = ", ".join(account.result.policy for account in accounts)
    if any(account.hours for account in accounts):
        yield heading("Cost over time")
        yield line_plot(
            _caption("cost", "Cost of nodes over time", f"One line each for {names}.", "USD/h"),
            [
                Line(
                    name=a.result.policy,
                    points=tuple((h.at_h / 24.0, h.cost_usd_per_hour) for h in a.hours),
                )
                for a in accounts
            ],
        )
        yield heading("Share of Spot over time")
        yield line_plot(
            _caption("spot", "Share of nodes on Spot", f"One line each for {names}.", "0 to 1"),
            [
                Line(
                    name=a.result.policy,
                    points=tuple((h.at_h / 24.0, h.spot_ratio) for h in a.hours),
                )
                for a in accounts
            ],
            y_max=1.0,
        )
    yield from _event_drawing(accounts)


def _event_drawing(accounts: Sequence[RunAccount]) -> Iterator[str]:
    if not any(account.events for account in accounts):
        return
    lanes = [
        EventRow(
            name=f"{account.result.policy} {kind}",
            events=tuple((e.at_h / 24.0, e.n) for e in account.events if e.kind is kind),
            colour=i,
        )
        for i, account in enumerate(accounts)
        for kind in EventKind
    ]
    words = "One row for each policy and kind; a bar is as high as its time has events."
    yield heading("Events over time")
    yield event_plot(_caption("events", "Events over time", words), lanes, (0.0, _days(accounts)))


def _caption(ident: str, title: str, description: str, y_unit: str = "") -> Caption:
    words = f"{description} Days from the start of the run to the right."
    return Caption(ident=ident, title=title, description=words, x_unit="day", y_unit=y_unit)


def _days(accounts: Sequence[RunAccount]) -> float:
    return float(max(len(account.result.days) for account in accounts))


def _by_day(backtest: Backtest) -> str:
    """Return a table of the money for nodes; the first year of it."""
    columns = [account.result.days[:366] for account in backtest.accounts]
    names = [account.result.policy for account in backtest.accounts]
    rows = (
        [str(days[0].day), *(f"{day.node_usd:,.2f}" for day in days)]
        for days in zip(*columns, strict=False)
    )
    return table("Cost of nodes by day, USD", ["day", *names], rows)


def _events_table(figures: Sequence[Figures]) -> str:
    head = ["policy", *(f"{kind}s" for kind in EventKind)]
    rows = ([one.policy, *(f"{n:,}" for _, n in one.n_events)] for one in figures)
    return table("Events by kind", head, rows)
