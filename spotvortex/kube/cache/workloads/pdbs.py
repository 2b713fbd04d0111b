"""From one PodDisruptionBudget and the pods that it covers to what the core knows of it.

Comes in: the budget as the server shows it, the covered pods, and the nodes. Goes out: a `PdbFact`.
May not know which pods a selector matches: `label_sets` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.domain.observation import NodeFact, PdbFact
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.domain.workloads import SpotShare
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.cache.pods import PodRecord

ALWAYS_ALLOW: Final = "AlwaysAllow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What has to be looked up.

    Attributes:
        workload: returns the workload of a controller, "" of none.
        node: returns the node of a name, None where there is none.
    """

    workload: Callable[[str], str]
    node: Callable[[str], NodeFact | None]


@dataclass(slots=True, eq=False)
class _PodCounts:
    """The covered pods, counted by node and by owner."""

    healthy: dict[str, int] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    unready: dict[str, int] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    owners: dict[str, int] = field(default_factory=dict)


def _counted(covered: Iterable[PodRecord]) -> _PodCounts:
    tally = _PodCounts()
    healthy, owners = tally.healthy, tally.owners
    for pod in covered:
        node, owner = pod.node, pod.owner
        owners[owner] = owners.get(owner, 0) + 1
        if not node:
            continue
        holds = not (pod.stays or pod.pending)
        if pod.ready:
            healthy[node] = healthy.get(node, 0) + 1
            if not holds:
                tally.free[node] = tally.free.get(node, 0) + 1
        elif holds:
            tally.unready[node] = tally.unready.get(node, 0) + 1
        else:
            tally.elsewhere.add(node)
    return tally


def fact_of(
    pdb: wire.Pdb, covered: Iterable[PodRecord], lookup: Lookup
) -> tuple[PdbFact, frozenset[str]]:
    """Return a budget's fact, and the pools where its pods are, "" for nodes of none."""
    tally = _counted(covered)
    on = tally.healthy.keys() | tally.unready.keys() | tally.elsewhere
    nodes = [node for name in on if (node := lookup.node(name)) is not None]
    pools = frozenset([node.pool for node in nodes])
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
        healthy_by_node=sorted_counts(tally.healthy),
        free_by_node=sorted_counts(tally.free),
        unready_by_node=sorted_counts(tally.unready),
        n_leaving=sum(tally.healthy.get(node.name, 0) for node in nodes if node.leaving),
        spot_by_offering=on_spot(nodes, tally.healthy),
        pools=tuple(sorted(pools - {""})),
    )
    return fact, pools


def sorted_counts(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return counts as a fact holds them."""
    return tuple(sorted(counts.items()))


def on_spot(nodes: Iterable[NodeFact], healthy: Mapping[str, int]) -> tuple[SpotShare, ...]:
    """Sum Ready pods on Spot by offering.

    Its two names are the key, since they hash in a fraction of the time.
    """
    sums: dict[tuple[str, str], tuple[int, int, int]] = {}
    for node in nodes:
        if node.capacity_type is CapacityType.SPOT and (n := healthy.get(node.name)):
            key = node.offering.instance_type, node.offering.zone
            n_nodes, n_pods, n_leaving = sums.get(key, (0, 0, 0))
            sums[key] = n_nodes + 1, n_pods + n, n_leaving + (n if node.leaving else 0)
    return tuple(
        SpotShare(
            offering=Offering(instance_type=key[0], zone=key[1]),
            n_nodes=n_nodes,
            n_pods=n_pods,
            n_leaving=n_leaving,
        )
        for key, (n_nodes, n_pods, n_leaving) in sorted(sums.items())
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
