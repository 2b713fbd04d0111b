"""From an action to whole nodes.

Comes in: a proposal that the gates have judged. Goes out: the target ratio, and which nodes a wave
moves: few, and the ones whose move disturbs least. May not exceed what the gates let through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from spotvortex.core.decision.gates.table import Ruling
from spotvortex.core.decision.messages import Move, Proposal
from spotvortex.core.decision.offerings.idle_commitment import idle_commitment_of
from spotvortex.core.decision.offerings.shift import shift_candidates, shift_of
from spotvortex.core.decision.rule_policy import (
    leaving_for,
    max_ratio,
    max_spot_nodes,
    within_reach,
)
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import BINDINGS, Reach
from spotvortex.core.domain.types import (
    RATIO_STEP,
    Action,
    CapacityType,
    ProposalReason,
    whole,
)
from spotvortex.core.pool.input import Candidate, PoolInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What is done of an action.

    Attributes:
        action: the action; HOLD where nothing can be moved, and of a shift.
        reason: why, in a word.
        target_ratio: the Spot ratio that the pool is to reach, 0..1.
        moves: the nodes that move.
    """

    action: Action
    reason: str
    target_ratio: float
    moves: tuple[Move, ...]


def target_ratio(pool: PoolInput, proposal: Proposal, limits: Limits) -> float:
    """Return the ratio that a proposal aims at, between what holds by itself and the cap.

    HOLD stays where it is, also where nodes shift. An owner's word takes a pool to its cap and its
    floor, no further.
    """
    action = proposal.action
    if action is Action.HOLD:
        return pool.spot_ratio
    wanted = pool.spot_ratio + RATIO_STEP[action]
    if action.towards_spot:
        return max(pool.spot_ratio, min(wanted, max_ratio(pool, limits)))
    least = _held_ratio(pool, BINDINGS[proposal.kind].reach)
    if proposal.reason is ProposalReason.ABOVE_MAX_SPOT_RATIO and pool.n_staying:
        # What is beyond the cap leaves, and no node more: it would have to come back.
        least = max(least, max_spot_nodes(pool, limits) / pool.n_staying)
    return min(pool.spot_ratio, max(least, wanted))


def _held_ratio(pool: PoolInput, reach: Reach) -> float:
    """Return the share of the pool that is Spot which a kind of move may not take."""
    held = {
        Reach.ALL: 0,
        Reach.INSIDE: pool.n_spot_outside,
        Reach.OUTSIDE: pool.n_spot_staying - pool.n_spot_outside,
    }
    return held[reach] / pool.n_staying if pool.n_staying else 0.0


def n_wanted(pool: PoolInput, target: float, limits: Limits) -> int:
    """Return the nodes between the ratio and its target, at least one where they differ.

    delta = round(target x n) - spot, halves up; positive towards Spot. Rounding up never takes the
    pool above its cap.
    """
    if abs(target - pool.spot_ratio) < 1e-9:
        return 0
    delta = whole(target * pool.n_staying + 0.5) - pool.n_spot_staying
    delta = delta or int(math.copysign(1, target - pool.spot_ratio))
    return (
        min(delta, max(0, max_spot_nodes(pool, limits) - pool.n_spot_staying))
        if delta > 0
        else delta
    )


def wave_candidates(
    pool: PoolInput, proposal: Proposal, limits: Limits, *, towards_spot: bool
) -> tuple[Candidate, ...]:
    """Return the nodes that a proposal may move, the first to move first.

    A decrease for what offerings are expected to cost takes the nodes of those alone, a shift those
    of the one offering that it leaves.
    """
    if proposal.is_shift:
        shift = shift_of(pool, limits)
        return () if shift is None else shift_candidates(pool, shift)
    candidates = within_reach(pool.to_spot if towards_spot else pool.to_on_demand, proposal.kind)
    about = frozenset() if towards_spot else leaving_for(proposal.reason, pool, limits)
    return tuple(c for c in candidates if not about or c.offering in about)


def plan_wave(pool: PoolInput, proposal: Proposal, ruling: Ruling, limits: Limits) -> Wave:
    """Choose the nodes that carry a proposal out, or HOLD with the reason why not."""
    action = proposal.action
    if proposal.is_still:
        return _hold(pool, proposal.reason)
    if ruling.refused:
        return _hold(pool, f"refused_by_{ruling.first_refusal}")
    target = target_ratio(pool, proposal, limits)
    delta = n_wanted(pool, target, limits)
    to_spot = proposal.is_shift or delta > 0
    candidates = wave_candidates(pool, proposal, limits, towards_spot=to_spot)
    to = CapacityType.SPOT if to_spot else CapacityType.ON_DEMAND
    allowed = len(candidates) if ruling.limit is None else ruling.limit
    most = min(_n_asked(pool, proposal, delta, limits), allowed, limits.max_wave_nodes)
    chosen = candidates[: max(0, most)]
    if not chosen:
        return _hold(pool, "nothing_to_move")
    moves = tuple(Move(candidate=candidate, to=to) for candidate in chosen)
    return Wave(action=action, reason=proposal.reason, target_ratio=target, moves=moves)


def _n_asked(pool: PoolInput, proposal: Proposal, delta: int, limits: Limits) -> int:
    """Return the nodes that a proposal asks for: a shift has no ratio that would bound it."""
    if proposal.is_shift:
        return limits.max_wave_nodes
    if proposal.reason is ProposalReason.UNUSED_COMMITMENT:
        idle = idle_commitment_of(pool, limits)
        return min(abs(delta), idle.n_nodes if idle is not None else 0)
    return abs(delta)


def _hold(pool: PoolInput, reason: str) -> Wave:
    return Wave(action=Action.HOLD, reason=reason, target_ratio=pool.spot_ratio, moves=())
