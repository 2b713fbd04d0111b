"""Answers in the forms that other programs read: YAML, and CSV with one row a pool.

Comes in: documents as JSON knows them. Goes out: text. May not know what is in them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import yaml

from spotvortex.report.document import Json

Row = Mapping[str, Json]


def as_yaml(documents: Sequence[Json]) -> str:
    """Return documents as a stream of YAML, in their own order."""
    text: str = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=10_000)
    return text


def as_csv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Return rows below a line of column names; what is unknown is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def cells(columns: Sequence[str], rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return rows as texts for a table; what is unknown is a dash."""
    return [tuple(_cell(row.get(name)) for name in columns) for row in rows]


def _cell(value: Json) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
