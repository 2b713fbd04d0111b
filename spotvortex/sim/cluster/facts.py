"""The simulated cluster as the controller sees it.

Comes in: the cluster's state and what changed in it. Goes out: `ClusterFacts`, in which everything
unchanged is the same object as before. May not change the cluster, nor show what an API server
would not.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Final, TypeVar

from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.observation import (
    BlockedWorkload,
    ClusterFacts,
    NodeFact,
    NodeGroupFact,
    NodeLoad,
    OwnPod,
    PdbFact,
    PoolFacts,
)
from spotvortex.core.domain.types import Blocker, CapacityType, Offering, ProvisionerKind
from spotvortex.core.domain.workloads import SpotShare, WorkloadFact
from spotvortex.core.drain.calls import PodView
from spotvortex.core.drain.growth import growth_in
from spotvortex.core.pool.survival.eviction import PodEvictability
from spotvortex.sim.cluster.objects import SimNode, SimPod
from spotvortex.sim.cluster.scenario import NodeGroup, Workload, WorkloadKind
from spotvortex.sim.cluster.state import ClusterObjects
from spotvortex.sim.market.instance_types import GroupRoom, instance_type_of

_INPUTS: Final = (
    (InputName.NODES, True),
    (InputName.PODS, True),
    (InputName.PDBS, False),
    (InputName.OWNERS, False),
    (InputName.STATEFUL_SETS, False),
    (InputName.NAMESPACES, False),
    (InputName.NODEPOOLS, False),
)
"""What is watched, and whether a decision needs it."""


_GUARDED: Final = frozenset({WorkloadKind.DEPLOYMENT, WorkloadKind.STATEFUL_SET})
"""Kinds of which a loss may take too much."""

Fact = TypeVar("Fact", PdbFact, WorkloadFact)


class FactsCache:
    """Facts by name, built again only for what changed.

    Attributes:
        nodes: each node by name, as of the last look.
    """

    def __init__(self, cluster: ClusterObjects, groups: tuple[NodeGroup, ...]) -> None:
        """Start with every pool of the groups, without nodes."""
        self._cluster = cluster
        self.nodes: dict[str, NodeFact] = {}
        self._pdbs: dict[str, PdbFact] = {}
        self._workloads: dict[str, WorkloadFact] = {}
        self._groups = {pool: _of_pool(groups, pool) for pool in sorted({g.pool for g in groups})}
        self._pools: dict[str, PoolFacts] = {}
        self._stale = set(self._groups)
        self._sizes: dict[str, int] = {}

    def facts(self, age_s: float) -> ClusterFacts:
        """Return the cluster now.

        Args:
            age_s: time since the simulation's last step.
        """
        self._renew_nodes()
        self._renew_workloads()
        self._renew_pools()
        return ClusterFacts(
            pools=tuple(self._pools[name] for name in self._groups),
            inputs=inputs(age_s),
            n_pods=len(self._cluster.pods),
            n_pdbs=len(self._pdbs),
            own_pods=own_pods(self._cluster),
            exits=tuple(self._cluster.exits),
            growths=growths(self._cluster),
        )

    def _renew_nodes(self) -> None:
        for name in sorted(self._cluster.changed_nodes):
            node, old = self._cluster.nodes.get(name), self.nodes.get(name)
            if node is not None:
                new = self.nodes[name] = node_fact(node)
                if old is None or old.leaving != new.leaving:
                    keys = {pod.workload.key for pod in node.pods.values()}
                    self._cluster.changed_workloads |= keys
                self._stale.add(node.group.pool)
            elif (gone := self.nodes.pop(name, None)) is not None:
                self._stale.add(gone.pool)
        self._cluster.changed_nodes.clear()

    def _renew_workloads(self) -> None:
        for key in sorted(self._cluster.changed_workloads):
            workload = self._cluster.workloads[key]
            if workload.has_budget:
                self._renew(self._pdbs, workload, pdb_fact(workload, self._cluster))
            if workload.kind in _GUARDED:
                self._renew(self._workloads, workload, workload_fact(workload, self._cluster))
        self._cluster.changed_workloads.clear()

    def _renew(self, facts: dict[str, Fact], workload: Workload, fact: Fact) -> None:
        old: Fact | None = facts.get(workload.key)
        if old != fact:
            facts[workload.key] = fact
            self._stale |= {workload.pool, *fact.pools, *(old.pools if old else ())}

    def _renew_pools(self) -> None:
        if self._sizes != self._cluster.desired:
            self._sizes = dict(self._cluster.desired)
            self._stale |= {p for p, gs in self._groups.items() if any(g.largest for g in gs)}
        for name in sorted(self._stale):
            self._pools[name] = self._pool_facts(name)
        self._stale.clear()

    def _group_fact(self, group: NodeGroup) -> NodeGroupFact:
        if group.largest is not None:
            desired = self._cluster.desired.get(group.known_as, 0)
            return _scaling_group_fact(group, group.largest, desired)
        return _node_pool_fact(group, self._cluster.left(group))

    def _pool_facts(self, name: str) -> PoolFacts:
        groups = self._groups[name]
        workloads = self._cluster.workloads
        nodes = [node for node in self.nodes.values() if node.pool == name]
        pdbs = [
            pdb
            for key, pdb in self._pdbs.items()
            if name in pdb.pools or workloads[key].pool == name
        ]
        driven = [g for g in groups if g.known_as]
        return PoolFacts(
            name=name,
            provisioner=groups[0].provisioner,
            nodes=tuple(sorted(nodes, key=lambda node: node.name)),
            pdbs=tuple(sorted(pdbs, key=lambda pdb: pdb.key)),
            node_groups=tuple(self._group_fact(g) for g in driven),
            workloads=tuple(w for _, w in sorted(self._workloads.items()) if name in w.pools),
        )


def growths(cluster: ClusterObjects) -> tuple[tuple[str, str], ...]:
    """Return the groups that the controller's journal is about, each with its plan."""
    found = (growth_in(text) for text in cluster.growths.values())
    return tuple(sorted((g.group, g.plan) for g in found if g is not None))


