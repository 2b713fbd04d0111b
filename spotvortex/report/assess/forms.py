"""Assessments of one or more clusters as JSON, YAML, CSV and one HTML page.

Comes in: reports. Goes out: text. CSV and page have one row a pool, with the same columns. May not
compute anything that the document does not hold.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from spotvortex.report.assess.assessment import Report, gates_in_words
from spotvortex.report.assess.document import document_of
from spotvortex.report.document import plain
from spotvortex.report.forms import Row, as_csv, as_yaml, cells
from spotvortex.report.html.page import facts, heading, page, table

COLUMNS: Final = (
    "context",
    "pool",
    "n_spot",
    "n_on_demand",
    "n_reserved",
    "current_ratio",
    "target_ratio",
    "action",
    "n_nodes",
    "savings_usd_per_hour",
    "confidence",
    "in_words",
    "n_on_demand_free",
    "on_demand_saving_usd_per_hour",
    "holding_workload",
    "holding_change",
)
"""One row a pool; later versions append columns."""

LOSSES: Final = ("loss", "nodes", "workload", "left", "must stay")


def rows_of(report: Report) -> list[Row]:
    """Return one row for every pool that is decided on."""
    free = {found.pool: found for found in report.on_demand}
    holds = {hold.pool: hold for hold in report.holds}
    rows: list[Row] = []
    for decision in report.decisions:
        row: dict[str, object] = {
            "context": report.context,
            "pool": decision.pool,
            "n_spot": decision.input.n_spot,
            "n_on_demand": decision.input.n_on_demand,
            "n_reserved": decision.input.n_reserved,
            "current_ratio": decision.current_ratio,
            "target_ratio": decision.target_ratio,
            "action": decision.action,
            "n_nodes": decision.n_nodes,
            "savings_usd_per_hour": decision.savings_usd_per_hour,
            "confidence": decision.input.confidence,
            "in_words": gates_in_words(decision),
        }
        if (found := free.get(decision.pool)) is not None:
            row["n_on_demand_free"] = found.n_free
            row["on_demand_saving_usd_per_hour"] = found.saving_usd_per_hour
        if (hold := holds.get(decision.pool)) is not None:
            row |= {"holding_workload": hold.workload, "holding_change": hold.change}
        rows.append({name: plain(value) for name, value in row.items()})
    return rows


def json_of(reports: Sequence[Report]) -> str:
    """Return the document of one report, an array of those of several."""
    documents = [document_of(report) for report in reports]
    shown = documents[0] if len(documents) == 1 else documents
    return json.dumps(shown, indent=2, sort_keys=True, allow_nan=False)


def yaml_of(reports: Sequence[Report]) -> str:
    """Return a stream of the same documents."""
    return as_yaml([document_of(report) for report in reports])


def csv_of(reports: Sequence[Report]) -> str:
    """Return one row for each pool of each report."""
    return as_csv(COLUMNS, [row for report in reports for row in rows_of(report)])


def html_of(reports: Sequence[Report]) -> str:
    """Return one page that needs nothing else."""
    parts = [part for report in reports for part in _parts(report)]
    return page("SpotVortex: what there is to gain, and what would break", parts)


def _parts(report: Report) -> list[str]:
    t = report.totals
    low, high = report.least_saving_usd_per_hour, report.saving_usd_per_hour
    columns = COLUMNS[1:]
    head = [name.removeprefix("n_").replace("_", " ") for name in columns]
    losses = [
        (
            loss.what,
            str(loss.n_nodes),
            loss.of,
            f"{loss.healthy_left} of {loss.healthy}",
            str(loss.needed),
        )
        for loss in report.losses
    ]
    missing = [(found.name, f"{found.state}: {found.detail}") for found in report.missing]
    return [
        heading(f"Context {report.context}"),
        facts(
            (
                ("nodes", f"{t.n_nodes}: {t.n_spot} Spot, {t.n_on_demand} on-demand"),
                ("pods", f"{t.n_pods:,}, PodDisruptionBudgets {t.n_pdbs}"),
                ("cost at list price", f"${t.cost_usd_per_hour:,.2f}/h"),
                ("on-demand you may not need", f"${low:,.2f} .. {high:,.2f}/h"),
                *missing,
            )
        ),
        table("Pools", head, cells(columns, rows_of(report))),
        table("What one loss of Spot breaks", LOSSES, losses),
    ]
