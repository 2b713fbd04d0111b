"""What a decision reads of one pool: the reduced input, small enough to be kept with the record.

Comes in: nothing; `reduction` makes it. Goes out: a `PoolInput` of a few KiB at most, however large
the pool is. A decision is a function of this value alone, so a record replays. May not judge:
thresholds live in `policy` and `gates`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.types import Blocker, Offering, Provisioner
from spotvortex.core.pool.owner_rules import NO_RULES, PoolRules

MAX_CANDIDATES: Final = 5
"""Nodes named in a reduced input for each direction; a wave is never larger."""

MAX_OFFERINGS: Final = 12
"""Offerings listed in a reduced input; the sums cover the rest too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingInput:
    """One offering as the decision saw it. Prices in USD/h, None where unknown."""

    offering: Offering
    n_spot: int
    n_on_demand: int
    spot_usd_per_hour: float | None
    on_demand_usd_per_hour: float | None
    capacity_score: float | None
    runtime_score: float | None
    in_scope: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A node that may be moved, with what its move costs.

    `claim` and `node_group` are empty where Karpenter does not own the node. `anchored` is true
    where an anchor of ours keeps it.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Scores of a pool: means weighted by the nodes concerned, and the worst offering.

    None where no offering has a finite score.
    """

    capacity: float | None
    runtime: float | None
    worst: str = ""
    worst_runtime: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Mean prices per node-hour in USD of the nodes concerned, None where unknown.

    `covered_ratio` is the share of those nodes whose spot and on-demand price are both known.
    `too_old_s` is the age in seconds of the oldest spot price that counts as unknown because it is
    too old, None where there is none.
    """

    spot_usd_per_hour: float | None
    on_demand_usd_per_hour: float | None
    covered_ratio: float
    last_resort: bool
    too_old_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSafety:
    """How far the budgets of the pool are from breaking; see `safety`."""

    n_pdbs: int
    known: bool
    margin_pods: int | None
    margin_pdb: str
    margin_zone: str
    safe_to_spot_nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFit:
    """Where the movable nodes of one direction could go, in the words of one NodePool; see `room`.

    `node_group` is "" where none allows what is wanted, or none is served. Of the movable nodes
    `n_placed` may go there by zone and size; `misfit` is the zone, or the size of a pod, for which
    the first of the others may not, "" where there is no other. `*_left` is what its limits leave,
    None where it sets none. A launch may count as much as `launch_*`, 0 where no size is known;
    `sizes_known` is false where it may buy instance types of which no size is known.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolInput:
    """Everything that the decision for one pool depends on, besides our own state and limits.

    `spot_risk` and `spot_money` are of the Spot nodes held, `entry_*` of the Spot that the
    movable on-demand nodes would become. `room_on_demand` is where movable Spot nodes could go,
    `room_spot` where movable on-demand ones could. `confidence_terms` multiply to the confidence.
    `outage_hours` is the mean of what owners say that losing a node costs, for the share
    `outage_said_ratio` of the nodes that they say it for. `startup_s`, `steps_since_move` (of 600
    s) and `price_deviation_usd_per_hour` are read by the learned policy, as are the `q_values`
    that its network gave, one an action, None without a network. `node_vcpu` is the whole vCPU of
    its smallest on-demand node (of any where it has none), 0 where unknown. `n_anchored` counts
    the on-demand nodes that anchors of ours keep; `consolidates` is true where the provisioner
    itself replaces on-demand nodes by cheaper ones. `n_spot_leaving` and `n_on_demand_leaving`
    count nodes on the move, by anybody, or promised to an order of ours; `n_in_flight` are the
    pool's orders under way. `rules` are what its owner asks for.
    """

    pool: str
    at: float
    provisioner: Provisioner
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
        return self.n_counted - self.n_spot_leaving - self.n_on_demand_leaving

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
        return min(self.confidence_terms, key=lambda t: (t[1], t[0]), default=("", 1.0))[0]
