"""What a gate is: a function with a name and a concern, which says what moves wait for it.

Comes in: a proposal with what it was made from, as a `Case`. Goes out: `Gate`s, each a function of
a case that answers by its `Reply`. A gate can only reduce what is proposed. May not know any gate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from spotvortex.core.decision.messages import (
    Basis,
    ClusterBudget,
    Economics,
    PoolState,
    Proposal,
    Verdict,
)
from spotvortex.core.decision.offerings.shift import Shift, shift_candidates, shift_of
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import BINDINGS, Binding, Concern
from spotvortex.core.domain.types import Action, GateName, Outcome
from spotvortex.core.pool.input import Candidate, PoolInput


@dataclass(frozen=True, kw_only=True)
class Case:
    """All that a gate may look at; what several gates ask for is worked out once.

    Attributes:
        basis: what the decision is a function of.
        proposal: what a policy wants.
        economics: what one more node on Spot is worth.
    """

    basis: Basis
    proposal: Proposal
    economics: Economics

    @property
    def pool(self) -> PoolInput:
        """What was read of the pool."""
        return self.basis.pool

    @property
    def state(self) -> PoolState:
        """What is remembered of the pool."""
        return self.basis.state

    @property
    def budget(self) -> ClusterBudget:
        """What the cluster has left."""
        return self.basis.budget

    @property
    def limits(self) -> Limits:
        """The bounds."""
        return self.basis.limits

    @property
    def action(self) -> Action:
        """The proposed action."""
        return self.proposal.action

    @cached_property
    def shift(self) -> Shift | None:
        """What the shift that is proposed is worth, None where none is."""
        return shift_of(self.pool, self.limits) if self.proposal.is_shift else None

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The nodes that may move the way that is proposed, the first to move first."""
        if (shift := self.shift) is not None:
            return shift_candidates(self.pool, shift)
        return self.pool.to_spot if self.action.towards_spot else self.pool.to_on_demand

    @cached_property
    def binding(self) -> Binding:
        """What may refuse a move of this kind."""
        return BINDINGS[self.proposal.kind]


@dataclass(frozen=True, slots=True)
class Reply:
    """Writes the verdicts of one gate, each with the numbers that the gate compared."""

    gate: GateName

    def allow(self, reason: str, /, **numbers: float) -> Verdict:
        """Build a verdict that lets everything through."""
        return self._verdict(Outcome.ALLOW, reason, numbers)

    def refuse(self, reason: str, /, **numbers: float) -> Verdict:
        """Build a verdict that lets nothing through."""
        return self._verdict(Outcome.REFUSE, reason, numbers)

    def at_most(self, limit: int, reason: str, /, **numbers: float) -> Verdict:
        """Build a verdict that lets some nodes through, or refuses where that is none."""
        if limit <= 0:
            return self.refuse(reason, **numbers)
        return self._verdict(Outcome.AT_MOST, reason, numbers, limit)

    def not_evaluated(self, reason: str, /) -> Verdict:
        """Build a verdict that says that there is nothing to judge by."""
        return self._verdict(Outcome.NOT_EVALUATED, reason, {})

    def _verdict(
        self, outcome: Outcome, reason: str, numbers: dict[str, float], limit: int | None = None
    ) -> Verdict:
        rounded = tuple((name, round(value, 6)) for name, value in numbers.items())
        return Verdict(gate=self.gate, outcome=outcome, reason=reason, limit=limit, numbers=rounded)


Judge: TypeAlias = Callable[[Case, Reply], Verdict]


@dataclass(frozen=True, slots=True)
class Gate:
    """One check.

    Attributes:
        name: what records, metrics and people call it.
        judge: the function that answers; the first line of its docstring is what it promises.
        concern: what it asks about; a kind of move that the concern does not bind obeys no refusal.
    """

    name: GateName
    judge: Judge
    concern: Concern

    def __call__(self, case: Case) -> Verdict:
        """Judge one case."""
        return self.judge(case, Reply(self.name))

    def binds(self, case: Case) -> bool:
        """Tell whether the move of a case has to obey this gate."""
        return self.concern in case.binding.concerns


def gate(name: GateName, concern: Concern) -> Callable[[Judge], Gate]:
    """Make a gate of the function below, which answers by the reply that it is given.

    Args:
        name: its name; the order of `GateName` is the order in every record.
        concern: what it asks about, which says what moves wait for it; almost always DISRUPTION.
    """
    return lambda judge: Gate(name, judge, concern)
