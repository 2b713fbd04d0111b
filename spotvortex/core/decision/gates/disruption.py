"""The gates that bound what a move disturbs: budgets, floors, waits, and what holds nodes in place.

Comes in: a `Case`. Goes out: a verdict each, mostly with the most nodes that may move. May not
choose the nodes.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Final

from spotvortex.core.decision.budgets import pool_left
from spotvortex.core.decision.gates.base import Case, Reply, gate
from spotvortex.core.decision.messages import PoolState, Verdict
from spotvortex.core.decision.offerings.shift import Shift
from spotvortex.core.decision.rule_policy import floor_nodes, worse
from spotvortex.core.domain.limits import OFF, Limits
from spotvortex.core.domain.moves import Concern, MoveKind
from spotvortex.core.domain.types import GateName

SHOWS_S: Final = 10.0
"""Time after a wave began in which the cluster may not show it yet: its requests are on their
way, and a server that is slow to answer them is slow to show them."""

RETURN_S: Final = 330.0
"""Time after a return in which a provisioner that consolidates may still carry it out."""

PEACE_S: Final = 86_400.0
"""After this time without a fall back, a pool is no longer on probation."""


@gate(GateName.ON_DEMAND_FLOOR, Concern.DISRUPTION)
def on_demand_floor(case: Case, reply: Reply) -> Verdict:
    """What must stay on-demand stays there; a node on the move, of any kind, holds no floor.

    Compares: nodes above the floor, without those on the move.
    """
    pool, floor = case.pool, floor_nodes(case.pool, case.limits)
    if not case.action.towards_spot:
        return reply.allow("no move towards Spot")
    if floor <= 0:
        return reply.allow("no floor is set")
    held = pool.n_on_demand + pool.n_reserved
    above = held - pool.n_moving - floor
    numbers = {"on_demand": held, "moving": pool.n_moving, "floor": floor}
    return reply.at_most(above, f"the floor is {floor} nodes", **numbers)


@gate(GateName.BUDGETS, Concern.DISRUPTION)
def budgets(case: Case, reply: Reply) -> Verdict:
    """Not too many nodes are on the move, by anybody, in the pool and in the cluster.

    Compares: orders of the pool under way, in the cluster or in hand, and any begun within 10
    s; 10 % of the pool, 5 % of the cluster, at least one node each, 20 nodes a wave.
    """
    if case.proposal.is_still:
        return reply.allow("HOLD moves nothing")
    if case.pool.n_in_flight:
        # One wave a pool at a time, in an emergency too: its own room is not there yet.
        n_nodes = case.pool.n_in_flight
        return reply.refuse("the last wave is still under way", in_flight=n_nodes)
    begun = case.state.last_wave_at
    if begun is not None and case.pool.at - begun < SHOWS_S:
        left_s = round(SHOWS_S - (case.pool.at - begun), 3)
        return reply.refuse("the last wave may not show in the cluster yet", left_s=left_s)
    in_pool, in_cluster = pool_left(case.pool, case.limits), case.budget.left
    left = min(in_pool, in_cluster, case.limits.max_wave_nodes)
    reason = f"{in_pool} more nodes of the pool and {in_cluster} of the cluster may move now"
    return reply.at_most(
        left,
        reason,
        pool_left=in_pool,
        cluster_left=in_cluster,
        max_wave=case.limits.max_wave_nodes,
        moving=case.budget.n_moving,
    )


@gate(GateName.UTILISATION_HEADROOM, Concern.DISRUPTION)
def utilisation_headroom(case: Case, reply: Reply) -> Verdict:
    """A pool whose nodes are full gives up one node at a time.

    Compares: requests, or what is really used where that is more, with 95 % of what is allocatable,
    away from Spot only.
    """
    pool, used = case.pool, case.pool.usage
    requested = (pool.cpu_requested_ratio, pool.memory_requested_ratio)
    ratios = [r for r in (*requested, used.cpu_ratio, used.memory_ratio) if r is not None]
    if not ratios:
        return reply.not_evaluated("no node reports allocatable resources")
    numbers = {"requested_ratio": max(ratios), "limit": case.limits.max_requested_ratio}
    if not case.action.away_from_spot or max(ratios) <= case.limits.max_requested_ratio:
        return reply.allow("requests leave room", **numbers)
    return reply.at_most(1, "the pool is full: one node at a time", **numbers)


@gate(GateName.COOLDOWN, Concern.PACE)
def cooldown(case: Case, reply: Reply) -> Verdict:
    """After a wave the pool settles; after a fall back it dwells before it returns.

    Compares: the time since the last wave with 300 s; before a return to Spot the dwell (the time
    in which it pays back), a risk under an owner's cap, probation, and 330 s in which a provisioner
    that consolidates may still bring back what was released; after a shift to other Spot the age of
    a node with the time in which that shift pays back.
    """
    now, state, limits = case.pool.at, case.state, case.limits
    if case.proposal.is_still:
        return reply.allow("HOLD moves nothing")
    if state.last_wave_at is not None and now - state.last_wave_at < limits.settle_s:
        left = limits.settle_s - (now - state.last_wave_at)
        return reply.refuse("the last wave is still settling", left_s=round(left, 3))
    if (shift := case.shift) is not None:
        return _paid_back(case, shift, reply)
    if case.action.towards_spot and _is_returning(case):
        return reply.refuse("the provisioner is still bringing back what was released")
    fell = state.last_decrease_at
    if not case.action.towards_spot or fell is None or now - fell > PEACE_S:
        return reply.allow("nothing to wait for")
    dwell = dwell_s(state, limits, case.economics.payback_hours)
    left = dwell - (now - fell)
    if left > 0.0:
        numbers = {
            "left_s": round(left, 3),
            "failed_returns": state.n_failed_returns,
        }
        return reply.refuse("dwelling after a fall back", **numbers)
    return _probation(case, reply)


def _paid_back(case: Case, shift: Shift, reply: Reply) -> Verdict:
    """Leave alone what an earlier shift may have made until that has paid for itself.

    A shift for risk waits no longer than it takes to pay back itself.
    """
    if not is_paying_back(case.state, case.pool.at):
        return reply.allow("nothing to wait for")
    least_s = case.state.shift_payback_s
    if case.proposal.kind is MoveKind.RISK:
        least_s = min(least_s, 3600.0 * shift.payback_hours)
    n_old = sum(1 for _ in takewhile(lambda c: c.age_s >= least_s, case.candidates))
    reason = "an earlier shift pays back first: nodes older than that"
    return reply.at_most(n_old, reason, least_age_s=least_s, n_old=n_old)


def is_paying_back(state: PoolState, at: float) -> bool:
    """Tell whether an earlier shift may not have paid for itself yet."""
    last = state.last_shift_at
    return last is not None and at - last < state.shift_payback_s


def _is_returning(case: Case) -> bool:
    """Tell whether the last return may still be under way without the controller.

    Karpenter looks at an unchanged cluster every 300 s (seen with 1.15). Until then a node whose
    anchor was released is left to it: a drain by the controller would buy its replacement twice.
    """
    pool, last = case.pool, case.state.last_increase_at
    free = pool.n_on_demand - pool.n_on_demand_leaving - pool.n_anchored
    recent = last is not None and pool.at - last < RETURN_S
    return pool.consolidates and free > 0 and recent


def dwell_s(state: PoolState, limits: Limits, payback_hours: float | None) -> float:
    """Return the seconds between a fall back and a return: doubled by each return that failed.

    As long as staying on-demand has cost less than a return costs, waiting can have been right: so
    the time is that in which a return pays back. An owner may ask for more.
    """
    own = 3600.0 * (payback_hours or 0.0)
    doubled = max(own, limits.dwell_s) * 2.0 ** min(state.n_failed_returns, 16)
    return max(limits.dwell_s, min(doubled, limits.max_dwell_s))


def _probation(case: Case, reply: Reply) -> Verdict:
    """After a fall back the risk must be clearly low again, and a few nodes go first."""
    risk, limits = worse(case.pool.entry_risk), case.limits
    most = limits.medium_risk * limits.return_risk_ratio if limits.medium_risk < OFF else OFF
    numbers = {"most": most} if risk is None else {"risk": risk, "most": most}
    if risk is None or limits.reaches(risk, most):
        return reply.refuse("the risk is not clearly low again after a fall back", **numbers)
    numbers["probation"] = case.state.n_probation
    return reply.at_most(case.state.n_probation, "on probation after a fall back", **numbers)


@gate(GateName.DO_NOT_DISRUPT, Concern.DISRUPTION)
def do_not_disrupt(case: Case, reply: Reply) -> Verdict:
    """Nodes with pods that must not be moved are left; the others bound the wave.

    Compares: movable nodes.
    """
    if case.proposal.is_still:
        return reply.allow("HOLD moves nothing")
    pool = case.pool
    if (shift := case.shift) is not None:
        n_held = sum(o.n_spot for o in pool.offerings if o.offering == shift.leaves)
        movable = sum(1 for c in pool.to_shift if c.offering == shift.leaves)
        reason = f"nodes of {shift.leaves} that nothing holds in place"
        return reply.at_most(movable, reason, movable=movable, held=n_held)
    towards = case.action.towards_spot
    movable = pool.n_on_demand_movable if towards else pool.n_spot_movable
    kind = "on-demand" if towards else "Spot"
    held = pool.n_on_demand if towards else pool.n_spot
    numbers = {"movable": movable, "held": held}
    return reply.at_most(movable, f"{kind} nodes that nothing holds in place", **numbers)
