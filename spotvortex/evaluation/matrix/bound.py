"""The offline bound O1 of a world of protocol 2: each pool by itself, at its own costs.

Comes in: a world and a commitment. Goes out: what someone would have paid who had known every count
and price. Its moves and interruptions are within its money. A plan covers the units that are always
wanted, pool by pool: a plan that floats could do a little better.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from spotvortex.evaluation import offline_optimum
from spotvortex.evaluation.matrix.constants import WorkloadClass
from spotvortex.evaluation.matrix.worlds import MatrixWorld, counts_of
from spotvortex.evaluation.offline_bound import GRID_S, day_of
from spotvortex.evaluation.worlds import START_AT
from spotvortex.results.accounting import DayTotals
from spotvortex.sim.account.billing import DAY_S
from spotvortex.sim.cluster.demand import Demand, least_factor
from spotvortex.sim.market.prices import SimulatedMarket

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
    return offline_optimum.plan(_future(world, one), costs, n_covered).cost_usd


def _future(world: MatrixWorld, one: WorkloadClass) -> offline_optimum.Future:
    shape, offerings = world.constants.world, world.offerings(one)
    times = START_AT + GRID_S * np.arange(int(shape.n_days * DAY_S / GRID_S))
    market = SimulatedMarket(seed=world.seed, start_at=START_AT)
    counts, demand = counts_of(world), Demand(world.mix, world.seed)
    wanted = [shape.nodes_per_pool * demand.factor(at - START_AT) for at in times.tolist()]
    return offline_optimum.Future(
        spot_usd_per_hour=np.array(
            [[market.spot_usd_per_hour(o, at) for at in times.tolist()] for o in offerings]
        ),
        counts=np.array(
            [[counts[o].least(at, at + GRID_S) for at in times.tolist()] for o in offerings],
            dtype=np.int64,
        ),
        wanted=np.ceil(np.array(wanted)).astype(np.int64),
        on_demand_usd_per_hour=min(market.on_demand_usd_per_hour(o) for o in offerings),
        step_s=GRID_S,
    )
