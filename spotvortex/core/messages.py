"""What travels between the tasks, in the order of the road.

Comes in: values of the rooms below. Goes out: `Assessment`, `Plan`, `DrainOrder`, `DrainResult`
and what they are made of. Every message carries the trace context of its cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from spotvortex.core.features import OfferingScore
from spotvortex.core.observation import Observation
from spotvortex.core.pools import PoolInput
from spotvortex.core.types import Action, CapacityType, Mode, Offering, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """An observation with its scores. `model_digest` names the bundle that made them."""

    observation: Observation
    scores: Mapping[Offering, OfferingScore]
    model_digest: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One gate's answer: `limit` is the most nodes that it lets through, None for no bound.

    `numbers` are what it compared, by name, so that the reason can be checked.
    """

    gate: str
    outcome: Outcome
    reason: str
    limit: int | None = None
    numbers: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """One more node on Spot, in US dollars; None where a price is unknown.

    `saving` is on-demand minus spot; `risk_cost` is the hazard times what an interruption costs;
    `net` is the difference, all per node-hour. `migration` is paid once.
    """

    discount_ratio: float | None = None
    saving_usd_per_hour: float | None = None
    risk_cost_usd_per_hour: float | None = None
    net_usd_per_hour: float | None = None
    migration_usd: float | None = None
    payback_hours: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a policy wants before any gate is asked, and the rule that said so."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One node that a wave moves to another capacity type."""

    node: str
    uid: str
    from_offering: Offering
    to: CapacityType


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is decided for one pool in one cycle, and why.

    `action` is what remains of the proposal after the gates; `n_nodes` is the size of the wave
    that carries it out (0 for HOLD); `target_ratio` is where the pool is to go.
    """

    decision_id: str
    cycle: int
    at: float
    pool: str
    mode: Mode
    input: PoolInput
    proposal: Proposal
    action: Action
    reason: str
    verdicts: tuple[Verdict, ...]
    economics: Economics
    current_ratio: float
    target_ratio: float
    n_nodes: int
    moves: tuple[Move, ...]
    savings_usd_per_hour: float | None
    model_digest: str
    traceparent: str = ""

    @property
    def refused_by(self) -> tuple[str, ...]:
        """The gates that refused."""
        return tuple(v.gate for v in self.verdicts if v.outcome is Outcome.REFUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainOrder:
    """One node to move: ask for its replacement, wait for it, then drain.

    `deadline` is wall time; what is not done by then is undone.
    """

    plan_id: str
    pool: str
    node: str
    uid: str
    node_claim: str
    node_pool: str
    to: CapacityType
    reason: str
    deadline: float
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decisions of one cycle, one a pool in the pools' order, and the nodes to move."""

    cycle: int
    at: float
    decisions: tuple[Decision, ...]
    orders: tuple[DrainOrder, ...]
    observation: Observation
    traceparent: str = ""


class DrainEnd(StrEnum):
    """How a drain ended."""

    DONE = "done"
    GONE = "gone"
    NO_REPLACEMENT = "no-replacement"
    ABORTED = "aborted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainResult:
    """What became of one order: how it ended, why, and how many requests it took."""

    order: DrainOrder
    end: DrainEnd
    reason: str
    at: float
    n_calls: int
    n_evicted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """What we remember of one pool between cycles. Times are seconds since the epoch."""

    target_ratio: float | None = None
    last_wave_at: float | None = None
    last_decrease_at: float | None = None
    last_action: Action = Action.HOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerState:
    """What the router carries from one cycle to the next."""

    pools: Mapping[str, PoolState] = field(default_factory=dict)
