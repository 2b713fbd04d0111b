"""A recorded decision made again under other limits.

Comes in: the basis of a decision, and limits to change. Goes out: what this code decides as
recorded, and under the change. The world stays as it was recorded: nothing that would have followed
is played on. May not change a limit of which the basis holds only what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.core.decision.messages import Basis, Decision
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import CapacityType, Mode, PolicyMode
from spotvortex.core.pool.owner_rules import obeying

Limit = float | Mode | PolicyMode

CHANGEABLE: Final = frozenset(
    {
        "mode",
        "policy_mode",
        "emergency_risk",
        "emergency_runtime_risk",
        "high_risk",
        "medium_risk",
        "min_discount_ratio",
        "max_payback_hours",
        "min_confidence",
        "max_spot_ratio",
        "on_demand_floor_nodes",
        "on_demand_floor_vcpu",
        "max_pool_disruption_ratio",
        "max_wave_nodes",
        "canary_nodes",
        "max_requested_ratio",
        "settle_s",
        "dwell_s",
        "max_dwell_s",
        "return_risk_ratio",
        "interruption_minutes",
        "move_minutes",
        "exit_unsupported",
        "hold_unstated",
    }
)
"""Limits that a decision reads anew. The others shaped what its basis holds (scores, safety,
freshness, the cluster's budget), or are read after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redecision:
    """One decision as it is, and as it would have been.

    Attributes:
        before: what this code decides by the recorded limits.
        after: what it decides by the changed ones.
    """

    before: Decision
    after: Decision

    @property
    def differs(self) -> bool:
        """Tell whether action, target or the nodes that are moved differ."""
        return _essence(self.before) != _essence(self.after)

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates that answer otherwise."""
        pairs = zip(self.before.verdicts, self.after.verdicts, strict=True)
        return tuple(one.gate.value for one, other in pairs if one.outcome is not other.outcome)

    @property
    def nodes_to_spot(self) -> int:
        """Nodes that would be moved to Spot more; negative for more that leave it."""
        return _to_spot(self.after) - _to_spot(self.before)

    @property
    def savings_usd_per_hour(self) -> float | None:
        """What the wave would save more at list price, None where a price is unknown."""
        before, after = self.before.savings_usd_per_hour, self.after.savings_usd_per_hour
        return None if before is None or after is None else after - before


def redecided(basis: Basis, changes: Mapping[str, Limit]) -> Redecision:
    """Decide by the recorded limits, and by changed ones; the pool's owner still narrows them.

    Args:
        basis: all that the decision was made from.
        changes: values by the name of the limit, all in `CHANGEABLE`.
    """
    assert changes.keys() <= CHANGEABLE
    changed: Limits = replace(basis.limits, **changes)  # type: ignore[arg-type]
    other = replace(basis, limits=obeying(changed, basis.state.rules))
    return Redecision(before=decide(basis), after=decide(other))


def _essence(decision: Decision) -> tuple[object, ...]:
    moved = tuple(move.candidate.uid for move in decision.moves)
    return decision.action, decision.target_ratio, moved, decision.mode


def _to_spot(decision: Decision) -> int:
    return sum(1 if move.to is CapacityType.SPOT else -1 for move in decision.moves)
