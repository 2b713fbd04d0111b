"""The checks that can refuse or shrink an action. All of them answer, also when they allow.

Comes in: a proposal with what it was made from. Goes out: one verdict a gate, in a fixed order, and
their combination: any refusal gives HOLD, else the smallest number counts. A gate can only reduce.
One whose input does not exist yet says so; where the mode writes, that refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.core.decision import fit_gate
from spotvortex.core.decision.budgets import pool_left
from spotvortex.core.decision.messages import (
    Basis,
    ClusterBudget,
    Economics,
    PoolState,
    Proposal,
    Verdict,
)
from spotvortex.core.decision.rule_policy import floor_nodes, n_to_undo, worse
from spotvortex.core.decision.verdicts import allow, at_most, not_evaluated, refuse
from spotvortex.core.domain.labels import FREEZE
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Action, Freeze, Mode, Outcome
from spotvortex.core.pool.input import PoolInput

FULL_MARGIN: Final = 0.1
"""A lead of the best q-value over the second, as a share of their spread, that counts in full."""


SHOWS_S: Final = 10.0
"""Time after a wave began in which the cluster may not show it yet: its requests are on their
way, and a server that is slow to answer them is slow to show them."""

RETURN_S: Final = 330.0
"""Time after a return in which a provisioner that consolidates may still carry it out."""

PEACE_S: Final = 86_400.0
"""After this time without a fall back, a pool is no longer on probation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a gate may look at."""

    basis: Basis
    proposal: Proposal
    economics: Economics

    @property
    def pool(self) -> PoolInput:
        """What was read of the pool."""
        return self.basis.pool

    @property
    def state(self) -> PoolState:
        """What is remembered of the pool."""
        return self.basis.state

    @property
    def budget(self) -> ClusterBudget:
        """What the cluster has left."""
        return self.basis.budget

    @property
    def limits(self) -> Limits:
        """The bounds."""
        return self.basis.limits

    @property
    def action(self) -> Action:
        """The proposed action."""
        return self.proposal.action


@dataclass(frozen=True, slots=True)
class Ruling:
    """The gates' common answer: `limit` is None where no gate bounds the wave."""

    refused: bool
    limit: int | None
    first_refusal: str


def lease(case: Case) -> Verdict:
    """Only the leader may write."""
    if not case.limits.mode.writes:
        return not_evaluated("lease", f"mode {case.limits.mode} needs no lease")
    if case.basis.standing.leader:
        return allow("lease", "we hold the lease")
    return refuse("lease", "another replica holds the lease, or nobody does")


def input_freshness(case: Case) -> Verdict:
    """Every required input is there and young enough."""
    pool, limit = case.pool, case.limits.max_input_age_s
    numbers = {"oldest_s": pool.oldest_input_s, "limit_s": limit}
    if pool.bad_inputs or not pool.oldest_input_s <= limit:
        which = ", ".join(pool.bad_inputs) or "every input"
        return refuse("input_freshness", f"{which} missing or older than {limit:g} s", **numbers)
    return allow("input_freshness", "all required inputs are fresh", **numbers)


def model_scope(case: Case) -> Verdict:
    """The model was made for the families of the pool."""
    pool = case.pool
    if not pool.unsupported:
        return allow("model_scope", "every family is in the model's scope")
    families = ", ".join(pool.unsupported)
    if case.proposal.reason == "unsupported_family" and case.limits.exit_unsupported:
        return allow("model_scope", f"{families} not in scope; leaving them is switched on")
    return refuse("model_scope", f"{families} not in the model's scope: recorded, pool holds")


def confidence(case: Case) -> Verdict:
    """The product of the confidence terms, and of the learned policy's lead, is high enough."""
    pool, limit = case.pool, case.limits.min_confidence
    value, limiting = pool.confidence, pool.limiting_term
    if case.proposal.margin is not None:
        lead = min(1.0, case.proposal.margin / FULL_MARGIN)
        others = min((v for _, v in pool.confidence_terms), default=1.0)
        limiting = "margin" if lead < others else limiting
        value *= lead
    numbers = {"confidence": round(value, 6), "limit": limit}
    if value >= limit:
        return allow("confidence", "confidence suffices", **numbers)
    return refuse("confidence", f"confidence limited by {limiting}", **numbers)


