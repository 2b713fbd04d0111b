"""One immutable instant of cluster and market, with the age of every input.

Comes in: rows made by the edges (`kube`, a market, the simulated world). Goes out: the same rows,
grouped; `core.pool.reduction` makes of them what the decisions read. May not judge anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.cloud.exits import NodeExit
from spotvortex.core.domain.cloud.hosting import Hosting
from spotvortex.core.domain.cloud.launches import LaunchRefusal
from spotvortex.core.domain.cloud.notices import Notice
from spotvortex.core.domain.group_state import NO_STATE, NO_WORDS, GroupState, GroupWords
from spotvortex.core.domain.inputs import InputHealth
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.types import Blocker, CapacityType, Freeze, Offering, ProvisionerKind
from spotvortex.core.domain.usage import NO_USAGE, UsageFacts
from spotvortex.core.domain.workloads import SpotShare, WorkloadFact


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedWorkload:
    """A workload with pods on one node that cannot be moved freely, and why."""

    blocker: Blocker
    workload: str
    """`namespace/Kind/name` of the owner, or of the pod where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLoad:
    """Sums over the pods of one node. Finished pods do not count.

    Attributes:
        n_pods: all pods.
        n_workload_pods: pods but those of DaemonSets and mirror pods.
        cpu_milli: CPU requests of all pods, in thousandths of a core.
        memory_bytes: memory requests of all pods.
        workload_cpu_milli: CPU requests of the pods that a drain would move.
        workload_memory_bytes: memory requests of the same pods.
        largest_cpu_milli: the largest CPU request of one such pod.
        largest_memory_bytes: the largest memory request of one such pod, maybe another one.
        outage_hours: the largest that an owner of such a pod has stated, None where none has.
        startup_s: the same of the time to start, in seconds.
        n_critical_pods: such pods of critical services, as their owners or priorities say.
        n_stateful_pods: such pods of StatefulSets.
        blocked: the workloads with pods that cannot be moved freely.
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
    n_critical_pods: int = 0
    n_stateful_pods: int = 0


EMPTY_LOAD = NodeLoad()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFact:
    """One node as the API server shows it.

    Attributes:
        name: the node's name.
        uid: the node's uid.
        pool: the workload pool that it belongs to, "" of none.
        provisioner: who creates and removes it.
        offering: its instance type and zone.
        capacity_type: how it is bought.
        created_at: wall time of its creation.
        ready: its Ready condition.
        cordoned: `spec.unschedulable`.
        moving: somebody is taking it away: it is being deleted, or carries a taint that says so.
        do_not_disrupt: the node itself says that it must not be disrupted.
        node_group: the NodeGroupFact that it belongs to by name, "" of none.
        claim: by what name its provisioner releases it, "" where nobody does.
        provider_id: `spec.providerID`, "" where it is not set.
        resource_version: `metadata.resourceVersion`, the precondition of a write.
        allocatable_cpu_milli: CPU that its pods may request, in thousandths of a core.
        allocatable_memory_bytes: memory that its pods may request.
        load: sums over its pods.
        mark: the controller's drain journal as it stands on the node, "" where there is none.
        labelled: it carries the controller's label of cordoned nodes.
        at_risk: its note of a rebalance recommendation as it stands there, "" without one.
        kept: its note of the plan that it keeps the node for, "" without one.
        hosting: what it runs on.
    """

    name: str
    uid: str
    pool: str
    provisioner: ProvisionerKind
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
    kept: str = ""
    hosting: Hosting = Hosting.EC2

    @property
    def leaving(self) -> bool:
        """Tell whether its pods may soon be elsewhere: it is cordoned, or somebody moves it."""
        return self.cordoned or self.moving


@dataclass(frozen=True, slots=True, kw_only=True)
class PdbFact:
    """One PodDisruptionBudget with where its pods run, over the whole cluster.

    Attributes:
        namespace: its namespace.
        name: its name.
        workload: owner of most of its pods, `namespace/Kind/name`, "" where none has an owner.
        desired_healthy: healthy pods it demands; the API server's own figure, as the next three.
        disruptions_allowed: pods that may be evicted now.
        current_healthy: pods that are healthy now.
        expected_pods: pods that it counts.
        observed: false while these figures are of an older version of the budget.
        evicts_unhealthy: its policy is `AlwaysAllow`: a pod that is not Ready may always go.
        terms: what it asks for, as in "minAvailable 2", "" of neither.
        healthy_by_node: node name and number of Ready pods that the selector matches.
        free_by_node: those of them that the budget holds nowhere, since a drain leaves them
            (DaemonSet and mirror pods) or their phase is Pending.
        unready_by_node: node name and number of running pods that are not Ready and that a drain
            would evict.
        n_leaving: Ready pods, on Spot or not, whose node is on the move.
        spot_by_offering: its Ready pods on Spot, sorted by offering.
        pools: the pools where any pod of it is, by name.
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
    """A group of nodes that a provisioner grows (of Karpenter: a NodePool), and what it allows.

    Attributes:
        name: by which its nodes name it.
        pool: the workload pool that it serves.
        capacity_types: how its nodes may be bought; this and other lists empty where it says none.
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
        nodes_spare: nodes that it may lose before it is at its smallest, None where not known.
        state: its object, as far as the controller may change it.
        auto_mode: EKS Auto Mode makes its nodes.
        words: what speaks against moving nodes by it, for people.
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
    nodes_spare: int | None = None
    state: GroupState = NO_STATE
    auto_mode: bool = False
    words: GroupWords = NO_WORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """The nodes of one pool with the budgets and workloads whose pods run there, each by name.

    Attributes:
        name: the workload pool.
        provisioner: who creates and removes its nodes.
        nodes: its nodes.
        pdbs: the budgets with a pod on one of them.
        node_groups: the groups that serve the pool.
        workloads: the workloads with a pod on one of its nodes.
    """

    name: str
    provisioner: ProvisionerKind
    nodes: tuple[NodeFact, ...]
    pdbs: tuple[PdbFact, ...] = ()
    node_groups: tuple[NodeGroupFact, ...] = ()
    workloads: tuple[WorkloadFact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPod:
    """One pod that the controller made.

    Attributes:
        name: the pod's name.
        kind: a placeholder or an anchor.
        plan_id: the plan that asked for it.
        for_uid: uid of the node that is emptied, or kept; the plan, where no single node is.
        node: name of the node that the pod itself is bound to, "" while it waits.
        ends_at: wall time at which it expires by itself, as far as it has started.
        order: the order's journal on a placeholder, "" of an anchor.
        finished: its phase is Succeeded or Failed.
        terminating: it is being deleted.
        pending_reason: the scheduler's word on a pod that it could not place, "" of any other.
        created_at: wall time of its creation.
        n_pods: pods for whose room it stands.
        bound_at: wall time at which its node took it, None while none has.
    """

    name: str
    kind: PodKind
    plan_id: str
    for_uid: str
    node: str
    ends_at: float
    order: str = ""
    finished: bool = False
    terminating: bool = False
    pending_reason: str = ""
    created_at: float = 0.0
    bound_at: float | None = None
    n_pods: int = 1

    @property
    def is_shared(self) -> bool:
        """Tell whether it is room for the pods of any lost node of its plan."""
        return self.kind is PodKind.PLACEHOLDER and self.for_uid == self.plan_id != ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """The cluster at one instant.

    Attributes:
        pools: the pools with their nodes and budgets.
        unpooled: nodes that belong to no pool; they are never moved.
        unpooled_pdbs: budgets with pods on such nodes.
        unpooled_workloads: workloads with pods on such nodes.
        inputs: the health of each input from the cluster.
        n_pods: pods in the cluster.
        n_pdbs: PodDisruptionBudgets in the cluster.
        own_pods: pods that the controller made.
        exits: how nodes went that are gone, the latest ones, shown by a snapshot or not.
        refusals: launches on Spot that a provisioner said have failed, the latest by offering.
        growths: groups that are grown for a wave, each with its plan.
    """

    pools: tuple[PoolFacts, ...]
    unpooled: tuple[NodeFact, ...] = ()
    unpooled_pdbs: tuple[PdbFact, ...] = ()
    unpooled_workloads: tuple[WorkloadFact, ...] = ()
    inputs: tuple[InputHealth, ...] = ()
    n_pods: int = 0
    n_pdbs: int = 0
    own_pods: tuple[OwnPod, ...] = ()
    exits: tuple[NodeExit, ...] = ()
    refusals: tuple[LaunchRefusal, ...] = ()
    growths: tuple[tuple[str, str], ...] = ()

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
    def workloads(self) -> tuple[WorkloadFact, ...]:
        """Every workload that has pods on a node, once, sorted by key."""
        by_key = {work.key: work for pool in self.pools for work in pool.workloads}
        by_key.update((work.key, work) for work in self.unpooled_workloads)
        return tuple(by_key[key] for key in sorted(by_key))

    @property
    def offerings(self) -> tuple[Offering, ...]:
        """The offerings that the cluster holds, each once, sorted."""
        return tuple(sorted(Offering.each_once(node.offering for node in self.nodes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteAuthority:
    """Whether the controller may write at all at this instant.

    Attributes:
        leader: this replica holds the lease.
        freeze: whether a person has stopped the controller.
        unsure: what was remembered is lost, so that the controller only protects.
        own_node: name of the node that this process runs on, "" where that is not known.
    """

    leader: bool = False
    freeze: Freeze = Freeze.NONE
    unsure: bool = False
    own_node: str = ""


NO_AUTHORITY: Final = WriteAuthority()
"""The authority where nothing is ever written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything that one cycle decides on.

    Attributes:
        cycle: counts from 1 since start.
        at: wall time, seconds since the epoch.
        cluster: the cluster at that instant.
        market: the prices at that instant.
        traceparent: the W3C trace context of the cycle, "" without one.
        seconds: how long the observation took to make.
        standing: whether the controller may write.
        notices: notices of the cloud that count now and are not settled.
        notice_inputs: the health of the source of notices.
        answers_notices: the controller moves the nodes that notices name; else they are evidence.
        in_hand: uids of the nodes that this process is about to move, shown in the cluster or not.
        usage: what nodes and workloads really use.
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
    answers_notices: bool = True
    in_hand: frozenset[str] = frozenset()
    usage: UsageFacts = NO_USAGE

    @property
    def inputs(self) -> tuple[InputHealth, ...]:
        """The health of every input, cluster first."""
        return (*self.cluster.inputs, *self.market.inputs, *self.notice_inputs, *self.usage.inputs)
