"""Orders for nodes that are being lost, given before anything is scored or decided.

Comes in: an observation with notices, what is remembered of each pool, and limits. Goes out: the
very orders that `reconcile` gives later for the same observation: they read no score, no price and
no decision, so they need not wait for one. May not change what is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping

from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import Observation
from spotvortex.core.drain.interruption import interruption_orders
from spotvortex.core.drain.messages import DrainOrder
from spotvortex.core.drain.orders import in_flight
from spotvortex.core.pool.owner_rules import (
    PoolRules,
    obeying,
    remembered,
    rules_of,
    with_settings,
)


def loss_orders(
    state: ControllerState,
    observation: Observation,
    limits: Limits,
    by_pool: Mapping[str, PoolRules],
) -> tuple[DrainOrder, ...]:
    """Make an order for every pooled node that will be lost, the earliest deadline first.

    Args:
        state: what is remembered of each pool.
        observation: what is seen, notices included.
        limits: the bounds of all pools.
        by_pool: what settings say of single pools.
    """
    limits_of: dict[str, Limits] = {}
    for pool in observation.cluster.pools:
        asked = with_settings(rules_of(pool.node_groups), pool.name, by_pool)
        known = state.pools.get(pool.name, PoolState())
        limits_of[pool.name] = obeying(limits, remembered(asked, known.rules))
    flying = in_flight(observation.cluster)
    return interruption_orders(observation, limits_of, flying, state.avoided, state.hedges)
