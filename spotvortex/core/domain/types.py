"""The words that every other module uses.

Comes in: nothing. Goes out: enumerations and identities. Times are float seconds since the epoch
(UTC), prices US dollars per hour, ratios 0..1. May not know anything above it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple


class CapacityType(StrEnum):
    """How a node is bought. `reserved` counts as on-demand and is never moved."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"
    RESERVED = "reserved"
    UNKNOWN = "unknown"


class ProvisionerKind(StrEnum):
    """Who creates and removes the nodes of a pool."""

    KARPENTER = "karpenter"
    CLUSTER_AUTOSCALER = "cluster-autoscaler"
    MANAGED_NODE_GROUP = "managed-nodegroup"
    UNKNOWN = "unknown"


class Mode(StrEnum):
    """What the controller may do with a decision, weakest first."""

    SHADOW = "shadow"
    ADVISE = "advise"
    CANARY = "canary"
    ACTIVE = "active"

    @property
    def writes(self) -> bool:
        """Tell whether this mode may change the cluster."""
        return self in (Mode.CANARY, Mode.ACTIVE)


class Freeze(StrEnum):
    """Whether a person has stopped the controller; UNKNOWN, not to be read, stops it too."""

    NONE = "none"
    SOFT = "soft"
    """Undo what is in flight, and move nothing but what is lost anyway."""
    LEAVE = "leave"
    """Undo what is in flight, lost nodes too, and begin nothing: the controller is uninstalled."""
    HARD = "hard"
    """Write nothing at once."""
    UNKNOWN = "unknown"

    @property
    def undoes(self) -> bool:
        """Tell whether planned moves that are in flight are undone."""
        return self in (Freeze.SOFT, Freeze.LEAVE)

    @property
    def lets_losses_pass(self) -> bool:
        """Tell whether a node that is lost anyway is emptied all the same."""
        return self in (Freeze.NONE, Freeze.SOFT)


class Action(StrEnum):
    """The six answers, in the order of the model's `q_values` columns."""

    HOLD = "HOLD"
    DECREASE_10 = "DECREASE_10"
    DECREASE_30 = "DECREASE_30"
    INCREASE_10 = "INCREASE_10"
    INCREASE_30 = "INCREASE_30"
    EMERGENCY_EXIT = "EMERGENCY_EXIT"

    @property
    def towards_spot(self) -> bool:
        """Tell whether the action asks for more Spot."""
        return self in (Action.INCREASE_10, Action.INCREASE_30)

    @property
    def away_from_spot(self) -> bool:
        """Tell whether the action asks for less Spot."""
        return self in (Action.DECREASE_10, Action.DECREASE_30, Action.EMERGENCY_EXIT)


MIN_PRICE_USD_PER_HOUR: Final = 1e-9
MAX_PRICE_USD_PER_HOUR: Final = 1e6
"""A figure outside these bounds is an error of its source, not a price."""

RATIO_STEP: Final[dict[Action, float]] = {
    Action.HOLD: 0.0,
    Action.DECREASE_10: -0.10,
    Action.DECREASE_30: -0.30,
    Action.INCREASE_10: 0.10,
    Action.INCREASE_30: 0.30,
    Action.EMERGENCY_EXIT: -1.0,
}
"""Change of the target spot ratio in points of ratio; EMERGENCY_EXIT means a target of 0."""


class PolicyMode(StrEnum):
    """Which of the two policies decides; the other one is recorded beside it."""

    DETERMINISTIC = "deterministic"
    RL = "rl"


class Predictor(StrEnum):
    """Who says how likely a loss is: one of them decides, the others are asked beside it."""

    MEMORY = "memory"
    GRAPH = "graph"
    NETWORK = "network"


class Fallback(StrEnum):
    """Why the interruption memory answers where a bundle's graph was to decide."""

    NONE = ""
    ABSTAINED = "abstained"
    DRIFTED = "drifted"


class ProposalSource(StrEnum):
    """Who proposes: one of the two policies, or a person who asks what would be."""

    DETERMINISTIC = "deterministic"
    RL = "rl"
    PERSON = "person"


