"""The learned policy: from a pool to the network's state vector, and from q-values to a proposal.

Comes in: the reduced input of a pool, with the q-values that its bundle gave. Goes out: the state
that the v1 contract wants, and the best action that is possible at all. May not know the network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from spotvortex.core.decision.economics import entry_economics
from spotvortex.core.decision.messages import Economics, Proposal
from spotvortex.core.decision.rule_policy import max_spot_nodes
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Action, ProposalReason, ProposalSource
from spotvortex.core.pool.input import PoolInput

ACTIONS: Final = tuple(Action)
"""The actions in the order of the columns of `q_values`."""

STATE_SIZE: Final = 13
STEP_S: Final = 600.0
"""One step of the policy's clock, in seconds."""

UNKNOWN_STEPS: Final = 100.0
"""Steps since the last migration where none is remembered."""


def state_vector(pool: PoolInput, economics: Economics) -> tuple[float, ...]:
    """Build the v1 policy input, 13 figures in 0..1, each clip(value / divisor).

    The order and the divisors are those of the contract: spot/100, on-demand/100, volatility/1,
    capacity, runtime, startup/300 s, migration cost/10 $, utilisation, steps since the last
    migration/100, outage/10 h, is spot, spot ratio, target ratio. The target is the ratio itself:
    where the policy has not moved the pool, it wants it where it is.
    """
    money = pool.spot_money if pool.n_spot else pool.entry_money
    risk = pool.spot_risk if pool.n_spot else pool.entry_risk
    values = (
        _over(money.spot_usd_per_hour, 100.0),
        _over(money.on_demand_usd_per_hour, 100.0),
        _over(pool.price_deviation_usd_per_hour, 1.0),
        _over(risk.capacity, 1.0),
        _over(risk.runtime, 1.0),
        _over(pool.startup_s, 300.0),
        _over(economics.migration_usd, 10.0),
        _over(pool.cpu_utilisation_ratio, 1.0),
        _over(pool.steps_since_move, UNKNOWN_STEPS),
        _over(pool.outage_hours, 10.0),
        1.0 if pool.n_spot > pool.n_on_demand else 0.0,
        pool.spot_ratio,
        pool.spot_ratio,
    )
    assert len(values) == STATE_SIZE
    return values


def states_of(pools: Sequence[PoolInput], limits: Limits) -> list[tuple[float, ...]]:
    """Build the policy input of every pool, one row each."""
    return [state_vector(pool, entry_economics(pool, limits)) for pool in pools]


def valued(pools: Sequence[PoolInput], rows: Sequence[Sequence[float]]) -> tuple[PoolInput, ...]:
    """Add to every pool its row of q-values, in the order of `ACTIONS`."""
    return tuple(
        replace(pool, q_values=tuple(round(float(value), 6) for value in row))
        for pool, row in zip(pools, rows, strict=True)
    )


def _over(value: float | None, divisor: float) -> float:
    """Clip to 0..1; what is unknown is 0, as the contract has it."""
    if value is None or math.isnan(value):
        return 0.0
    return min(1.0, max(0.0, value / divisor))


def possible(pool: PoolInput, limits: Limits) -> tuple[bool, ...]:
    """Say for each action whether the pool could take it at all."""
    grow = bool(
        pool.allows_spot and pool.n_on_demand and pool.n_spot < max_spot_nodes(pool, limits)
    )
    shrink = bool(pool.allows_on_demand and pool.n_spot)
    return tuple(
        grow if action.towards_spot else shrink if action.away_from_spot else True
        for action in ACTIONS
    )


def propose_by_value(pool: PoolInput, limits: Limits) -> Proposal:
    """Propose the possible action of highest value; ties go to the first, none at all is HOLD.

    The margin is the lead over the second best, as a share of the spread of all values.
    """
    values = pool.q_values
    if values is None or not all(math.isfinite(value) for value in values):
        return Proposal(
            action=Action.HOLD, reason=ProposalReason.NO_Q_VALUES, source=ProposalSource.RL
        )
    allowed = [i for i, ok in enumerate(possible(pool, limits)) if ok]
    ranked = sorted(allowed, key=lambda i: (-values[i], i))
    return Proposal(
        action=ACTIONS[ranked[0]],
        reason=ProposalReason.BEST_Q_VALUE,
        source=ProposalSource.RL,
        margin=_margin(values, ranked),
    )


def _margin(values: Sequence[float], ranked: Sequence[int]) -> float:
    spread = max(values) - min(values)
    if len(ranked) < 2 or spread <= 0.0:
        return 1.0 if len(ranked) < 2 else 0.0
    return round((values[ranked[0]] - values[ranked[1]]) / spread, 6)
