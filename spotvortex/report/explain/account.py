"""One recorded decision, told to a person.

Comes in: a record's line. Goes out: the decision in a sentence, money, scores, every gate's verdict
and the nearest flip, as text through rich or as JSON; and what the gates would say to an action
that nobody proposed. Shows what was recorded, and says whether this code decides the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spotvortex.core.decision.messages import Decision, Economics, Move, Proposal, Verdict
from spotvortex.core.decision.planning import wave_candidates
from spotvortex.core.domain.moves import BINDINGS, Concern
from spotvortex.core.domain.types import Action, CapacityType, Mode, Outcome
from spotvortex.core.pool.input import PoolInput, Risk
from spotvortex.core.record.codec import CodecError, decode, rfc3339
from spotvortex.core.record.counterfactual import Counterfactual, WhatIf, force
from spotvortex.core.record.record import read_record
from spotvortex.core.record.replay import replay
from spotvortex.core.record.schema import SCHEMA, Schema
from spotvortex.errors import RecordError
from spotvortex.report.assess.assessment import gates_in_words
from spotvortex.report.document import Json, plain
from spotvortex.report.explain.gates import show_gates
from spotvortex.report.explain.money import (
    commitments,
    dollars,
    expected_costs,
    hedge_terms,
    prices,
    shift_terms,
    worth,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedResult:
    """What a record holds beside its basis, by the names that it has there.

    Attributes:
        id: the decision's own id.
        action: what remains of the proposal after the gates.
        reason: why, in a word.
        proposal: what the policy that decides wanted.
        other: what the policy that does not decide would have proposed.
        target_ratio: the Spot ratio that the pool is to reach, 0..1.
        n_nodes: the size of the wave.
        verdicts: the answers of the gates.
        economics: what one more node on Spot would bring.
        savings_usd_per_hour: what the wave saves at list price, None where a price is unknown.
        flip: the nearest change that would have flipped it, None where none was found.
    """

    id: str
    action: Action
    reason: str
    proposal: Proposal
    other: Proposal
    target_ratio: float
    n_nodes: int
    verdicts: tuple[Verdict, ...]
    economics: Economics
    savings_usd_per_hour: float | None
    flip: Counterfactual | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionAccount:
    """A decision as it was recorded.

    Attributes:
        decision: the decision.
        flip: the nearest change that would have flipped it, None where none was found.
        code_version: the code that made it.
        digest: the record's digest.
        previous: digest of the record before, "" of the first of a chain.
        same: this code makes the same bytes of it.
    """

    decision: Decision
    flip: Counterfactual | None
    code_version: str
    digest: str
    previous: str
    same: bool


def read_account(line: str) -> DecisionAccount:
    """Read a record.

    Raises:
        RecordError: the line is no record that this version can read.
    """
    try:
        recorded = read_record(line)
        result = _result(line, recorded.schema)
        same = replay(line).same
    except CodecError as error:
        raise RecordError(f"the record cannot be read by this version: {error}") from error
    towards = result.action.towards_spot or result.proposal.is_shift
    pool = recorded.basis.pool
    limits = recorded.basis.limits
    able = wave_candidates(pool, result.proposal, limits, towards_spot=towards)
    chosen = able[: result.n_nodes]
    to = CapacityType.SPOT if towards else CapacityType.ON_DEMAND
    decision = Decision(
        decision_id=result.id,
        basis=recorded.basis,
        proposal=result.proposal,
        other=result.other,
        action=result.action,
        reason=result.reason,
        verdicts=result.verdicts,
        economics=result.economics,
        target_ratio=result.target_ratio,
        moves=tuple(Move(candidate=candidate, to=to) for candidate in chosen),
        savings_usd_per_hour=result.savings_usd_per_hour,
    )
    return DecisionAccount(
        decision=decision,
        flip=result.flip,
        code_version=recorded.code_version,
        digest=recorded.digest,
        previous=recorded.previous_digest,
        same=same,
    )


def read_result(line: str) -> RecordedResult:
    """Read what a record of this version says of its decision, without what it was made from.

    Raises:
        RecordError: the line is no record of this version.
    """
    try:
        return _result(line, SCHEMA)
    except (CodecError, ValueError) as error:
        raise RecordError(f"the record cannot be read by this version: {error}") from error


def _result(line: str, schema: Schema) -> RecordedResult:
    document = json.loads(line)
    found = {f.name: document.get(f.name) for f in fields(RecordedResult)}
    return decode(RecordedResult, found, schema.rows)


def sentence(decision: Decision) -> str:
    """Say a decision in one sentence."""
    pool = decision.input
    leaving = f" ({pool.n_leaving} leaving)" if pool.n_leaving else ""
    where = f"{pool.n_spot} of {pool.n_counted} nodes{leaving} on Spot"
    if decision.action is Action.HOLD and not decision.moves:
        although = "" if decision.proposal.is_still else f", although {_wanted(decision)}"
        return f"{decision.pool} holds with {where}{although}: {gates_in_words(decision)}."
    verb = "moves" if decision.mode.writes else "would move"
    if (shift := decision.shift) is not None:
        nodes, why = _count(decision.n_nodes, "node"), shift.reason.replace("_", " ")
        way = f"off {shift.leaves} to other Spot, the ratio stays"
        return f"{decision.pool} with {where} {verb} {nodes} {way}: {why}."
    to = "Spot" if decision.action.towards_spot else "on-demand"
    why = f"{decision.action} for {decision.proposal.reason.replace('_', ' ')}"
    way = f"from a ratio of {decision.current_ratio:.2f} towards {decision.target_ratio:.2f}"
    nodes = _count(decision.n_nodes, "node")
    return f"{decision.pool} with {where} {verb} {nodes} to {to}, {way}: {why}."


def _wanted(decision: Decision) -> str:
    """Say what was proposed and is not done."""
    if (shift := decision.shift) is None:
        return f"{decision.proposal.action} was proposed"
    return f"a shift off {shift.leaves} was proposed ({shift.reason.replace('_', ' ')})"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def flip_in_words(flip: Counterfactual | None) -> str:
    """Say the nearest change, or that there is none."""
    return str(flip) if flip else "no change of a single figure suffices"


def render(account: DecisionAccount) -> str:
    """Write an account as indented JSON."""
    document = plain(account)
    assert isinstance(document, dict)
    document["in_words"] = sentence(account.decision)
    document["flip_in_words"] = flip_in_words(account.flip)
    return _json(document)


def _json(document: Mapping[str, Json]) -> str:
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False)


def show(account: DecisionAccount, console: Console) -> None:
    """Print an account."""
    decision = account.decision
    console.print(Text(sentence(decision), style="bold"))
    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for name, words in facts(account):
        rows.add_row(Text(name, style="dim"), Text(words))
    console.print(rows)
    show_gates(decision.verdicts, console)
    if decision.moves:
        console.print(_moves(decision))


def facts(account: DecisionAccount) -> Iterator[tuple[str, str]]:
    """Yield what a decision rests on, each by its name and in words."""
    decision, pool = account.decision, account.decision.input
    yield "nearest flip", flip_in_words(account.flip)
    yield "decided", f"{rfc3339(decision.at)} in cycle {decision.cycle}, mode {decision.mode}"
    if pool.n_spot:
        yield "Spot held", f"{prices(pool.spot_money)}; {_risk(pool.spot_risk)}"
    if pool.n_on_demand_movable:
        yield "Spot to enter", f"{prices(pool.entry_money)}; {_risk(pool.entry_risk)}"
    if sources := sorted({o.price_source for o in pool.offerings} - {"", "none"}):
        yield "prices from", "; ".join(sources)
    yield "commitments", commitments(pool.commitments)
    raised = [o for o in pool.offerings if o.risk_factor != 1.0]
    if raised:
        yield "raised", "; ".join(f"{o.offering} x{o.risk_factor:g}" for o in raised) + WARNED
    yield "economics", worth(decision.economics)
    yield from expected_costs(decision.choice)
    yield from shift_terms(decision.shift)
    yield from hedge_terms(decision.hedge)
    yield "wave", f"{dollars(decision.savings_usd_per_hour)}/h at list price"
    yield "kind of move", _kind(decision.proposal)
    yield "confidence", _confidence(pool)
    yield "proposed", _proposal(decision.proposal)
    yield "the other policy", _proposal(decision.other)
    yield "decision", decision.decision_id
    yield "model", decision.basis.model_digest or "none"
    same = "decides the same" if account.same else "does NOT make the same record"
    yield "code", f"{account.code_version}; the code that you run {same}"
    yield "digest", account.digest
    yield "record before", account.previous or "none: the first since start"


WARNED: Final = ", since a rebalance was recommended there"


def _kind(proposal: Proposal) -> str:
    binding = BINDINGS[proposal.kind]
    others = ", ".join(sorted(frozenset(Concern) - binding.concerns))
    free = f"; waits for no doubt about {others}" if others else ""
    return f"{proposal.kind}: {binding.moves.replace('`', '')}{free}"


def _risk(risk: Risk) -> str:
    worst = f", worst {risk.worst} {_score(risk.worst_runtime)}" if risk.worst else ""
    return f"capacity score {_score(risk.capacity)}, runtime score {_score(risk.runtime)}{worst}"


def _score(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _confidence(pool: PoolInput) -> str:
    terms = ", ".join(f"{name} {value:.2f}" for name, value in pool.confidence_terms)
    limit = f", limited by {pool.limiting_term}" if pool.confidence < 0.995 else ""
    return f"{pool.confidence:.3f}{limit} ({terms})"


def _proposal(proposal: Proposal) -> str:
    margin = "" if proposal.margin is None else f", margin {proposal.margin:.2f}"
    return f"{proposal.action} by {proposal.source}: {proposal.reason.replace('_', ' ')}{margin}"


def _moves(decision: Decision) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("node", "is", "goes to", "pods"):
        table.add_column(name, overflow="fold")
    for move in decision.moves:
        node = move.candidate
        table.add_row(node.node, str(node.offering), move.to, str(node.n_pods))
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNot:
    """What stands between a pool and an action, by its newest record.

    Attributes:
        pool: the workload pool.
        at: time of the record's decision, seconds since the epoch.
        decision_id: that decision.
        forced: what the gates say to the action.
        refusing: the gates that refuse it, in words.
        shift: what was proposed to go to other Spot, and what came of it, "" for nothing.
    """

    pool: str
    at: float
    decision_id: str
    forced: WhatIf
    refusing: tuple[str, ...]
    shift: str

    @property
    def in_words(self) -> str:
        """Say it in one sentence."""
        action = self.forced.action
        if action is Action.HOLD:
            return f"{self.pool} can always HOLD. {self.shift}".rstrip()
        if self.refusing:
            return f"{self.pool} cannot {action}: refused by {', '.join(self.refusing)}."
        if not self.forced.n_nodes:
            return f"{self.pool} cannot {action}: {self.forced.reason.replace('_', ' ')}."
        nodes = _count(self.forced.n_nodes, "node")
        return f"{self.pool} could {action}: the gates let {nodes} through."


def why_not(account: DecisionAccount, action: Action) -> WhyNot:
    """Put an action before the gates as they stood when the record was made."""
    decision = account.decision
    forced = force(decision.basis, action)
    return WhyNot(
        pool=decision.pool,
        at=decision.at,
        decision_id=decision.decision_id,
        forced=forced,
        refusing=tuple(_refusing(forced.verdicts, decision.mode)),
        shift=_shift_in_words(decision),
    )


def _shift_in_words(decision: Decision) -> str:
    shift = decision.shift
    if shift is None:
        return ""
    if not decision.moves:
        return f"A shift off {shift.leaves} was proposed: {gates_in_words(decision)}."
    nodes = _count(decision.n_nodes, "node")
    why = shift.reason.replace("_", " ")
    return f"It moves {nodes} off {shift.leaves} to other Spot: {why}."


def _refusing(verdicts: Sequence[Verdict], mode: Mode) -> Iterator[str]:
    """Yield the gates that refuse; where the mode writes, also those with nothing to judge by."""
    for verdict in verdicts:
        blind = mode.writes and verdict.outcome is Outcome.NOT_EVALUATED
        if blind or verdict.outcome is Outcome.REFUSE:
            yield verdict.gate


def render_why_not(answer: WhyNot) -> str:
    """Write an answer as indented JSON."""
    document = plain(answer)
    assert isinstance(document, dict)
    document["in_words"] = answer.in_words
    document["flip_in_words"] = flip_in_words(answer.forced.flip)
    return _json(document)


def show_why_not(answer: WhyNot, console: Console) -> None:
    """Print an answer."""
    console.print(Text(answer.in_words, style="bold"))
    if not answer.forced.n_nodes and answer.forced.action is not Action.HOLD:
        console.print(Text(f"nearest change: {flip_in_words(answer.forced.flip)}"))
    console.print(Text(f"as of {rfc3339(answer.at)}, decision {answer.decision_id}", style="dim"))
    show_gates(answer.forced.verdicts, console)
