"""Which Spot offerings of a pool are worth having, and which to leave aside.

Comes in: the reduced input of a pool and the limits. Goes out: a `Choice`: what each offering is
expected to cost, the best of them, and those that new room has to avoid. Room never asks for a
single offering: among those that are left, the cloud's own choice knows how much of each there is,
and nobody outside does. An offering of which too little is known is neither the best nor avoided.
May not move anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

from spotvortex.core.decision.offerings.expected_cost import (
    HORIZON_MINUTES,
    OfferingCost,
    outage_minutes,
    spot_cost,
)
from spotvortex.core.domain.cloud.instance_types import vcpus_of
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import CapacityType, Offering, short
from spotvortex.core.pool.input import MAX_AVOIDED, OfferingInput, PoolInput

RECENT_HOURS: Final = 10.0 / 60.0
"""After a loss or a refusal an offering is avoided for ten minutes: its other nodes, and those that
return at once, are the likeliest to be lost (policy research: 35 to 65 % within ten minutes)."""

MARGIN_RATIO: Final = 0.10
"""An offering this much of an on-demand price dearer than the best, by expectation, is avoided."""

START_MINUTES: Final = 1.5
"""A node costs this long before it serves: 1.1 times the median of starts."""


class AvoidReason(StrEnum):
    """Why room avoids an offering, as records say it."""

    LOST_LATELY = "lost_lately"
    REFUSED_LATELY = "refused_lately"
    DEARER_THAN_ON_DEMAND = "dearer_than_on_demand"
    DEARER_THAN_BEST = "dearer_than_best"


@dataclass(frozen=True, slots=True, kw_only=True)
class AvoidedOffering:
    """A Spot offering that new room must not get, and why."""

    offering: Offering
    reason: AvoidReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the offerings of a pool are worth.

    Attributes:
        spot: the Spot offerings of which enough is known, the cheapest by expectation first.
        on_demand: what an on-demand node costs at the margin, None where no price is known.
        best: the cheapest Spot offering that was neither lost nor refused lately, None of none.
        avoided: the Spot offerings to avoid, the worst first, at most `MAX_AVOIDED`.
        n_unknown: Spot offerings of which too little is known.
    """

    spot: tuple[OfferingCost, ...] = ()
    on_demand: OfferingCost | None = None
    best: OfferingCost | None = None
    avoided: tuple[AvoidedOffering, ...] = ()
    n_unknown: int = 0

    @property
    def costs(self) -> tuple[OfferingCost, ...]:
        """Every cost, on-demand last."""
        return self.spot if self.on_demand is None else (*self.spot, self.on_demand)

    @property
    def names_avoided(self) -> tuple[Offering, ...]:
        """The offerings to avoid, in a fixed order."""
        return tuple(sorted(found.offering for found in self.avoided))


def choice_of(pool: PoolInput, limits: Limits) -> Choice:
    """Weigh the offerings that a pool holds or may use."""
    money = pool.entry_money
    listed, marginal = money.on_demand_usd_per_hour, money.marginal_usd_per_hour
    ratio = 1.0 if marginal is None or not listed else marginal / listed
    known = (*pool.offerings, *pool.others)
    return _choice(known, short(outage_minutes(pool, limits)), short(ratio))


@lru_cache(maxsize=1024)
def _choice(known: tuple[OfferingInput, ...], ci_minutes: float, on_demand_ratio: float) -> Choice:
    costs = {o.offering: c for o in known if (c := _priced(o, ci_minutes)) is not None}
    spot = tuple(sorted(costs.values(), key=lambda c: (per_vcpu(c), c.offering)))
    ordered = sorted(known, key=lambda o: o.offering)
    lately = {o.offering: reason for o in ordered if (reason := _lately(o)) is not None}
    best = next((c for c in spot if c.offering not in lately), None)
    found = (*lately.items(), *_dear(spot, best, lately, on_demand_ratio))
    avoided = (AvoidedOffering(offering=offering, reason=reason) for offering, reason in found)
    return Choice(
        spot=spot,
        on_demand=_on_demand(known, on_demand_ratio),
        best=best,
        avoided=tuple(avoided)[:MAX_AVOIDED],
        n_unknown=len(known) - len(costs),
    )


def _priced(found: OfferingInput, ci_minutes: float) -> OfferingCost | None:
    spot, on_demand = found.spot_usd_per_hour, found.on_demand_usd_per_hour
    if spot is None or on_demand is None or not found.in_scope:
        return None
    return spot_cost(found, ci_minutes, spot / on_demand)


def _on_demand(known: tuple[OfferingInput, ...], ratio: float) -> OfferingCost | None:
    priced = [
        (o.on_demand_usd_per_hour, o.offering)
        for o in known
        if o.on_demand_usd_per_hour and o.held_hours is not None
    ]
    if not priced:
        return None
    usd, offering = min(priced)
    return OfferingCost(
        offering=offering,
        capacity_type=CapacityType.ON_DEMAND,
        node_usd_per_hour=short(usd * ratio),
        on_demand_usd_per_hour=usd,
    )


