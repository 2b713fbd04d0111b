"""The nearest change of one figure that would have changed a decision.

Comes in: the basis of a decision. Goes out: a `Counterfactual`, or none where no single figure
suffices; the same basis gives the same flip. Thresholds are sought by bisection, so where an action
comes and goes along a knob, one of its thresholds is found. May not say what a figure means: see
`knobs`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from spotvortex.core.decision.economics import economics_of, entry_economics
from spotvortex.core.decision.gates.base import Case
from spotvortex.core.decision.gates.table import ask, combine, evaluate, refuses
from spotvortex.core.decision.messages import Basis, Proposal, Verdict
from spotvortex.core.decision.planning import Wave, plan_wave
from spotvortex.core.decision.policies import both_proposals
from spotvortex.core.domain.types import Action, Outcome, ProposalReason, ProposalSource
from spotvortex.core.record.counterfactual_bounds import FLAG
from spotvortex.core.record.counterfactual_inputs import KNOB_BY_NAME, KNOBS
from spotvortex.core.record.counterfactual_variable import POLICY, Variable

Propose = Callable[[Basis], Proposal]

_FLAGS: Final = {knob.name for knob in KNOBS if knob.span is FLAG}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """One change of one figure that changes what is decided, all else as it was.

    Attributes:
        knob: the figure.
        now: its value in the decision.
        at: the value with which the decision changes.
        action: what would be decided then.
    """

    knob: str
    now: float
    at: float
    action: Action

    def __str__(self) -> str:
        if self.knob in _FLAGS:
            return f"would {self.action} if {self.knob}"
        sign = ">=" if self.at > self.now else "<="
        return f"would {self.action} if {self.knob} {sign} {self.at:.8g}, now {self.now:.8g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What the gates say to an action that nobody proposed, and how many nodes they leave of it.

    Attributes:
        action: the action.
        verdicts: the answers of the gates.
        n_nodes: nodes that would be moved.
        reason: why not, or why, in a word.
        flip: the nearest single change with which it would be taken, None where it is taken as it
            is, or where no single change suffices.
    """

    action: Action
    verdicts: tuple[Verdict, ...]
    n_nodes: int
    reason: str
    flip: Counterfactual | None


def nearest_counterfactual(basis: Basis) -> Counterfactual | None:
    """Return the smallest relative change of one figure that changes what is decided."""
    return _nearest_change(Evaluated.of(basis, _proposed))


def apply(basis: Basis, flip: Counterfactual) -> Basis:
    """Return the basis as it would have to be."""
    return KNOB_BY_NAME[flip.knob].set(basis, flip.at)


def force(basis: Basis, action: Action) -> WhatIf:
    """Put an action before the gates, whatever the policies propose."""
    proposal = Proposal(action=action, reason=ProposalReason.ASKED, source=ProposalSource.PERSON)
    stand = Evaluated.of(basis, lambda _: proposal)
    taken = stand.wave.action is action
    return WhatIf(
        action=action,
        verdicts=stand.verdicts,
        n_nodes=len(stand.wave.moves),
        reason=stand.wave.reason,
        flip=None if taken else _nearest_change(stand),
    )


