"""From one PodDisruptionBudget and the pods that it covers to what the core knows of it.

Comes in: the budget as the server shows it, the covered pods, and the nodes. Goes out: a `PdbFact`.
May not know which pods a selector matches: `budgets` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.observation import NodeFact, PdbFact, SpotShare
from spotvortex.core.types import CapacityType, Offering
from spotvortex.kube import wire
from spotvortex.kube.pods import PodRecord

ALWAYS_ALLOW: Final = "AlwaysAllow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What has to be looked up: the workload of a controller, and a node by its name."""

    workload: Callable[[str], str]
    node: Callable[[str], NodeFact | None]


@dataclass(slots=True, eq=False)
class _Tally:
    """The covered pods, counted by node and by owner."""

    healthy: dict[str, int] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    unready: dict[str, int] = field(default_factory=dict)
    on: set[str] = field(default_factory=set)
    owners: dict[str, int] = field(default_factory=dict)

    def add(self, pod: PodRecord) -> None:
        """Count one pod."""
        node = pod.node
        self.owners[pod.owner] = self.owners.get(pod.owner, 0) + 1
        if not node:
            return
        self.on.add(node)
        holds = not (pod.stays or pod.pending)
        if pod.ready:
            self.healthy[node] = self.healthy.get(node, 0) + 1
            if not holds:
                self.free[node] = self.free.get(node, 0) + 1
        elif holds:
            self.unready[node] = self.unready.get(node, 0) + 1


def fact_of(
    pdb: wire.Pdb, covered: Iterable[PodRecord], lookup: Lookup
) -> tuple[PdbFact, frozenset[str]]:
    """Return a budget's fact, and the pools where its pods are, "" for nodes of none."""
    tally = _Tally()
    for pod in covered:
        tally.add(pod)
    nodes = [node for name in tally.on if (node := lookup.node(name)) is not None]
    pools = frozenset(node.pool for node in nodes)
    spec, status = pdb.spec or wire.PdbSpec(), pdb.status or wire.PdbStatus()
    fact = PdbFact(
        namespace=pdb.metadata.namespace or "",
        name=pdb.metadata.name,
        workload=_most_common(tally.owners, lookup.workload),
        desired_healthy=status.desired_healthy or 0,
        disruptions_allowed=status.disruptions_allowed or 0,
        current_healthy=status.current_healthy or 0,
        expected_pods=status.expected_pods or 0,
        observed=(status.observed_generation or 0) >= (pdb.metadata.generation or 0),
        evicts_unhealthy=spec.unhealthy_pod_eviction_policy == ALWAYS_ALLOW,
        terms=_terms(spec),
        healthy_by_node=_sorted(tally.healthy),
        free_by_node=_sorted(tally.free),
        unready_by_node=_sorted(tally.unready),
        spot_by_offering=_on_spot(nodes, tally.healthy),
        pools=tuple(sorted(pools - {""})),
    )
    return fact, pools


def _sorted(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items()))


def _on_spot(nodes: Iterable[NodeFact], healthy: Mapping[str, int]) -> tuple[SpotShare, ...]:
    n_nodes: Counter[Offering] = Counter()
    n_pods: Counter[Offering] = Counter()
    for node in nodes:
        if node.capacity_type is CapacityType.SPOT and node.name in healthy:
            n_nodes[node.offering] += 1
            n_pods[node.offering] += healthy[node.name]
    return tuple(
        SpotShare(offering=o, n_nodes=n_nodes[o], n_pods=n_pods[o]) for o in sorted(n_pods)
    )


def _terms(spec: wire.PdbSpec) -> str:
    if spec.max_unavailable is not None:
        return f"maxUnavailable {spec.max_unavailable}"
    return "" if spec.min_available is None else f"minAvailable {spec.min_available}"


def _most_common(owners: Mapping[str, int], name_of: Callable[[str], str]) -> str:
    """Return the workload with most pods, "" where none has an owner."""
    counts: Counter[str] = Counter()
    for owner, n_pods in owners.items():
        counts[name_of(owner)] += n_pods
    del counts[""]
    return min(counts, key=lambda workload: (-counts[workload], workload), default="")
