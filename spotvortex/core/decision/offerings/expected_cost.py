"""What a node of an offering is expected to cost over the next two hours, in dollars an hour.

Comes in: an offering's price, its chance of a loss, its ages, and what a loss costs the workloads.
Goes out: three terms that add up: the node while it lives, its loss, and what stands in for it
after. The score says how likely a loss is within two hours; the ages say when, by the shape that
`core.scoring.hazard` has; survivors of a partial loss are likelier to follow than any score knows.
On-demand is one more offering, which is never lost. May not compare one with another.

    J = sum_k [Sm_k p w_k + (S_k - S_k+1)(ci + 0.3) + (1 - Sm_k) 0.5 w_k],  w_k = 2.5 x 1.5^k

in minutes of the on-demand price, where p is the price over it, S the chance to live, Sm the same
in the middle of a step, and ci what a loss costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import CapacityType, Offering, short
from spotvortex.core.pool.input import OfferingInput, PoolInput
from spotvortex.core.scoring.hazard import Age, multiples
from spotvortex.core.scoring.interruption_memory import NEVER_HELD_HOURS

HORIZON_MINUTES: Final = 120.0
"""As far as `runtime_score` looks."""

FIRST_STEP_MINUTES: Final = 2.5
STEP_GROWTH: Final = 1.5
TWICE_PAID_MINUTES: Final = 0.3
"""For so long a lost node and its successor are both paid, or neither serves."""

AFTER_LOSS_RATIO: Final = 0.5
"""What stands in for a lost node costs, of its on-demand price: some on-demand, some Spot."""

MAX_SCORE: Final = 1.0 - 1e-6
"""A score of 1 stands for this one, or a node that is lost for certain would be lost at once."""

SURVIVOR_HOURS: Final = 3.0
"""Beyond this time a loss that left survivors says no more than any other."""


def _widths() -> tuple[float, ...]:
    widths, left, width = [], HORIZON_MINUTES, FIRST_STEP_MINUTES
    while left > 0.0:
        widths.append(min(width, left))
        left, width = left - widths[-1], width * STEP_GROWTH
    return tuple(widths)


WIDTHS_MINUTES: Final = _widths()
"""The steps of the horizon: fine where the hazard changes fast."""

_WIDTHS_HOURS: Final = tuple(width / 60.0 for width in WIDTHS_MINUTES)
_MIDDLES_HOURS: Final = np.cumsum(_WIDTHS_HOURS) - np.asarray(_WIDTHS_HOURS) / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingCost:
    """What one node of an offering is expected to cost, in USD an hour over the next two hours.

    Attributes:
        offering: the instance type and zone; of on-demand the cheapest node's.
        capacity_type: how it is bought.
        node_usd_per_hour: the node, for as long as it is expected to live.
        loss_usd_per_hour: its loss, by what the workloads say that one costs.
        after_usd_per_hour: what stands in for it after a loss.
        on_demand_usd_per_hour: the on-demand price of the same type at list.
        spot_usd_per_hour: its Spot price, 0 of on-demand.
    """

    offering: Offering
    capacity_type: CapacityType
    node_usd_per_hour: float
    loss_usd_per_hour: float = 0.0
    after_usd_per_hour: float = 0.0
    on_demand_usd_per_hour: float
    spot_usd_per_hour: float = 0.0

    @property
    def usd_per_hour(self) -> float:
        """All of it."""
        return self.node_usd_per_hour + self.loss_usd_per_hour + self.after_usd_per_hour

    @property
    def ratio(self) -> float:
        """All of it over the on-demand price: so types of several sizes can be compared."""
        return self.usd_per_hour / self.on_demand_usd_per_hour


def outage_minutes(pool: PoolInput, limits: Limits) -> float:
    """What losing a node costs, in minutes of its on-demand price: as owners say, else as set."""
    said = pool.outage_said_ratio if pool.outage_hours is not None else 0.0
    return said * 60.0 * (pool.outage_hours or 0.0) + (1.0 - said) * limits.interruption_minutes


def spot_cost(found: OfferingInput, ci_minutes: float, spot_ratio: float) -> OfferingCost | None:
    """Return what a Spot node of an offering is expected to cost, None where too little is known.

    Args:
        found: what is known of the offering.
        ci_minutes: what a loss costs, in minutes of the on-demand price.
        spot_ratio: its Spot price over its on-demand price.
    """
    on_demand, score, held = found.on_demand_usd_per_hour, found.runtime_score, found.held_hours
    if on_demand is None or score is None or held is None:
        return None
    times = _Times(held, found.lost_hours, found.is_survivor, found.from_memory)
    node, loss, after = _terms(spot_ratio, score, ci_minutes, times)
    return OfferingCost(
        offering=found.offering,
        capacity_type=CapacityType.SPOT,
        node_usd_per_hour=short(node * on_demand),
        loss_usd_per_hour=short(loss * on_demand),
        after_usd_per_hour=short(after * on_demand),
        on_demand_usd_per_hour=on_demand,
        spot_usd_per_hour=short(spot_ratio * on_demand),
    )


class _Times(NamedTuple):
    """What is known of an offering beside its score; the fields of `OfferingInput`."""

    held_hours: float
    lost_hours: float | None
    is_survivor: bool
    from_memory: bool


@lru_cache(maxsize=8192)
def _terms(
    spot_ratio: float, score: float, ci_minutes: float, times: _Times
) -> tuple[float, float, float]:
    """Return the three terms an hour, as multiples of the on-demand price."""
    node = loss = after = 0.0
    alive = 1.0
    for width, hazard in zip(WIDTHS_MINUTES, _hazards(score, times), strict=True):
        then = alive * math.exp(-hazard)
        middle = alive * math.exp(-hazard / 2.0)
        node += middle * spot_ratio * width
        loss += (alive - then) * (ci_minutes + TWICE_PAID_MINUTES)
        after += (1.0 - middle) * AFTER_LOSS_RATIO * width
        alive = then
    return node / HORIZON_MINUTES, loss / HORIZON_MINUTES, after / HORIZON_MINUTES


def _hazards(score: float, times: _Times) -> list[float]:
    """Return the expected losses of each step: they add up to -ln(1 - score).

    A model is not told of survivors, so that what they risk comes on top of its score; the memory's
    own score has it already.
    """
    held, lost = times.held_hours, times.lost_hours
    since_loss = lost if lost is not None else held or NEVER_HELD_HOURS
    is_survivor = times.is_survivor and lost is not None and lost < SURVIVOR_HOURS
    raised = _shape(Age(held_hours=held, since_loss_hours=since_loss, is_survivor=is_survivor))
    told = times.from_memory or not is_survivor
    known = raised if told else _shape(Age(held_hours=held, since_loss_hours=since_loss))
    total = math.fsum(known)
    level = -math.log1p(-min(score, MAX_SCORE)) / total
    return [level * step for step in raised]


def _shape(age: Age) -> list[float]:
    """Return the shape's integral over each step, in hours of the hazard beyond 12 hours."""
    found = multiples(age, _MIDDLES_HOURS)
    return [multiple * width for multiple, width in zip(found, _WIDTHS_HOURS, strict=True)]