def market(case: Case) -> Verdict:
    """Spot is cheap enough to be worth a move towards it."""
    if not case.action.towards_spot:
        return allow("market", "no move towards Spot")
    discount, payback = case.economics.discount_ratio, case.economics.payback_hours
    too_old_s = case.pool.entry_money.too_old_s
    if discount is None and too_old_s is not None:
        return refuse("market", "the Spot price is too old to use", age_s=too_old_s)
    if discount is None or payback is None:
        return refuse("market", "no price, or no expected gain")
    numbers = {
        "discount_ratio": discount,
        "min_discount_ratio": case.limits.min_discount_ratio,
        "payback_hours": payback,
        "max_payback_hours": case.limits.max_payback_hours,
    }
    if case.pool.entry_money.last_resort and case.limits.mode.writes:
        return refuse("market", "prices of last resort are not good enough to act on", **numbers)
    if not discount >= case.limits.min_discount_ratio:
        return refuse("market", "discount too small", **numbers)
    if not payback <= case.limits.max_payback_hours:
        return refuse("market", "the move pays back too late", **numbers)
    return allow("market", "discount and payback suffice", **numbers)


def out_of_distribution(case: Case) -> Verdict:
    """The model has seen inputs like these; growth on others is refused."""
    outside = case.pool.out_of_range
    if not outside:
        return allow("out_of_distribution", "all features are in the training range")
    if not case.action.towards_spot:
        return allow("out_of_distribution", "no move towards Spot", n_outside=len(outside))
    more = f" and {len(outside) - 1} more" if len(outside) > 1 else ""
    return refuse("out_of_distribution", f"outside the training range: {outside[0]}{more}")


def pool_safety(case: Case) -> Verdict:
    """Losing any one offering, or the Spot of the worst zone, keeps every budget's minimum.

    IMPORTANT: what our own fall back took from Spot may return to where it was. The provisioner
    had put it there before us; a gate that let us leave and not come back would keep on-demand for
    good what nobody asked to be there.
    """
    if not case.action.towards_spot:
        return allow("pool_safety", "no move towards Spot")
    safety = case.pool.safety
    if not safety.known:
        return refuse("pool_safety", "PodDisruptionBudgets cannot be read")
    if not safety.n_pdbs:
        return allow("pool_safety", "no PodDisruptionBudget covers this pool")
    margin = safety.margin_pods or 0
    numbers = {"margin_pods": margin, "n_pdbs": safety.n_pdbs}
    n_ours = n_to_undo(case.pool, case.state)
    if n_ours > (0 if margin < 0 else safety.safe_to_spot_nodes) and safety.margin_zone:
        ratio = f"{case.state.fell_from or 0.0:.0%}"
        reason = f"undoes our fall back from {ratio} Spot, which was no safer"
        return at_most("pool_safety", n_ours, reason, **numbers)
    if margin < 0:
        zone = f"losing the Spot of {safety.margin_zone}" if safety.margin_zone else "as it is now,"
        short = -margin
        return refuse("pool_safety", f"{zone} leaves {safety.margin_pdb} {short} short", **numbers)
    reason = f"{safety.margin_pdb} can spare {safety.margin_pods} pods beyond its worst zone"
    return at_most("pool_safety", safety.safe_to_spot_nodes, reason, **numbers)


def on_demand_floor(case: Case) -> Verdict:
    """What must stay on-demand stays there; a node on the move, of any kind, holds no floor."""
    pool, floor = case.pool, floor_nodes(case.pool, case.limits)
    if not case.action.towards_spot:
        return allow("on_demand_floor", "no move towards Spot")
    if floor <= 0:
        return allow("on_demand_floor", "no floor is set")
    held = pool.n_on_demand + pool.n_reserved
    above = held - pool.n_moving - floor
    numbers = {"on_demand": held, "moving": pool.n_moving, "floor": floor}
    return at_most("on_demand_floor", above, f"the floor is {floor} nodes", **numbers)


def fit(case: Case) -> Verdict:
    """The moving pods can run where they would go, as far as the NodePools say."""
    return fit_gate.judge(case.pool, case.action)


