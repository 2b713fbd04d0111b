"""A cluster as a file: what a backtest needs to know of it, and nothing else.

Comes in: the facts of a cluster and the pods on its nodes. Goes out: a `Snapshot`: pools, how many
nodes of what kind, and workloads by owner with their requests and budgets; as JSON, read back
checked. Names can be replaced. May not hold anything that a pod's spec keeps secret: no labels, no
images, no environment.
"""

from __future__ import annotations

import hmac
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from spotvortex.core.domain.observation import ClusterFacts, PdbFact, PoolFacts
from spotvortex.core.domain.types import Blocker, CapacityType, Offering
from spotvortex.core.drain.calls import PodView
from spotvortex.core.pool.survival.eviction import PodEvictability
from spotvortex.core.record.codec import CodecError, Rows, decode, encode

VERSION: Final = 1

REDACTION_KEY_BYTES: Final = 32
_WORD_DIGITS: Final = 12
"""48 bits: two of 10,000 names share a word once in 5 million snapshots."""

_ROWS: Final[Rows] = {Offering: ("instance_type", "zone")}
"""What is written as an array, since it comes often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesRow:
    """Nodes of one kind."""

    offering: Offering
    capacity_type: CapacityType
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadRow:
    """The pods of one owner: how many, what each requests, and what holds them.

    Attributes:
        namespace: the namespace of the pods.
        name: the owner's name.
        kind: the owner's kind, as `Deployment`.
        replicas: number of pods.
        cpu_milli: the largest CPU request of one of them, in thousandths of a core.
        memory_bytes: the largest memory request of one of them.
        grace_s: the longest termination grace period of one of them, in seconds.
        max_unavailable: pods that the PodDisruptionBudget lets be away, None without a budget.
        capacity_type: what the pods are pinned to, None for any.
        zonal_volume: a pod has a volume that keeps it in its zone.
        do_not_disrupt: a pod asks not to be disrupted.
    """

    namespace: str
    name: str
    kind: str
    replicas: int
    cpu_milli: int
    memory_bytes: int
    grace_s: float
    max_unavailable: int | None = None
    capacity_type: CapacityType | None = None
    zonal_volume: bool = False
    do_not_disrupt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow:
    """One pool. Lists are empty where its NodePools allow everything.

    Attributes:
        name: the pool's name.
        nodes: its nodes, by kind.
        workloads: its workloads, by owner.
        capacity_types: the kinds of capacity that its NodePools may launch.
        instance_types: the types that they may launch.
        zones: where they may launch them.
        consolidation: the policy under which nodes are replaced, "" where none ever is.
    """

    name: str
    nodes: tuple[NodesRow, ...]
    workloads: tuple[WorkloadRow, ...]
    capacity_types: tuple[CapacityType, ...] = ()
    instance_types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    consolidation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A whole snapshot; `at` is when it was taken, seconds since the epoch, `v` its version."""

    at: float
    pools: tuple[PoolRow, ...]
    v: int = VERSION


class SnapshotError(ValueError):
    """A text is no snapshot; the error's text says why."""


Word = TypeVar("Word", bound=str)
Pods = Callable[[str], Sequence[PodView]]
Standings = Callable[[str], Sequence[PodEvictability]]


def snapshot_of(facts: ClusterFacts, pods_on: Pods, standings_on: Standings, at: float) -> Snapshot:
    """Take a snapshot.

    Args:
        facts: the cluster; nodes of no pool are left out.
        pods_on: the pods of a node, by its name.
        standings_on: the same pods with what holds them.
        at: now, seconds since the epoch.
    """
    budgets = {pdb.key: pdb for pdb in facts.pdbs}
    pools = (_pool(pool, pods_on, standings_on, budgets) for pool in facts.pools)
    return Snapshot(at=at, pools=tuple(pools))


