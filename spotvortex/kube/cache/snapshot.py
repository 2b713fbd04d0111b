"""The cluster at one instant, as cheap as what has changed since the last one.

Comes in: a `Store` and its marks. Goes out: `ClusterFacts`, in which everything that has not
changed is the same object as before. May not know how objects arrive.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Generic, TypeVar

from spotvortex.core.domain.inputs import InputHealth
from spotvortex.core.domain.observation import (
    ClusterFacts,
    NodeFact,
    NodeGroupFact,
    PdbFact,
    PoolFacts,
)
from spotvortex.core.domain.types import CapacityType, Offering, ProvisionerKind
from spotvortex.core.domain.workloads import WorkloadFact
from spotvortex.kube.cache.indexes import SortedGroups
from spotvortex.kube.cache.store import Store
from spotvortex.kube.cache.workloads.pdbs import Lookup

_UNPOOLED = ""

Fact = TypeVar("Fact", PdbFact, WorkloadFact)
Found = tuple[Fact, frozenset[str]] | None
"""A fact with the pools that it belongs to, None where it is gone."""


class FactsByPool(Generic[Fact]):
    """Facts of one kind, each in every pool where it has a pod."""

    def __init__(self) -> None:
        self._pools_of: dict[str, frozenset[str]] = {}
        self._facts: dict[str, Fact] = {}
        self._in: SortedGroups[Fact] = SortedGroups()

    def __len__(self) -> int:
        return len(self._facts)

    def of(self, pool: str) -> tuple[Fact, ...]:
        """Return the facts of a pool by key."""
        return self._in.values(pool)

    def renew(self, key: str, found: Found[Fact], touched: set[str]) -> None:
        """Take a fact as it is now; a pool where it changed is touched."""
        old, old_pools = self._facts.get(key), self._pools_of.get(key, frozenset())
        new, pools = found if found is not None else (None, frozenset[str]())
        if new == old and pools == old_pools:
            return
        for pool in old_pools - pools:
            self._in.remove(pool, key)
        if new is None:
            del self._facts[key], self._pools_of[key]
        else:
            self._facts[key], self._pools_of[key] = new, pools
            for pool in pools:
                self._in.put(pool, key, new)
        touched |= old_pools | pools


class SnapshotBuilder:
    """Facts of the last snapshot, brought up to date at the next."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._nodes: dict[str, NodeFact] = {}
        self._lookup = Lookup(workload=store.workloads.name_of, node=self._nodes.get)
        self._members: SortedGroups[NodeFact] = SortedGroups()
        self._pdbs: FactsByPool[PdbFact] = FactsByPool()
        self._workloads: FactsByPool[WorkloadFact] = FactsByPool()
        self._node_pools: dict[str, tuple[NodeGroupFact, ...]] = {}
        self._pools: dict[str, PoolFacts] = {}
        self._all_pools: tuple[PoolFacts, ...] = ()
        self._unpooled: tuple[NodeFact, ...] = ()
        self._unpooled_pdbs: tuple[PdbFact, ...] = ()
        self._unpooled_workloads: tuple[WorkloadFact, ...] = ()

    def snapshot(self, inputs: tuple[InputHealth, ...]) -> ClusterFacts:
        """Bring every fact up to date and return them all."""
        touched: set[str] = set()
        # IMPORTANT: in this order. A node's pool decides which pools a budget or a workload
        # belongs to, and both look nodes up as they are after the second step.
        self._refresh_node_pools(touched)
        self._refresh_nodes(touched)
        self._refresh_pdbs(touched)
        self._refresh_workloads(touched)
        self._rebuild(touched)
        return ClusterFacts(
            pools=self._all_pools,
            unpooled=self._unpooled,
            unpooled_pdbs=self._unpooled_pdbs,
            unpooled_workloads=self._unpooled_workloads,
            inputs=inputs,
            n_pods=len(self._store.pods),
            n_pdbs=len(self._pdbs),
            own_pods=self._store.own_pods(),
            exits=self._store.nodes.exits(),
            refusals=self._store.launches.refusals(),
            growths=self._store.node_pools.autoscaled.growths,
        )

    def node(self, name: str) -> NodeFact | None:
        """Return one node as it is now, not as of the last snapshot."""
        changes = self._store.changes
        if changes.pool_names or name in changes.nodes:
            return self._node_fact(name)
        return self._nodes.get(name)

    def _refresh_node_pools(self, touched: set[str]) -> None:
        changes = self._store.changes
        if changes.pool_names:
            changes.nodes |= self._store.nodes.keys()
        if not (changes.pool_names or changes.node_pools):
            return
        changes.pool_names = changes.node_pools = False
        fresh: dict[str, tuple[NodeGroupFact, ...]] = {}
        for fact in self._store.node_pools.facts():
            fresh[fact.pool] = (*fresh.get(fact.pool, ()), fact)
        for pool in fresh.keys() | self._node_pools.keys():
            if fresh.get(pool) != self._node_pools.get(pool):
                touched.add(pool)
        self._node_pools = fresh

    def _refresh_nodes(self, touched: set[str]) -> None:
        changed, self._store.changes.nodes = self._store.changes.nodes, set()
        for name in changed:
            old, new = self._nodes.get(name), self._node_fact(name)
            if new == old:
                continue
            if new is not None:
                self._nodes[name] = new
                self._members.put(new.pool, name, new)
                touched.add(new.pool)
            if old is not None and (new is None or new.pool != old.pool):
                self._members.remove(old.pool, name)
                touched.add(old.pool)
            if new is None:
                del self._nodes[name]
            if _place(old) != _place(new):
                # What its pods belong to is now in other pools, or stands otherwise on Spot.
                self._store.changes.label_sets |= {p.label_set for p in self._store.pods.on(name)}
                self._store.changes.workloads.update(self._store.workloads_on(name))

    def _node_fact(self, name: str) -> NodeFact | None:
        row = self._store.nodes.get(name)
        if row is None:
            return None
        load, old = self._store.pods.load_of(name), self._nodes.get(name)
        if old is not None and old.load == load:
            load = old.load
        fact = replace(row.fact, pool=self._store.node_pools.pool_of(row), load=load)
        grown = self._store.node_pools.autoscaled
        group = grown.group_of(row)
        return replace(fact, node_group=group, claim=grown.claim_of(row)) if group else fact

    def _refresh_pdbs(self, touched: set[str]) -> None:
        changes, budgets = self._store.changes, self._store.budgets
        for label_set in changes.label_sets:
            changes.pdbs |= budgets.budgets_of(label_set)
        changes.label_sets = set()
        changed, changes.pdbs = changes.pdbs, set()
        for key in changed:
            self._pdbs.renew(key, budgets.fact(key, self._lookup), touched)

    def _refresh_workloads(self, touched: set[str]) -> None:
        changes = self._store.changes
        changed, changes.workloads = changes.workloads, set()
        for key in changed:
            self._workloads.renew(key, self._store.workload_fact(key, self._lookup), touched)

    def _rebuild(self, touched: set[str]) -> None:
        if not touched:
            return
        if _UNPOOLED in touched:
            self._unpooled = self._members.values(_UNPOOLED)
            self._unpooled_pdbs = self._pdbs.of(_UNPOOLED)
            self._unpooled_workloads = self._workloads.of(_UNPOOLED)
        for pool in touched - {_UNPOOLED}:
            if pool in self._members or pool in self._node_pools:
                self._pools[pool] = self._pool_facts(pool)
            else:
                self._pools.pop(pool, None)
        self._all_pools = tuple(self._pools[name] for name in sorted(self._pools))

    def _pool_facts(self, pool: str) -> PoolFacts:
        nodes = self._members.values(pool)
        return PoolFacts(
            name=pool,
            provisioner=_provisioner(nodes),
            nodes=nodes,
            pdbs=self._pdbs.of(pool),
            node_groups=self._node_pools.get(pool, ()),
            workloads=self._workloads.of(pool),
        )


def _place(node: NodeFact | None) -> tuple[str, CapacityType, Offering, bool] | None:
    """Return what the budgets of a node's pods read of it."""
    return None if node is None else (node.pool, node.capacity_type, node.offering, node.leaving)


def _provisioner(nodes: tuple[NodeFact, ...]) -> ProvisionerKind:
    """Return who made most of the nodes; a pool without nodes is here for its NodePools."""
    counts = Counter(node.provisioner for node in nodes)
    return min(counts, key=lambda p: (-counts[p], p), default=ProvisionerKind.KARPENTER)