def budgets(case: Case) -> Verdict:
    """Not too many nodes are on the move, by anybody, in the pool and in the cluster."""
    if case.action is Action.HOLD:
        return allow("budgets", "HOLD moves nothing")
    if case.pool.n_in_flight:
        # One wave a pool at a time, in an emergency too: its own room is not there yet.
        n_nodes = case.pool.n_in_flight
        return refuse("budgets", "the last wave is still under way", in_flight=n_nodes)
    begun = case.state.last_wave_at
    if begun is not None and case.pool.at - begun < SHOWS_S:
        left_s = round(SHOWS_S - (case.pool.at - begun), 3)
        return refuse("budgets", "the last wave may not show in the cluster yet", left_s=left_s)
    in_pool, in_cluster = pool_left(case.pool, case.limits), case.budget.left
    left = min(in_pool, in_cluster, case.limits.max_wave_nodes)
    reason = f"{in_pool} more nodes of the pool and {in_cluster} of the cluster may move now"
    return at_most(
        "budgets",
        left,
        reason,
        pool_left=in_pool,
        cluster_left=in_cluster,
        max_wave=case.limits.max_wave_nodes,
        moving=case.budget.n_moving,
    )


def utilisation_headroom(case: Case) -> Verdict:
    """A pool whose nodes are full gives up one node at a time."""
    ratios = [
        r
        for r in (case.pool.cpu_requested_ratio, case.pool.memory_requested_ratio)
        if r is not None
    ]
    if not ratios:
        return not_evaluated("utilisation_headroom", "no node reports allocatable resources")
    numbers = {"requested_ratio": max(ratios), "limit": case.limits.max_requested_ratio}
    if not case.action.away_from_spot or max(ratios) <= case.limits.max_requested_ratio:
        return allow("utilisation_headroom", "requests leave room", **numbers)
    return at_most("utilisation_headroom", 1, "the pool is full: one node at a time", **numbers)


def cooldown(case: Case) -> Verdict:
    """After a wave the pool settles; after a fall back it dwells before it returns."""
    now, state, limits = case.pool.at, case.state, case.limits
    if case.action is Action.HOLD:
        return allow("cooldown", "HOLD moves nothing")
    if state.last_wave_at is not None and now - state.last_wave_at < limits.settle_s:
        left = limits.settle_s - (now - state.last_wave_at)
        return refuse("cooldown", "the last wave is still settling", left_s=round(left, 3))
    if case.action.towards_spot and _is_returning(case):
        return refuse("cooldown", "the provisioner is still bringing back what was released")
    fell = state.last_decrease_at
    if not case.action.towards_spot or fell is None or now - fell > PEACE_S:
        return allow("cooldown", "nothing to wait for")
    left = dwell_s(state, limits) - (now - fell)
    if left > 0.0:
        numbers = {"left_s": round(left, 3), "failed_returns": state.n_failed_returns}
        return refuse("cooldown", "dwelling after a fall back", **numbers)
    return _probation(case)


def _is_returning(case: Case) -> bool:
    """Tell whether the last return may still be under way without us.

    Karpenter looks at an unchanged cluster every 300 s (seen with 1.15). Until then a node whose
    anchor was released is left to it: draining it ourselves would buy its replacement twice.
    """
    pool, last = case.pool, case.state.last_increase_at
    free = pool.n_on_demand - pool.n_on_demand_leaving - pool.n_anchored
    recent = last is not None and pool.at - last < RETURN_S
    return pool.consolidates and free > 0 and recent


def dwell_s(state: PoolState, limits: Limits) -> float:
    """Return the seconds between a fall back and a return: doubled by each return that failed."""
    doubled = limits.dwell_s * 2.0 ** min(state.n_failed_returns, 16)
    return max(limits.dwell_s, min(doubled, limits.max_dwell_s))


def _probation(case: Case) -> Verdict:
    """After a fall back the risk must be clearly low again, and a few nodes go first."""
    risk, limits = worse(case.pool.entry_risk), case.limits
    most = limits.medium_risk * limits.return_risk_ratio
    numbers = {"most": most} if risk is None else {"risk": risk, "most": most}
    if risk is None or risk >= most:
        return refuse("cooldown", "the risk is not clearly low again after a fall back", **numbers)
    numbers["probation"] = case.state.n_probation
    return at_most("cooldown", case.state.n_probation, "on probation after a fall back", **numbers)


