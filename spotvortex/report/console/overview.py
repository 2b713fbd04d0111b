"""The first page: what the cluster costs, how much of it is on Spot, and what needs a person.

Comes in: the newest plan, the line of all pools, and what is not well. Goes out: the parts of a
page. May not compute what no decision has read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from spotvortex.core.decision.messages import Decision, Plan
from spotvortex.core.domain.types import Action, Freeze, Outcome, ProvisionerKind
from spotvortex.core.drain.messages import DrainOrder
from spotvortex.core.pool.cost import HOURS_A_MONTH, PoolCost, cost_of, total_of
from spotvortex.core.record.record import shown_risk
from spotvortex.report.assess.assessment import Judged, gates_in_words
from spotvortex.report.console.frame import ROOT, bullets, meter, moment, score, tiles
from spotvortex.report.console.ledger import saved_tiles
from spotvortex.report.console.trend_plots import course_plots, trend_plots
from spotvortex.report.html.page import Markup, heading, link, paragraph, table, text
from spotvortex.report.ledger.account import LedgerAccount
from spotvortex.report.money import usd
from spotvortex.results.course import CoursePoint
from spotvortex.telemetry.trends import TrendPoint

MAX_IN_FLIGHT: Final = 50
"""Drains that are listed; the rest are counted."""

Courses = Mapping[str, Sequence[CoursePoint]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """What is drawn: the line of all pools together, and those of simulated clusters by name."""

    points: Sequence[TrendPoint] = ()
    courses: Courses = field(default_factory=dict)


def overview(
    plan: Plan, lines: Lines, account: LedgerAccount, unwell: Sequence[str]
) -> Iterator[str]:
    """Yield the parts of the page.

    Args:
        plan: the newest plan.
        lines: what is drawn.
        account: what was spent and saved.
        unwell: why the daemon is not ready or not healthy, in words.
    """
    if lines.courses:
        yield from _side_by_side(lines.courses)
    costs = [cost_of(d.input) for d in plan.decisions]
    saved = saved_tiles(account) if account.since is not None else ()
    yield tiles([*_figures(plan, total_of(costs)), *saved])
    needs = [*unwell, *_needs(plan)]
    yield heading("What needs a person")
    yield bullets(needs) if needs else paragraph("Nothing does.", "good")
    yield heading("Pools")
    yield table("Every pool, by its newest decision", _HEAD, map(_row, plan.decisions, costs))
    yield heading("Under way")
    yield from _under_way([*plan.resumed, *plan.orders])
    yield heading("Since the start")
    yield from trend_plots(lines.points)


def _side_by_side(courses: Courses) -> Iterator[str]:
    """Show how each simulated cluster has fared, beside the others."""
    yield heading("The same simulated day, side by side")
    rows = ((name, *_fared(points[-1])) for name, points in courses.items() if points)
    yield table("Since the start", _FARED, rows)
    yield from course_plots(courses)


_FARED: Final = ("cluster", "cost", "now", "on Spot", "Spot nodes lost", "pod-minutes not Ready")


def _fared(point: CoursePoint) -> Sequence[str]:
    return (
        usd(point.usd),
        f"{usd(point.usd_per_hour)}/h",
        f"{point.spot_ratio:.0%}",
        str(point.n_lost),
        f"{point.missing_pod_minutes:,.0f}",
    )


def _figures(plan: Plan, cost: PoolCost) -> Iterator[tuple[str, str, str]]:
    n_spot = sum(d.input.n_spot for d in plan.decisions)
    n_counted = sum(d.input.n_counted for d in plan.decisions)
    whole = cost.all_on_demand_usd_per_hour
    saved = cost.saved_usd_per_hour
    unpriced = f"; {cost.n_unpriced} nodes without a price left out" if cost.n_unpriced else ""
    yield "Cost now", f"{usd(cost.usd_per_hour)}/h", f"at list price{unpriced}"
    share = f"{saved / whole:.0%} of {usd(whole)}/h all on-demand" if whole else "no price known"
    yield "Saved by Spot", f"{usd(saved)}/h", f"{share}; {usd(saved * HOURS_A_MONTH)} a month"
    ratio = f"{n_spot / n_counted:.0%}" if n_counted else "-"
    yield "On Spot", ratio, f"{n_spot} of {n_counted} nodes"
    worst = max(
        ((shown_risk(d.input).capacity or 0.0, d.pool) for d in plan.decisions), default=(0.0, "")
    )
    yield "Highest risk", score(worst[0]), f"capacity score of {worst[1]}" if worst[1] else ""
    yield "Under way", str(len(plan.resumed) + len(plan.orders)), "nodes being moved"
    yield "Mode", _modes(plan), f"decided {moment(plan.at)} UTC, cycle {plan.cycle}"


def _modes(plan: Plan) -> str:
    return ", ".join(sorted({d.mode.value for d in plan.decisions})) or "-"


def _needs(plan: Plan) -> Iterator[str | Markup]:
    """Yield what a person has to see to, the most urgent first."""
    standing = plan.observation.standing
    if standing.freeze is not Freeze.NONE:
        yield f"SpotVortex is frozen ({standing.freeze.value}): somebody has stopped it."
    if not standing.leader and any(d.mode.writes for d in plan.decisions):
        yield "This replica stands by and moves nothing: another one leads, or nobody does."
    if standing.unsure:
        yield "What was remembered is lost: only moves that protect are made for a day."
    for decision in plan.decisions:
        for words in _needs_of(decision):
            yield Markup(f"{pool_link(decision.pool)}: {text(words)}.")


def _needs_of(decision: Decision) -> Iterator[str]:
    pool = decision.input
    if pool.bad_inputs:
        yield f"{', '.join(pool.bad_inputs)} missing or stale, so it holds"
    if pool.safety.unread:
        yield pool.safety.unread
    if pool.safety.n_breaking:
        noun = "workload" if pool.safety.n_breaking == 1 else "workloads"
        yield f"one loss of Spot would take too much of {pool.safety.n_breaking} {noun}"
    driver = pool.room_spot.no_driver or pool.room_on_demand.no_driver
    if driver in set(ProvisionerKind):
        yield f"decided on but never moved: its nodes are made by {driver}"
    elif driver:
        yield f"not moved for now: {driver}"
    if pool.unsupported:
        yield f"the model was not made for {', '.join(pool.unsupported)}: those nodes stay"


_HEAD: Final = (
    "pool",
    "on Spot",
    "Spot",
    "others",
    "target",
    "cost",
    "saved",
    "risk",
    "decision",
    "because",
)


def _row(decision: Decision, cost: PoolCost) -> Sequence[str]:
    pool = decision.input
    wave = f", {decision.n_nodes} to move" if decision.n_nodes else ""
    return (
        pool_link(decision.pool),
        meter(decision.current_ratio, f"{decision.current_ratio:.0%}"),
        str(pool.n_spot),
        str(pool.n_counted - pool.n_spot),
        f"{decision.target_ratio:.0%}",
        f"{usd(cost.usd_per_hour)}/h",
        f"{usd(cost.saved_usd_per_hour)}/h",
        score(shown_risk(pool).capacity),
        f"{decision.action.value}{wave}",
        why(decision),
    )


def why(decision: Judged) -> str:
    """Say why a decision is as it is, with what was wanted where a gate stands before it."""
    wanted = decision.proposal.action
    stopped = any(v.outcome is Outcome.REFUSE for v in decision.verdicts)
    if decision.action is Action.HOLD and not decision.proposal.is_still and stopped:
        what = decision.proposal.reason if decision.proposal.is_shift else wanted
        return f"{what.value} refused by {gates_in_words(decision)}"
    return gates_in_words(decision)


def pool_link(pool: str) -> Markup:
    """Return a link to a pool's page."""
    return link(f"{ROOT}/pools/{quote(pool, safe='')}", pool)


def _under_way(orders: Sequence[DrainOrder]) -> Iterator[str]:
    if not orders:
        yield paragraph("No node is being moved.")
        return
    rows = (
        (o.node, pool_link(o.pool), o.to.value, o.reason, o.mode.value, moment(o.deadline))
        for o in orders[:MAX_IN_FLIGHT]
    )
    yield table(
        "Nodes being moved", ("node", "pool", "to", "because", "mode", "at the latest (UTC)"), rows
    )
    if len(orders) > MAX_IN_FLIGHT:
        yield paragraph(f"and {len(orders) - MAX_IN_FLIGHT} more")
