"""Whether Spot nodes of a pool should move to other Spot, off which offering, and what it is worth.

Comes in: the reduced input of a pool and the limits. Goes out: a `Shift`, the most gainful one: one
offering to leave, the best to be had instead, every term in dollars an hour, and what room has to
avoid so that the move is worth it wherever it lands. A shift for risk, and the evacuation of what a
partial loss has left, rest on what losses cost alone: a price may speak for them, and an unknown
one never against them. May not move anything, and may not judge whether nodes can move.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from spotvortex.core.decision.offerings.choice import (
    START_MINUTES,
    at_no_price,
    choice_of,
    lately_gone,
    per_vcpu,
)
from spotvortex.core.decision.offerings.expected_cost import (
    HORIZON_MINUTES,
    SURVIVOR_HOURS,
    OfferingCost,
)
from spotvortex.core.domain.cloud.instance_types import vcpus_of
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Offering, ProposalReason, short
from spotvortex.core.pool.input import MAX_SHIFT_AVOIDED, Candidate, OfferingInput, PoolInput

MARGIN_MINUTES: Final = 3.0
"""Beyond what it costs, a shift has to gain this much of the on-demand price within two hours, so
that no noise moves a node; survivors of a partial loss need no such margin (policy research)."""

_HORIZON_HOURS: Final = HORIZON_MINUTES / 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What moving one node off an offering to other Spot is worth, in US dollars.

    Attributes:
        reason: why it moves.
        leaves: the offering that it leaves.
        to: the best that may be had instead, by expected cost.
        price_usd_per_hour: what the node itself costs less there, negative where more.
        risk_usd_per_hour: what its losses are expected to cost less there.
        least_usd_per_hour: what both together must exceed: the move, spread over two hours, and a
            margin.
        list_usd_per_hour: the Spot price less there, None where one is unknown.
        move_usd: what the move costs, once.
        payback_hours: hours until it has paid for itself.
        avoid: the Spot offerings that its room must not get, sorted.
    """

    reason: ProposalReason
    leaves: Offering
    to: Offering
    price_usd_per_hour: float
    risk_usd_per_hour: float
    least_usd_per_hour: float
    list_usd_per_hour: float | None
    move_usd: float
    payback_hours: float
    avoid: tuple[Offering, ...]

    @property
    def gain_usd_per_hour(self) -> float:
        """What it is expected to save an hour, before the move is paid."""
        return self.price_usd_per_hour + self.risk_usd_per_hour


def shift_of(pool: PoolInput, limits: Limits) -> Shift | None:
    """Return the shift with most to gain, of those that have a node to move; None without one."""
    if pool.room_shift is None or not (limits.shift or limits.evacuate):
        return None
    able = {c.offering for c in pool.to_shift[: pool.n_shift_safe]}
    found = min(
        _worth_it(pool, limits),
        key=lambda f: (f.leaves not in able, -f.gain, f.leaves),
        default=None,
    )
    return None if found is None else found.shift(limits)


def shift_candidates(pool: PoolInput, shift: Shift) -> tuple[Candidate, ...]:
    """Return the nodes that a shift may move, the first to move first."""
    able = pool.to_shift[: pool.n_shift_safe]
    return tuple(c for c in able if c.offering == shift.leaves and c.in_scope)


def _worth_it(pool: PoolInput, limits: Limits) -> Iterator[_Found]:
    held = [o for o in pool.offerings if o.n_spot and o.in_scope]
    if not held:
        return
    gone = lately_gone(pool)
    priced = _Weights.of(choice_of(pool, limits).spot, gone)
    # Of an offering without a price its risk is compared, as if all Spot were free.
    bare = all(o.offering in priced.by_offering for o in held)
    free = None if bare else _Weights.of(at_no_price(pool, limits), gone)
    for source in held:
        is_priced = source.offering in priced.by_offering
        weights = priced if is_priced else free
        found = weights.off(source, limits, is_priced=is_priced) if weights else None
        if found is not None:
            yield found


@dataclass(frozen=True, slots=True)
class _Weights:
    """What Spot offerings are expected to cost, which of them are gone, the best of the others."""

    by_offering: Mapping[Offering, OfferingCost]
    gone: frozenset[Offering]
    best: OfferingCost | None

    @classmethod
    def of(cls, costs: tuple[OfferingCost, ...], gone: frozenset[Offering]) -> _Weights:
        """Keep costs by offering."""
        by_offering = {cost.offering: cost for cost in costs}
        others = (c for o, c in by_offering.items() if o not in gone)
        best = min(others, key=lambda c: (per_vcpu(c), c.offering), default=None)
        return cls(by_offering, gone, best)

    def off(self, source: OfferingInput, limits: Limits, *, is_priced: bool) -> _Found | None:
        """Return the move off one offering to the best other one, None where it is not worth it."""
        here, best = self.by_offering.get(source.offering), self.best
        if here is None or best is None or best.offering == source.offering:
            return None
        terms = _Terms.of(here, best, limits)
        reason = _reason(source, terms, limits, is_priced=is_priced)
        if reason is None:
            return None
        return _Found(self, here, best, terms, reason, is_priced)

    def avoided(self, here: OfferingCost, limits: Limits, least: float) -> tuple[Offering, ...]:
        """Return the offering that is left, and those to which the move is not worth it.

        Those that were lost or refused lately come first, then what is cheapest to buy: that is
        what a provisioner asks for first.
        """
        others = [c for o, c in self.by_offering.items() if o != here.offering]
        bad = [
            c for c in others if c.offering in self.gone or _Terms.of(here, c, limits).gain <= least
        ]
        bad.sort(key=lambda c: (c.offering not in self.gone, c.spot_usd_per_hour, c.offering))
        named = [here.offering, *(c.offering for c in bad)][:MAX_SHIFT_AVOIDED]
        return tuple(sorted(named))


