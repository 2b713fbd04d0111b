"""What a decision reads of one pool: the reduced input, small enough to keep with the record.

Comes in: nothing; `reduction` makes it. Goes out: a `PoolInput` of a few KiB at most, however large
the pool is. A decision is a function of this value alone, so a record replays. May not judge:
thresholds live in `policy` and `gates`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.cloud.commitments import CommitmentState
from spotvortex.core.domain.cloud.signals import OfferingSignal
from spotvortex.core.domain.types import Blocker, Offering, ProvisionerKind
from spotvortex.core.drain.hedge import UNKNOWN_SPREAD, LaunchSpread
from spotvortex.core.pool.owner_rules import NO_RULES, PoolRules
from spotvortex.core.pool.survival.loss_safety import LossSafety
from spotvortex.core.pool.survival.safety_vector import SafetyVector
from spotvortex.core.pool.usage import UNMEASURED, PoolUsage

MAX_CANDIDATES: Final = 20
"""Nodes named in a reduced input for each direction; a wave is never larger."""

FEW_CANDIDATES: Final = 5
"""Nodes named of a pool of which no more may be on the move at once."""

MAX_COMMITMENTS_NAMED: Final = 3
"""Commitments named in a reduced input."""

MAX_AVOIDED: Final = 8
"""Spot offerings that room is asked to avoid; the journal of an order has them."""

MAX_SHIFT_AVOIDED: Final = 16
"""The same of a shift: what it leaves, and what is not worth the move."""

MAX_IDLE_NODES: Final = 99.0
"""Nodes beyond which nobody counts what commitments would pay for."""

MAX_OTHERS: Final = 6
"""Offerings that a pool may use and does not hold, listed in a reduced input."""

MAX_OFFERINGS: Final = 12
"""Offerings listed in a reduced input; the sums cover the rest too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingInput:
    """One offering as the decision saw it. Prices in USD/h, None where unknown.

    Attributes:
        offering: the instance type and zone.
        n_spot: Spot nodes of the pool.
        n_on_demand: all other nodes of the pool.
        spot_usd_per_hour: the Spot price.
        on_demand_usd_per_hour: the on-demand price.
        capacity_score: probability that a launch fails or the offering is lost within 60 min, None
            without a score.
        runtime_score: probability that a running node is interrupted within 120 min, None without a
            score.
        in_scope: the model was made for the instance family; true where nothing is known.
        risk_factor: by which a rebalance recommendation has raised the hazard, 1 without one.
        price_source: where the prices come from, "" where nobody has any.
        held_hours: hours for which the cluster has held it without a break, 0 where it does not,
            None where nothing is known of its ages.
        lost_hours: hours since the cluster's own last loss there, None where none was seen.
        is_survivor: that loss left some of the nodes.
        refused_hours: hours since a launch there was last seen to fail, None where none was.
        from_memory: the interruption memory gave the scores.
        idle_nodes: on-demand nodes of its type that commitments nothing uses would pay for, in
            shares of a node, at most `MAX_IDLE_NODES`.
    """

    offering: Offering
    n_spot: int
    n_on_demand: int
    spot_usd_per_hour: float | None
    on_demand_usd_per_hour: float | None
    capacity_score: float | None
    runtime_score: float | None
    in_scope: bool
    risk_factor: float = 1.0
    price_source: str = ""
    held_hours: float | None = None
    lost_hours: float | None = None
    is_survivor: bool = False
    refused_hours: float | None = None
    from_memory: bool = False
    idle_nodes: float = 0.0

    def __hash__(self) -> int:
        """Tell offerings apart by what changes most: choices among the same are looked up often."""
        return hash((self.offering, self.runtime_score, self.spot_usd_per_hour))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A node that may be moved, with what its move costs.

    Attributes:
        node: the node's name.
        uid: the node's uid.
        claim: by what name its provisioner releases it, "" where nobody does.
        node_group: the group of nodes that it belongs to, "" of none.
        offering: its instance type and zone.
        n_pods: pods that its drain would move.
        workload_cpu_milli: their CPU requests, in thousandths of a core.
        workload_memory_bytes: their memory requests.
        anchored: an anchor of the controller keeps it.
        sides: the groups of its pool that may take its pods, the one to try first first.
        in_scope: the model was made for its family; true where nothing is known.
        age_s: how long it has existed, in whole seconds, 0 where that is not known.
    """

    node: str
    uid: str
    claim: str
    node_group: str
    offering: Offering
    n_pods: int
    workload_cpu_milli: int
    workload_memory_bytes: int
    anchored: bool = False
    sides: tuple[str, ...] = ()
    in_scope: bool = True
    age_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Scores of the nodes concerned, 0..1; None where no offering has a finite score.

    Attributes:
        capacity: mean capacity score, weighted by nodes.
        runtime: mean runtime score, weighted by nodes.
        worst: the offering with the highest runtime score, "type/zone", "" of none.
        worst_runtime: that score.
    """

    capacity: float | None
    runtime: float | None
    worst: str = ""
    worst_runtime: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Mean prices per node-hour in USD of the nodes concerned, None where unknown.

    Attributes:
        spot_usd_per_hour: mean Spot price.
        on_demand_usd_per_hour: mean on-demand price.
        covered_ratio: share of those nodes whose Spot and on-demand price are both known, 0..1.
        last_resort: a price is from the table that ships with the product.
        too_old_s: age in seconds of the oldest Spot price that counts as unknown because it is too
            old, None where there is none.
        marginal_usd_per_hour: mean of what one on-demand node-hour less would save, None where no
            commitment covers any of those nodes: then it is the on-demand price.
    """

    spot_usd_per_hour: float | None
    on_demand_usd_per_hour: float | None
    covered_ratio: float
    last_resort: bool
    too_old_s: float | None = None
    marginal_usd_per_hour: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentCover:
    """What commitments (Savings Plans, reserved instances) pay for in a pool; see `coverage`.

    Attributes:
        state: whether they are stated.
        n_covered: on-demand and reserved nodes that they pay for, as the sum of shares.
        n_kept: movable on-demand nodes that stay because a commitment pays for them.
        by: the names of those commitments, sorted, at most `MAX_COMMITMENTS_NAMED`.
        unused_usd_per_hour: what all commitments of the account cost that nothing uses, USD/h.
    """

    state: CommitmentState = CommitmentState.UNSTATED
    n_covered: float = 0.0
    n_kept: int = 0
    by: tuple[str, ...] = ()
    unused_usd_per_hour: float = 0.0

    @property
    def is_stated(self) -> bool:
        """Tell whether the figures are of a statement that could be read."""
        return self.state is CommitmentState.STATED


NO_COVER: Final = CommitmentCover()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFit:
    """Where the movable nodes of one direction could go: one NodePool; see `group_fit`.

    Attributes:
        node_group: the NodePool's name, "" where none allows what is wanted, or none is served.
        n_placed: movable nodes that may go there by zone and size.
        misfit: the zone, or the size of a pod, for which the first of the others may not, "" where
            there is no other.
        cpu_left_milli: what its CPU limit leaves, None where it sets none.
        memory_left_mib: what its memory limit leaves, None where it sets none.
        nodes_left: what its limit of nodes leaves, None where it sets none.
        launch_cpu_milli: most CPU that one launch may count as, 0 where no size is known.
        launch_memory_mib: most memory that one launch may count as, 0 where no size is known.
        sizes_known: false where it may buy instance types of which no size is known.
        no_driver: who makes the nodes that would move, where no driver moves those, or, in words,
            why the driver of their groups must not; "" where one may.
    """

    node_group: str = ""
    n_placed: int = 0
    misfit: str = ""
    cpu_left_milli: int | None = None
    memory_left_mib: int | None = None
    nodes_left: int | None = None
    launch_cpu_milli: int = 0
    launch_memory_mib: int = 0
    sizes_known: bool = False
    no_driver: str = ""


def limiting(terms: Iterable[tuple[str, float]]) -> str:
    """Return the name of the smallest confidence term, the first of equals; "" of none."""
    return min(terms, key=lambda t: t[::-1], default=("",))[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolInput:
    """All that the decision for one pool depends on, besides the controller's state and limits.

    `spot_*` figures are of the Spot nodes held, `entry_*` of the Spot that the movable on-demand
    nodes would become. The learned policy reads `startup_s`, `steps_since_move`,
    `price_deviation_usd_per_hour` and `q_values`.

    Attributes:
        pool: the pool's name.
        at: wall time of the observation.
        provisioner: who creates and removes its nodes.
        n_spot: Spot nodes.
        n_on_demand: on-demand nodes.
        n_reserved: reserved nodes.
        n_unknown: nodes of unknown capacity type.
        n_spot_out_of_scope: Spot nodes of families that the model was not made for.
        n_moving: nodes that are cordoned or on the move, by anybody.
        n_not_ready: nodes that are not Ready.
        allows_spot: the pool can have Spot.
        allows_on_demand: the pool can have on-demand.
        cpu_requested_ratio: CPU requested / allocatable of usable nodes, None where none reports
            any.
        memory_requested_ratio: the same of memory.
        offerings: its offerings, the largest first, at most `MAX_OFFERINGS`.
        n_offerings: how many it has.
        spot_risk: scores of the Spot nodes.
        entry_risk: scores of the offerings of movable on-demand nodes in scope.
        spot_money: prices of the Spot nodes.
        entry_money: prices of the offerings of those nodes.
        safety: how far the budgets are from breaking.
        to_on_demand: Spot nodes that may move, the first to move first: as many as the pool's
            budget lets move at once, from `FEW_CANDIDATES` to `MAX_CANDIDATES`.
        to_spot: on-demand nodes in the model's scope that may move, likewise.
        n_spot_movable: Spot nodes that may move.
        n_on_demand_movable: on-demand nodes in the model's scope that may move.
        room_on_demand: where movable Spot nodes could go.
        room_spot: where movable on-demand nodes could go.
        blocked: number of nodes by what holds them.
        unsupported: families that the model was not made for, sorted.
        out_of_range: offerings in scope outside the training range, at most `FEW_CANDIDATES`.
        outage_hours: mean of what owners say that losing a node costs, in hours, None where none
            says.
        outage_said_ratio: share of the nodes that they say it for, 0..1.
        startup_s: longest start that an owner states, in seconds, 60 where none does.
        steps_since_move: age of the youngest node, in steps of 600 s.
        price_deviation_usd_per_hour: sample deviation of the last prices of the commonest offering.
        oldest_input_s: age of the oldest required input, in seconds, infinite where there is none.
        bad_inputs: required inputs that are stale or cannot be read, sorted.
        confidence_terms: factors of the confidence in what is in scope, by name, each 0..1.
        q_values: what the policy network gave for each action, None without a network.
        node_vcpu: whole vCPU of the smallest on-demand node (of any where it has none), 0 where
            unknown.
        n_anchored: on-demand nodes that the controller's anchors keep.
        n_spot_leaving: Spot nodes on the move, by anybody, or promised to an order of the
            controller.
        n_on_demand_leaving: on-demand and reserved nodes likewise.
        n_in_flight: orders of the pool that are under way.
        consolidates: the provisioner itself replaces on-demand nodes by cheaper ones.
        rules: what its owner asks for.
        n_spot_outside: Spot nodes outside the model's scope that nobody is taking away.
        vector: how well the pool would stand a loss, None without pods.
        commitments: what commitments pay for in the pool.
        others: Spot offerings that it may use and holds no node of, at most `MAX_OTHERS`.
        usage: what its nodes really use.
        signals: what AWS says of its offerings, of those of which it says anything; already in
            their scores.
        to_shift: Spot nodes that may move to other Spot, at most `MAX_CANDIDATES`: of an offering
            the old ones first.
        room_shift: where they could go, None where nobody has asked.
        n_shift_safe: how many of them, from the first on, find a place and leave no workload with
            fewer pods after a loss, wherever they land.
        launches: what is known of launches for the room that the controller asks for.
    """

    pool: str
    at: float
    provisioner: ProvisionerKind
    n_spot: int
    n_on_demand: int
    n_reserved: int
    n_unknown: int
    n_spot_out_of_scope: int
    n_moving: int
    n_not_ready: int
    allows_spot: bool
    allows_on_demand: bool
    cpu_requested_ratio: float | None
    memory_requested_ratio: float | None
    offerings: tuple[OfferingInput, ...]
    n_offerings: int
    spot_risk: Risk
    entry_risk: Risk
    spot_money: Money
    entry_money: Money
    safety: LossSafety
    to_on_demand: tuple[Candidate, ...]
    to_spot: tuple[Candidate, ...]
    n_spot_movable: int
    n_on_demand_movable: int
    room_on_demand: GroupFit
    room_spot: GroupFit
    blocked: tuple[tuple[Blocker, int], ...]
    unsupported: tuple[str, ...]
    out_of_range: tuple[str, ...]
    outage_hours: float | None
    outage_said_ratio: float
    startup_s: float
    steps_since_move: float
    price_deviation_usd_per_hour: float
    oldest_input_s: float
    bad_inputs: tuple[str, ...]
    confidence_terms: tuple[tuple[str, float], ...]
    q_values: tuple[float, ...] | None = None
    node_vcpu: int = 0
    n_anchored: int = 0
    n_spot_leaving: int = 0
    n_on_demand_leaving: int = 0
    n_in_flight: int = 0
    consolidates: bool = False
    rules: PoolRules = NO_RULES
    n_spot_outside: int = 0
    vector: SafetyVector | None = None
    commitments: CommitmentCover = NO_COVER
    others: tuple[OfferingInput, ...] = ()
    usage: PoolUsage = UNMEASURED
    signals: tuple[OfferingSignal, ...] = ()
    to_shift: tuple[Candidate, ...] = ()
    room_shift: GroupFit | None = None
    n_shift_safe: int = 0
    launches: LaunchSpread = UNKNOWN_SPREAD

    @property
    def cpu_utilisation_ratio(self) -> float | None:
        """CPU in use / allocatable as far as it is known: what is measured, else requests."""
        return self.usage.cpu_ratio if self.usage.is_measured else self.cpu_requested_ratio

    @property
    def n_counted(self) -> int:
        """Nodes that the ratio counts: Spot, on-demand and reserved."""
        return self.n_spot + self.n_on_demand + self.n_reserved

    @property
    def n_spot_staying(self) -> int:
        """Spot nodes that nobody is taking away."""
        return self.n_spot - self.n_spot_leaving

    @property
    def n_staying(self) -> int:
        """Nodes that the ratio counts and that nobody is taking away."""
        return self.n_counted - self.n_leaving

    @property
    def n_leaving(self) -> int:
        """Nodes that are there still, and that the ratio no longer counts."""
        return self.n_spot_leaving + self.n_on_demand_leaving

    @property
    def spot_ratio(self) -> float:
        """Spot nodes / all nodes of the pool, of those that stay; 0 where none does.

        IMPORTANT: a node on its way out counts on neither side. Otherwise a wave would be asked for
        again while its nodes are still there beside their replacements.
        """
        return self.n_spot_staying / self.n_staying if self.n_staying else 0.0

    @property
    def confidence(self) -> float:
        """Product of the terms, 0..1."""
        return math.prod(value for _, value in self.confidence_terms)

    @property
    def limiting_term(self) -> str:
        """The name of the smallest confidence term, "" where there is none."""
        return limiting(self.confidence_terms)
