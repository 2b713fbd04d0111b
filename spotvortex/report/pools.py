"""The pools of a running daemon as YAML, CSV and one HTML page.

Comes in: what `/pools` answers. Goes out: text. CSV and page have one row a pool. Computes nothing.
"""

from __future__ import annotations

from typing import Any, Final

from spotvortex.report.forms import Row, as_csv, as_yaml, cells
from spotvortex.report.html.page import facts, page, table

COLUMNS: Final = (
    "pool",
    "mode",
    "spot",
    "on_demand",
    "reserved",
    "current_ratio",
    "target_ratio",
    "action",
    "reason",
    "n_nodes",
    "confidence",
    "cost_usd_per_hour",
    "all_on_demand_usd_per_hour",
    "savings_usd_per_hour",
    "capacity_score",
)
"""One row a pool; later versions append columns."""


def rows_of(answer: dict[str, Any]) -> list[Row]:
    """Return one row a pool, its nodes by capacity type beside the rest."""
    return [pool | pool["nodes"] for pool in answer["pools"]]


def yaml_of(answer: dict[str, Any]) -> str:
    """Return the whole answer."""
    return as_yaml([answer])


def csv_of(answer: dict[str, Any]) -> str:
    """Return one row a pool."""
    return as_csv(COLUMNS, rows_of(answer))


def html_of(answer: dict[str, Any]) -> str:
    """Return one page that needs nothing else."""
    head = [name.replace("_", " ") for name in COLUMNS]
    said = facts((("time", str(answer["time"])), ("freeze", str(answer.get("freeze", "none")))))
    rows = cells(COLUMNS, rows_of(answer))
    return page("SpotVortex: pools", [said, table("Pools", head, rows)])
