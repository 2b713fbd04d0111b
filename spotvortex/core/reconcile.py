"""One cycle of decisions: (state, assessment, limits) -> (state', plan).

Comes in: what was observed and how it was scored. Goes out: a decision for every pool with every
gate's verdict, and the nodes to move. The order in which pools or nodes come never matters; the
same input gives the same bytes. May not do anything but compute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

from spotvortex.core import gates
from spotvortex.core.budgets import ClusterBudget, cluster_budget
from spotvortex.core.economics import entry_economics, held_economics
from spotvortex.core.limits import Limits
from spotvortex.core.messages import (
    Assessment,
    ControllerState,
    Decision,
    DrainOrder,
    Economics,
    Plan,
    PoolState,
    Proposal,
)
from spotvortex.core.observation import NodeFact, PoolFacts
from spotvortex.core.planning import Wave, plan_wave
from spotvortex.core.policy import propose, worse
from spotvortex.core.pools import PoolInput
from spotvortex.core.reduction import Sight, reduce_pool
from spotvortex.core.types import Action

Steps = Generator[str, None, tuple[ControllerState, Plan]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One pool before the gates are asked."""

    facts: PoolFacts
    pool: PoolInput
    proposal: Proposal
    economics: Economics


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one pool's decision reads beside its draft."""

    cycle: int
    model_digest: str
    traceparent: str
    limits: Limits


def reconcile(
    state: ControllerState, assessment: Assessment, limits: Limits
) -> tuple[ControllerState, Plan]:
    """Decide for every pool.

    Args:
        state: what the last cycle left.
        assessment: the observation with its scores.
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
    """Decide like `reconcile`, pausing after each pool's work so that a loop can breathe.

    Emergencies take from the cluster's budget first, then the riskiest pools, then by name.
    """
    observation = assessment.observation
    sight = _sight(assessment, limits)
    drafts: list[Draft] = []
    for facts in sorted(observation.cluster.pools, key=lambda p: p.name):
        drafts.append(_draft(facts, sight, limits))
        yield facts.name
    setting = Setting(
        cycle=observation.cycle,
        model_digest=assessment.model_digest,
        traceparent=observation.traceparent,
        limits=limits,
    )
    budget = cluster_budget([d.pool for d in drafts], limits)
    decisions: dict[str, Decision] = {}
    for draft in sorted(drafts, key=_urgency):
        known = state.pools.get(draft.pool.pool, PoolState())
        decision = decide(draft, known, budget, setting)
        decisions[draft.pool.pool] = decision
        budget = replace(budget, left=budget.left - decision.n_nodes)
        yield draft.pool.pool
    ordered = tuple(decisions[name] for name in sorted(decisions))
    plan = Plan(
        cycle=observation.cycle,
        at=observation.at,
        decisions=ordered,
        orders=_orders(ordered, drafts, limits),
        observation=observation,
        traceparent=observation.traceparent,
    )
    return _next_state(state, ordered), plan


def _sight(assessment: Assessment, limits: Limits) -> Sight:
    observation = assessment.observation
    return Sight(
        at=observation.at,
        quotes=observation.market.quotes,
        scores=assessment.scores,
        inputs=observation.inputs,
        max_input_age_s=limits.max_input_age_s,
    )


def _draft(facts: PoolFacts, sight: Sight, limits: Limits) -> Draft:
    pool = reduce_pool(facts, sight)
    economics = entry_economics(pool, limits)
    proposal = propose(pool, economics, limits)
    if proposal.action.away_from_spot:
        economics = held_economics(pool, limits)
    return Draft(facts=facts, pool=pool, proposal=proposal, economics=economics)


def _urgency(draft: Draft) -> tuple[int, float, str]:
    action = draft.proposal.action
    rank = 0 if action is Action.EMERGENCY_EXIT else 1 if action.away_from_spot else 2
    return rank, -(worse(draft.pool.spot_risk) or 0.0), draft.pool.pool


def decide(draft: Draft, state: PoolState, budget: ClusterBudget, setting: Setting) -> Decision:
    """Ask the gates about one pool's proposal and size the wave that they leave."""
    pool, proposal = draft.pool, draft.proposal
    case = gates.Case(
        pool=pool,
        state=state,
        proposal=proposal,
        economics=draft.economics,
        budget=budget,
        limits=setting.limits,
    )
    verdicts = gates.evaluate(case)
    ruling = gates.combine(verdicts, setting.limits.mode)
    wave = plan_wave(pool, proposal.action, proposal.reason, ruling, setting.limits)
    return Decision(
        decision_id=_identity(pool, setting.cycle),
        cycle=setting.cycle,
        at=pool.at,
        pool=pool.pool,
        mode=setting.limits.mode,
        input=pool,
        proposal=proposal,
        action=wave.action,
        reason=wave.reason,
        verdicts=verdicts,
        economics=draft.economics,
        current_ratio=pool.spot_ratio,
        target_ratio=wave.target_ratio,
        n_nodes=len(wave.moves),
        moves=wave.moves,
        savings_usd_per_hour=_savings(wave, draft.economics),
        model_digest=setting.model_digest,
        traceparent=setting.traceparent,
    )


def _identity(pool: PoolInput, cycle: int) -> str:
    """Derive the decision's id from when and where it was made, so that a replay gives it again."""
    text = f"{pool.at!r}|{cycle}|{pool.pool}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _savings(wave: Wave, economics: Economics) -> float | None:
    """Return the list-price change that the wave makes, USD/h; a fall back costs, so negative."""
    if not wave.moves:
        return 0.0
    if economics.saving_usd_per_hour is None:
        return None
    sign = 1.0 if wave.action.towards_spot else -1.0
    return sign * len(wave.moves) * economics.saving_usd_per_hour


def _orders(
    decisions: tuple[Decision, ...], drafts: list[Draft], limits: Limits
) -> tuple[DrainOrder, ...]:
    nodes: Mapping[str, NodeFact] = {n.name: n for d in drafts for n in d.facts.nodes}
    return tuple(
        DrainOrder(
            plan_id=decision.decision_id,
            pool=decision.pool,
            node=move.node,
            uid=move.uid,
            node_claim=nodes[move.node].node_claim,
            node_pool=nodes[move.node].node_pool,
            to=move.to,
            reason=f"{decision.action} {decision.reason}",
            deadline=decision.at + limits.drain_deadline_s,
            traceparent=decision.traceparent,
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
