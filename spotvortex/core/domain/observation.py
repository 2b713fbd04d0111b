"""One immutable instant of cluster and market, with the age of every input.

Comes in: rows made by the edges (`kube`, a market, the simulated world). Goes out: the same rows,
grouped; `core.pool.reduction` makes of them what the decisions read. May not judge anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

from spotvortex.core.domain.notices import Notice
from spotvortex.core.domain.types import Blocker, CapacityType, Freeze, Offering, Provisioner


class InputState(StrEnum):
    """Whether an input can be had at all; its age is told apart from that."""

    OK = "ok"
    STALE = "stale"
    ABSENT = "absent"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputHealth:
    """How far one input may be trusted now.

    `age_s` is the time since the input was last confirmed by its source, infinite if never.
    `detail` says in words what is missing and how to mend it.
    """

    name: str
    state: InputState
    age_s: float
    required: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedWorkload:
    """A workload with pods on one node that cannot be moved freely, and why."""

    blocker: Blocker
    workload: str
    """`namespace/Kind/name` of the owner, or of the pod where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLoad:
    """Sums over the pods of one node. Finished pods do not count.

    `n_workload_pods` leaves out DaemonSet and mirror pods; `cpu_milli` and `memory_bytes` are
    requests of all pods; the `workload_*` ones are requests of the pods that a drain would move.
    `outage_hours` and `startup_s` are the largest that an owner of such a pod has stated, None
    where none has. `largest_*` are the largest requests of one such pod, each by itself.
    """

    n_pods: int = 0
    n_workload_pods: int = 0
    cpu_milli: int = 0
    memory_bytes: int = 0
    workload_cpu_milli: int = 0
    workload_memory_bytes: int = 0
    largest_cpu_milli: int = 0
    largest_memory_bytes: int = 0
    outage_hours: float | None = None
    startup_s: float | None = None
    blocked: tuple[BlockedWorkload, ...] = ()


EMPTY_LOAD = NodeLoad()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFact:
    """One node as the API server shows it.

    `moving` is true where somebody is already taking the node away: it is being deleted, or it
    carries a disruption taint of Karpenter, Cluster Autoscaler or the node lifecycle controller.
    `cordoned` is `spec.unschedulable`. `claim` is empty where Karpenter does not own it.
    `mark` is the journal that we left on it, `labelled` whether it has our label of cordoned nodes,
    `at_risk` our note of a rebalance recommendation; each as it stands there.
    """

    name: str
    uid: str
    pool: str
    provisioner: Provisioner
    offering: Offering
    capacity_type: CapacityType
    created_at: float
    ready: bool = True
    cordoned: bool = False
    moving: bool = False
    do_not_disrupt: bool = False
    node_group: str = ""
    claim: str = ""
    provider_id: str = ""
    resource_version: str = ""
    allocatable_cpu_milli: int = 0
    allocatable_memory_bytes: int = 0
    load: NodeLoad = EMPTY_LOAD
    mark: str = ""
    labelled: bool = False
    at_risk: str = ""

    @property
    def leaving(self) -> bool:
        """Tell whether its pods may soon be elsewhere: it is cordoned, or somebody moves it."""
        return self.cordoned or self.moving


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotShare:
    """The Ready pods of one budget on the Spot nodes of one offering, over the whole cluster.

    `n_leaving` of the pods are on nodes that are on the move.
    """

    offering: Offering
    n_nodes: int
    n_pods: int
    n_leaving: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PdbFact:
    """One PodDisruptionBudget with where its pods run, over the whole cluster.

    `desired_healthy`, `current_healthy`, `expected_pods` and `disruptions_allowed` are the API
    server's own figures; `observed` is false while they are of an older version of the budget.
    `terms` is what the budget asks for in words. `healthy_by_node` counts Ready pods that the
    selector matches, by node name; `free_by_node` those of them that the budget holds nowhere,
    since a drain leaves them (DaemonSet and mirror pods) or their phase is Pending;
    `unready_by_node` the running pods that are not Ready and that a drain would evict.
    `n_leaving` of the Ready pods, on Spot or not, are on nodes that are on the move.
    `spot_by_offering` is sorted by offering, `pools` are those where any pod of it is, by name.
    """

    namespace: str
    name: str
    workload: str
    desired_healthy: int
    disruptions_allowed: int
    current_healthy: int = 0
    expected_pods: int = 0
    observed: bool = True
    evicts_unhealthy: bool = False
    terms: str = ""
    healthy_by_node: tuple[tuple[str, int], ...] = ()
    free_by_node: tuple[tuple[str, int], ...] = ()
    unready_by_node: tuple[tuple[str, int], ...] = ()
    n_leaving: int = 0
    spot_by_offering: tuple[SpotShare, ...] = ()
    pools: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def healthy(self) -> int:
        """Ready pods that the budget covers."""
        return sum([n for _, n in self.healthy_by_node])


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroupFact:
    """A group of nodes that a provisioner grows, as of Karpenter a NodePool, and what it allows.

    Lists are empty where the group says nothing.

    Attributes:
        name: by which its nodes name it.
        pool: the workload pool that it serves.
        capacity_types: how its nodes may be bought.
        instance_types: the types that it may launch.
        zones: where it may launch them.
        consolidation: the policy under which nodes are replaced, "" where none ever is.
        weight: of two groups that fit, the heavier is tried first.
        rules: the owner's annotations for SpotVortex, name and value, sorted by name.
        max_cpu_milli: the largest node that its requirements leave, None where they name no size.
        max_memory_bytes: the same of memory.
        cpu_left_milli: what its limits leave, never negative, None where it sets no such limit.
        memory_left_bytes: the same of memory.
        nodes_left: the same of nodes.
    """

    name: str
    pool: str
    capacity_types: tuple[CapacityType, ...] = ()
    instance_types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    consolidation: str = ""
    weight: int = 0
    rules: tuple[tuple[str, str], ...] = ()
    max_cpu_milli: int | None = None
    max_memory_bytes: int | None = None
    cpu_left_milli: int | None = None
    memory_left_bytes: int | None = None
    nodes_left: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """The nodes of one pool and the budgets whose pods run there, sorted by name."""

    name: str
    provisioner: Provisioner
    nodes: tuple[NodeFact, ...]
    pdbs: tuple[PdbFact, ...] = ()
    node_groups: tuple[NodeGroupFact, ...] = ()