class ProposalReason(StrEnum):
    """The rule that led to a proposal, as records and metrics say it."""

    EMPTY_POOL = "empty_pool"
    UNSUPPORTED_FAMILY = "unsupported_family"
    EMERGENCY_RISK = "emergency_risk"
    HIGH_RISK = "high_risk"
    MEDIUM_RISK = "medium_risk"
    EXPECTED_LOSS = "expected_loss"
    RISK_OUTWEIGHS_PRICE = "risk_outweighs_price"
    UNUSED_COMMITMENT = "unused_commitment"
    EVACUATE_SURVIVORS = "evacuate_survivors"
    SHIFT_FOR_RISK = "shift_for_risk"
    SHIFT_FOR_PRICE = "shift_for_price"
    ABOVE_MAX_SPOT_RATIO = "above_max_spot_ratio"
    UNSAFE_LOSS = "unsafe_loss"
    ALL_SPOT_ALREADY = "all_spot_already"
    AT_MAX_SPOT_RATIO = "at_max_spot_ratio"
    POOL_ALLOWS_NO_SPOT = "pool_allows_no_spot"
    NOTHING_MOVABLE = "nothing_movable"
    NO_SCORE = "no_score"
    ENTRY_RISK = "entry_risk"
    ECONOMIC_INCREASE = "economic_increase"
    PRICE_UNKNOWN = "price_unknown"
    PRICE_STALE = "price_stale"
    DISCOUNT_TOO_SMALL = "discount_too_small"
    NO_EXPECTED_GAIN = "no_expected_gain"
    NO_OFFERING_LEFT = "no_offering_left"
    PAYBACK_TOO_LONG = "payback_too_long"
    COVERED_BY_COMMITMENT = "covered_by_commitment"
    NO_Q_VALUES = "no_q_values"
    BEST_Q_VALUE = "best_q_value"
    ASKED = "asked"

    @property
    def is_shift(self) -> bool:
        """Tell whether it moves nodes from Spot to Spot, while the ratio is held."""
        return self in _SHIFTS


_SHIFTS: Final = frozenset(
    {
        ProposalReason.EVACUATE_SURVIVORS,
        ProposalReason.SHIFT_FOR_RISK,
        ProposalReason.SHIFT_FOR_PRICE,
    }
)


class Outcome(StrEnum):
    """What a gate answers."""

    ALLOW = "allow"
    REFUSE = "refuse"
    AT_MOST = "at-most"
    NOT_EVALUATED = "not-evaluated"


class GateName(StrEnum):
    """Every gate in the order in which records list them; records and metrics say these names."""

    LEASE = "lease"
    INPUT_FRESHNESS = "input_freshness"
    MODEL_SCOPE = "model_scope"
    CONFIDENCE = "confidence"
    MARKET = "market"
    OUT_OF_DISTRIBUTION = "out_of_distribution"
    POOL_SAFETY = "pool_safety"
    ON_DEMAND_FLOOR = "on_demand_floor"
    FIT = "fit"
    BUDGETS = "budgets"
    UTILISATION_HEADROOM = "utilisation_headroom"
    COOLDOWN = "cooldown"
    DO_NOT_DISRUPT = "do_not_disrupt"
    FREEZE = "freeze"
    MODE = "mode"


class Blocker(StrEnum):
    """Why a pod, and so its node, cannot be moved, or only within limits."""

    BARE_POD = "bare-pod"
    DO_NOT_DISRUPT = "do-not-disrupt"
    SINGLE_REPLICA = "single-replica"
    PDB_ALLOWS_ZERO = "pdb-allows-0"
    TWO_PDBS = "two-pdbs"
    LOCAL_STORAGE = "local-storage"
    VOLUME = "volume"
    PINNED_ON_DEMAND = "pinned-on-demand"
    PINNED_SPOT = "pinned-spot"


HARD_BLOCKERS: Final[frozenset[Blocker]] = frozenset(
    {
        Blocker.BARE_POD,
        Blocker.DO_NOT_DISRUPT,
        Blocker.PDB_ALLOWS_ZERO,
        Blocker.TWO_PDBS,
        Blocker.LOCAL_STORAGE,
        Blocker.SINGLE_REPLICA,
    }
)
"""Blockers for which no voluntary move of the node is planned."""


class Offering(NamedTuple):
    """One (instance type, zone) that can be bought; its spot side has a price and a risk.

    A tuple, since every price, score and node is looked up by one: the interpreter hashes and
    orders tuples without running a line of Python.
    """

    instance_type: str
    zone: str

    def __str__(self) -> str:
        return f"{self.instance_type}/{self.zone}"

    @classmethod
    def parse(cls, text: str) -> Offering | None:
        """Read what `str` gives of an offering; None where the text names none."""
        instance_type, slash, zone = text.partition("/")
        return cls(instance_type=instance_type, zone=zone) if slash else None

    @staticmethod
    def each_once(offerings: Iterable[Offering]) -> set[Offering]:
        """Return each once. Those of thousands of nodes are few objects, told apart by that."""
        return set({id(offering): offering for offering in offerings}.values())

    @property
    def family(self) -> str:
        """The instance family: `m6i` of `m6i.2xlarge`."""
        return self.instance_type.partition(".")[0]


def whole(value: float) -> int:
    """Round down to a whole number; what is a whole number but for rounding counts as it."""
    return math.floor(value + 1e-9)


def disrupted_at_most(n_nodes: int, ratio: float) -> int:
    """Return how many of some nodes may be on the move: a share of them, at least one."""
    return max(1, whole(n_nodes * ratio))


def short(value: float) -> float:
    """Round to six decimals: more than any figure here is worth, and it keeps records short."""
    return round(value, 6)


def short_digest(text: str) -> str:
    """Return 16 hexadecimal digits by which a text is known; the first of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_price(value: float) -> bool:
    """Tell whether a figure can be a price in USD per hour; if not, its source is in error.

    The dearest instance type costs some hundred dollars an hour.
    """
    return MIN_PRICE_USD_PER_HOUR <= value <= MAX_PRICE_USD_PER_HOUR
