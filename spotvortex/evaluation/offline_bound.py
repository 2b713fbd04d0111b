"""The offline bound O1 of one world of the evaluation, as sums of days.

Comes in: a world, and the protocol's constants. Goes out: what someone would have paid who had
known every count and price: see `oracle`. Its moves and interruptions are within its money, so that
it counts none; it is the bound at these constants alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from spotvortex.core.domain.types import Offering
from spotvortex.evaluation import offline_optimum, worlds
from spotvortex.results.accounting import Costs, DayTotals
from spotvortex.sim.account.billing import DAY_S
from spotvortex.sim.cluster.demand import Demand
from spotvortex.sim.market.counts import CapacityCounts
from spotvortex.sim.market.prices import SimulatedMarket

GRID_S: Final = 300.0
"""Counts are taken at their least within each step, so a loss in between is seen."""


def days_of(world: worlds.EvaluationWorld, costs: Costs) -> tuple[DayTotals, ...]:
    """Return the bound's cost, each day an equal share of the whole.

    Demand counts in whole nodes, rounded up.
    """
    future = _future(world)
    told = offline_optimum.UnitCosts(
        move_min=costs.cm, interruption_min=costs.ci, unserved_ratio=costs.v
    )
    share = offline_optimum.plan(future, told).cost_usd / world.n_days
    return tuple(day_of(number, share) for number in range(world.n_days))


def _future(world: worlds.EvaluationWorld) -> offline_optimum.Future:
    return future_of(
        worlds.offerings(),
        worlds.counts_of(world),
        Demand(world.mix, world.seed),
        n_units=worlds.UNITS,
        n_days=world.n_days,
    )


def future_of(
    offerings: Sequence[Offering],
    counts: Mapping[Offering, CapacityCounts],
    demand: Demand,
    *,
    n_units: int,
    n_days: int,
) -> offline_optimum.Future:
    """Return every price and count that will be, step by step.

    Args:
        offerings: what may be bought.
        counts: how many nodes of each there are, by time.
        demand: the course of the demand; prices are of its seed.
        n_units: nodes that are wanted at a factor of 1.
        n_days: days that the world lasts.
    """
    times = worlds.START_AT + GRID_S * np.arange(int(n_days * DAY_S / GRID_S))
    market = SimulatedMarket(seed=demand.seed, start_at=worlds.START_AT)
    wanted = [n_units * demand.factor(at - worlds.START_AT) for at in times.tolist()]
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


def day_of(number: int, usd: float) -> DayTotals:
    """Return a day of the bound: money and nothing else."""
    return DayTotals(
        day=number,
        node_usd=usd,
        demanded_od_usd=0.0,
        unserved_od_usd=0.0,
        all_on_demand_usd=0.0,
        moved_od_usd_per_minute=0.0,
        interrupted_od_usd_per_minute=0.0,
        n_moved=0,
        n_interrupted=0,
        n_launch_failures=0,
        outage_minutes=0.0,
        unserved_node_minutes=0.0,
        node_minutes=0.0,
        spot_node_minutes=0.0,
    )
