"""What blocks each node's drain, and why, grouped by workload.

Comes in: the facts of a cluster, and the pods of each node. Goes out: a `Diagnosis` that the screen
and the JSON output both show. What holds a node is what the decisions go by
(`core.pool.blocking`), and what the Eviction API would answer is `core.pool.survival.eviction`'s
word. May not change anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.observation import ClusterFacts, NodeFact, PdbFact, PoolFacts
from spotvortex.core.domain.types import HARD_BLOCKERS, CapacityType
from spotvortex.core.pool.blocking import blockers_of, pdb_blocked_nodes
from spotvortex.core.pool.survival.eviction import (
    Blocked,
    PodEvictability,
    Refusal,
    eviction_verdict,
)
from spotvortex.report.assess.assessment import MissingInput
from spotvortex.report.fixes import CURES, TROUBLES, Trouble, Weight, trouble_of_zero
from spotvortex.report.hosting import HostingRow, hosting_rows

LONG_GRACE_S: Final = 120.0
"""A Spot interruption is announced 120 s ahead at most; what stops slower is cut off."""

MAX_NAMED: Final = 20
"""Nodes and pods that a finding names; it counts all of them."""

StandingsOn = Callable[[str], Sequence[PodEvictability]]
"""Gives the pods of a node by its name."""


class DrainReadiness(StrEnum):
    """Where a node stands for the planning; each node is in one."""

    FREE = "free"
    HELD = "held"
    BUSY = "busy"
    """Cordoned, leaving, or not Ready."""
    NEVER_MOVED = "never-moved"
    """Reserved, or of unknown capacity type."""
    UNPOOLED = "unpooled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The nodes of a cluster that stand alike.

    Attributes:
        place: where they stand for the planning.
        n_nodes: number of nodes.
        cpu_milli: their allocatable CPU, in thousandths of a core.
        nodes_ratio: share of all nodes, 0..1.
        cpu_ratio: share of all allocatable CPU, 0..1.
    """

    place: DrainReadiness
    n_nodes: int
    cpu_milli: int
    nodes_ratio: float
    cpu_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One trouble of one workload.

    Attributes:
        trouble: what the trouble is.
        weight: how much it matters.
        workload: `namespace/Kind/name` of the owner, or of the pod where it has none; `Node/name`
            where the node itself is meant.
        pdb: key of the PodDisruptionBudget that has part in it, "" of none.
        detail: figures of the trouble, "" without any.
        fix: what to do.
        n_nodes: nodes that suffer from it.
        n_pods: pods that suffer from it.
        cpu_milli: allocatable CPU of those nodes, in thousandths of a core.
        nodes: their names, at most `MAX_NAMED`.
        pods: the pods, `namespace/name`, at most `MAX_NAMED`.
    """

    trouble: Trouble
    weight: Weight
    workload: str
    pdb: str
    detail: str
    fix: str
    n_nodes: int
    n_pods: int
    cpu_milli: int
    nodes: tuple[str, ...]
    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """One node: where it stands, and what it suffers from.

    Attributes:
        name: the node's name.
        pool: the workload pool, "" of none.
        capacity_type: how it is bought.
        place: where it stands for the planning.
        troubles: what it suffers from, sorted.
    """

    name: str
    pool: str
    capacity_type: CapacityType
    place: DrainReadiness
    troubles: tuple[Trouble, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One pod about which the server was asked in a dry run.

    Attributes:
        pod: `namespace/name`.
        node: name of its node.
        ours: the HTTP status that SpotVortex expected.
        why: why it expected a refusal, "" where it expected none.
        server: the HTTP status that the server gave.
        words: the server's message.
        agrees: both say the same.
    """

    pod: str
    node: str
    ours: int
    why: str
    server: int
    words: str
    agrees: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that `doctor` shows.

    Attributes:
        context: by what name the cluster is shown.
        at: time of the observation, seconds since the epoch.
        n_nodes: number of nodes.
        cpu_milli: their allocatable CPU, in thousandths of a core.
        shares: the nodes by where they stand.
        findings: the troubles, the weightiest first.
        nodes: every node with its troubles.
        missing: the inputs that cannot be read.
        asked: pods about which the server was asked in a dry run.
        n_not_asked: pods that were left out of the dry run.
        hosting: what else than plain EC2 instances the cluster runs on.
    """

    context: str
    at: float
    n_nodes: int
    cpu_milli: int
    shares: tuple[Share, ...]
    findings: tuple[Finding, ...]
    nodes: tuple[NodeReport, ...]
    missing: tuple[MissingInput, ...]
    asked: tuple[Asked, ...] = ()
    n_not_asked: int = 0
    hosting: tuple[HostingRow, ...] = ()


@dataclass(slots=True, eq=False)
class _Group:
    """What is gathered for one finding."""

    details: dict[str, None] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    pods: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hit:
    """One trouble of one pod, or of a node by itself."""

    trouble: Trouble
    pdb: str = ""
    detail: str = ""


def diagnose(cluster: ClusterFacts, standings_on: StandingsOn, at: float, name: str) -> Diagnosis:
    """Find what blocks each node's drain.

    Args:
        cluster: the facts.
        standings_on: gives the pods of a node.
        at: now, seconds since the epoch.
        name: where this was read.
    """
    budgets = {pdb.key: pdb for pdb in cluster.pdbs}
    places = _places(cluster)
    groups: dict[tuple[Trouble, str, str], _Group] = {}
    reports = []
    for node in cluster.nodes:
        troubles = set()
        for pod, hit in _hits_on(node, standings_on(node.name), budgets):
            troubles.add(hit.trouble)
            workload = pod.workload if pod is not None else f"Node/{node.name}"
            group = groups.setdefault((hit.trouble, workload, hit.pdb), _Group())
            _gather(group, node, pod, hit)
        reports.append(
            NodeReport(
                name=node.name,
                pool=node.pool,
                capacity_type=node.capacity_type,
                place=places[node.name],
                troubles=tuple(sorted(troubles)),
            )
        )
    findings = (_finding(*key, group) for key, group in groups.items())
    return Diagnosis(
        context=name,
        at=at,
        n_nodes=len(reports),
        cpu_milli=sum(n.allocatable_cpu_milli for n in cluster.nodes),
        shares=_shares(cluster.nodes, places),
        findings=tuple(sorted(findings, key=_importance)),
        nodes=tuple(reports),
        missing=tuple(
            MissingInput(name=h.name, state=h.state, detail=h.detail, required=h.required)
            for h in cluster.inputs
            if h.state is not InputState.OK
        ),
        hosting=hosting_rows(cluster),
    )


def _hits_on(
    node: NodeFact, pods: Sequence[PodEvictability], budgets: Mapping[str, PdbFact]
) -> Iterator[tuple[PodEvictability | None, _Hit]]:
    if node.do_not_disrupt:
        yield None, _Hit(trouble=Trouble.DO_NOT_DISRUPT_NODE)
    for pod in pods:
        for hit in _hits(pod, budgets):
            yield pod, hit


def _hits(pod: PodEvictability, budgets: Mapping[str, PdbFact]) -> Iterator[_Hit]:
    for blocker in pod.blockers:
        trouble = TROUBLES.get(blocker)
        if trouble is not None:
            yield _Hit(trouble=trouble)
    if pod.stays or pod.terminating:
        return
    if pod.grace_s > LONG_GRACE_S:
        yield _Hit(trouble=Trouble.LONG_GRACE, detail=f"grace period {pod.grace_s:.0f} s")
    verdict = verdict_on(pod, budgets)
    if isinstance(verdict, Blocked):
        yield _of_budget(verdict, pod, budgets[verdict.pdb])


def verdict_on(pod: PodEvictability, budgets: Mapping[str, PdbFact]) -> Blocked | None:
    """Say what the Eviction API would refuse a pod for, None where it would evict it."""
    covering = [budgets[key] for key in pod.budgets if key in budgets]
    verdict = eviction_verdict(pod, covering)
    return verdict if isinstance(verdict, Blocked) else None


def _of_budget(verdict: Blocked, pod: PodEvictability, pdb: PdbFact) -> _Hit:
    figures = f"{pdb.terms}: needs {pdb.desired_healthy} healthy, has {pdb.current_healthy}"
    match verdict.refusal:
        case Refusal.TWO_BUDGETS:
            both = " and ".join(pod.budgets)
            return _Hit(trouble=Trouble.TWO_PDBS, pdb=pdb.key, detail=both)
        case Refusal.NOT_OBSERVED:
            return _Hit(trouble=Trouble.PDB_NOT_OBSERVED, pdb=pdb.key, detail=pdb.terms)
        case Refusal.UNREADY:
            return _Hit(trouble=Trouble.UNREADY_UNDER_PDB, pdb=pdb.key, detail=figures)
        case Refusal.ALLOWS_ZERO:
            return _Hit(trouble=trouble_of_zero(pdb), pdb=pdb.key, detail=figures)


def _gather(group: _Group, node: NodeFact, pod: PodEvictability | None, hit: _Hit) -> None:
    group.nodes[node.name] = node.allocatable_cpu_milli
    if hit.detail:
        group.details[hit.detail] = None
    if pod is not None:
        group.pods[f"{pod.namespace}/{pod.name}"] = None


def _finding(trouble: Trouble, workload: str, pdb: str, group: _Group) -> Finding:
    cure = CURES[trouble]
    return Finding(
        trouble=trouble,
        weight=cure.weight,
        workload=workload,
        pdb=pdb,
        detail=next(iter(sorted(group.details)), ""),
        fix=cure.fix,
        n_nodes=len(group.nodes),
        n_pods=len(group.pods),
        cpu_milli=sum(group.nodes.values()),
        nodes=tuple(sorted(group.nodes)[:MAX_NAMED]),
        pods=tuple(sorted(group.pods)[:MAX_NAMED]),
    )


def _importance(finding: Finding) -> tuple[int, int, str, str, str]:
    weight = list(Weight).index(finding.weight)
    return weight, -finding.n_nodes, finding.workload, finding.trouble, finding.pdb


def _places(cluster: ClusterFacts) -> Mapping[str, DrainReadiness]:
    found = {node.name: DrainReadiness.UNPOOLED for node in cluster.unpooled}
    for pool in cluster.pools:
        found.update(_places_in(pool))
    return found


def _places_in(pool: PoolFacts) -> Iterator[tuple[str, DrainReadiness]]:
    pdb_blocked = pdb_blocked_nodes(pool)
    for node in pool.nodes:
        if node.capacity_type not in (CapacityType.SPOT, CapacityType.ON_DEMAND):
            yield node.name, DrainReadiness.NEVER_MOVED
        elif not HARD_BLOCKERS.isdisjoint(blockers_of(node, pdb_blocked)):
            yield node.name, DrainReadiness.HELD
        elif not node.ready or node.cordoned or node.moving:
            yield node.name, DrainReadiness.BUSY
        else:
            yield node.name, DrainReadiness.FREE


def _shares(nodes: Sequence[NodeFact], places: Mapping[str, DrainReadiness]) -> tuple[Share, ...]:
    cpu = sum(node.allocatable_cpu_milli for node in nodes)
    found = []
    for place in DrainReadiness:
        held = [node for node in nodes if places[node.name] is place]
        part = sum(node.allocatable_cpu_milli for node in held)
        found.append(
            Share(
                place=place,
                n_nodes=len(held),
                cpu_milli=part,
                nodes_ratio=len(held) / len(nodes) if nodes else 0.0,
                cpu_ratio=part / cpu if cpu else 0.0,
            )
        )
    return tuple(found)
