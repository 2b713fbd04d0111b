"""Every gate in the order in which records list them, asked one by one and taken together.

Comes in: a `Case`. Goes out: one verdict a gate, also where it allows, and their combination: any
refusal gives HOLD, else the smallest number counts. One whose input does not exist says so; where
the mode writes, that refuses. A gate that does not bind a kind of move is asked all the same, and
allows with what it would have said. May not judge anything itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.core.decision.gates import authority, disruption, fit, inputs, losses, market
from spotvortex.core.decision.gates.base import Case, Gate
from spotvortex.core.decision.messages import Verdict
from spotvortex.core.domain.types import GateName, Mode, Outcome

_BY_NAME: Final = {
    found.name: found
    for module in (authority, inputs, market, disruption, losses, fit)
    for found in vars(module).values()
    if isinstance(found, Gate)
}

GATES: Final[tuple[Gate, ...]] = tuple(_BY_NAME[name] for name in GateName)
"""Every gate; a name without a gate ends the start."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The gates' common answer.

    Attributes:
        refused: whether any gate refuses.
        limit: the most nodes that may move, None where no gate bounds the wave.
        first_refusal: the first gate that refuses, None where none does.
    """

    refused: bool
    limit: int | None
    first_refusal: GateName | None


def told(asked: Gate, case: Case) -> Verdict:
    """Ask a gate; where it does not bind the move of a case, its refusal is only told."""
    verdict = asked(case)
    if asked.binds(case) or verdict.outcome is Outcome.ALLOW:
        return verdict
    reason = f"{case.action} does not wait for this: {verdict.reason}"
    return replace(verdict, outcome=Outcome.ALLOW, limit=None, reason=reason)


def ask(name: GateName, case: Case) -> Verdict:
    """Ask one gate by its name."""
    return told(_BY_NAME[name], case)


def evaluate(case: Case) -> tuple[Verdict, ...]:
    """Ask every gate."""
    return tuple(told(found, case) for found in GATES)


def refuses(verdict: Verdict, current: Mode) -> bool:
    """Tell whether a verdict lets nothing move; one not evaluated does where the mode writes."""
    if verdict.outcome is Outcome.NOT_EVALUATED:
        return current.writes
    return verdict.outcome is Outcome.REFUSE


def combine(verdicts: Sequence[Verdict], current: Mode) -> Ruling:
    """Combine verdicts; one that says no is named before one that could not be evaluated."""
    refused = [v for v in verdicts if refuses(v, current)]
    first = min(refused, key=lambda v: v.outcome is not Outcome.REFUSE, default=None)
    limits = [v.limit for v in verdicts if v.limit is not None]
    return Ruling(
        refused=bool(refused),
        limit=min(limits) if limits else None,
        first_refusal=None if first is None else first.gate,
    )