def do_not_disrupt(case: Case) -> Verdict:
    """Nodes with pods that must not be moved are left; the others bound the wave."""
    if case.action is Action.HOLD:
        return allow("do_not_disrupt", "HOLD moves nothing")
    pool = case.pool
    towards = case.action.towards_spot
    movable = pool.n_on_demand_movable if towards else pool.n_spot_movable
    kind = "on-demand" if towards else "Spot"
    held = pool.n_on_demand if towards else pool.n_spot
    numbers = {"movable": movable, "held": held}
    return at_most(
        "do_not_disrupt", movable, f"{kind} nodes that nothing holds in place", **numbers
    )


def freeze(case: Case) -> Verdict:
    """A person may stop every write by creating one ConfigMap."""
    if not case.limits.mode.writes:
        return not_evaluated("freeze", f"mode {case.limits.mode} writes nothing")
    match case.basis.standing.freeze:
        case Freeze.NONE:
            return allow("freeze", "nobody has frozen us")
        case Freeze.UNKNOWN:
            return refuse("freeze", f"whether ConfigMap {FREEZE} exists cannot be read")
        case frozen:
            return refuse("freeze", f"ConfigMap {FREEZE} exists ({frozen})")


def mode(case: Case) -> Verdict:
    """What the mode lets us do with the decision."""
    current, problem = case.limits.mode, case.pool.rules.problem
    if problem:
        return refuse("mode", f"a rule of this pool cannot be read: {problem}")
    if not current.writes:
        return allow("mode", f"{current}: recorded, nothing is moved")
    if case.basis.standing.unsure:
        return refuse("mode", "what was remembered is lost: advice only, for a day")
    if current is Mode.CANARY:
        n_canary = case.limits.canary_nodes
        return at_most("mode", n_canary, f"canary: {n_canary} at a time", canary=n_canary)
    return allow("mode", f"mode {current}")


GATES: Final[tuple[Callable[[Case], Verdict], ...]] = (
    lease,
    input_freshness,
    model_scope,
    confidence,
    market,
    out_of_distribution,
    pool_safety,
    on_demand_floor,
    fit,
    budgets,
    utilisation_headroom,
    cooldown,
    do_not_disrupt,
    freeze,
    mode,
)
"""Every gate, in the order in which records list them."""

GATE_NAMES: Final = tuple(gate.__name__ for gate in GATES)

NOT_BINDING_ON_EXIT: Final = frozenset(
    {"confidence", "model_scope", "market", "out_of_distribution", "cooldown"}
)
"""What EMERGENCY_EXIT does not wait for; it obeys every other gate."""


def evaluate(case: Case) -> tuple[Verdict, ...]:
    """Ask every gate, and mark those that do not bind an emergency."""
    return tuple(_bind(gate(case), case) for gate in GATES)


def _bind(verdict: Verdict, case: Case) -> Verdict:
    if case.action is not Action.EMERGENCY_EXIT or verdict.gate not in NOT_BINDING_ON_EXIT:
        return verdict
    if verdict.gate == "model_scope" and case.proposal.reason == "unsupported_family":
        return verdict
    if verdict.outcome in (Outcome.ALLOW, Outcome.NOT_EVALUATED):
        return verdict
    reason = f"EMERGENCY_EXIT does not wait for this: {verdict.reason}"
    return replace(verdict, outcome=Outcome.ALLOW, limit=None, reason=reason)


def combine(verdicts: Sequence[Verdict], current: Mode) -> Ruling:
    """Combine verdicts; what was not evaluated refuses where the mode writes."""
    refusals = [v.gate for v in verdicts if v.outcome is Outcome.REFUSE]
    if current.writes:
        refusals += [v.gate for v in verdicts if v.outcome is Outcome.NOT_EVALUATED]
    limits = [v.limit for v in verdicts if v.limit is not None]
    return Ruling(
        refused=bool(refusals),
        limit=min(limits) if limits else None,
        first_refusal=refusals[0] if refusals else "",
    )
