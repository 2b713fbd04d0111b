"""The figures that a decision turns on, each with the way to read it and to turn it.

Comes in: the basis of a decision. Goes out: the same basis with one figure changed, together with
what is derived from that figure. May not know what comes of a change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from spotvortex.core.decision.gates.market import unknown_commitments
from spotvortex.core.decision.messages import Basis
from spotvortex.core.domain.cloud.commitments import CommitmentState
from spotvortex.core.domain.moves import RISK_TERMS
from spotvortex.core.domain.types import Action, GateName, PolicyMode
from spotvortex.core.pool.input import GroupFit, Money, PoolInput
from spotvortex.core.pool.survival.loss_safety import LossSafety
from spotvortex.core.record.counterfactual_bounds import (
    AGE_S,
    CAP,
    CPU_MILLI,
    DISCOUNT,
    FLAG,
    MEMORY_MIB,
    NODES_LEFT,
    NODES_TAKEN,
    PODS,
    Q_VALUE,
    RATIO,
    WAIT_S,
    Bounds,
)
from spotvortex.core.record.counterfactual_variable import (
    POLICY,
    Variable,
    flag,
    of_limits,
    of_pool,
)

CERTAIN: Final = 1e-9
"""Share by which a price is set below what a discount asks, so that rounding never hides it."""


_PutRoom = Callable[[PoolInput, GroupFit], PoolInput]


def _q_value(action: Action) -> Variable:
    i = tuple(Action).index(action)

    def get(basis: Basis) -> float | None:
        values = basis.pool.q_values if basis.limits.policy_mode is PolicyMode.RL else None
        return None if values is None else values[i]

    def put(basis: Basis, value: float) -> Basis:
        values = basis.pool.q_values or ()
        changed = (*values[:i], value, *values[i + 1 :])
        return replace(basis, pool=replace(basis.pool, q_values=changed))

    return Variable(f"q-value of {action}", Q_VALUE, (POLICY,), get, put)


def _discount(money: Money) -> float | None:
    spot, on_demand = money.spot_usd_per_hour, money.on_demand_usd_per_hour
    if spot is None or on_demand is None or on_demand <= 0.0:
        return None
    if money.marginal_usd_per_hour is not None:
        return None
    return (on_demand - spot) / on_demand


def _discounted(money: Money, discount_ratio: float) -> Money:
    price = (money.on_demand_usd_per_hour or 0.0) * (1.0 - discount_ratio) * (1.0 - CERTAIN)
    return replace(money, spot_usd_per_hour=price)


def _uncovered(pool: PoolInput) -> PoolInput:
    return replace(pool, entry_money=replace(pool.entry_money, marginal_usd_per_hour=None))


def _stated(pool: PoolInput) -> PoolInput:
    stated = replace(pool.commitments, state=CommitmentState.STATED)
    return replace(pool, commitments=stated)


def _aged(basis: Basis, oldest_s: float) -> Basis:
    """Age the inputs, with what `reduction` derives from their age."""
    pool, limit = basis.pool, basis.limits.max_input_age_s
    fresh = round(min(1.0, max(0.0, 1.0 - 0.5 * oldest_s / limit)), 6)
    terms = tuple((n, fresh if n == "freshness" else v) for n, v in pool.confidence_terms)
    bad = () if pool.oldest_input_s > limit else pool.bad_inputs
    aged = replace(pool, oldest_input_s=oldest_s, bad_inputs=bad, confidence_terms=terms)
    return replace(basis, pool=aged)


def _safe_nodes(safety: LossSafety, n: float) -> LossSafety:
    """Let so many nodes be safe to move; where any is, no budget is short."""
    margin = safety.margin_pods
    spare = max(0, margin) if margin is not None and n >= 1 else margin
    return replace(safety, safe_to_spot_nodes=int(n), margin_pods=spare)


def _room_knobs(
    kind: str, read: Callable[[PoolInput], GroupFit], put: _PutRoom
) -> tuple[Variable, ...]:
    """Make the knobs of the room that there is for nodes of one kind."""

    def knob(
        name: str,
        span: Bounds,
        get: Callable[[GroupFit], int | None],
        turn: Callable[[GroupFit, int], GroupFit],
    ) -> Variable:
        def now(pool: PoolInput) -> float | None:
            value = get(read(pool)) if read(pool).node_group else None
            return None if value is None else float(value)

        return of_pool(name, span, (GateName.FIT,), now, lambda p, v: put(p, turn(read(p), int(v))))

    return (
        knob(
            f"movable nodes that a NodePool may take as {kind}",
            NODES_LEFT,
            lambda room: room.n_placed if room.misfit else None,
            lambda room, v: replace(room, n_placed=v),
        ),
        knob(
            f"milli-CPU left under the limit for {kind}",
            CPU_MILLI,
            lambda room: room.cpu_left_milli,
            lambda room, v: replace(room, cpu_left_milli=v),
        ),
        knob(
            f"MiB left under the limit for {kind}",
            MEMORY_MIB,
            lambda room: room.memory_left_mib,
            lambda room, v: replace(room, memory_left_mib=v),
        ),
        knob(
            f"nodes left under the limit for {kind}",
            NODES_LEFT,
            lambda room: room.nodes_left,
            lambda room, v: replace(room, nodes_left=v),
        ),
    )


def _score_terms(pool: PoolInput) -> tuple[tuple[str, float], ...]:
    """Return the terms of the confidence on which a risk rests; prices move none of them."""
    return tuple(term for term in pool.confidence_terms if term[0] in RISK_TERMS)


def _other_terms(pool: PoolInput) -> tuple[tuple[str, float], ...]:
    return tuple(term for term in pool.confidence_terms if term[0] not in RISK_TERMS)


def _in_scores(pool: PoolInput) -> float:
    return math.prod(value for _, value in _score_terms(pool))


def _all_in_scope(pool: PoolInput) -> PoolInput:
    leaving = tuple(replace(c, in_scope=True) for c in pool.to_on_demand)
    return replace(
        pool, unsupported=(), n_spot_out_of_scope=0, n_spot_outside=0, to_on_demand=leaving
    )


def _since(basis: Basis, at: float | None) -> float | None:
    return None if at is None else basis.pool.at - at


KNOBS: Final = (
    of_pool(
        "entry discount",
        DISCOUNT,
        (POLICY, GateName.MARKET),
        lambda p: _discount(p.entry_money),
        lambda p, v: replace(p, entry_money=_discounted(p.entry_money, v)),
    ),
    of_pool(
        "discount of the Spot held",
        DISCOUNT,
        (POLICY,),
        lambda p: _discount(p.spot_money),
        lambda p, v: replace(p, spot_money=_discounted(p.spot_money, v)),
    ),
    of_pool(
        "entry runtime score",
        RATIO,
        (POLICY, GateName.MARKET),
        lambda p: p.entry_risk.runtime,
        lambda p, v: replace(p, entry_risk=replace(p.entry_risk, runtime=v)),
    ),
    of_pool(
        "entry capacity score",
        RATIO,
        (POLICY,),
        lambda p: p.entry_risk.capacity,
        lambda p, v: replace(p, entry_risk=replace(p.entry_risk, capacity=v)),
    ),
    of_pool(
        "runtime score of the Spot held",
        RATIO,
        (POLICY,),
        lambda p: p.spot_risk.runtime,
        lambda p, v: replace(p, spot_risk=replace(p.spot_risk, runtime=v)),
    ),
    of_pool(
        "capacity score of the Spot held",
        RATIO,
        (POLICY,),
        lambda p: p.spot_risk.capacity,
        lambda p, v: replace(p, spot_risk=replace(p.spot_risk, capacity=v)),
    ),
    of_pool(
        "confidence",
        RATIO,
        (GateName.CONFIDENCE,),
        lambda p: p.confidence if _in_scores(p) > 0.0 else None,
        lambda p, v: replace(p, confidence_terms=(*_score_terms(p), ("others", v / _in_scores(p)))),
    ),
    of_pool(
        "confidence in the scores",
        RATIO,
        (GateName.CONFIDENCE,),
        lambda p: _in_scores(p) if _score_terms(p) else None,
        lambda p, v: replace(p, confidence_terms=(*_other_terms(p), ("scores", v))),
    ),
    Variable(
        "seconds since the last wave",
        WAIT_S,
        (GateName.COOLDOWN, GateName.BUDGETS),
        lambda b: _since(b, b.state.last_wave_at),
        lambda b, v: replace(b, state=replace(b.state, last_wave_at=b.pool.at - v)),
    ),
    Variable(
        "seconds since the last fall back",
        WAIT_S,
        (GateName.COOLDOWN,),
        lambda b: _since(b, b.state.last_decrease_at),
        lambda b, v: replace(b, state=replace(b.state, last_decrease_at=b.pool.at - v)),
    ),
    Variable(
        "seconds since the oldest input",
        AGE_S,
        (GateName.INPUT_FRESHNESS, GateName.CONFIDENCE),
        lambda b: b.pool.oldest_input_s,
        _aged,
    ),
    of_pool(
        "nodes that the budgets let go to Spot",
        NODES_LEFT,
        (GateName.POOL_SAFETY,),
        lambda p: float(p.safety.safe_to_spot_nodes) if p.safety.n_pdbs else None,
        lambda p, v: replace(p, safety=_safe_nodes(p.safety, v)),
    ),
    of_pool(
        "nodes that no loss speaks against moving to Spot",
        NODES_LEFT,
        (GateName.POOL_SAFETY,),
        lambda p: float(p.safety.safe_by_word_nodes),
        lambda p, v: replace(p, safety=replace(p.safety, safe_by_word_nodes=int(v))),
    ),
    of_pool(
        "pods that the tightest budget can spare",
        PODS,
        (GateName.POOL_SAFETY,),
        lambda p: None if p.safety.margin_pods is None else float(p.safety.margin_pods),
        lambda p, v: replace(p, safety=replace(p.safety, margin_pods=int(v))),
    ),
    of_pool(
        "nodes of the pool on the move",
        NODES_TAKEN,
        (GateName.ON_DEMAND_FLOOR, GateName.BUDGETS),
        lambda p: float(p.n_moving),
        lambda p, v: replace(p, n_moving=int(v)),
    ),
    Variable(
        "nodes of the cluster that may still move",
        NODES_LEFT,
        (GateName.BUDGETS,),
        lambda b: float(b.budget.left),
        lambda b, v: replace(b, budget=replace(b.budget, left=int(v))),
    ),
    of_limits(
        "max_spot_ratio",
        CAP,
        (POLICY,),
        lambda limits: limits.max_spot_ratio,
        lambda limits, v: replace(limits, max_spot_ratio=v),
    ),
    of_limits(
        "nodes of the on-demand floor",
        NODES_TAKEN,
        (POLICY, GateName.ON_DEMAND_FLOOR),
        lambda limits: float(limits.on_demand_floor_nodes),
        lambda limits, v: replace(limits, on_demand_floor_nodes=int(v)),
    ),
    flag(
        "every required input could be read",
        (GateName.INPUT_FRESHNESS,),
        lambda p: bool(p.bad_inputs),
        lambda p: replace(p, bad_inputs=()),
    ),
    flag(
        "every family were in the model's scope",
        (POLICY, GateName.MODEL_SCOPE),
        lambda p: bool(p.unsupported),
        _all_in_scope,
    ),
    flag(
        "every offering were in the training range",
        (GateName.OUT_OF_DISTRIBUTION,),
        lambda p: bool(p.out_of_range),
        lambda p: replace(p, out_of_range=()),
    ),
    flag(
        "no commitment paid for its on-demand nodes",
        (POLICY, GateName.MARKET),
        lambda p: p.entry_money.marginal_usd_per_hour is not None,
        _uncovered,
    ),
    Variable(
        "what the account has committed to were known",
        FLAG,
        (GateName.MARKET,),
        lambda b: 0.0 if unknown_commitments(b.pool, b.limits) else None,
        lambda b, _: replace(b, pool=_stated(b.pool)),
    ),
    flag(
        "what owners say of a loss could be read",
        (GateName.POOL_SAFETY,),
        lambda p: not p.safety.words_known,
        lambda p: replace(p, safety=replace(p.safety, words_known=True)),
    ),
    flag(
        "PodDisruptionBudgets could be read",
        (GateName.POOL_SAFETY,),
        lambda p: not p.safety.known,
        lambda p: replace(p, safety=replace(p.safety, known=True)),
    ),
    flag(
        "the pool allowed Spot",
        (POLICY, GateName.FIT),
        lambda p: not p.allows_spot,
        lambda p: replace(p, allows_spot=True),
    ),
    flag(
        "the pool allowed on-demand",
        (POLICY, GateName.FIT),
        lambda p: not p.allows_on_demand,
        lambda p: replace(p, allows_on_demand=True),
    ),
    *_room_knobs(
        "on-demand", lambda p: p.room_on_demand, lambda p, room: replace(p, room_on_demand=room)
    ),
    *_room_knobs("Spot", lambda p: p.room_spot, lambda p, room: replace(p, room_spot=room)),
    *(_q_value(action) for action in Action),
)
"""Every knob; of equally near flips the first counts."""

KNOB_BY_NAME: Final = {knob.name: knob for knob in KNOBS}

assert len(KNOB_BY_NAME) == len(KNOBS)
