"""What holds a node where it is, and what kinds of capacity a pool can have at all.

Comes in: the facts of one pool. Goes out: blockers by node. Decisions and reports ask here, so that
both say the same. May not weigh one blocker against another.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.observation import NodeFact, PdbFact, PoolFacts
from spotvortex.core.domain.types import Blocker, CapacityType, ProvisionerKind
from spotvortex.core.pool.survival.eviction import Evictable, eviction_verdict, refuses_nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pod:
    """A running pod."""

    ready: bool
    pending: bool = False
    terminating: bool = False


_READY: Final = _Pod(ready=True)
_UNREADY: Final = _Pod(ready=False)


def pdb_blocked_nodes(pool: PoolFacts) -> frozenset[str]:
    """Return the names of nodes with a pod that its budget lets nobody evict now."""
    held: set[str] = set()
    for pdb in pool.pdbs:
        if not refuses_nobody(pdb):
            held.update(nodes_held_by(pdb))
    return frozenset(held)


def nodes_held_by(pdb: PdbFact) -> Iterator[str]:
    """Return the names of nodes with a pod that this one budget lets nobody evict now."""
    if _refuses(pdb, _READY):
        free = dict(pdb.free_by_node)
        yield from (node for node, n in pdb.healthy_by_node if n > free.get(node, 0))
    if pdb.unready_by_node and _refuses(pdb, _UNREADY):
        yield from (node for node, _ in pdb.unready_by_node)


def _refuses(pdb: PdbFact, pod: _Pod) -> bool:
    return not isinstance(eviction_verdict(pod, (pdb,)), Evictable)


def blockers_of(node: NodeFact, pdb_blocked: Set[str]) -> frozenset[Blocker]:
    """Return everything that holds a node; `pdb_blocked` comes from `pdb_blocked_nodes`."""
    found = {blocked.blocker for blocked in node.load.blocked}
    if node.do_not_disrupt:
        found.add(Blocker.DO_NOT_DISRUPT)
    if node.name in pdb_blocked:
        found.add(Blocker.PDB_ALLOWS_ZERO)
    return frozenset(found)


def capacity_types_of(pool: PoolFacts) -> frozenset[CapacityType]:
    """Return the capacity types that a pool can have.

    Karpenter's NodePools say it, and allow both where they do not. A node group has one type for
    ever, so a pool of groups can have what it holds; more cannot be known from the cluster alone.
    """
    both = frozenset({CapacityType.SPOT, CapacityType.ON_DEMAND})
    if pool.node_groups:
        said = [frozenset(p.capacity_types) or both for p in pool.node_groups]
        return frozenset().union(*said)
    if pool.provisioner in (ProvisionerKind.MANAGED_NODE_GROUP, ProvisionerKind.CLUSTER_AUTOSCALER):
        return both & {node.capacity_type for node in pool.nodes}
    return both