def _scaling_group_fact(group: NodeGroup, largest: int, desired: int) -> NodeGroupFact:
    """Return a group as AWS tells it: its types and zones are the group's own matter."""
    return NodeGroupFact(
        name=group.known_as,
        pool=group.pool,
        capacity_types=group.capacity_types,
        nodes_left=max(0, largest - desired),
        nodes_spare=desired,
    )


def own_pods(cluster: ClusterObjects) -> tuple[OwnPod, ...]:
    """Return the controller's pods, sorted by name."""
    return tuple(sorted(map(own_pod, cluster.own.values()), key=lambda pod: pod.name))


def own_pod(pod: SimPod) -> OwnPod:
    """Return one of the controller's pods as the API server shows it."""
    own = pod.own
    assert own is not None
    return OwnPod(
        name=pod.name,
        kind=own.kind,
        plan_id=own.plan_id,
        for_uid=own.for_uid,
        node=pod.node,
        ends_at=own.expires_at,
        order=own.order,
        pending_reason="" if pod.node else pod.reason,
        n_pods=own.n_pods,
        created_at=pod.created_at,
        bound_at=pod.bound_at if pod.node else None,
    )


@lru_cache(maxsize=64)
def inputs(age_s: float) -> tuple[InputHealth, ...]:
    """Return the health of every watched resource: all present, as old as the last step."""
    return tuple(
        InputHealth(name=name, state=InputState.OK, age_s=age_s, required=required)
        for name, required in _INPUTS
    )


