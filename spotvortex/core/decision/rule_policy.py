"""What a pool should do, before any gate is asked.

Comes in: the reduced input of a pool, its economics and the limits. Goes out: a proposal with the
rule that made it. The rules are ordered: leave, in an emergency, by an owner's word, for a family
that the model does not know (where switched on), then by risk, then for the safety of workloads
(where switched on), then to on-demand that a commitment pays for; else move to other Spot for risk;
else stay; else enter; else, where the pool holds, move to other Spot for its price. Doubt is
HOLD, but for an owner's word: it rests on no price and no score, so nothing that waits for one may
stand before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from spotvortex.core.decision.economics import held_economics
from spotvortex.core.decision.messages import Economics, PoolState, Proposal
from spotvortex.core.decision.offerings.choice import (
    Choice,
    choice_of,
    leaving,
    leaving_at_any_price,
)
from spotvortex.core.decision.offerings.idle_commitment import idle_commitment_of
from spotvortex.core.decision.offerings.shift import Shift, shift_candidates, shift_of
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import BINDINGS, MoveKind
from spotvortex.core.domain.types import Action, Offering, ProposalReason, whole
from spotvortex.core.pool.input import Candidate, PoolInput, Risk

UNSUPPORTED: Final = Proposal(
    action=Action.EMERGENCY_EXIT, reason=ProposalReason.UNSUPPORTED_FAMILY
)

_REMEMBERED_TO: Final = 5e-7
"""By how much a ratio that is remembered may be less than it was."""

WIDE_STEP_RATIO = 0.25
"""A distance to the cap, or over it, from which a step of 30 points is taken instead of 10."""


def propose(pool: PoolInput, economics: Economics, limits: Limits) -> Proposal:
    """Apply the deterministic rules to one pool."""
    if pool.n_counted == 0:
        return Proposal(action=Action.HOLD, reason=ProposalReason.EMPTY_POOL)
    away = _away(pool, limits)
    if away is not None:
        return away
    found = _spot(pool, economics, limits)
    all_outside = pool.n_spot and pool.n_spot_out_of_scope == pool.n_spot
    # Of a pool that has nothing else to do it is said that the model does not know it.
    return UNSUPPORTED if all_outside and found.action is Action.HOLD else found


def _spot(pool: PoolInput, economics: Economics, limits: Limits) -> Proposal:
    """Propose what keeps the ratio or raises it: protection first, then growth, then a shift.

    A shift without a node that could move stands before nothing but HOLD.
    """
    shift = shift_of(pool, limits)
    if shift is None:
        return _stay(pool, limits) or _enter(pool, economics, limits)
    shifting = Proposal(action=Action.HOLD, reason=shift.reason)
    if shifting.kind is MoveKind.RISK and is_able(pool, shift):
        return shifting
    found = _stay(pool, limits) or _enter(pool, economics, limits)
    return shifting if found.action is Action.HOLD else found


def is_able(pool: PoolInput, shift: Shift) -> bool:
    """Tell whether a shift has a node to move and somebody to move it."""
    driven = pool.room_shift is not None and not pool.room_shift.no_driver
    return driven and bool(shift_candidates(pool, shift))


def _away(pool: PoolInput, limits: Limits) -> Proposal | None:
    """Propose what leads away from Spot: of what is wanted the first that has a node to move."""
    risk = _leave(pool, limits)
    urgent = risk is not None and risk.kind is MoveKind.EMERGENCY
    leaves = pool.n_spot_out_of_scope and limits.exit_unsupported
    ordered = (
        risk if urgent else None,
        owners_word(pool, limits),
        UNSUPPORTED if leaves else None,
        risk,
        for_safety(pool, limits),
        _by_commitment(pool, limits),
    )
    wanted = [proposal for proposal in ordered if proposal is not None]
    able = (p for p in wanted if within_reach(pool.to_on_demand, p.kind))
    return next(able, wanted[0] if wanted else None)


def within_reach(candidates: Sequence[Candidate], kind: MoveKind) -> tuple[Candidate, ...]:
    """Return the nodes that a kind of move may take."""
    reach = BINDINGS[kind].reach
    return tuple(c for c in candidates if reach.takes(in_scope=c.in_scope))


def floor_nodes(pool: PoolInput, limits: Limits) -> int:
    """Return how many nodes must stay on-demand; a floor in vCPU is rounded up to whole nodes.

    Where the size of a node is not known, a floor in vCPU means the whole pool.
    """
    vcpu = limits.on_demand_floor_vcpu
    by_vcpu = math.ceil(vcpu / pool.node_vcpu) if pool.node_vcpu else (vcpu and pool.n_counted)
    return max(limits.on_demand_floor_nodes, by_vcpu)


def max_ratio(pool: PoolInput, limits: Limits) -> float:
    """Return the highest spot ratio that the cap and the on-demand floor leave to this pool."""
    n = pool.n_staying
    floor_ratio = min(floor_nodes(pool, limits), n) / n if n else 0.0
    return min(limits.max_spot_ratio, 1.0 - floor_ratio)


def max_spot_nodes(pool: PoolInput, limits: Limits) -> int:
    """Return how many whole Spot nodes the cap and the floor leave to this pool."""
    return whole(max_ratio(pool, limits) * pool.n_staying)


def n_to_undo(pool: PoolInput, state: PoolState) -> int:
    """Return how many nodes that anchors keep had been Spot before the fall back."""
    if state.fell_from is None:
        return 0
    # The ratio is remembered to six decimals: a third of three nodes is one.
    n_before = whole((state.fell_from + _REMEMBERED_TO) * pool.n_staying)
    return max(0, min(pool.n_anchored, n_before - pool.n_spot_staying))


def worse(risk: Risk) -> float | None:
    """Return the larger of the two scores, None where one is missing or no number."""
    if risk.capacity is None or risk.runtime is None:
        return None
    if math.isnan(risk.capacity) or math.isnan(risk.runtime):
        return None
    return max(risk.capacity, risk.runtime)


def _leave(pool: PoolInput, limits: Limits) -> Proposal | None:
    risk = worse(pool.spot_risk)
    if not pool.n_spot or risk is None or pool.spot_risk.runtime is None:
        return None
    runtime = pool.spot_risk.runtime
    if limits.reaches(risk, limits.emergency_risk) or limits.reaches(
        runtime, limits.emergency_runtime_risk
    ):
        return Proposal(action=Action.EMERGENCY_EXIT, reason=ProposalReason.EMERGENCY_RISK)
    if limits.reaches(risk, limits.high_risk):
        return Proposal(action=Action.DECREASE_30, reason=ProposalReason.HIGH_RISK)
    if limits.reaches(risk, limits.medium_risk):
        return Proposal(action=Action.DECREASE_10, reason=ProposalReason.MEDIUM_RISK)
    return _by_expectation(pool, limits)


def _by_expectation(pool: PoolInput, limits: Limits) -> Proposal | None:
    """Propose to leave the offerings that on-demand beats, where no other Spot offering does."""
    for reason in (ProposalReason.RISK_OUTWEIGHS_PRICE, ProposalReason.EXPECTED_LOSS):
        n_concerned = n_dear(pool, leaving_for(reason, pool, limits))
        if n_concerned:
            wide = n_concerned >= WIDE_STEP_RATIO * pool.n_counted
            action = Action.DECREASE_30 if wide else Action.DECREASE_10
            return Proposal(action=action, reason=reason)
    if choice_of(pool, limits).spot:
        return None
    held = held_economics(pool, limits)
    if held.net_usd_per_hour is not None and held.net_usd_per_hour < 0.0:
        return Proposal(action=Action.DECREASE_10, reason=ProposalReason.EXPECTED_LOSS)
    return None


def leaving_for(reason: str, pool: PoolInput, limits: Limits) -> frozenset[Offering]:
    """Return the offerings that a decrease is about, none where it is about all of them."""
    if reason == ProposalReason.RISK_OUTWEIGHS_PRICE:
        return leaving_at_any_price(pool, limits)
    if reason == ProposalReason.UNUSED_COMMITMENT:
        idle = idle_commitment_of(pool, limits)
        return frozenset() if idle is None else frozenset({idle.offering})
    return leaving(pool, limits) if reason == ProposalReason.EXPECTED_LOSS else frozenset()


def n_dear(pool: PoolInput, offerings: frozenset[Offering]) -> int:
    """Count the Spot nodes of some offerings."""
    return sum(o.n_spot for o in pool.offerings if o.offering in offerings)


def owners_word(pool: PoolInput, limits: Limits) -> Proposal | None:
    """Propose what brings a pool under its cap on Spot and its floor, None where it is there."""
    over = pool.spot_ratio - max_ratio(pool, limits)
    if over <= 1e-9 or not pool.n_spot:
        return None
    action = Action.DECREASE_30 if over >= WIDE_STEP_RATIO else Action.DECREASE_10
    return Proposal(action=action, reason=ProposalReason.ABOVE_MAX_SPOT_RATIO)


def for_safety(pool: PoolInput, limits: Limits) -> Proposal | None:
    """Propose to leave Spot where one loss would take too much of a workload, if switched on."""
    if not (limits.reduce_unsafe and pool.safety.n_breaking and pool.safety.n_relieving):
        return None
    return Proposal(action=Action.DECREASE_10, reason=ProposalReason.UNSAFE_LOSS)


def _by_commitment(pool: PoolInput, limits: Limits) -> Proposal | None:
    """Propose to leave Spot where on-demand is paid for by a commitment that nothing uses."""
    if idle_commitment_of(pool, limits) is None:
        return None
    return Proposal(action=Action.DECREASE_10, reason=ProposalReason.UNUSED_COMMITMENT)


def _stay(pool: PoolInput, limits: Limits) -> Proposal | None:
    entry = worse(pool.entry_risk)
    reason: ProposalReason | None = None
    if not pool.n_on_demand:
        reason = ProposalReason.ALL_SPOT_ALREADY
    elif pool.n_spot_staying >= max_spot_nodes(pool, limits):
        reason = ProposalReason.AT_MAX_SPOT_RATIO
    elif not pool.allows_spot:
        reason = ProposalReason.POOL_ALLOWS_NO_SPOT
    elif not pool.n_on_demand_movable:
        reason = ProposalReason.NOTHING_MOVABLE
    elif entry is None:
        reason = ProposalReason.NO_SCORE
    elif limits.reaches(entry, limits.medium_risk):
        reason = ProposalReason.ENTRY_RISK
    elif _is_none_left(choice_of(pool, limits)):
        reason = ProposalReason.NO_OFFERING_LEFT
    return Proposal(action=Action.HOLD, reason=reason) if reason else None


def _is_none_left(choice: Choice) -> bool:
    """Tell whether every Spot offering was lost or refused lately: room would wait in vain."""
    return choice.best is None and bool(choice.avoided) and not choice.n_unknown


def _enter(pool: PoolInput, economics: Economics, limits: Limits) -> Proposal:
    hold = _no_gain(pool, economics, limits)
    if hold:
        return Proposal(action=Action.HOLD, reason=hold)
    room = max_ratio(pool, limits) - pool.spot_ratio
    action = Action.INCREASE_30 if room >= WIDE_STEP_RATIO else Action.INCREASE_10
    return Proposal(action=action, reason=ProposalReason.ECONOMIC_INCREASE)


def _no_gain(pool: PoolInput, economics: Economics, limits: Limits) -> ProposalReason | None:
    if economics.discount_ratio is None or economics.net_usd_per_hour is None:
        return (
            ProposalReason.PRICE_UNKNOWN
            if pool.entry_money.too_old_s is None
            else ProposalReason.PRICE_STALE
        )
    if economics.discount_ratio < limits.min_discount_ratio:
        covered = pool.entry_money.marginal_usd_per_hour is not None
        return (
            ProposalReason.COVERED_BY_COMMITMENT if covered else ProposalReason.DISCOUNT_TOO_SMALL
        )
    if economics.payback_hours is None:
        return ProposalReason.NO_EXPECTED_GAIN
    if economics.payback_hours > limits.max_payback_hours:
        return ProposalReason.PAYBACK_TOO_LONG
    return None
