"""The offline bound O1 of a world of protocol 2: each pool by itself, at its own costs.

Comes in: a world and a commitment. Goes out: what someone would have paid who had known every count
and price. Its moves and interruptions are within its money. A plan covers the units that are always
wanted, pool by pool: a plan that floats could do a little better.
"""

from __future__ import annotations

from typing import Final

from spotvortex.evaluation import offline_optimum
from spotvortex.evaluation.matrix.constants import WorkloadClass
from spotvortex.evaluation.matrix.worlds import MatrixWorld, counts_of
from spotvortex.evaluation.offline_bound import day_of, future_of
from spotvortex.results.accounting import DayTotals
from spotvortex.sim.cluster.demand import Demand, least_factor

O1: Final = "O1"


def days_of(world: MatrixWorld, commitment: str) -> tuple[DayTotals, ...]:
    """Return the bound's cost without the plan's fee, each day an equal share of the whole.

    Demand counts in whole nodes, rounded up.
    """
    n_days = world.constants.world.n_days
    cost_usd = sum(_pool_usd(world, one, commitment) for one in world.classes)
    return tuple(day_of(number, cost_usd / n_days) for number in range(n_days))


def _pool_usd(world: MatrixWorld, one: WorkloadClass, commitment: str) -> float:
    of = world.constants
    costs = offline_optimum.UnitCosts(
        move_min=of.costs.cm,
        interruption_min=60.0 * world.outage_hours(one),
        unserved_ratio=of.costs.v,
    )
    share = next(c.share_ratio for c in of.commitments if c.name == commitment)
    n_covered = share * least_factor(world.mix) * of.world.nodes_per_pool
    future = future_of(
        world.offerings(one),
        counts_of(world),
        Demand(world.mix, world.seed),
        n_units=of.world.nodes_per_pool,
        n_days=of.world.n_days,
    )
    return offline_optimum.plan(future, costs, n_covered).cost_usd
