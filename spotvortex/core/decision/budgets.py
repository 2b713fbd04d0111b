"""How many nodes may be on the move at once.

Comes in: counts of nodes and of those that anybody is moving: the controller, the provisioner, an
upgrade, a person's cordon. Goes out: what is left, never negative.
"""

from __future__ import annotations

from collections.abc import Sequence

from spotvortex.core.decision.messages import ClusterBudget
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import disrupted_at_most
from spotvortex.core.pool.input import PoolInput


def cluster_budget(pools: Sequence[PoolInput], limits: Limits) -> ClusterBudget:
    """Return the cluster's budget before any pool has taken from it."""
    n_nodes = sum(p.n_counted for p in pools)
    n_moving = sum(p.n_moving for p in pools)
    left = _left(n_nodes, n_moving, limits.max_cluster_disruption_ratio)
    return ClusterBudget(n_nodes=n_nodes, n_moving=n_moving, left=left)


def pool_left(pool: PoolInput, limits: Limits) -> int:
    """Return how many more nodes of the pool may be moved now."""
    return _left(pool.n_counted, pool.n_moving, limits.max_pool_disruption_ratio)


def _left(n_nodes: int, n_moving: int, ratio: float) -> int:
    """A share of the nodes, at least one, less what is on the move."""
    return max(0, disrupted_at_most(n_nodes, ratio) - n_moving) if n_nodes else 0