class OwnKind(StrEnum):
    """The two kinds of pods that we put into a cluster."""

    PLACEHOLDER = "placeholder"
    ANCHOR = "anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPod:
    """One pod of ours.

    `for_uid` is the uid of the node that is emptied or kept, `node` where the pod itself is bound,
    "" where it waits. `ends_at` is when it expires by itself, counted from its start, or from its
    creation while it has not started. `order` is the order's journal of a placeholder,
    `pending_reason` the scheduler's word on one that it could not place.
    """

    name: str
    kind: OwnKind
    plan_id: str
    for_uid: str
    node: str
    ends_at: float
    order: str = ""
    finished: bool = False
    terminating: bool = False
    pending_reason: str = ""


MAX_LEFT_IN_ORDER: Final = 5000
"""Nodes that are gone and still told of: more than the largest cluster loses in a tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """The cluster at one instant.

    `unpooled` nodes belong to no pool and are never moved; `unpooled_pdbs` have pods on them.
    `left_in_order` are nodes that are gone and that were `leaving` as they were last seen, by uid;
    the latest `MAX_LEFT_IN_ORDER` of them. A snapshot in between need not have shown them so.
    """

    pools: tuple[PoolFacts, ...]
    unpooled: tuple[NodeFact, ...] = ()
    unpooled_pdbs: tuple[PdbFact, ...] = ()
    inputs: tuple[InputHealth, ...] = ()
    n_pods: int = 0
    n_pdbs: int = 0
    own_pods: tuple[OwnPod, ...] = ()
    left_in_order: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[NodeFact, ...]:
        """Every node, those of no pool last."""
        return (*(node for pool in self.pools for node in pool.nodes), *self.unpooled)

    @property
    def pdbs(self) -> tuple[PdbFact, ...]:
        """Every budget that has pods on a node, once, sorted by key."""
        by_key = {pdb.key: pdb for pool in self.pools for pdb in pool.pdbs}
        by_key.update((pdb.key, pdb) for pdb in self.unpooled_pdbs)
        return tuple(by_key[key] for key in sorted(by_key))

    @property
    def offerings(self) -> tuple[Offering, ...]:
        """The offerings that the cluster holds, each once, sorted."""
        return tuple(sorted({node.offering for node in self.nodes}))


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteAuthority:
    """Whether we may write at all at this instant.

    `leader` while we hold the lease. `unsure` while what was remembered is lost, so that we only
    advise. `own_node` is the node that we run on, "" where that is not known.
    """

    RECORDED_AS_ROW: ClassVar = True

    leader: bool = False
    freeze: Freeze = Freeze.NONE
    unsure: bool = False
    own_node: str = ""


NO_AUTHORITY: Final = WriteAuthority()
"""What we have where nothing is ever written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotQuote:
    """What is known of the price of one offering at one instant.

    `history_usd_per_hour` holds time-weighted means on a regular grid of `step_s` seconds, oldest
    first, only for the time really covered by records: its length is the number of true points.
    A price of None is unknown, never zero. `age_s` is the time since the last record, infinite
    without one; no price but a finite age means that the record is too old to be used. `source`
    names the provider, `last_resort` marks figures from the table that ships with the product.
    """

    offering: Offering
    spot_usd_per_hour: float | None = None
    on_demand_usd_per_hour: float | None = None
    history_usd_per_hour: tuple[float, ...] = ()
    step_s: float = 600.0
    age_s: float = float("inf")
    source: str = "none"
    last_resort: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFacts:
    """Quotes by offering, with the health of the provider."""

    quotes: Mapping[Offering, SpotQuote] = field(default_factory=dict)
    inputs: tuple[InputHealth, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything that one cycle decides on.

    `cycle` counts from 1 since start, `at` is wall time in seconds since the epoch, `traceparent`
    carries the W3C trace context of the cycle, and `seconds` is what it took to make. `in_hand` are
    the nodes, by uid, that this process is about to move, whether the cluster shows it yet or not.
    """

    cycle: int
    at: float
    cluster: ClusterFacts
    market: MarketFacts
    traceparent: str = ""
    seconds: float = 0.0
    standing: WriteAuthority = NO_AUTHORITY
    notices: tuple[Notice, ...] = ()
    notice_inputs: tuple[InputHealth, ...] = ()
    in_hand: frozenset[str] = frozenset()

    @property
    def inputs(self) -> tuple[InputHealth, ...]:
        """The health of every input, cluster first."""
        return (*self.cluster.inputs, *self.market.inputs, *self.notice_inputs)


def anchored_until(pods: Iterable[OwnPod], at: float) -> dict[str, float]:
    """Return by uid of node until when an anchor of ours keeps it, of those that one keeps now."""
    until: dict[str, float] = {}
    for pod in pods:
        if pod.kind is OwnKind.ANCHOR and not pod.finished and not pod.terminating:
            until[pod.for_uid] = max(pod.ends_at, until.get(pod.for_uid, 0.0))
    return {uid: ends for uid, ends in until.items() if ends > at}
