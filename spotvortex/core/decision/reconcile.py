"""One cycle of decisions: (state, assessment, limits) -> (state', plan).

Comes in: what was observed, reduced and scored. Goes out: a decision for every pool with every
gate's verdict, and the nodes to move. The order in which pools or nodes come never matters; the
same input gives the same bytes. May not do anything but compute.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import Final

from spotvortex.core.decision.budgets import cluster_budget
from spotvortex.core.decision.economics import economics_of, entry_economics
from spotvortex.core.decision.gates.base import Case
from spotvortex.core.decision.gates.disruption import PEACE_S, is_paying_back
from spotvortex.core.decision.gates.table import combine, evaluate
from spotvortex.core.decision.maintenance import is_released, maintenance_calls
from spotvortex.core.decision.messages import (
    UNSURE_S,
    Basis,
    ControllerState,
    Decision,
    Economics,
    Move,
    Plan,
    PoolState,
    Proposal,
)
from spotvortex.core.decision.planning import Wave, plan_wave
from spotvortex.core.decision.policies import both_proposals
from spotvortex.core.decision.rule_policy import n_to_undo, worse
from spotvortex.core.domain.autoscaling import is_slow
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import MoveKind
from spotvortex.core.domain.observation import Observation
from spotvortex.core.domain.types import Action, CapacityType, Offering, short, short_digest
from spotvortex.core.drain.interruption import interruption_orders
from spotvortex.core.drain.messages import DrainOrder, InFlight, OrderKind
from spotvortex.core.drain.progress import AFTER_LOSS_S, OVERDUE
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.input import PoolInput
from spotvortex.core.pool.owner_rules import NO_RULES, obeying, remembered

FAILED_RETURN_S: Final = 3600.0
"""A fall back within this time of a return means that the return has failed."""

MAX_PROBATION: Final = 64
"""Nodes at which a return's probation no longer bounds anything."""

MAX_GONE: Final = 500
"""Pools without nodes whose rules are remembered."""

_Proposals = tuple[Proposal, Proposal]
"""What the policy that decides proposes, and what the other one does."""

