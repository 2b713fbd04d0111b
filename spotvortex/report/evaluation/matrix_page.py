"""The matrix of protocol 2 as one HTML page that needs nothing else.

Comes in: a `Matrix`, and those under other conditions. Goes out: a page. May not compute a figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spotvortex.report.evaluation.matrix import (
    ABLATION_HEAD,
    COURSE_HEAD,
    MONEY_HEAD,
    NET_PROFIT,
    OUTAGE_DELTA,
    ablation_cells,
    course_cells,
    line_of,
    money_cells,
    notes_of,
)
from spotvortex.report.html.page import heading, page, paragraph, table
from spotvortex.report.html.plots import Caption, Whisker, whisker_plot
from spotvortex.results.matrix import Cell, Matrix
from spotvortex.results.verdict import GateStatus, signed


def render_html(matrix: Matrix, others: Sequence[Matrix]) -> str:
    """Render one page."""
    passes = matrix.standing is GateStatus.PASS
    parts = [
        paragraph(line_of(matrix), "good" if passes else "bad"),
        heading("The matrix"),
        _grid(matrix),
        heading("Net profit"),
        *_drawings(matrix),
        table("Money by cell", MONEY_HEAD, map(money_cells, matrix.cells)),
        heading("Outages, and what was done"),
        table("Ours / the rival's, by cell", COURSE_HEAD, map(course_cells, matrix.cells)),
        heading("By seed"),
        _seeds(matrix),
        *_others(others),
        heading("Conditions that are not met, settings, constants"),
        *(paragraph(note, "faint") for note in notes_of(matrix)),
    ]
    return page(f"SpotVortex evaluation, protocol 2: {matrix.policy}", parts)


def _grid(matrix: Matrix) -> str:
    """Return the verdict of each judged cell, rivals beside each other."""
    rivals = list(dict.fromkeys(cell.rival for cell in matrix.judged))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for cell in matrix.judged:
        rows.setdefault((cell.family, cell.commitment), {})[cell.rival] = _verdict(cell)
    head = ("family, commitment", *rivals)
    body = [
        (f"{family}, {commitment}", *(of_row.get(rival, "-") for rival in rivals))
        for (family, commitment), of_row in rows.items()
    ]
    return table("PASS or FAIL by cell, with what a cell fails on", head, body)


def _verdict(cell: Cell) -> str:
    words = f"{cell.standing}"
    return f"{words}: {', '.join(cell.failed_on)}" if cell.failed_on else words


def _drawings(matrix: Matrix) -> Iterator[str]:
    """Yield a drawing for each rival that is judged."""
    for rival in dict.fromkeys(cell.rival for cell in matrix.judged):
        whiskers = [
            Whisker(
                name=f"{cell.family}, {cell.commitment}",
                low=gain.interval.low,
                median=gain.spread.median,
                high=gain.interval.high,
            )
            for cell in matrix.judged
            if cell.rival == rival and (gain := cell.improvement_pct) is not None
        ]
        if whiskers:
            caption = Caption(
                ident=f"profit-{rival}",
                title=f"Improvement of net profit over {rival}",
                description="A dot is the median over worlds, its line the 95 % interval; the"
                " upright line is 0. The table below has the figures.",
                x_unit=f"% against {rival}",
            )
            yield whisker_plot(caption, whiskers, 0.0)


def _seeds(matrix: Matrix) -> str:
    head = ("seed", NET_PROFIT, OUTAGE_DELTA)
    rows = [
        (
            str(one.seed),
            signed(one.net_profit_improvement_pct, 2),
            signed(one.outage_delta_minutes),
        )
        for one in matrix.seeds
    ]
    return table(f"All worlds of a seed together, against {matrix.rival}", head, rows)


def _others(others: Sequence[Matrix]) -> Iterator[str]:
    if others:
        yield heading("With something changed")
        rows = map(ablation_cells, others)
        yield table("Other policies, and changed worlds", ABLATION_HEAD, rows)