def _proposed(basis: Basis) -> Proposal:
    economics = entry_economics(basis.pool, basis.limits)
    return both_proposals(basis.pool, economics, basis.limits)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """How a decision stands, so that after a change only what it reaches is asked again.

    Attributes:
        basis: all that the decision is a function of.
        propose: asks the policies.
        proposal: what was proposed.
        verdicts: the answers of the gates.
        wave: the wave; that of `reconcile.decide` where `propose` asks the policies.
    """

    basis: Basis
    propose: Propose
    proposal: Proposal
    verdicts: tuple[Verdict, ...]
    wave: Wave

    @classmethod
    def of(cls, basis: Basis, propose: Propose) -> Self:
        """Propose, ask every gate, and size the wave."""
        proposal = propose(basis)
        case = _case(basis, proposal)
        verdicts = evaluate(case)
        wave = _wave(case, verdicts)
        return cls(basis=basis, propose=propose, proposal=proposal, verdicts=verdicts, wave=wave)

    def is_beyond(self, knob: Variable) -> bool:
        """Tell whether a knob cannot matter: it steers no policy, and something else says HOLD."""
        if POLICY in knob.readers:
            return False
        refused = any(
            v.outcome is Outcome.REFUSE and v.gate not in knob.readers for v in self.verdicts
        )
        return refused or self.proposal.is_still

    def action_with(self, knob: Variable, value: float) -> Action:
        """Return the action with one figure changed."""
        changed = knob.set(self.basis, value)
        proposal = self.propose(changed) if POLICY in knob.readers else self.proposal
        if proposal.is_still:
            return Action.HOLD
        case, verdicts = _case(changed, proposal), list[Verdict]()
        for known in self.verdicts:
            is_same = proposal == self.proposal and known.gate not in knob.readers
            verdict = known if is_same else ask(known.gate, case)
            if refuses(verdict, case.limits.mode):
                return Action.HOLD
            verdicts.append(verdict)
        return _wave(case, verdicts).action


def _case(basis: Basis, proposal: Proposal) -> Case:
    economics = economics_of(basis.pool, proposal, basis.limits)
    return Case(basis=basis, proposal=proposal, economics=economics)


def _wave(case: Case, verdicts: Sequence[Verdict]) -> Wave:
    ruling = combine(verdicts, case.limits.mode)
    return plan_wave(case.pool, case.proposal, ruling, case.limits)


def _nearest_change(stand: Evaluated) -> Counterfactual | None:
    """Return the smallest relative change of one figure that changes the action."""
    best: Counterfactual | None = None
    reach = math.inf
    for knob in KNOBS:
        now = knob.get(stand.basis)
        if now is None or math.isnan(now) or stand.is_beyond(knob):
            continue
        for way in _ways(knob, now, reach):
            flip = _first_change(stand, way)
            if flip is not None and way.distance(flip.at) < reach:
                best, reach = flip, way.distance(flip.at)
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class _Direction:
    """The values to try on one side of where a knob is, `n` of them, the nearest first."""

    knob: Variable
    now: float
    start: int
    sign: int
    n: int

    def value(self, i: int) -> float:
        """Return the i-th value, counted from 1."""
        return round((self.start + self.sign * i) * self.knob.span.step, 6)

    def distance(self, at: float) -> float:
        """Return how large a change is, relative to where the knob is."""
        return abs(at - _bounded(self.knob, self.now)) / _size(self.knob, self.now)


def _ways(knob: Variable, now: float, reach: float) -> Iterator[_Direction]:
    """Yield the sides to look at, none further away than `reach`, a relative change."""
    span, now = knob.span, round(now, 6)
    exact = _bounded(knob, now) / span.step
    furthest = reach * _size(knob, now) / span.step
    up, down = math.floor(exact + 1e-9), math.ceil(exact - 1e-9)
    n_up = int(min(furthest + exact, span.high / span.step) + 1e-9) - up
    n_down = down - math.ceil(max(exact - furthest, span.low / span.step) - 1e-9)
    if n_up > 0 and span.rises:
        yield _Direction(knob=knob, now=now, start=up, sign=1, n=n_up)
    if n_down > 0 and span.falls:
        yield _Direction(knob=knob, now=now, start=down, sign=-1, n=n_down)


def _bounded(knob: Variable, now: float) -> float:
    return min(max(now, knob.span.low), knob.span.high)


def _size(knob: Variable, now: float) -> float:
    return max(abs(_bounded(knob, now)), knob.span.whole)


def _first_change(stand: Evaluated, way: _Direction) -> Counterfactual | None:
    """Return where the action changes on one side, by bisection between here and the far end."""
    before, near, far = stand.wave.action, 0, way.n
    after = stand.action_with(way.knob, way.value(far))
    if after is before:
        return None
    while far - near > 1:
        middle = (near + far) // 2
        found = stand.action_with(way.knob, way.value(middle))
        if found is before:
            near = middle
        else:
            far, after = middle, found
    return Counterfactual(knob=way.knob.name, now=way.now, at=way.value(far), action=after)