def _pool(
    pool: PoolFacts, pods_on: Pods, standings_on: Standings, budgets: dict[str, PdbFact]
) -> PoolRow:
    counted = Counter((node.offering, node.capacity_type) for node in pool.nodes)
    by_owner: dict[str, list[tuple[PodView, PodEvictability]]] = defaultdict(list)
    for node in pool.nodes:
        views = {view.uid: view for view in pods_on(node.name)}
        for standing in standings_on(node.name):
            if not standing.stays and standing.uid in views:
                by_owner[standing.workload].append((views[standing.uid], standing))
    return PoolRow(
        name=pool.name,
        nodes=tuple(
            NodesRow(offering=offering, capacity_type=capacity_type, count=count)
            for (offering, capacity_type), count in sorted(counted.items())
        ),
        workloads=tuple(_workload(key, by_owner[key], budgets) for key in sorted(by_owner)),
        capacity_types=_union(p.capacity_types for p in pool.node_groups),
        instance_types=_union(p.instance_types for p in pool.node_groups),
        zones=_union(p.zones for p in pool.node_groups),
        consolidation=next((p.consolidation for p in pool.node_groups if p.consolidation), ""),
    )


def _union(lists: Iterable[tuple[Word, ...]]) -> tuple[Word, ...]:
    """Join what several NodePools allow; one that allows everything makes it everything."""
    kept = list(lists)
    return tuple(sorted({item for one in kept for item in one})) if all(kept) else ()


def _workload(
    key: str, pods: list[tuple[PodView, PodEvictability]], budgets: dict[str, PdbFact]
) -> WorkloadRow:
    namespace, kind, name = (*key.split("/", 2), "", "")[:3]
    blockers = {b for _, standing in pods for b in standing.blockers}
    pdb = next((budgets[k] for _, s in pods for k in s.budgets if k in budgets), None)
    pinned = {
        Blocker.PINNED_ON_DEMAND: CapacityType.ON_DEMAND,
        Blocker.PINNED_SPOT: CapacityType.SPOT,
    }
    return WorkloadRow(
        namespace=namespace,
        name=name,
        kind=kind,
        replicas=len(pods),
        cpu_milli=max(view.cpu_milli for view, _ in pods),
        memory_bytes=max(view.memory_bytes for view, _ in pods),
        grace_s=max(view.grace_s for view, _ in pods),
        max_unavailable=None if pdb is None else max(0, pdb.expected_pods - pdb.desired_healthy),
        capacity_type=next((t for blocker, t in pinned.items() if blocker in blockers), None),
        zonal_volume=Blocker.VOLUME in blockers,
        do_not_disrupt=Blocker.DO_NOT_DISRUPT in blockers,
    )


def redacted(snapshot: Snapshot, key: bytes) -> Snapshot:
    """Replace the names of pools, namespaces and workloads, and sort by what replaces them.

    A word is an HMAC-SHA256 (RFC 2104) of the name: within a snapshot the same name gives the same
    word, and whoever does not have the key cannot try names. The order of rows would tell the
    order of names.

    Args:
        snapshot: with names.
        key: `REDACTION_KEY_BYTES` random bytes, drawn for this snapshot alone and kept nowhere.
    """
    assert len(key) == REDACTION_KEY_BYTES
    pools = (_redacted_pool(pool, key) for pool in snapshot.pools)
    return replace(snapshot, pools=tuple(sorted(pools, key=lambda pool: pool.name)))


def _redacted_pool(pool: PoolRow, key: bytes) -> PoolRow:
    workloads = (
        replace(
            row,
            namespace=word_for("namespace", row.namespace, key),
            name=word_for("workload", row.name, key),
        )
        for row in pool.workloads
    )
    return replace(
        pool,
        name=word_for("pool", pool.name, key),
        workloads=tuple(sorted(workloads, key=lambda row: (row.namespace, row.kind, row.name))),
    )


def word_for(kind: str, name: str, key: bytes) -> str:
    """Return the word that stands for a name; see `redacted`."""
    digest = hmac.digest(key, f"{kind}/{name}".encode(), "sha256").hex()
    return f"{kind}-{digest[:_WORD_DIGITS]}"


def to_text(snapshot: Snapshot) -> str:
    """Write a snapshot as indented JSON."""
    return json.dumps(encode(snapshot, _ROWS), indent=1, allow_nan=False)


def from_text(text: str) -> Snapshot:
    """Read a snapshot back.

    Raises:
        SnapshotError: another version, or no snapshot at all; the text says where.
    """
    try:
        found = decode(Snapshot, json.loads(text), _ROWS)
    except (ValueError, RecursionError, CodecError) as error:
        raise SnapshotError(f"no snapshot: {error}") from error
    if found.v != VERSION:
        raise SnapshotError(f"version {found.v}; this release reads {VERSION}: take it anew")
    if not any(pool.nodes for pool in found.pools):
        raise SnapshotError("it holds no node; take it from a cluster with pools")
    return found
