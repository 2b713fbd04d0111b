"""The kinds of move, and what may refuse each: protection outranks doubt.

Comes in: an action with the rule that proposed it. Goes out: the kind of move that it is, the
concerns that bind that kind, and the nodes that it may take. Doubt about prices is a reason not to
buy Spot, and none to keep it. Declares only: what a concern says of a case is said by the gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.types import Action, ProposalReason


class MoveKind(StrEnum):
    """For what a node is moved; records say these names."""

    NONE = "none"
    PRICE = "price"
    RISK = "risk"
    OWNER = "owner"
    SAFETY = "safety"
    EMERGENCY = "emergency"
    UNSUPPORTED = "unsupported"
    INTERRUPTION = "interruption"


class Concern(StrEnum):
    """What a gate asks about."""

    AUTHORITY = "authority"
    FACTS = "facts"
    DISRUPTION = "disruption"
    PACE = "pace"
    MARKET = "market"
    CONFIDENCE = "confidence"
    SCOPE = "scope"


class Reach(StrEnum):
    """Which nodes a kind of move may take, by the scope of the model."""

    INSIDE = "inside"
    OUTSIDE = "outside"
    ALL = "all"

    def takes(self, *, in_scope: bool) -> bool:
        """Tell whether a node is within reach, by whether the model was made for its family."""
        return self is Reach.ALL or (self is Reach.INSIDE) is in_scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What may refuse one kind of move.

    Attributes:
        moves: the moves of the kind, in words.
        concerns: the concerns that bind it; what any other says is recorded, and refuses nothing.
        reach: the nodes that it may take; one outside the model's scope holds by itself.
        terms: the terms of the confidence that count, None where all do.
        notes: what a concern means for this kind alone, in words, by concern.
    """

    moves: str
    concerns: frozenset[Concern]
    reach: Reach
    terms: frozenset[str] | None = None
    notes: Mapping[Concern, str]


RISK_TERMS: Final = frozenset({"scores"})
"""What a risk rests on. The history of losses is in the score itself: a score that the memory gave
counts less. The term `history` is of prices, and so is no reason to stay on Spot."""

_ALL: Final = frozenset(Concern)
_BODY: Final = frozenset({Concern.AUTHORITY, Concern.FACTS, Concern.DISRUPTION})
"""What binds whatever the controller begins by itself."""

BINDINGS: Final[Mapping[MoveKind, Binding]] = {
    MoveKind.NONE: Binding(moves="`HOLD`: nothing moves", concerns=_ALL, reach=Reach.ALL, notes={}),
    MoveKind.PRICE: Binding(
        moves="growth to Spot, a shift to other Spot for its price, and any move for what it costs",
        concerns=_ALL,
        reach=Reach.INSIDE,
        notes={Concern.AUTHORITY: "and for a day after what was remembered is lost"},
    ),
    MoveKind.RISK: Binding(
        moves="a decrease for risk, a shift to other Spot for risk, the evacuation of survivors",
        concerns=_BODY | {Concern.PACE, Concern.CONFIDENCE},
        reach=Reach.INSIDE,
        terms=RISK_TERMS,
        notes={Concern.CONFIDENCE: "only in the scores, never in prices"},
    ),
    MoveKind.OWNER: Binding(
        moves="an owner's word: the cap on Spot, the on-demand floor, the kill switch",
        concerns=_BODY | {Concern.PACE},
        reach=Reach.ALL,
        notes={},
    ),
    MoveKind.SAFETY: Binding(
        moves="a pool leaves Spot as far as one loss would take too much of a workload",
        concerns=_BODY | {Concern.PACE},
        reach=Reach.ALL,
        notes={Concern.DISRUPTION: "and only nodes whose leaving helps; see `pool_safety`"},
    ),
    MoveKind.EMERGENCY: Binding(moves="an emergency", concerns=_BODY, reach=Reach.INSIDE, notes={}),
    MoveKind.UNSUPPORTED: Binding(
        moves="a family outside the model's scope leaves Spot",
        concerns=_BODY | {Concern.SCOPE},
        reach=Reach.OUTSIDE,
        notes={Concern.SCOPE: "unless it is switched on"},
    ),
    MoveKind.INTERRUPTION: Binding(
        moves="a node that will be taken away in any case",
        concerns=frozenset({Concern.AUTHORITY}),
        reach=Reach.ALL,
        notes={
            Concern.AUTHORITY: "but a soft freeze lets it pass",
            Concern.DISRUPTION: "but room is waited for as long as its deadline lets it",
        },
    ),
}
"""The whole table. A kind that is not bound by a concern never waits for it."""


def kind_of(action: Action, reason: ProposalReason) -> MoveKind:
    """Return the kind of move that an action is, by the rule that proposed it.

    A network's EMERGENCY_EXIT is a decrease for risk: it is worth what the scores are that it saw.
    """
    if reason is ProposalReason.SHIFT_FOR_PRICE or reason is ProposalReason.UNUSED_COMMITMENT:
        return MoveKind.PRICE
    if action is Action.HOLD:
        return MoveKind.RISK if reason.is_shift else MoveKind.NONE
    if reason is ProposalReason.ABOVE_MAX_SPOT_RATIO:
        return MoveKind.OWNER
    if reason is ProposalReason.UNSAFE_LOSS:
        return MoveKind.SAFETY
    if reason is ProposalReason.UNSUPPORTED_FAMILY:
        return MoveKind.UNSUPPORTED
    if action is Action.EMERGENCY_EXIT and reason is not ProposalReason.BEST_Q_VALUE:
        return MoveKind.EMERGENCY
    for_price = action.towards_spot or reason is ProposalReason.EXPECTED_LOSS
    return MoveKind.PRICE if for_price else MoveKind.RISK
