"""How many nodes may be on the move: a share, at least one, less what anybody moves."""

import pytest

from spotvortex.core.decision.budgets import cluster_budget, pool_left
from spotvortex.core.decision.messages import ClusterBudget
from spotvortex.core.domain.limits import Limits
from tests.core.builders import pool_input


@pytest.mark.parametrize(
    ("n", "n_moving", "ratio", "left"),
    [
        (20, 0, 0.10, 2),
        (29, 0, 0.10, 2),
        (30, 0, 0.10, 3),
        (5, 0, 0.10, 1),
        (5, 1, 0.10, 0),
        (20, 7, 0.10, 0),
        (0, 0, 0.10, 0),
        (10, 0, 1.00, 10),
    ],
)
def test_a_pool_has_a_share_left(n, n_moving, ratio, left):
    pool = pool_input(n_spot=n, n_on_demand=0, n_moving=n_moving)
    assert pool_left(pool, Limits(max_pool_disruption_ratio=ratio)) == left


def test_a_cluster_counts_all_pools_and_what_others_move():
    pools = [pool_input(n_spot=30, n_on_demand=30, n_moving=1), pool_input(n_moving=1)]
    assert cluster_budget(pools, Limits()) == ClusterBudget(n_nodes=80, n_moving=2, left=2)


def test_a_cluster_without_nodes_has_nothing_left():
    assert cluster_budget([], Limits()).left == 0
