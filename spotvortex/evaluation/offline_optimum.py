"""What could have been had by someone who knew the future: the offline bound O1.

Comes in: prices and counts over time, all known ahead, and what a move, an interruption and an
unserved minute cost. Goes out: where each unit of demand should have been, and what that costs.
For one unit the answer is the optimum of the model below, by dynamic programming. Several units are
placed one after the other on what is left: that is feasible, but not proven optimal, so the bound
for many units may be beaten. In 150 random worlds of two units it was above the optimum in 3 %, by
0.2 % in the mean of all, and placing each unit anew did not help. May not know a controller.

The model: time goes in steps; in each a unit is on a Spot offering, on demand, or nowhere. Nodes
start at once and for nothing, notices always come in time, and old and new node never overlap, all
of which makes the oracle cheaper than any real policy. The beginning is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MINUTES_PER_HOUR: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCosts:
    """What things cost beside nodes.

    A unit whose offering is taken may always move just before, so it pays the smaller of the first
    two; so does one that gives way to a unit placed before it, which matters only where moves cost
    more.

    Attributes:
        move_min: price of a planned move, in minutes of one on-demand node.
        interruption_min: price of being taken, or of stopping, in minutes of one on-demand node.
        unserved_ratio: price of a unit that is wanted and nowhere, as a multiple of an on-demand
            node's.
    """

    move_min: float = 3.0
    interruption_min: float = 15.0
    unserved_ratio: float = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Future:
    """What is known ahead, on a grid of time.

    Attributes:
        spot_usd_per_hour: float64[n_offerings, n_steps], Spot prices.
        counts: int64[n_offerings, n_steps], units that each offering holds throughout a step.
        wanted: int64[n_steps], units that are to be served.
        on_demand_usd_per_hour: price of one unit on demand.
        step_s: seconds of a step.
    """

    spot_usd_per_hour: Floats
    counts: Ints
    wanted: Ints
    on_demand_usd_per_hour: float
    step_s: float

    def __post_init__(self) -> None:
        assert self.spot_usd_per_hour.shape == self.counts.shape
        assert self.counts.shape[1:] == self.wanted.shape
        assert self.wanted.size > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placements:
    """Where every unit is, and what that costs.

    Attributes:
        places: int64[n_units, n_steps]; a place below the number of offerings is that offering.
        cost_usd: cost of all units, in USD.
        on_demand: the place that means on demand.
        nowhere: the place that means not served.
    """

    places: Ints
    cost_usd: float
    on_demand: int
    nowhere: int


def plan(future: Future, costs: UnitCosts, n_covered: float = 0.0) -> Placements:
    """Place the units one after the other, each in the best way that those before it leave.

    Unit k is wanted in the steps in which more than k units are. On-demand costs nothing for the
    first `n_covered` units, which a commitment pays for, and a part where that ends within one.
    """
    n_offerings, n_steps = future.counts.shape
    left = future.counts.copy()
    n_units = int(future.wanted.max())
    places = np.empty((n_units, n_steps), dtype=np.int64)
    cost_usd = 0.0
    for unit in range(n_units):
        paid_ratio = 1.0 - min(max(n_covered - unit, 0.0), 1.0)
        problem = _problem(future, costs, (left > 0, future.wanted > unit), paid_ratio)
        places[unit], unit_usd = _cheapest(problem)
        cost_usd += unit_usd
        on_spot = np.flatnonzero(places[unit] < n_offerings)
        left[places[unit, on_spot], on_spot] -= 1
    return Placements(
        places=places, cost_usd=cost_usd, on_demand=n_offerings, nowhere=n_offerings + 1
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    """One unit's costs in USD, each float64[n_steps, n_places].

    `stay` is for being in a place in a step, infinite where that cannot be. `leave` is for having
    been in a place before a step and going to another that serves, `stop` for going nowhere.
    """

    stay: Floats
    leave: Floats
    stop: Floats


def _problem(
    future: Future,
    costs: UnitCosts,
    free: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    paid_ratio: float,
) -> _Problem:
    """Write down what one unit pays, with the last place nowhere and the one before on-demand.

    Args:
        future: prices and demand.
        costs: what things cost beside nodes.
        free: where the unit can be held, and when it is wanted.
        paid_ratio: share of the on-demand price that it pays.
    """
    can_hold, is_wanted = free
    hours = future.step_s / 3600.0
    minute_usd = future.on_demand_usd_per_hour / MINUTES_PER_HOUR
    n_steps = len(is_wanted)
    on_demand = np.full(n_steps, paid_ratio * future.on_demand_usd_per_hour)
    nowhere = np.where(is_wanted, costs.unserved_ratio * future.on_demand_usd_per_hour, 0.0)
    spot = np.where(can_hold, future.spot_usd_per_hour, np.inf)
    stay = hours * np.vstack([spot, on_demand, nowhere]).T
    goes_on = np.isfinite(stay)
    cheaper = min(costs.move_min, costs.interruption_min)
    leave = minute_usd * np.where(goes_on, costs.move_min, cheaper)
    stop = np.zeros(stay.shape)
    stop[is_wanted] = minute_usd * costs.interruption_min
    leave[:, -1] = stop[:, -1] = 0.0
    return _Problem(stay=stay, leave=leave, stop=stop)


def _cheapest(problem: _Problem) -> tuple[Ints, float]:
    """Return the cheapest way through time, int64[n_steps], and its cost in USD.

    What leaving costs depends on where a unit was, not on where it goes, but for nowhere; so the
    best place to come from is the same for all that serve, and a step takes time in proportion to
    the number of places.
    """
    n_steps, n_places = problem.stay.shape
    came_from = np.empty((n_steps, n_places), dtype=np.int64)
    here = np.arange(n_places)
    total = problem.stay[0].copy()
    for step in range(1, n_steps):
        arriving = total + problem.leave[step]
        stopping = total + problem.stop[step]
        source, last = int(arriving.argmin()), int(stopping.argmin())
        moved = np.full(n_places, arriving[source])
        moved[-1] = stopping[last]
        stays = total <= moved
        row = np.where(stays, here, source)
        row[-1] = row[-1] if stays[-1] else last
        came_from[step] = row
        total = np.where(stays, total, moved) + problem.stay[step]
    place = int(total.argmin())
    cost_usd = float(total[place])
    path = np.empty(n_steps, dtype=np.int64)
    for step in range(n_steps - 1, -1, -1):
        path[step] = place
        place = int(came_from[step, place]) if step else place
    return path, cost_usd
