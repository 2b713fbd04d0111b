"""The page of one pool: its decision, its course, its offerings, its gates, its safety.

Comes in: the newest decision of the pool, and its line. Goes out: the parts of a page. May not
compute what no decision has read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from spotvortex.core.decision.messages import Decision, Verdict
from spotvortex.core.pool.cost import cost_of
from spotvortex.core.pool.input import OfferingInput
from spotvortex.core.pool.survival.loss_safety import LossSafety
from spotvortex.core.record.record import shown_risk
from spotvortex.report.console.frame import ROOT, score, tiles
from spotvortex.report.console.trend_plots import trend_plots
from spotvortex.report.explain.account import sentence
from spotvortex.report.explain.gates import answer_of, figures_of
from spotvortex.report.html.page import heading, link, paragraph, table
from spotvortex.report.money import usd
from spotvortex.telemetry.trends import TrendPoint


def pool_page(decision: Decision, points: Sequence[TrendPoint]) -> Iterator[str]:
    """Yield the parts of the page."""
    pool = decision.input
    yield paragraph(sentence(decision))
    yield tiles(_figures(decision))
    yield from trend_plots(points)
    yield heading("Offerings")
    yield table(
        "Nodes, prices and scores by offering",
        _OFFERING,
        (_offering(held) for held in pool.offerings),
    )
    if pool.n_offerings > len(pool.offerings):
        yield paragraph(f"and {pool.n_offerings - len(pool.offerings)} more", "faint")
    yield heading("What a loss of Spot would take")
    yield paragraph(_safety(pool.safety))
    yield heading("Gates")
    yield gates_table(decision.verdicts)
    if pool.blocked:
        yield heading("What holds nodes in place")
        rows = ((blocker.value.replace("-", " "), str(n)) for blocker, n in pool.blocked)
        yield table("Nodes by what holds them", ("held by", "nodes"), rows)
    address = f"{ROOT}/decisions?pool={quote(decision.pool, safe='')}"
    yield f"<p>{link(address, 'The decisions of this pool')}</p>"


def _figures(decision: Decision) -> Iterator[tuple[str, str, str]]:
    pool, cost = decision.input, cost_of(decision.input)
    risk = shown_risk(pool)
    yield "On Spot", f"{decision.current_ratio:.0%}", f"{pool.n_spot} of {pool.n_counted} nodes"
    yield "Target", f"{decision.target_ratio:.0%}", decision.action.value
    yield "Cost now", f"{usd(cost.usd_per_hour)}/h", f"saves {usd(cost.saved_usd_per_hour)}/h"
    yield "Risk", score(risk.capacity), f"worst {risk.worst}" if risk.worst else ""
    yield "Confidence", f"{pool.confidence:.2f}", pool.limiting_term
    yield "Moving", str(pool.n_moving), f"{pool.n_in_flight} by SpotVortex"


_OFFERING = ("offering", "Spot nodes", "others", "Spot", "on-demand", "capacity", "runtime", "from")


def _offering(held: OfferingInput) -> Sequence[str]:
    return (
        str(held.offering),
        str(held.n_spot),
        str(held.n_on_demand),
        _price(held.spot_usd_per_hour),
        _price(held.on_demand_usd_per_hour),
        score(held.capacity_score) if held.in_scope else "not in scope",
        score(held.runtime_score) if held.in_scope else "not in scope",
        held.price_source,
    )


def _price(value: float | None) -> str:
    return "unknown" if value is None else f"${value:.4f}/h"


def _safety(safety: LossSafety) -> str:
    if safety.unread:
        return safety.unread
    if not safety.n_workloads:
        return "No workload of this pool has pods of which something must stay."
    if safety.least_pods is None:
        return f"{safety.n_workloads} workloads are covered; none of them has pods on Spot."
    hit = f"{safety.least_of} is hit most, by the loss of {safety.least_loss}"
    if safety.least_pods < 0:
        return f"{hit}: {_pods(-safety.least_pods)} more than may be taken."
    return f"{hit}: {_pods(safety.least_pods)} to spare."


def _pods(n: int) -> str:
    return "1 pod" if n == 1 else f"{n} pods"


def gates_table(verdicts: Sequence[Verdict]) -> str:
    """Return what every gate says."""
    rows = (
        (
            verdict.gate.replace("_", " "),
            answer_of(verdict),
            verdict.in_words,
            figures_of(verdict),
        )
        for verdict in verdicts
    )
    return table("What every gate says", ("gate", "says", "because", "figures"), rows)
