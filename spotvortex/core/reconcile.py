"""One cycle of decisions: (state, assessment, limits) -> (state', plan).

Comes in: what was observed, reduced and scored. Goes out: a decision for every pool with every
gate's verdict, and the nodes to move. The order in which pools or nodes come never matters; the
same input gives the same bytes. May not do anything but compute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import replace

from spotvortex.core import gates
from spotvortex.core.budgets import cluster_budget
from spotvortex.core.economics import entry_economics, held_economics
from spotvortex.core.limits import Limits
from spotvortex.core.messages import (
    Assessment,
    Basis,
    ControllerState,
    Decision,
    DrainOrder,
    Economics,
    Plan,
    PoolState,
)
from spotvortex.core.planning import Wave, plan_wave
from spotvortex.core.policies import both_proposals
from spotvortex.core.policy import worse
from spotvortex.core.pools import PoolInput
from spotvortex.core.types import Action

Steps = Generator[str, None, tuple[ControllerState, Plan]]


def reconcile(
    state: ControllerState, assessment: Assessment, limits: Limits
) -> tuple[ControllerState, Plan]:
    """Decide for every pool.

    Args:
        state: what the last cycle left.
        assessment: the observation, reduced by pool.
        limits: thresholds and bounds.

    Returns:
        The state for the next cycle, and the plan of this one.
    """
    steps = reconcile_steps(state, assessment, limits)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: tuple[ControllerState, Plan] = end.value
            return result


def reconcile_steps(state: ControllerState, assessment: Assessment, limits: Limits) -> Steps:
    """Decide like `reconcile`, pausing after each pool so that a loop can breathe.

    Emergencies take from the cluster's budget first, then the riskiest pools, then by name.
    """
    observation = assessment.observation
    budget = cluster_budget(assessment.pools, limits)
    decisions: dict[str, Decision] = {}
    for pool in sorted(assessment.pools, key=lambda p: _urgency(p, limits)):
        basis = Basis(
            cycle=observation.cycle,
            pool=pool,
            state=state.pools.get(pool.pool, PoolState()),
            budget=budget,
            limits=limits,
            model_digest=assessment.model_digest,
            traceparent=observation.traceparent,
        )
        decision = decide(basis)
        decisions[pool.pool] = decision
        budget = replace(budget, left=budget.left - decision.n_nodes)
        yield pool.pool
    ordered = tuple(decisions[name] for name in sorted(decisions))
    plan = Plan(
        cycle=observation.cycle,
        at=observation.at,
        decisions=ordered,
        orders=_orders(ordered),
        observation=observation,
        traceparent=observation.traceparent,
    )
    return _next_state(state, ordered), plan


def _urgency(pool: PoolInput, limits: Limits) -> tuple[int, float, str]:
    proposal, _ = both_proposals(pool, entry_economics(pool, limits), limits)
    action = proposal.action
    rank = 0 if action is Action.EMERGENCY_EXIT else 1 if action.away_from_spot else 2
    return rank, -(worse(pool.spot_risk) or 0.0), pool.pool


def decide(basis: Basis) -> Decision:
    """Propose for one pool, ask the gates, and size the wave that they leave.

    A pure function of the basis: a record that keeps it can be replayed.
    """
    pool, limits = basis.pool, basis.limits
    economics = entry_economics(pool, limits)
    proposal, other = both_proposals(pool, economics, limits)
    if proposal.action.away_from_spot:
        economics = held_economics(pool, limits)
    verdicts = gates.evaluate(gates.Case(basis=basis, proposal=proposal, economics=economics))
    ruling = gates.combine(verdicts, limits.mode)
    wave = plan_wave(pool, proposal, ruling, limits)
    return Decision(
        decision_id=_identity(basis),
        basis=basis,
        proposal=proposal,
        other=other,
        action=wave.action,
        reason=wave.reason,
        verdicts=verdicts,
        economics=economics,
        target_ratio=wave.target_ratio,
        moves=wave.moves,
        savings_usd_per_hour=_savings(wave, economics),
    )


def _identity(basis: Basis) -> str:
    """Derive the decision's id from when and where it was made, so that a replay gives it again."""
    text = f"{basis.pool.at!r}|{basis.cycle}|{basis.pool.pool!r}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _savings(wave: Wave, economics: Economics) -> float | None:
    """Return the list-price change that the wave makes, USD/h; a fall back costs, so negative."""
    if not wave.moves:
        return 0.0
    if economics.saving_usd_per_hour is None:
        return None
    sign = 1.0 if wave.action.towards_spot else -1.0
    return sign * len(wave.moves) * economics.saving_usd_per_hour


def _orders(decisions: tuple[Decision, ...]) -> tuple[DrainOrder, ...]:
    return tuple(
        DrainOrder(
            plan_id=decision.decision_id,
            pool=decision.pool,
            node=move.candidate.node,
            uid=move.candidate.uid,
            node_claim=move.candidate.node_claim,
            node_pool=move.candidate.node_pool,
            to=move.to,
            reason=f"{decision.action} {decision.reason}",
            deadline=decision.at + decision.basis.limits.drain_deadline_s,
            traceparent=decision.basis.traceparent,
        )
        for decision in decisions
        for move in decision.moves
    )


def _next_state(state: ControllerState, decisions: tuple[Decision, ...]) -> ControllerState:
    """Remember waves; a pool that is gone is forgotten."""
    pools = {d.pool: _next_pool_state(state.pools.get(d.pool, PoolState()), d) for d in decisions}
    return ControllerState(pools=pools)


def _next_pool_state(before: PoolState, decision: Decision) -> PoolState:
    if not decision.moves:
        return replace(before, target_ratio=decision.target_ratio, last_action=decision.action)
    decreased = decision.action.away_from_spot
    return PoolState(
        target_ratio=decision.target_ratio,
        last_wave_at=decision.at,
        last_decrease_at=decision.at if decreased else before.last_decrease_at,
        last_action=decision.action,
    )
