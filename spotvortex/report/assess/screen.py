"""The assessment on a terminal: totals first, at most 60 lines, details on request.

Comes in: a `Report`. Goes out: text through rich. May not compute anything that the JSON output
does not show too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spotvortex.core.decision.messages import Decision
from spotvortex.core.domain.cloud.signals import MANY
from spotvortex.core.domain.types import Action, Blocker
from spotvortex.report.assess.assessment import NodeGroupRow, Report, gates_in_words
from spotvortex.report.assess.commitments import CommitmentsFound
from spotvortex.report.assess.on_demand import OnDemand
from spotvortex.report.assess.survival import PoolHold, SurvivalRow
from spotvortex.report.assess.usage import UsageFound
from spotvortex.report.checks import STATE_COMMITMENTS

MAX_ROWS: Final = 8
"""Rows of a block of the first screen; what is left out is counted and shown by --details."""


def show(report: Report, console: Console, *, details: bool = False) -> None:
    """Print the first screen, and every row with `details`."""
    rows = None if details else MAX_ROWS
    _head(report, console)
    _health(report, console)
    _on_demand(report, console, rows)
    _breaks(report, console, rows)
    _holds(report.holds, console, rows and rows // 2)
    _spare(report.usage, console, rows and rows // 2)
    _would(report.decisions, console, rows)
    if details:
        _nodes(report, console)
        _workloads(report, console)
        if report.commitments.is_stated:
            _covered(report.commitments, console)
        _survival(report.workloads, console)
        _vectors(report.decisions, console)
        _utilisation(report.usage, console)
    _next(report, console, details=details)


def _line(console: Console, *parts: str | tuple[str, str]) -> None:
    console.print(Text.assemble(*parts), overflow="fold")


def _title(console: Console, title: str, right: str = "") -> None:
    _line(console, (f"{title:<36}" if right else title, "bold"), right)


def _more(console: Console, n: int) -> None:
    if n > 0:
        _line(console, (f"  … {n} more with --details", "dim"))


def _head(report: Report, console: Console) -> None:
    where = f"context {report.context} · read-only · {report.seconds:.1f} s"
    _line(console, ("spotvortex assess", "bold"), f"   {where}")


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _health(report: Report, console: Console) -> None:
    t = report.totals
    kinds = f"{t.n_spot} spot, {t.n_on_demand} on-demand"
    kinds += f", {t.n_reserved} reserved" if t.n_reserved else ""
    kinds += f", {t.n_unknown} of unknown capacity type" if t.n_unknown else ""
    counts = f"{t.n_pods:,} pods · {t.n_pdbs} PDBs · {t.n_pools} pools ({t.n_mixed_pools} mixed)"
    _line(console, (" ok  ", "green"), f"{t.n_nodes} nodes ({kinds}) · {counts}")
    by = ", ".join(f"{n} {provisioner}" for provisioner, n in t.provisioners)
    if by:
        _line(console, (" ok  ", "green"), f"pools by provisioner: {by}")
    if t.n_unpooled:
        belong = "belongs" if t.n_unpooled == 1 else "belong"
        words = f"{_n(t.n_unpooled, 'node')} {belong} to no pool, never moved"
        _line(console, (" --  ", "dim"), f"{words} (label spotvortex.io/pool)")
    for row in report.hosting:
        _line(console, (" --  ", "dim"), f"{_n(row.n_nodes, 'node')} on {row.words}")
    _cost(report, console)
    for missing in report.missing:
        mark = (" !!  ", "red" if missing.required else "yellow")
        console.print(Text.assemble(mark, f"{missing.name} {missing.state}: {missing.detail}"))
    _commitments(report, console)


def _commitments(report: Report, console: Console) -> None:
    """Say what commitments pay for, or ask for them."""
    found = report.commitments
    if not found.is_stated:
        words = "commitments (Savings Plans, reserved instances) not stated: money is a range"
        _line(console, (" !!  ", "yellow"), f"{words} whose low end is 0")
        _line(console, f"     {STATE_COMMITMENTS}")
        return
    paid = f"{found.n_covered:g} of {found.n_nodes} on-demand nodes are paid for"
    unused = f"${found.unused_usd_per_hour:,.2f}/h unused"
    mark = (" !!  ", "yellow") if found.unused_usd_per_hour else (" ok  ", "green")
    _line(console, mark, f"{_n(len(found.items), 'commitment')}: {paid} · {unused}")


def _cost(report: Report, console: Console) -> None:
    t = report.totals
    source = " · prices of last resort" if t.last_resort else ""
    if t.n_nodes and not t.priced_nodes:
        _line(console, (" !!  ", "yellow"), f"cost unknown: no price for any of {t.n_nodes} nodes")
        return
    mark = (" ok  ", "green") if t.priced_nodes == t.n_nodes else (" !!  ", "yellow")
    words = f"${t.cost_usd_per_hour:,.2f}/h at list price for {t.priced_nodes} of {t.n_nodes} nodes"
    _line(console, mark, words, source)


def _on_demand(report: Report, console: Console, rows: int | None) -> None:
    free = sum(o.n_free for o in report.on_demand)
    total = sum(o.n_nodes for o in report.on_demand)
    money = _range(report, report.saving_usd_per_hour)
    _title(console, "ON-DEMAND YOU MAY NOT NEED", f"{free} of {total} nodes   {money}")
    if not total:
        _line(console, "  there is no on-demand node in any pool: nothing to gain here")
    pools = sorted(report.on_demand, key=lambda o: (-o.saving_usd_per_hour, -o.n_free, o.pool))
    shown = [o for o in pools if o.n_free]
    for pool in islice(shown, rows):
        _line(console, *_free_words(pool, report))
    _more(console, len(shown) - len(shown[:rows]))
    _cannot_move(report.on_demand, console, rows)


def _range(report: Report, high: float) -> str:
    return f"${high:,.2f}/h" if report.commitments.is_stated else f"$0.00 .. {high:,.2f}/h"


def _free_words(pool: OnDemand, report: Report) -> tuple[str, ...]:
    since = datetime.fromtimestamp(pool.oldest_at or 0.0, UTC).strftime("%d %b %H:%M")
    money = _range(report, pool.saving_usd_per_hour)
    if not pool.n_priced:
        money = "saving unknown: no Spot price"
    elif pool.n_priced < pool.n_free:
        money += f" ({pool.n_priced} priced)"
    return (f"  {pool.pool:<18} {pool.n_free:>3} nodes, oldest since {since} UTC   {money}",)


def _cannot_move(on_demand: Sequence[OnDemand], console: Console, rows: int | None) -> None:
    held: Counter[Blocker] = Counter()
    for pool in on_demand:
        held.update(dict(pool.held))
    if held:
        reasons = ", ".join(f"{blocker} {n}" for blocker, n in sorted(held.items()))
        _line(console, f"  cannot move {sum(held.values())}: {reasons}")
    paid_for = sorted((o for o in on_demand if o.n_paid_for), key=lambda o: (-o.n_paid_for, o.pool))
    for pool in islice(paid_for, rows):
        _line(console, f"  paid for by commitments {pool.n_paid_for} in {pool.pool}")
    _more(console, len(paid_for) - len(paid_for[:rows]))
    pinned = sorted((o for o in on_demand if o.n_pinned), key=lambda o: (-o.n_pinned, o.pool))
    for pool in islice(pinned, rows):
        _line(console, f"  pinned {pool.n_pinned} in {pool.pool}: {pool.pinned}")
    _more(console, len(pinned) - len(pinned[:rows]))


def _breaks(report: Report, console: Console, rows: int | None) -> None:
    losses, unread = report.losses, report.unread
    known = _n(len({loss.of for loss in losses}), "workload")
    seen = f"{known}, as far as can be seen without {unread}" if unread else known
    _title(console, "WHAT BREAKS NEXT", seen)
    if not losses and not unread:
        _line(console, "  no single Spot offering or zone, if lost, takes too much of a workload")
    for loss in islice(losses, rows):
        left = f"{loss.healthy_left} of {loss.healthy} left, {loss.needed} must stay"
        lost = f"{loss.what} ({_n(loss.n_nodes, 'node')})"
        _line(console, f"  lose {lost}: {loss.of} {left}")
    _more(console, len(losses) - len(losses[:rows]))
    singles = [row.workload for row in report.workloads if row.is_single and row.n_on_spot]
    if singles:
        words = f"{_n(len(singles), 'single replica')} on Spot cannot survive a loss"
        _line(console, f"  {words}: {', '.join(singles[:3])}{' …' if len(singles) > 3 else ''}")


def _holds(holds: Sequence[PoolHold], console: Console, rows: int | None) -> None:
    """Say in each pool where a workload can spare no pod what would change that."""
    held = sorted((h for h in holds if h.change), key=lambda h: (-h.n_holding, h.pool))
    if not held:
        return
    _title(console, "WHAT WOULD LET SPOT GROW", _n(len(held), "pool"))
    for hold in islice(held, rows):
        beyond = f" beyond the loss of {hold.loss}" if hold.loss else ""
        n_more = hold.n_holding - 1
        more = f" (and {_n(n_more, 'more workload')})" if n_more > 0 else ""
        _line(console, f"  {hold.pool}: {hold.workload} can spare no pod{beyond}{more}")
        # Whole, over several lines if need be: it is to be copied.
        console.print(Text(f"    {hold.change}"))
    _more(console, len(held) - len(held[:rows]))


def _spare(usage: UsageFound, console: Console, rows: int | None) -> None:
    """Name the pools, then the workloads, that ask for twice of what they use, and more."""
    pools, workloads = usage.overprovisioned, usage.workloads
    if not (pools or workloads):
        return
    _title(console, "ASKS FOR MORE THAN IT USES", f"by {usage.source}")
    for row in islice(pools, rows):
        cpu = f"CPU {_percent(row.cpu_used_ratio)} used of {_percent(row.cpu_requested_ratio)}"
        memory = f"{_percent(row.memory_used_ratio)} of {_percent(row.memory_requested_ratio)}"
        _line(console, f"  {row.pool:<18} {cpu} requested · memory {memory}")
    _more(console, len(pools) - len(pools[:rows]))
    for use in islice(workloads, rows):
        asked, used = use.asked.cpu_milli / 1000.0, use.used.cpu_milli / 1000.0
        _line(console, f"  {use.workload}: {used:.1f} of {asked:.1f} cores requested")
    _more(console, len(workloads) - len(workloads[:rows]))


def _percent(ratio: float | None) -> str:
    return "?" if ratio is None else f"{100.0 * ratio:.0f} %"


def _table(title: str, words: Sequence[str], figures: Sequence[str]) -> Table:
    """Return a table without rows: columns of words, then of figures; what is long is folded."""
    table = Table(title=title, title_justify="left")
    for name in words:
        table.add_column(name, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _print(table: Table, console: Console) -> None:
    if table.row_count:
        console.print(table)


def _utilisation(usage: UsageFound, console: Console) -> None:
    figures = ("nodes", "CPU asked", "CPU used", "memory asked", "memory used")
    table = _table("what pools use of what is allocatable", ("pool", "by"), figures)
    for row in usage.pools:
        cpu = _percent(row.cpu_requested_ratio), _percent(row.cpu_used_ratio)
        memory = _percent(row.memory_requested_ratio), _percent(row.memory_used_ratio)
        table.add_row(row.pool, row.source, str(row.n_nodes), *cpu, *memory)
    _print(table, console)


def _would(decisions: Sequence[Decision], console: Console, rows: int | None) -> None:
    if not decisions:
        return
    _title(console, "SPOTVORTEX WOULD (nothing is done)")
    acting = [d for d in decisions if d.action is not Action.HOLD or d.moves]
    holding = [d for d in decisions if d.action is Action.HOLD and not d.moves]
    for decision in islice((*acting, *holding), rows):
        _line(console, *_decision_words(decision))
    _more(console, len(decisions) - len(decisions[:rows]))


def _decision_words(decision: Decision) -> Iterable[str]:
    pool = decision.input
    nodes = f" {_n(decision.n_nodes, 'node')}" if decision.n_nodes else ""
    yield f"  {decision.pool:<18} {decision.action}{nodes}"
    yield f" · spot {pool.n_spot}/{pool.n_counted}"
    if decision.savings_usd_per_hour:
        yield f" · {decision.savings_usd_per_hour:+.2f} $/h list"
    yield f" · confidence {pool.confidence:.2f}"
    if pool.confidence < 0.995:
        yield f" (limited by {pool.limiting_term})"
    if decision.action is Action.HOLD and decision.proposal.action is not Action.HOLD:
        yield f" · wanted {decision.proposal.action}"
    yield f" · {gates_in_words(decision)}"


def _nodes(report: Report, console: Console) -> None:
    signals = any(g.advisor_band or g.placement_one or g.placement_many for g in report.groups)
    said = ("Advisor", f"placed 1/{MANY}") if signals else ()
    words = ("pool", "type", "zone", "capacity")
    figures = ("nodes", "$/h each", "$/h", "price from", *said)
    table = _table("nodes by pool, type, zone and capacity type", words, figures)
    for group in report.groups:
        price, cost = group.price_usd_per_hour, group.cost_usd_per_hour
        table.add_row(
            group.pool or "(none)",
            group.instance_type,
            group.zone,
            group.capacity_type,
            str(group.n_nodes),
            "unknown" if price is None else f"{price:.4f}",
            "unknown" if cost is None else f"{cost:.2f}",
            "-" if price is None else group.price_source,
            *((group.advisor_band or "-", _placed(group)) if signals else ()),
        )
    _print(table, console)


def _placed(group: NodeGroupRow) -> str:
    scores = (group.placement_one, group.placement_many)
    return "/".join("-" if score is None else str(score) for score in scores)


def _workloads(report: Report, console: Console) -> None:
    table = _table("workloads that hold nodes in place", ("workload", "why"), ("nodes",))
    for blocked in report.blocked:
        table.add_row(blocked.workload, blocked.blocker, str(blocked.n_nodes))
    _print(table, console)


def _covered(found: CommitmentsFound, console: Console) -> None:
    figures = ("holds", "used", "unused $/h")
    table = _table("commitments, and what is left of each", ("commitment", "kind"), figures)
    for item in found.items:
        unused = item.unused_usd_per_hour
        table.add_row(
            item.name,
            item.kind,
            f"{item.amount:g} {item.unit}",
            f"{item.used:g}",
            "unknown" if unused is None else f"{unused:.2f}",
        )
    _print(table, console)
    figures = ("nodes", "paid for", "not paid for")
    nodes = _table("on-demand nodes that commitments pay for", ("pool", "by"), figures)
    for row in found.pools:
        by = ", ".join(row.by) or "-"
        counts = str(row.n_nodes), f"{row.n_covered:g}", f"{row.n_uncovered:g}"
        nodes.add_row(row.pool or "(none)", by, *counts)
    _print(nodes, console)


def _survival(workloads: Sequence[SurvivalRow], console: Console) -> None:
    words = ("workload", "worst loss", "word", "to let it grow")
    figures = ("pods", "on Spot", "left", "must stay")
    table = _table("workloads and the loss that hits each most", words, figures)
    for row in workloads:
        table.add_row(
            row.workload,
            row.loss or "-",
            f"{row.said} ({row.said_by})" if row.said else "default",
            row.change or "-",
            str(row.healthy),
            str(row.n_on_spot),
            str(row.healthy_left),
            str(row.needed),
        )
    _print(table, console)


def _vectors(decisions: Sequence[Decision], console: Console) -> None:
    of_pods = ("critical on Spot", "stateful", "evictable", "slack", "restart s")
    figures = (*of_pods, "spare nodes", "zones", "risk", "safe ratio")
    table = _table("safety vector of each pool", ("pool",), figures)
    for decision in decisions:
        found = decision.input.vector
        if found is None:
            continue
        slack = "-" if found.slack_one_pods is None else str(found.slack_one_pods)
        table.add_row(
            decision.pool,
            f"{found.critical_spot_ratio:.2f}",
            f"{found.stateful_ratio:.2f}",
            f"{found.evictable_ratio:.2f}",
            f"{slack}/{'-' if found.slack_two_pods is None else found.slack_two_pods}",
            f"{found.restart_p95_s:.0f}",
            f"{found.spare_on_demand_nodes:.1f}",
            f"{found.zone_score:.1f}",
            f"{found.recovery_risk:.2f}",
            f"{found.safe_spot_ratio:.2f}",
        )
    _print(table, console)


def _next(report: Report, console: Console, *, details: bool) -> None:
    more = "" if details else "spotvortex assess --details · "
    _line(
        console,
        ("next: ", "bold"),
        f"{more}--output json · install shadow: kubectl apply -k deploy/kustomize/overlays/shadow",
    )
    if not report.decisions:
        _line(console, "no pool was found: label nodes spotvortex.io/pool, or use Karpenter or EKS")
