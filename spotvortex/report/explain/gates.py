"""What the gates said, for a person.

Comes in: verdicts, and a console. Goes out: a table, or on a narrow terminal a block for each gate.
May not leave a gate out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spotvortex.core.decision.messages import Verdict
from spotvortex.core.domain.types import Outcome

NARROW: Final = 60
"""Columns of a terminal below which a table of four columns would break words."""

_COLOURS: Final = {
    Outcome.ALLOW: "green",
    Outcome.REFUSE: "red",
    Outcome.AT_MOST: "yellow",
    Outcome.NOT_EVALUATED: "dim",
}


def show_gates(verdicts: Sequence[Verdict], console: Console) -> None:
    """Print what each gate answers, why, and what it compared."""
    if console.width < NARROW:
        for verdict in verdicts:
            console.print(_block(verdict), overflow="fold")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("gate", "says", "because", "figures"):
        table.add_column(name, overflow="fold")
    for verdict in verdicts:
        because = Text(verdict.in_words)
        table.add_row(verdict.gate, _answer(verdict), because, Text(figures_of(verdict)))
    console.print(table)


def _block(verdict: Verdict) -> Text:
    """Return a gate and its answer, and below them why and the figures."""
    below = "".join(f"\n  {words}" for words in (verdict.in_words, figures_of(verdict)) if words)
    return Text.assemble((verdict.gate, "bold"), ": ", _answer(verdict), below)


def _answer(verdict: Verdict) -> Text:
    return Text(answer_of(verdict), style=_COLOURS[verdict.outcome])


def answer_of(verdict: Verdict) -> str:
    """Say what a gate answers, with the number of nodes where it bounds them."""
    return verdict.outcome if verdict.limit is None else f"{verdict.outcome} {verdict.limit}"


def figures_of(verdict: Verdict) -> str:
    """Say the figures that a gate compared."""
    return ", ".join(f"{name} {value:.6g}" for name, value in verdict.numbers)