def node_fact(node: SimNode) -> NodeFact:
    """Return one node as the API server shows it."""
    machine = instance_type_of(node.offering.instance_type)
    return NodeFact(
        name=node.name,
        uid=node.uid,
        pool=node.group.pool,
        provisioner=node.group.provisioner,
        offering=node.offering,
        capacity_type=node.capacity_type,
        created_at=node.created_at,
        ready=node.ready,
        cordoned=node.cordoned,
        moving=node.moving,
        node_group=node.group.known_as,
        do_not_disrupt=node.scale_down_disabled and not node.kept,
        claim=node.claim,
        provider_id=f"aws:///{node.offering.zone}/{node.instance_id}",
        resource_version=str(node.version),
        allocatable_cpu_milli=machine.cpu_milli,
        allocatable_memory_bytes=machine.memory_bytes,
        load=node_load(node),
        mark=node.mark,
        labelled=node.labelled,
        at_risk=node.at_risk,
        kept=node.kept,
    )


def node_load(node: SimNode) -> NodeLoad:
    """Return the sums over the pods of one node."""
    pods = node.pods.values()
    moved = [pod for pod in pods if not pod.stays]
    blocked = {
        BlockedWorkload(blocker=blocker, workload=pod.workload.key)
        for pod in moved
        for blocker in blockers(pod.workload)
    }
    return NodeLoad(
        n_pods=len(pods),
        n_workload_pods=len(moved),
        cpu_milli=sum(pod.workload.cpu_milli for pod in pods),
        memory_bytes=sum(pod.workload.memory_bytes for pod in pods),
        workload_cpu_milli=sum(pod.workload.cpu_milli for pod in moved),
        workload_memory_bytes=sum(pod.workload.memory_bytes for pod in moved),
        largest_cpu_milli=max((pod.workload.cpu_milli for pod in moved), default=0),
        largest_memory_bytes=max((pod.workload.memory_bytes for pod in moved), default=0),
        blocked=tuple(sorted(blocked, key=lambda b: (b.blocker, b.workload))),
        n_stateful_pods=sum(p.workload.kind is WorkloadKind.STATEFUL_SET for p in moved),
        outage_hours=max(
            (h for pod in moved if (h := pod.workload.outage_hours) is not None), default=None
        ),
    )


def blockers(workload: Workload) -> tuple[Blocker, ...]:
    """Return why pods of a workload cannot be moved freely, PDBs apart."""
    found = (
        (Blocker.BARE_POD, workload.kind is WorkloadKind.BARE),
        (Blocker.DO_NOT_DISRUPT, workload.do_not_disrupt),
        (Blocker.SINGLE_REPLICA, workload.kind is not WorkloadKind.BARE and workload.replicas == 1),
        (Blocker.VOLUME, workload.zonal_volume),
        (Blocker.PINNED_ON_DEMAND, workload.capacity_type is CapacityType.ON_DEMAND),
        (Blocker.PINNED_SPOT, workload.capacity_type is CapacityType.SPOT),
    )
    return tuple(blocker for blocker, holds in found if holds)


def pdb_fact(workload: Workload, cluster: ClusterObjects) -> PdbFact:
    """Return the budget of a workload. A pod that is not Ready yet is Pending here."""
    pods = cluster.pods_of[workload.key].values()
    healthy = Counter(pod.node for pod in pods if pod.ready)
    unready = Counter(p.node for p in pods if p.running and not (p.ready or p.terminating))
    pools = {cluster.nodes[pod.node].group.pool for pod in pods if pod.node}
    return PdbFact(
        namespace=workload.namespace,
        name=workload.name,
        workload=workload.key,
        desired_healthy=workload.desired_healthy,
        disruptions_allowed=cluster.disruptions_allowed(workload),
        current_healthy=cluster.healthy(workload),
        expected_pods=workload.replicas,
        terms=_terms(workload),
        healthy_by_node=tuple(sorted(healthy.items())),
        unready_by_node=tuple(sorted(unready.items())),
        n_leaving=sum(n for name, n in healthy.items() if _is_leaving(cluster.nodes[name])),
        spot_by_offering=_on_spot(healthy, cluster),
        pools=tuple(sorted(pools)),
    )