def _lately(found: OfferingInput) -> AvoidReason | None:
    if found.lost_hours is not None and found.lost_hours <= RECENT_HOURS:
        return AvoidReason.LOST_LATELY
    if found.refused_hours is not None and found.refused_hours <= RECENT_HOURS:
        return AvoidReason.REFUSED_LATELY
    return None


def _dear(
    spot: tuple[OfferingCost, ...],
    best: OfferingCost | None,
    lately: dict[Offering, AvoidReason],
    on_demand_ratio: float,
) -> Iterator[tuple[Offering, AvoidReason]]:
    """Yield what costs more than on-demand, or much more than the best, the dearest first."""
    most = None if best is None else per_vcpu(best) + MARGIN_RATIO * _listed_per_vcpu(best)
    for cost in reversed(spot):
        if cost.offering in lately:
            continue
        if cost.ratio > on_demand_ratio:
            yield cost.offering, AvoidReason.DEARER_THAN_ON_DEMAND
        elif most is not None and per_vcpu(cost) > most:
            yield cost.offering, AvoidReason.DEARER_THAN_BEST


def per_vcpu(cost: OfferingCost) -> float:
    """Return what a vCPU is expected to cost, of all of a node where its size is not known."""
    return cost.usd_per_hour / (vcpus_of(cost.offering.instance_type) or 1.0)


def _listed_per_vcpu(cost: OfferingCost) -> float:
    return cost.on_demand_usd_per_hour / (vcpus_of(cost.offering.instance_type) or 1.0)


def move_cost_ratio(spot_ratio: float, limits: Limits) -> float:
    """Return what a move costs an hour over the horizon, as a share of the on-demand price.

    The move itself, and a new node of that price until it serves.
    """
    return (limits.move_minutes + START_MINUTES * spot_ratio) / HORIZON_MINUTES


def leaving(pool: PoolInput, limits: Limits) -> frozenset[Offering]:
    """Return the held Spot offerings that on-demand beats by more than the move there costs.

    None where any other Spot offering that may be had is expected to beat on-demand: what leaves
    goes there.
    """
    choice = choice_of(pool, limits)
    if is_cheaper(choice):
        return frozenset()
    held = {o.offering for o in pool.offerings if o.n_spot}
    most = 1.0 + move_cost_ratio(1.0, limits)
    return frozenset(c.offering for c in choice.spot if c.offering in held and c.ratio > most)


def is_cheaper(choice: Choice) -> bool:
    """Tell whether some Spot offering that may be had is expected to cost less than on-demand."""
    return choice.best is not None and choice.best.ratio < 1.0


def leaving_at_any_price(pool: PoolInput, limits: Limits) -> frozenset[Offering]:
    """Return the held Spot offerings that on-demand would beat if Spot were free.

    Such a leave rests on risk alone, so that no doubt about prices speaks against it. None where
    the score of any other offering would keep it.
    """
    ci_minutes = short(outage_minutes(pool, limits))
    most = 1.0 + move_cost_ratio(1.0, limits)
    known = (*pool.offerings, *pool.others)
    # One that keeps the pool ends the look: of most pools no other has to be weighed.
    kept = (_free(o, ci_minutes) for o in known if _lately(o) is None)
    if any(ratio is None or ratio <= 1.0 for ratio in kept):
        return frozenset()
    held = ((o.offering, _free(o, ci_minutes)) for o in pool.offerings if o.n_spot)
    return frozenset(offering for offering, ratio in held if ratio and ratio > most)


def _free(found: OfferingInput, ci_minutes: float) -> float | None:
    """Return the expected cost of an offering that costs nothing, as a share of on-demand."""
    if found.runtime_score is None or found.held_hours is None:
        return None
    listed = found.on_demand_usd_per_hour or 1.0
    cost = spot_cost(_listed(found, listed), ci_minutes, 0.0)
    return None if cost is None else cost.ratio


def at_no_price(pool: PoolInput, limits: Limits) -> tuple[OfferingCost, ...]:
    """Return what each Spot offering would be expected to cost if Spot were free: its risk alone.

    The cheapest first; none of which the on-demand price is not known.
    """
    ci_minutes = short(outage_minutes(pool, limits))
    known = (o for o in (*pool.offerings, *pool.others) if o.in_scope)
    costs = (c for o in known if (c := spot_cost(o, ci_minutes, 0.0)) is not None)
    return tuple(sorted(costs, key=lambda c: (per_vcpu(c), c.offering)))


def lately_gone(pool: PoolInput) -> frozenset[Offering]:
    """Return the Spot offerings that were lost or refused within minutes."""
    known = (*pool.offerings, *pool.others)
    return frozenset(o.offering for o in known if _lately(o) is not None)


def _listed(found: OfferingInput, usd_per_hour: float) -> OfferingInput:
    return replace(found, on_demand_usd_per_hour=usd_per_hour)
