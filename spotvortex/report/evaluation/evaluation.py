"""The verdict over many worlds, with its sensitivities: in text, as JSON, and as an HTML page.

Comes in: an `Evaluation`. Goes out: the same figures in all three forms. May not compute anything
but the words, and may not leave out a family that fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from spotvortex.report.document import Json, plain
from spotvortex.report.html.page import heading, page, paragraph, table
from spotvortex.report.html.plots import Caption, Whisker, whisker_plot
from spotvortex.results.verdict import (
    Appraisal,
    Evaluation,
    FamilyVerdict,
    conditions_of,
    improvement_words,
    line_of_verdict,
    signed,
)

PROFIT_HEAD: Final = (
    "family", "gate", "worlds", "net profit %", "min..max", "points", "void", "p (Holm)",
    "headroom %", "closed",
)  # fmt: skip
OUTAGE_HEAD: Final = (
    "family", "worst delta", "less/equal/more", "outage min", "rival's", "unserved node-min",
    "rival's", "note",
)  # fmt: skip
SENSITIVITY_HEAD: Final = ("against", "conditions", "gate", "net profit %", "points", "worst delta")


def _profit_cells(row: FamilyVerdict) -> tuple[str, ...]:
    gain = row.improvement_pct
    regret = row.regret_closed_ratio
    return (
        row.family,
        str(row.standing),
        f"{row.n_worlds} of {row.n_expected}",
        improvement_words(row).replace(" %", ""),
        "-" if gain is None else f"{signed(gain.spread.low)}..{signed(gain.spread.high)}",
        signed(row.points.spread.median, 2),
        str(row.n_void),
        f"{row.sign_p:.3g} ({row.holm_p:.3g})",
        signed(row.headroom_pct),
        "-" if regret is None else f"{regret:.0%}",
    )


def _outage_cells(row: FamilyVerdict) -> tuple[str, ...]:
    outages = row.outages
    return (
        row.family,
        signed(outages.worst_delta_minutes),
        f"{outages.n_less}/{outages.n_equal}/{outages.n_more}",
        f"{outages.policy_minutes:,.1f}",
        f"{outages.rival_minutes:,.1f}",
        f"{outages.policy_unserved_node_minutes:,.1f}",
        f"{outages.rival_unserved_node_minutes:,.1f}",
        _note(row),
    )


def _note(row: FamilyVerdict) -> str:
    """Say what the figures of a row do not: the worst world, no power."""
    notes = []
    if row.outages.n_more:
        notes.append(f"worst in {row.outages.worst_world}")
    if not row.outages.has_power:
        notes.append("no power: the rival had no outage")
    return "; ".join(notes)


def _sensitivity_cells(verdict: Appraisal) -> tuple[str, ...]:
    row = verdict.pooled
    return (
        verdict.rival,
        conditions_of(verdict),
        str(row.standing),
        improvement_words(row).replace(" %", ""),
        signed(row.points.spread.median, 2),
        signed(row.outages.worst_delta_minutes),
    )


def _notes(verdict: Appraisal) -> Iterator[str]:
    gate = verdict.gate
    yield (
        f"gate: median net profit {gate.min_improvement_pct:+g} % or more, and no world with more"
        f" than {gate.max_outage_delta_minutes:g} outage minutes beyond {verdict.rival}'s;"
        f" where {verdict.rival} earns less than {gate.void_below_ratio:.0%} of the cost of all"
        f" on-demand, {gate.min_void_points:g} points of that cost"
    )
    for row in verdict.families:
        yield f"{row.family}: {verdict.rival} is its best setting, {', '.join(row.rivals)}"
    yield f"protocol {verdict.protocol_digest}"


def show(evaluation: Evaluation, console: Console) -> None:
    """Print the verdict line, the families, the outages and the sensitivities."""
    verdict = evaluation.main
    style = "green" if verdict.passes else "red"
    console.print(Text.assemble(("spotvortex evaluate", "bold")))
    console.print(Text(line_of_verdict(verdict), style=style))
    print_table(console, "net profit", PROFIT_HEAD, map(_profit_cells, verdict.rows))
    print_table(console, "outages", OUTAGE_HEAD, map(_outage_cells, verdict.rows))
    if evaluation.others:
        rows = map(_sensitivity_cells, evaluation.others)
        print_table(console, "sensitivities, pooled", SENSITIVITY_HEAD, rows)
    console.print()
    for note in _notes(verdict):
        console.print(Text(note, style="dim"))


def print_table(
    console: Console, title: str, head: Iterable[str], rows: Iterable[Iterable[str]]
) -> None:
    """Print a table; its first column and its notes stand at the left."""
    shown = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for i, name in enumerate(head):
        justify: JustifyMethod = "right" if i and name != "note" else "left"
        shown.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    console.print()
    console.print(shown)


def render(evaluation: Evaluation) -> str:
    """Render everything as indented JSON."""
    document = {
        "verdict": _document(evaluation.main),
        "sensitivities": [_document(verdict) for verdict in evaluation.others],
    }
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False)


def _document(verdict: Appraisal) -> Json:
    document = plain(verdict)
    assert isinstance(document, dict)
    document |= {"passes": verdict.passes, "line": line_of_verdict(verdict)}
    document["families"] = [_row_document(row) for row in verdict.families]
    document["pooled"] = _row_document(verdict.pooled)
    return document


def _row_document(row: FamilyVerdict) -> Json:
    document = plain(row)
    assert isinstance(document, dict)
    return document | {"standing": str(row.standing), "has_power": row.outages.has_power}


def render_html(evaluation: Evaluation) -> str:
    """Render one page that needs nothing else."""
    verdict = evaluation.main
    parts = [
        paragraph(line_of_verdict(verdict), "good" if verdict.passes else "bad"),
        heading("Net profit"),
        *_drawing(verdict),
        table("Net profit by family", PROFIT_HEAD, map(_profit_cells, verdict.rows)),
        heading("Outages"),
        table("Outage minutes by family", OUTAGE_HEAD, map(_outage_cells, verdict.rows)),
        *_sensitivities(evaluation.others),
        *(paragraph(note, "faint") for note in _notes(verdict)),
    ]
    return page(f"SpotVortex evaluation: {verdict.policy} against {verdict.rival}", parts)


def _drawing(verdict: Appraisal) -> Iterator[str]:
    whiskers = [
        Whisker(
            name=row.family,
            low=gain.interval.low,
            median=gain.spread.median,
            high=gain.interval.high,
        )
        for row in verdict.rows
        if (gain := row.improvement_pct) is not None
    ]
    if whiskers:
        words = (
            "A dot is the median improvement of net profit, its line the interval; the upright line"
            f" is the gate's {verdict.gate.min_improvement_pct:+g} %. The table below has the"
            " figures."
        )
        title = f"Improvement of net profit over {verdict.rival} by family"
        caption = Caption(ident="profit", title=title, description=words, x_unit="%")
        yield whisker_plot(caption, whiskers, verdict.gate.min_improvement_pct)


def _sensitivities(others: Iterable[Appraisal]) -> Iterator[str]:
    rows = [_sensitivity_cells(verdict) for verdict in others]
    if rows:
        yield heading("Sensitivities")
        yield table("The same question under other conditions, pooled", SENSITIVITY_HEAD, rows)
