"""What travels between the tasks, in the order in which it is made.

Comes in: values of the packages below. Goes out: `Assessment`, `Plan`, `DrainOrder`, `DrainResult`
and what they are made of. Every message carries the trace context of its cycle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.decision.hedging import hedge_of
from spotvortex.core.decision.offerings.choice import Choice, choice_of
from spotvortex.core.decision.offerings.shift import Shift, shift_of
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import MoveKind, kind_of
from spotvortex.core.domain.observation import NO_AUTHORITY, Observation, WriteAuthority
from spotvortex.core.domain.types import (
    RATIO_STEP,
    Action,
    CapacityType,
    GateName,
    Mode,
    Offering,
    Outcome,
    ProposalReason,
    ProposalSource,
)
from spotvortex.core.drain.calls import Call
from spotvortex.core.drain.hedge import Hedge, hedge_ratio
from spotvortex.core.drain.messages import DrainOrder
from spotvortex.core.pool.input import Candidate, PoolInput
from spotvortex.core.pool.owner_rules import NO_RULES, PoolRules
from spotvortex.core.scoring.calibration.live import NO_CALIBRATION, Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One gate's answer.

    Attributes:
        gate: the gate.
        outcome: what it answers.
        reason: why, in words.
        limit: the most nodes that it lets through, None for no bound.
        numbers: what it compared, by name, so that the reason can be checked.
    """

    gate: GateName
    outcome: Outcome
    reason: str
    limit: int | None = None
    numbers: tuple[tuple[str, float], ...] = ()

    @property
    def in_words(self) -> str:
        """The reason for a person: `1 node`, where the record says `1 nodes` to stay as it was."""
        return _ONE.sub(r"1 \1\2", self.reason)