def workload_fact(workload: Workload, cluster: ClusterObjects) -> WorkloadFact:
    """Return a workload with where its pods run."""
    pods = [pod for pod in cluster.pods_of[workload.key].values() if not pod.terminating]
    healthy = Counter(pod.node for pod in pods if pod.ready)
    namespace, kind, name = workload.key.split("/")
    return WorkloadFact(
        namespace=namespace,
        kind=kind,
        name=name,
        n_replicas=len(pods),
        said=workload.min_available_after_loss,
        said_by=f"{kind} {namespace}/{name}" if workload.min_available_after_loss else "",
        healthy_by_node=tuple(sorted(healthy.items())),
        n_leaving=sum(n for name, n in healthy.items() if _is_leaving(cluster.nodes[name])),
        spot_by_offering=_on_spot(healthy, cluster),
        pools=tuple(sorted({cluster.nodes[pod.node].group.pool for pod in pods if pod.node})),
    )


def _terms(workload: Workload) -> str:
    if workload.max_unavailable is not None:
        return f"maxUnavailable {workload.max_unavailable}"
    if workload.max_unavailable_ratio is not None:
        return f"maxUnavailable {100.0 * workload.max_unavailable_ratio:.0f}%"
    return f"minAvailable {100.0 * (workload.min_available_ratio or 0.0):.0f}%"


def _is_leaving(node: SimNode) -> bool:
    return node.cordoned or node.moving


def _on_spot(healthy: Counter[str], cluster: ClusterObjects) -> tuple[SpotShare, ...]:
    nodes: dict[Offering, list[SimNode]] = {}
    for name in healthy:
        node = cluster.nodes[name]
        if node.capacity_type is CapacityType.SPOT:
            nodes.setdefault(node.offering, []).append(node)
    return tuple(
        SpotShare(
            offering=offering,
            n_nodes=len(nodes[offering]),
            n_pods=sum(healthy[n.name] for n in nodes[offering]),
            n_leaving=sum(healthy[n.name] for n in nodes[offering] if _is_leaving(n)),
        )
        for offering in sorted(nodes)
    )


def pod_standing(pod: SimPod) -> PodEvictability:
    """Return one pod with everything that speaks against moving it."""
    view, workload = pod_view(pod), pod.workload
    return PodEvictability(
        namespace=view.namespace,
        name=view.name,
        uid=view.uid,
        workload=workload.key,
        ready=pod.ready,
        pending=not pod.running,
        terminating=view.terminating,
        stays=view.stays,
        grace_s=view.grace_s,
        cpu_milli=view.cpu_milli,
        blockers=view.blockers,
        budgets=(f"{workload.namespace}/{workload.name}",) if workload.has_budget else (),
    )


def pod_view(pod: SimPod) -> PodView:
    """Return one pod as a drain sees it."""
    return PodView(
        namespace=pod.workload.namespace,
        name=pod.name,
        uid=pod.uid,
        cpu_milli=pod.workload.cpu_milli,
        memory_bytes=pod.workload.memory_bytes,
        grace_s=pod.workload.grace_s,
        stays=pod.stays,
        terminating=pod.terminating,
        blockers=() if pod.stays else blockers(pod.workload),
        owner="" if pod.workload.kind is WorkloadKind.BARE else pod.workload.key,
    )


def _node_pool_fact(group: NodeGroup, left: GroupRoom) -> NodeGroupFact:
    is_karpenter = group.provisioner is ProvisionerKind.KARPENTER
    return NodeGroupFact(
        name=group.known_as,
        pool=group.pool,
        capacity_types=tuple(sorted(group.capacity_types)),
        instance_types=group.instance_types,
        zones=group.zones,
        consolidation=group.consolidation if is_karpenter else "",
        rules=group.annotations,
        weight=group.weight,
        cpu_left_milli=left.cpu_milli,
        memory_left_bytes=left.memory_bytes,
        nodes_left=left.nodes,
    )


def _of_pool(groups: tuple[NodeGroup, ...], pool: str) -> tuple[NodeGroup, ...]:
    return tuple(sorted((g for g in groups if g.pool == pool), key=lambda g: g.name))
