"""How a gate's answer is written.

Comes in: a gate's name, its reason and the numbers that it compared. Goes out: a `Verdict`. May not
judge.
"""

from __future__ import annotations

from dataclasses import replace

from spotvortex.core.decision.messages import Verdict
from spotvortex.core.domain.types import Outcome


def allow(gate: str, reason: str, /, **numbers: float) -> Verdict:
    """Build a verdict that lets everything through."""
    return _verdict(gate, Outcome.ALLOW, reason, numbers)


def refuse(gate: str, reason: str, /, **numbers: float) -> Verdict:
    """Build a verdict that lets nothing through."""
    return _verdict(gate, Outcome.REFUSE, reason, numbers)


def at_most(gate: str, limit: int, reason: str, /, **numbers: float) -> Verdict:
    """Build a verdict that lets some nodes through, or refuses where that is none."""
    if limit <= 0:
        return refuse(gate, reason, **numbers)
    return replace(_verdict(gate, Outcome.AT_MOST, reason, numbers), limit=limit)


def not_evaluated(gate: str, reason: str) -> Verdict:
    """Build a verdict that says that there is nothing to judge by."""
    return _verdict(gate, Outcome.NOT_EVALUATED, reason, {})


def _verdict(gate: str, outcome: Outcome, reason: str, numbers: dict[str, float]) -> Verdict:
    rounded = tuple((name, round(value, 6)) for name, value in numbers.items())
    return Verdict(gate=gate, outcome=outcome, reason=reason, numbers=rounded)
