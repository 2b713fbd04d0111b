"""The decisions that are kept, and one of them whole.

Comes in: records, newest first. Goes out: the parts of a page. Shows what was recorded,
as `explain` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from spotvortex.core.decision.messages import Verdict
from spotvortex.core.domain.types import Action
from spotvortex.core.record.record import DecisionRecord
from spotvortex.report.console.frame import ROOT, legend, moment, sign
from spotvortex.report.console.overview import pool_link, why
from spotvortex.report.console.pool import gates_table
from spotvortex.report.explain.account import DecisionAccount, facts, read_result, sentence
from spotvortex.report.explain.gates import answer_of
from spotvortex.report.explain.money import EXPECTED_COST
from spotvortex.report.html.page import Markup, heading, link, paragraph, table, text
from spotvortex.report.html.page import facts as fact_list

MAX_ROWS: Final = 50
"""Decisions that are listed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which decisions are listed.

    Attributes:
        pool: only of this pool, "" of all.
        action: only with this action, None with any.
    """

    pool: str = ""
    action: Action | None = None


def decisions_page(
    records: Sequence[DecisionRecord], chosen: Filter, pools: Sequence[str]
) -> Iterator[str]:
    """Yield the parts of the list.

    Args:
        records: what is listed, newest first.
        chosen: by what they were chosen.
        pools: every pool that can be chosen.
    """
    yield _form(chosen, pools)
    if not records:
        yield paragraph("No decision that is kept is like that.")
        return
    yield table("Decisions, newest first", _HEAD, (_row(record) for record in records))
    yield paragraph(
        f"Gates, in their order: {legend()}. The newest {MAX_ROWS} are listed.", "faint"
    )


_HEAD: Final = ("at (UTC)", "pool", "decision", "nodes", "gates", "because")


def _row(record: DecisionRecord) -> Sequence[str]:
    result = read_result(record.line)
    return (
        link(f"{ROOT}/decisions/{record.decision_id}", moment(record.at)),
        pool_link(record.pool),
        result.action.value,
        str(result.n_nodes),
        _signs(result.verdicts),
        why(result),
    )


def _signs(verdicts: Sequence[Verdict]) -> Markup:
    """Return a character a gate; its name and answer show when it is pointed at."""
    said = ((v.outcome, text(f"{v.gate}: {v.outcome}")) for v in verdicts)
    signs = "".join(
        f'<abbr class="{outcome}" title="{words}">{sign(outcome)}</abbr>' for outcome, words in said
    )
    return Markup(f'<span class="gates">{signs}</span>')


def _form(chosen: Filter, pools: Sequence[str]) -> str:
    action = chosen.action.value if chosen.action else ""
    return (
        f'<form class="filter" action="{ROOT}/decisions" method="get">'
        f"<label>pool {_select('pool', pools, chosen.pool)}</label>"
        f"<label>action {_select('action', [a.value for a in Action], action)}</label>"
        "<button>Show</button></form>"
    )


def _select(name: str, choices: Iterable[str], chosen: str) -> str:
    options = "".join(
        f'<option value="{text(choice)}"{_selected(choice == chosen)}>{text(choice)}</option>'
        for choice in choices
    )
    return f'<select name="{name}"><option value="">all</option>{options}</select>'


def _selected(is_chosen: bool) -> str:  # noqa: FBT001 - a word of HTML
    return ' selected="selected"' if is_chosen else ""


def decision_page(account: DecisionAccount, before: DecisionAccount | None) -> Iterator[str]:
    """Yield the parts of one decision, with what differs from the one before of its pool."""
    decision = account.decision
    yield paragraph(sentence(decision))
    yield fact_list(facts(account))
    yield heading("Gates")
    yield gates_table(decision.verdicts)
    if decision.moves:
        yield heading("The wave")
        moves = (
            (m.candidate.node, str(m.candidate.offering), m.to.value, str(m.candidate.n_pods))
            for m in decision.moves
        )
        yield table("Nodes of the wave", ("node", "is", "goes to", "pods"), moves)
    yield heading("Since the decision before")
    if before is None:
        yield paragraph("No decision before it is kept.")
        return
    address = f"{ROOT}/decisions/{before.decision.decision_id}"
    yield f"<p>{link(address, moment(before.decision.at))}</p>"
    changes = list(_changes(before, account))
    if changes:
        yield table("What has changed", ("what", "was", "is"), changes)
    else:
        yield paragraph("Nothing that is shown here has changed.")


def _changes(before: DecisionAccount, now: DecisionAccount) -> Iterator[tuple[str, str, str]]:
    """Yield what gates and facts say otherwise than before; ids and digests always differ."""
    was = {verdict.gate: _says(verdict) for verdict in before.decision.verdicts}
    for verdict in now.decision.verdicts:
        if was.get(verdict.gate) != _says(verdict):
            yield verdict.gate.replace("_", " "), was.get(verdict.gate, ""), _says(verdict)
    past, present = _keyed(before), _keyed(now)
    for key in present | past:
        words, then = present.get(key, ""), past.get(key, "")
        if key[0] not in _ALWAYS_OTHER and words != then:
            yield key[0], then, words


def _keyed(account: DecisionAccount) -> dict[tuple[str, str], str]:
    """Return facts by their names, those of an offering also by what stands before their figures.

    A fact without a name goes on with the one above it.
    """
    found: dict[tuple[str, str], str] = {}
    heading = ""
    for name, words in facts(account):
        heading = name or heading
        part = words.partition(": ")[0] if heading == EXPECTED_COST else ""
        found[heading, part] = words
    return found


_ALWAYS_OTHER: Final = frozenset({"decided", "decision", "digest", "record before"})


def _says(verdict: Verdict) -> str:
    return f"{answer_of(verdict)}: {verdict.in_words}"