_ONE: Final = re.compile(r"(?<![\w.-])1 (more )?(node|pod)s\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """One more node on Spot, or of a shift one in other Spot, in US dollars; None where unknown.

    Attributes:
        discount_ratio: the saving / the on-demand price; negative where a commitment pays for more
            of that than Spot would save.
        saving_usd_per_hour: on-demand less what commitments pay for of it, minus spot, per
            node-hour; of a shift the Spot price of what it leaves minus that of where it goes.
        risk_cost_usd_per_hour: the hazard times what an interruption costs, per node-hour; of a
            shift what it adds to that, negative where it takes some away.
        net_usd_per_hour: the saving less the cost of the risk, per node-hour.
        migration_usd: what the move costs, once.
        payback_hours: hours until the move has paid for itself.
    """

    discount_ratio: float | None = None
    saving_usd_per_hour: float | None = None
    risk_cost_usd_per_hour: float | None = None
    net_usd_per_hour: float | None = None
    migration_usd: float | None = None
    payback_hours: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a policy wants before any gate is asked.

    Attributes:
        action: the action that it wants.
        reason: the rule that said so.
        source: the policy that said so.
        margin: the lead of the learned policy's best action over its second, 0..1 of the spread of
            its values; None where rules decided.
    """

    action: Action
    reason: ProposalReason
    source: ProposalSource = ProposalSource.DETERMINISTIC
    margin: float | None = None

    @property
    def kind(self) -> MoveKind:
        """The kind of move that it is, which says what may refuse it."""
        return kind_of(self.action, self.reason)

    @property
    def is_shift(self) -> bool:
        """Tell whether nodes go from Spot to Spot: a wave of a HOLD, which keeps the ratio."""
        return self.action is Action.HOLD and self.reason.is_shift

    @property
    def is_still(self) -> bool:
        """Tell whether nothing is to move."""
        return self.action is Action.HOLD and not self.reason.is_shift


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """What the controller remembers of one pool between cycles. Times are seconds since the epoch.

    Attributes:
        target_ratio: the Spot ratio that the pool is to reach, 0..1, None before the first
            decision.
        last_wave_at: time of the last wave, None before the first.
        last_decrease_at: time of the last fall back, None before the first.
        last_increase_at: time of the last move towards Spot, None before the first.
        last_action: the action decided last.
        n_failed_returns: falls back that came soon after a return; each doubles the time until the
            next return.
        n_probation: most nodes that the next return may move.
        rules: the owner's rules as stated last.
        fell_from: the Spot ratio before a fall back that is not undone yet, 0..1, None without one.
        last_shift_at: time of the last move from Spot to Spot, None before the first.
        shift_payback_s: time after it in which the nodes that shifts have made have not paid for
            themselves.
    """

    target_ratio: float | None = None
    last_wave_at: float | None = None
    last_decrease_at: float | None = None
    last_increase_at: float | None = None
    last_action: Action = Action.HOLD
    n_failed_returns: int = 0
    n_probation: int = 1
    rules: PoolRules = NO_RULES
    fell_from: float | None = None
    last_shift_at: float | None = None
    shift_payback_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterBudget:
    """What is left for the whole cluster when a pool is decided.

    Attributes:
        n_nodes: nodes of the cluster.
        n_moving: nodes that are on the move, by anybody.
        left: nodes that may still be moved.
    """

    n_nodes: int
    n_moving: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """All that one decision is a function of. A record keeps it, so the decision can be made again.

    Attributes:
        cycle: counts from 1 since start.
        pool: what was read of the pool.
        state: what was remembered of the pool.
        budget: what was left for the whole cluster.
        limits: the bounds and thresholds in force for the pool.
        model_digest: the bundle that scored.
        traceparent: the trace of the cycle, "" without one.
        standing: whether the controller might write.
    """

    cycle: int
    pool: PoolInput
    state: PoolState
    budget: ClusterBudget
    limits: Limits
    model_digest: str
    traceparent: str = ""
    standing: WriteAuthority = NO_AUTHORITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One node that a wave moves, and what capacity its pods are to get."""

    candidate: Candidate
    to: CapacityType


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is decided for one pool in one cycle, and why.

    Attributes:
        decision_id: the decision's own id.
        basis: all that it is a function of.
        proposal: what the policy that decides wanted.
        other: what the policy that does not decide would have proposed.
        action: what remains of the proposal after the gates.
        reason: why, in a word.
        verdicts: the answers of the gates.
        economics: what one more node on Spot would bring.
        target_ratio: the Spot ratio that the pool is to reach, 0..1.
        moves: the wave that carries the action out; none for HOLD, but for a shift.
        savings_usd_per_hour: what the wave saves at list price, negative for a fall back, None
            where a price is unknown.
    """

    decision_id: str
    basis: Basis
    proposal: Proposal
    other: Proposal
    action: Action
    reason: str
    verdicts: tuple[Verdict, ...]
    economics: Economics
    target_ratio: float
    moves: tuple[Move, ...]
    savings_usd_per_hour: float | None

    @property
    def choice(self) -> Choice:
        """What the offerings are expected to cost, and which of them room avoids."""
        return choice_of(self.basis.pool, self.basis.limits)

    @property
    def shift(self) -> Shift | None:
        """What the shift that was proposed is worth, None where none was."""
        return shift_of(self.basis.pool, self.basis.limits) if self.proposal.is_shift else None

    @property
    def hedge_ratio(self) -> float:
        """The most extra room that would be asked for at notices, as a share of what is lost."""
        return hedge_ratio(self.basis.pool.launches, self.basis.limits.max_hedge_ratio)

    @property
    def hedge(self) -> Hedge:
        """What an extra node would cost and spare at notices."""
        return hedge_of(self.basis.pool, self.basis.limits)

    @property
    def cycle(self) -> int:
        """The cycle in which it was made, counted from 1 since start."""
        return self.basis.cycle

    @property
    def at(self) -> float:
        """When it was made, seconds since the epoch."""
        return self.basis.pool.at

    @property
    def pool(self) -> str:
        """The pool's name."""
        return self.basis.pool.pool

    @property
    def input(self) -> PoolInput:
        """What was read of the pool."""
        return self.basis.pool

    @property
    def mode(self) -> Mode:
        """What might be done with it."""
        return self.basis.limits.mode

    @property
    def current_ratio(self) -> float:
        """Where the pool is now."""
        return self.basis.pool.spot_ratio

    @property
    def n_nodes(self) -> int:
        """The size of the wave."""
        return len(self.moves)

    @property
    def agreed(self) -> bool:
        """Tell whether both policies proposed the same action."""
        return self.proposal.action is self.other.action

    @property
    def other_savings_delta_usd_per_hour(self) -> float | None:
        """What the other policy's proposal would save more, at list price; None without prices."""
        saving = self.economics.saving_usd_per_hour
        if saving is None:
            return None
        steps = RATIO_STEP[self.other.action] - RATIO_STEP[self.proposal.action]
        return round(steps * self.input.n_counted * saving, 6)

    @property
    def refused_by(self) -> tuple[GateName, ...]:
        """The gates that refused."""
        return tuple(v.gate for v in self.verdicts if v.outcome is Outcome.REFUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceCall:
    """One request by itself: an anchor renewed or released, a note on a node, a leftover removed.

    Attributes:
        key: the same for the same chore on the same object, so that it is queued once.
        pool: the workload pool.
        call: the request.
        mode: whose actuator carries it out.
        reason: why, for people.
        traceparent: the trace of the cycle, "" without one.
    """

    key: str
    pool: str
    call: Call
    mode: Mode
    reason: str
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is decided and done in one cycle.

    Attributes:
        cycle: counts from 1 since start.
        at: wall time, seconds since the epoch.
        decisions: one for each pool, in the order of the pools.
        orders: new orders, interruptions first by deadline.
        observation: what was decided on.
        traceparent: the trace of the cycle, "" without one.
        resumed: orders that the cluster shows to be in flight.
        maintenance_calls: requests beside the orders.
        calibration: past predictions against what happened.
    """

    cycle: int
    at: float
    decisions: tuple[Decision, ...]
    orders: tuple[DrainOrder, ...]
    observation: Observation
    traceparent: str = ""
    resumed: tuple[DrainOrder, ...] = ()
    maintenance_calls: tuple[MaintenanceCall, ...] = ()
    calibration: Calibration = NO_CALIBRATION


UNSURE_S: Final = 86_400.0
"""How long nothing is moved for its price once what was remembered is lost: a day, for a person to
look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerState:
    """What the router carries from one cycle to the next.

    Attributes:
        pools: what is remembered of each pool, by name.
        unsure_until: wall time until which the controller only protects, because what was
            remembered is lost: `UNSURE_S` after that.
        avoided: by pool, the Spot offerings that the last decision avoids; it lives as long as the
            process.
        hedges: by pool, what an extra node costs and spares at notices; it lives as long, too.
    """

    pools: Mapping[str, PoolState] = field(default_factory=dict)
    unsure_until: float = 0.0
    avoided: Mapping[str, tuple[Offering, ...]] = field(default_factory=dict)
    hedges: Mapping[str, Hedge] = field(default_factory=dict)