Steps = Generator[Decision | None, None, tuple[ControllerState, Plan]]


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

    Emergencies take from the cluster's budget first, then the riskiest pools, then by name. The
    first step puts the pools in that order and yields None, each one after it yields a decision.
    """
    observation = assessment.observation
    unsure = observation.at < state.unsure_until
    standing = replace(observation.standing, unsure=unsure)
    # Where what was remembered is lost, a wave may have been made right before.
    unknown = PoolState(last_wave_at=state.unsure_until - UNSURE_S if unsure else None)
    budget = cluster_budget(assessment.pools, limits)
    decisions: dict[str, Decision] = {}
    states = {p.pool: _known(p, state.pools.get(p.pool, unknown)) for p in assessment.pools}
    bounds = {name: obeying(limits, known.rules) for name, known in states.items()}
    proposals = {pool.pool: _proposals(pool, bounds[pool.pool]) for pool in assessment.pools}
    in_turn = sorted(assessment.pools, key=lambda p: _urgency(p, proposals[p.pool][0]))
    yield None
    for pool in in_turn:
        basis = Basis(
            cycle=observation.cycle,
            pool=pool,
            state=states[pool.pool],
            budget=budget,
            limits=bounds[pool.pool],
            model_digest=assessment.model_digest,
            traceparent=observation.traceparent,
            standing=standing,
        )
        decision = _decided(basis, proposals[pool.pool])
        decisions[pool.pool] = decision
        # What is only recorded, where others are moved, takes nothing from those.
        if decision.mode.writes or not limits.mode.writes:
            budget = replace(budget, left=budget.left - decision.n_nodes)
        yield decision
    ordered = tuple(decisions[name] for name in sorted(decisions))
    limits_of = {decision.pool: decision.basis.limits for decision in ordered}
    seen = replace(observation, standing=standing)
    plan = Plan(
        cycle=observation.cycle,
        at=observation.at,
        decisions=ordered,
        orders=(
            *interruption_orders(
                seen, limits_of, assessment.in_flight, state.avoided, state.hedges
            ),
            *_orders(ordered),
        ),
        observation=observation,
        traceparent=observation.traceparent,
        resumed=_resumed(observation, assessment.in_flight, limits_of),
        maintenance_calls=maintenance_calls(observation, ordered, assessment.in_flight),
        calibration=assessment.calibration,
    )
    return _next_state(state, ordered), plan


def _known(pool: PoolInput, state: PoolState) -> PoolState:
    """Bring what is remembered of a pool up to what its owner says now.

    After the clock was set back no time is later than now, or all would wait until it has come.
    """
    return replace(
        state,
        rules=remembered(pool.rules, state.rules),
        last_wave_at=_by_now(state.last_wave_at, pool.at),
        last_decrease_at=_by_now(state.last_decrease_at, pool.at),
        last_increase_at=_by_now(state.last_increase_at, pool.at),
        last_shift_at=_by_now(state.last_shift_at, pool.at),
    )


def _by_now(at: float | None, now: float) -> float | None:
    return None if at is None else min(at, now)


def _resumed(
    observation: Observation, flying: InFlight, limits_of: Mapping[str, Limits]
) -> tuple[DrainOrder, ...]:
    """Go on with what is in flight; undo it where its pool is gone or may not be written to."""
    over = flying.leaving | _emptied(flying.orders, observation)
    orders = (order for order in flying.orders if order.uid not in over)
    return tuple(_as_now(order, limits_of.get(order.pool)) for order in orders)


def _emptied(orders: tuple[DrainOrder, ...], observation: Observation) -> frozenset[str]:
    """Return the nodes that only wait for their machine to go, by uid.

    Lost, marked and empty, without room asked for, and no claim to delete, or one of a
    node group, which waits longer than they last: going on with their orders would end them anew in
    every cycle. One that outlives its deadline is undone.
    """
    cluster, at = observation.cluster, observation.at
    asked = {pod.for_uid for pod in cluster.own_pods if pod.kind is PodKind.PLACEHOLDER}
    empty = {
        node.uid
        for node in cluster.nodes
        if node.mark and node.cordoned and not node.load.n_workload_pods and node.uid not in asked
    }
    return frozenset(
        order.uid
        for order in orders
        if order.kind is OrderKind.INTERRUPTION
        and order.uid in empty
        and order.plan_id not in asked
        and (not order.claim or is_slow(order.claim))
        and at < order.deadline + AFTER_LOSS_S
    )


def _as_now(order: DrainOrder, limits: Limits | None) -> DrainOrder:
    """Give an order found in the cluster what its journal does not keep: the limits of today.

    A wave to Spot that is on its way when an owner takes the pool off Spot is undone.
    """
    if limits is None or not limits.mode.writes or _is_revoked(order, limits):
        return replace(order, deadline=OVERDUE)
    return replace(order, leftover_s=limits.leftover_s)


def _is_revoked(order: DrainOrder, limits: Limits) -> bool:
    to_spot = order.to is CapacityType.SPOT and order.kind is OrderKind.DRAIN
    return to_spot and limits.max_spot_ratio <= 0.0


def _proposals(pool: PoolInput, limits: Limits) -> _Proposals:
    return both_proposals(pool, entry_economics(pool, limits), limits)


def _urgency(pool: PoolInput, proposal: Proposal) -> tuple[int, float, str]:
    action = proposal.action
    protects = action.away_from_spot or proposal.kind is MoveKind.RISK
    rank = 0 if action is Action.EMERGENCY_EXIT else 1 if protects else 2
    return rank, -(worse(pool.spot_risk) or 0.0), pool.pool


def decide(basis: Basis) -> Decision:
    """Propose for one pool, ask the gates, and size the wave that they leave.

    A pure function of the basis: a record that keeps it can be replayed.
    """
    return _decided(basis, _proposals(basis.pool, basis.limits))


def _decided(basis: Basis, proposals: _Proposals) -> Decision:
    pool, limits = basis.pool, basis.limits
    proposal, other = proposals
    economics = economics_of(pool, proposal, limits)
    verdicts = evaluate(Case(basis=basis, proposal=proposal, economics=economics))
    ruling = combine(verdicts, limits.mode)
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
    return short_digest(text)


def _savings(wave: Wave, economics: Economics) -> float | None:
    """Return the list-price change that the wave makes, USD/h; a fall back costs, so negative."""
    if not wave.moves:
        return 0.0
    if economics.saving_usd_per_hour is None:
        return None
    sign = -1.0 if wave.action.away_from_spot else 1.0
    return sign * len(wave.moves) * economics.saving_usd_per_hour


def _orders(decisions: tuple[Decision, ...]) -> tuple[DrainOrder, ...]:
    return tuple(order for decision in decisions for order in _orders_of(decision))


def _orders_of(decision: Decision) -> Iterator[DrainOrder]:
    drained = [move for move in decision.moves if not is_released(decision, move)]
    limits = decision.basis.limits
    for move in drained:
        yield DrainOrder(
            plan_id=decision.decision_id,
            pool=decision.pool,
            node=move.candidate.node,
            uid=move.candidate.uid,
            claim=move.candidate.claim,
            sides=move.candidate.sides,
            to=move.to,
            reason=f"{decision.action} {decision.reason}",
            deadline=decision.at + limits.drain_deadline_s,
            # Room that is gone again by itself is not waited for.
            bind_by=decision.at + min(limits.bind_s, limits.leftover_s),
            traceparent=decision.basis.traceparent,
            mode=decision.mode,
            n_wave=len(drained),
            leftover_s=limits.leftover_s,
            avoid=_avoided(decision, move),
        )


def _avoided(decision: Decision, move: Move) -> tuple[Offering, ...]:
    """Return the Spot offerings that the room of a move must not get."""
    if move.to is CapacityType.ON_DEMAND:
        return ()
    shift = decision.shift
    return decision.choice.names_avoided if shift is None else shift.avoid


def _next_state(state: ControllerState, decisions: tuple[Decision, ...]) -> ControllerState:
    """Remember waves, and what was said of pools; one that is gone is kept for a while.

    A pool without nodes may come back, and must not come back without its rules.
    """
    pools = {d.pool: _next_pool_state(d.basis.state, d) for d in decisions}
    gone = [name for name, s in state.pools.items() if name not in pools and s.rules != NO_RULES]
    kept = {name: state.pools[name] for name in sorted(gone)[:MAX_GONE]}
    avoided = {d.pool: d.choice.names_avoided for d in decisions if d.choice.avoided}
    hedges = {d.pool: d.hedge for d in decisions}
    return replace(state, pools=kept | pools, avoided=avoided, hedges=hedges)


def _next_pool_state(before: PoolState, decision: Decision) -> PoolState:
    after = replace(before, target_ratio=decision.target_ratio, last_action=decision.action)
    if not decision.moves:
        return replace(after, fell_from=None) if _is_undone(decision.input, after) else after
    after = replace(after, last_wave_at=decision.at)
    if decision.shift is not None:
        return _shifted(after, decision.at, 3600.0 * decision.shift.payback_hours)
    if decision.action.away_from_spot and decision.proposal.kind is MoveKind.SAFETY:
        # Nothing that is to be undone: what it took from Spot was not safe there.
        return _fallen_back(after, decision.at)
    if decision.action.away_from_spot:
        fell_from = max(after.fell_from or 0.0, short(decision.input.spot_ratio))
        return _fallen_back(replace(after, fell_from=fell_from), decision.at)
    return _returning(after, decision.at)


def _shifted(state: PoolState, at: float, payback_s: float) -> PoolState:
    """Remember for how long what shifts have made has to stay: the longest of those not over."""
    if is_paying_back(state, at):
        payback_s = max(payback_s, state.shift_payback_s)
    return replace(state, last_shift_at=at, shift_payback_s=short(payback_s))


def _is_undone(pool: PoolInput, state: PoolState) -> bool:
    """Tell whether a return has brought back all that the last fall back took from Spot."""
    fell, returned = state.last_decrease_at, state.last_increase_at
    was_last = returned is not None and (fell is None or returned > fell)
    return was_last and not n_to_undo(pool, state)


def _fallen_back(state: PoolState, at: float) -> PoolState:
    """Count a fall back that follows a return soon: the next one waits twice as long."""
    returned = state.last_increase_at
    failed = returned is not None and at - returned < FAILED_RETURN_S
    n_failed = state.n_failed_returns + 1 if failed else state.n_failed_returns
    return replace(state, last_decrease_at=at, n_failed_returns=n_failed, n_probation=1)


def _returning(state: PoolState, at: float) -> PoolState:
    """Let the next wave of a return be twice as large; forget a failure after a day of peace."""
    fell = state.last_decrease_at
    at_peace = fell is None or at - fell > PEACE_S
    return replace(
        state,
        last_increase_at=at,
        n_failed_returns=0 if at_peace else state.n_failed_returns,
        n_probation=min(2 * state.n_probation, MAX_PROBATION),
    )