@dataclass(frozen=True, slots=True)
class _Found:
    """A move that is worth it; what its room has to avoid is asked of the one that is chosen."""

    weights: _Weights
    here: OfferingCost
    best: OfferingCost
    terms: _Terms
    reason: ProposalReason
    is_priced: bool

    @property
    def leaves(self) -> Offering:
        """The offering that is left."""
        return self.here.offering

    @property
    def gain(self) -> float:
        """What is saved an hour, as the record says it."""
        return short(self.terms.price) + short(self.terms.risk)

    def shift(self, limits: Limits) -> Shift:
        """Return the whole of it."""
        terms, least = self.terms, self.terms.least(self.reason)
        return Shift(
            reason=self.reason,
            leaves=self.leaves,
            to=self.best.offering,
            price_usd_per_hour=short(terms.price),
            risk_usd_per_hour=short(terms.risk),
            least_usd_per_hour=short(least),
            list_usd_per_hour=short(terms.listed) if self.is_priced else None,
            move_usd=short(terms.move_usd),
            payback_hours=short(terms.move_usd / terms.gain),
            avoid=self.weights.avoided(self.here, limits, least),
        )


@dataclass(frozen=True, slots=True)
class _Terms:
    """One node here against as much of another offering, in USD."""

    price: float
    risk: float
    listed: float
    move_usd: float
    margin: float

    @classmethod
    def of(cls, here: OfferingCost, there: OfferingCost, limits: Limits) -> _Terms:
        """Compare one node here with as much there."""
        scale = _scale(here, there)
        spot_there = there.spot_usd_per_hour * scale
        on_demand = here.on_demand_usd_per_hour
        minutes = limits.move_minutes * on_demand + START_MINUTES * spot_there
        risk_here = here.loss_usd_per_hour + here.after_usd_per_hour
        risk_there = there.loss_usd_per_hour + there.after_usd_per_hour
        return cls(
            price=here.node_usd_per_hour - there.node_usd_per_hour * scale,
            risk=risk_here - risk_there * scale,
            listed=here.spot_usd_per_hour - spot_there,
            move_usd=minutes / 60.0,
            margin=on_demand * MARGIN_MINUTES / HORIZON_MINUTES,
        )

    @property
    def gain(self) -> float:
        """What is saved an hour."""
        return self.price + self.risk

    def least(self, reason: ProposalReason) -> float:
        """Return what a shift has to gain an hour."""
        margin = 0.0 if reason is ProposalReason.EVACUATE_SURVIVORS else self.margin
        return self.move_usd / _HORIZON_HOURS + margin


def _scale(here: OfferingCost, there: OfferingCost) -> float:
    """Return how many nodes there are as large as one here: by vCPU, else by the list price."""
    vcpus, others = vcpus_of(here.offering.instance_type), vcpus_of(there.offering.instance_type)
    if vcpus and others:
        return vcpus / others
    return here.on_demand_usd_per_hour / there.on_demand_usd_per_hour


def _reason(
    source: OfferingInput, terms: _Terms, limits: Limits, *, is_priced: bool
) -> ProposalReason | None:
    """Return why a node moves, None where it stays: for its risk alone before its price."""
    lost = source.lost_hours if source.is_survivor else None
    is_survivor = lost is not None and lost < SURVIVOR_HOURS
    for reason in _asked(limits, is_survivor=is_survivor):
        least = terms.least(reason)
        by_risk = reason is not ProposalReason.SHIFT_FOR_PRICE
        if by_risk and terms.risk <= least:
            continue
        if terms.gain > least and (by_risk or is_priced):
            return reason
    return None


def _asked(limits: Limits, *, is_survivor: bool) -> Iterator[ProposalReason]:
    if is_survivor:
        if limits.evacuate:
            yield ProposalReason.EVACUATE_SURVIVORS
    elif limits.shift:
        yield ProposalReason.SHIFT_FOR_RISK
    if limits.shift:
        yield ProposalReason.SHIFT_FOR_PRICE
