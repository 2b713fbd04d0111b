"""What one more node on Spot is worth, in US dollars.

Comes in: what the pool's offerings are expected to cost, else mean prices and scores of the nodes
that would change sides. Goes out: saving, the cost of
risk, and the time until the move has paid for itself. An unknown price gives None, never zero. What
a commitment pays for is saved by no move; what an interruption costs goes by the list price.
"""

from __future__ import annotations

import math

from spotvortex.core.decision.messages import Economics, Proposal
from spotvortex.core.decision.offerings.choice import START_MINUTES, choice_of
from spotvortex.core.decision.offerings.expected_cost import OfferingCost, outage_minutes
from spotvortex.core.decision.offerings.idle_commitment import idle_commitment_of
from spotvortex.core.decision.offerings.shift import shift_of
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import ProposalReason
from spotvortex.core.pool.input import Money, PoolInput, Risk

RUNTIME_HORIZON_HOURS = 2.0
"""`runtime_score` is the probability of an interruption within 120 minutes."""


def hazard_per_hour(runtime_score: float) -> float:
    """Turn a probability over the horizon into a constant hazard: -ln(1 - p) / h."""
    return -math.log(max(1.0 - runtime_score, 1e-9)) / RUNTIME_HORIZON_HOURS


def economics_of(pool: PoolInput, proposal: Proposal, limits: Limits) -> Economics:
    """Value what is proposed: one more node on Spot, one that is there now, or one that shifts."""
    if proposal.is_shift:
        return _shifted(pool, limits)
    if proposal.reason is ProposalReason.UNUSED_COMMITMENT:
        return _committed(pool, limits)
    if proposal.action.away_from_spot:
        return held_economics(pool, limits)
    return entry_economics(pool, limits)


def _shifted(pool: PoolInput, limits: Limits) -> Economics:
    """Value a shift: what risk it takes away counts as a cost that is negative."""
    shift = shift_of(pool, limits)
    if shift is None:
        return Economics()
    saving = shift.list_usd_per_hour
    return Economics(
        saving_usd_per_hour=saving,
        risk_cost_usd_per_hour=None if saving is None else saving - shift.gain_usd_per_hour,
        net_usd_per_hour=shift.gain_usd_per_hour,
        migration_usd=shift.move_usd,
        payback_hours=shift.payback_hours,
    )


def _committed(pool: PoolInput, limits: Limits) -> Economics:
    """Value a Spot node against on-demand that a commitment pays for: Spot saves less than none."""
    found = idle_commitment_of(pool, limits)
    if found is None:
        return Economics()
    saving = found.on_demand_usd_per_hour - found.spot.spot_usd_per_hour
    return Economics(
        discount_ratio=saving / found.spot.on_demand_usd_per_hour,
        saving_usd_per_hour=saving,
        risk_cost_usd_per_hour=saving + found.gain_usd_per_hour,
        net_usd_per_hour=-found.gain_usd_per_hour,
        migration_usd=found.move_usd,
        payback_hours=found.move_usd / found.gain_usd_per_hour,
    )


def entry_economics(pool: PoolInput, limits: Limits) -> Economics:
    """Value one more node of this pool on Spot.

    From the best offering that it may have, by expected cost; where none is known, from the
    offerings of the nodes that may move there.
    """
    choice, money = choice_of(pool, limits), pool.entry_money
    listed = money.on_demand_usd_per_hour
    if choice.best is not None and listed and money.spot_usd_per_hour is not None:
        marginal = money.marginal_usd_per_hour
        return _by_cost(choice.best, listed, listed if marginal is None else marginal, limits)
    return _economics(pool.entry_money, pool.entry_risk, _outage_hours(pool, limits), limits)


def held_economics(pool: PoolInput, limits: Limits) -> Economics:
    """Value one node of this pool that is on Spot now."""
    return _economics(pool.spot_money, pool.spot_risk, _outage_hours(pool, limits), limits)


def _by_cost(best: OfferingCost, listed: float, marginal: float, limits: Limits) -> Economics:
    """Value a move to an offering, for a node whose on-demand price is `listed` at list.

    The price of the offering counts in full; all that its losses cost is the cost of the risk.
    """
    scale = listed / best.on_demand_usd_per_hour
    spot = best.spot_usd_per_hour * scale
    risk_cost = best.usd_per_hour * scale - spot
    saving, net = marginal - spot, marginal - spot - risk_cost
    minutes = limits.move_minutes + START_MINUTES * spot / listed
    migration = listed * minutes / 60.0
    return Economics(
        discount_ratio=saving / listed,
        saving_usd_per_hour=saving,
        risk_cost_usd_per_hour=risk_cost,
        net_usd_per_hour=net,
        migration_usd=migration,
        payback_hours=migration / net if net > 0.0 else None,
    )


def _outage_hours(pool: PoolInput, limits: Limits) -> float:
    """What losing a node costs, in hours of its on-demand price."""
    return outage_minutes(pool, limits) / 60.0


def _economics(money: Money, risk: Risk, outage_hours: float, limits: Limits) -> Economics:
    spot, on_demand = money.spot_usd_per_hour, money.on_demand_usd_per_hour
    if spot is None or on_demand is None or on_demand <= 0.0:
        return Economics()
    marginal = money.marginal_usd_per_hour
    saving = (on_demand if marginal is None else marginal) - spot
    migration = on_demand * limits.move_minutes / 60.0
    if risk.runtime is None:
        return Economics(
            discount_ratio=saving / on_demand, saving_usd_per_hour=saving, migration_usd=migration
        )
    interruption = on_demand * outage_hours
    risk_cost = hazard_per_hour(risk.runtime) * interruption
    net = saving - risk_cost
    return Economics(
        discount_ratio=saving / on_demand,
        saving_usd_per_hour=saving,
        risk_cost_usd_per_hour=risk_cost,
        net_usd_per_hour=net,
        migration_usd=migration,
        payback_hours=migration / net if net > 0.0 else None,
    )
