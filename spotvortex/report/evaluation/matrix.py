"""The matrix of protocol 2 on the terminal and as JSON.

Comes in: a `Matrix`, and those under other conditions. Goes out: tables, or a document whose schema
has a name. May not compute a figure, nor leave out a cell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from spotvortex.report.document import Json, plain
from spotvortex.report.evaluation.evaluation import print_table
from spotvortex.results.matrix import Cell, Matrix
from spotvortex.results.schemas import EVALUATION
from spotvortex.results.verdict import signed

NET_PROFIT: Final = "eval/net_profit_improvement_pct"
OUTAGE_DELTA: Final = "eval/outage_delta"
"""The names that the gate's two figures have everywhere."""

MONEY_HEAD: Final = (
    "family", "commitment", "rival", "gate", "worlds", "net profit %", "points", "p (Holm)",
    "headroom %", "closed",
)  # fmt: skip
COURSE_HEAD: Final = (
    "family", "commitment", "rival", "outage min", "rival's", "worst delta", "more in",
    "interrupted", "moves", "launch failures", "Spot",
)  # fmt: skip
ABLATION_HEAD: Final = ("policy", "worlds are", "gate", NET_PROFIT, "cells that fail")


def money_cells(cell: Cell) -> tuple[str, ...]:
    """Return what a cell says of money."""
    gain, regret = cell.improvement_pct, cell.regret_closed_ratio
    words = f"void in {cell.n_void}"
    if gain is not None:
        low, high = signed(gain.interval.low), signed(gain.interval.high)
        words = f"{signed(gain.spread.median)} [{low}, {high}]"
    return (
        cell.family,
        cell.commitment,
        cell.rival,
        str(cell.standing) if cell.is_judged else "reported",
        f"{cell.n_worlds} of {cell.n_expected}",
        words,
        signed(cell.points.spread.median, 2),
        f"{cell.p:.3g} ({cell.holm_p:.3g})",
        signed(cell.headroom_pct),
        "-" if regret is None else f"{regret:.0%}",
    )


def course_cells(cell: Cell) -> tuple[str, ...]:
    """Return what a cell says of outages and of what was done, ours / the rival's."""
    mine, theirs, outages = cell.policy_course, cell.rival_course, cell.outages
    return (
        cell.family,
        cell.commitment,
        cell.rival,
        f"{outages.policy_minutes:,.1f}",
        f"{outages.rival_minutes:,.1f}",
        signed(outages.worst_delta_minutes),
        f"{outages.n_more} of {cell.n_worlds}",
        f"{mine.n_interruptions} / {theirs.n_interruptions}",
        f"{mine.n_moves} / {theirs.n_moves}",
        f"{mine.n_launch_failures} / {theirs.n_launch_failures}",
        f"{_percent(mine.spot_ratio)} / {_percent(theirs.spot_ratio)}",
    )


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1%}"


def ablation_cells(matrix: Matrix) -> tuple[str, ...]:
    """Return one line of another policy, or of changed worlds."""
    failing = [cell for cell in matrix.judged if cell.failed_on]
    return (
        matrix.policy,
        matrix.variant or "unchanged",
        str(matrix.standing),
        signed(matrix.net_profit_improvement_pct),
        f"{len(failing)} of {len(matrix.judged)}",
    )


def line_of(matrix: Matrix) -> str:
    """Say the verdict in one line."""
    failing = sum(bool(cell.failed_on) for cell in matrix.judged)
    worst = max((s.outage_delta_minutes for s in matrix.seeds), default=0.0)
    words = (
        f"{matrix.policy}, protocol 2 ({matrix.made_of}): {matrix.standing}:"
        f" {failing} of {len(matrix.judged)} cells fail; {NET_PROFIT}"
        f" {signed(matrix.net_profit_improvement_pct, 2)} against {matrix.rival};"
        f" {OUTAGE_DELTA} {signed(worst)} min in the worst seed"
    )
    return f"{words}; not run: {', '.join(matrix.missing)}" if matrix.missing else words


def notes_of(matrix: Matrix) -> Iterator[str]:
    """Yield what is failed, which settings the rivals have, and what it was made under."""
    for cell in matrix.judged:
        for answer in cell.answers:
            if not answer.passes:
                where = f"{cell.family} / {cell.commitment} / {cell.rival}"
                yield f"FAIL {where}, {answer.condition}: {answer.words}"
    for cell in matrix.cells:
        if cell.setting != cell.rival:
            yield f"{cell.family} / {cell.commitment}: {cell.rival} is {cell.setting}"
    yield f"constants {matrix.constants_digest}"


def show(matrix: Matrix, others: Sequence[Matrix], console: Console) -> None:
    """Print the verdict, the cells, and one line for each of the others."""
    console.print(Text("spotvortex evaluate", style="bold"))
    failed = any(cell.failed_on for cell in matrix.judged)
    console.print(Text(line_of(matrix), style="red" if failed else "green"))
    print_table(console, "money", MONEY_HEAD, map(money_cells, matrix.cells))
    print_table(
        console, "outages and what was done, ours / the rival's", COURSE_HEAD,
        map(course_cells, matrix.cells),
    )  # fmt: skip
    if others:
        rows = map(ablation_cells, others)
        print_table(console, "with something changed", ABLATION_HEAD, rows)
    console.print()
    for note in notes_of(matrix):
        console.print(Text(note, style="dim"))


def render(matrix: Matrix, others: Iterable[Matrix]) -> str:
    """Render everything as indented JSON."""
    document: Json = {
        "schema": EVALUATION,
        **_document(matrix),
        "others": [_document(other) for other in others],
    }
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False)


def _document(matrix: Matrix) -> dict[str, Json]:
    document = plain(matrix)
    assert isinstance(document, dict)
    cells: list[Json] = [_cell_document(cell) for cell in matrix.cells]
    return document | {
        "line": line_of(matrix),
        "standing": str(matrix.standing),
        "cells": cells,
        NET_PROFIT: matrix.net_profit_improvement_pct,
        OUTAGE_DELTA: {str(s.seed): s.outage_delta_minutes for s in matrix.seeds},
    }


def _cell_document(cell: Cell) -> dict[str, Json]:
    document = plain(cell)
    assert isinstance(document, dict)
    gain = cell.improvement_pct
    return document | {
        "standing": str(cell.standing) if cell.is_judged else None,
        "has_power": cell.outages.has_power,
        NET_PROFIT: None if gain is None else gain.spread.median,
        OUTAGE_DELTA: [plain(delta) for delta in cell.outage_deltas],
    }
