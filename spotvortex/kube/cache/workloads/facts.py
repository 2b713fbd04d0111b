"""From one workload's pods and its owner's words to what the core knows of it.

Comes in: the live pods of a workload, the words on it and on its namespace, and the nodes. Goes
out: a `WorkloadFact`. May not know which pods belong to a workload: `workloads` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.workloads import WorkloadFact, strictest
from spotvortex.kube.api.wire import owners as owner_wire
from spotvortex.kube.cache.pods import PodRecord
from spotvortex.kube.cache.workloads.pdbs import Lookup, on_spot, sorted_counts

JOB: Final = "Job"
"""Its pods run to an end and are started anew by it, so that nobody waits for their number."""


@dataclass(frozen=True, slots=True, order=True)
class Said:
    """What one object says of its pods, "" where it says nothing.

    Attributes:
        after_loss: what must stay Ready after a loss.
        floor: what must stay on-demand.
    """

    after_loss: str = ""
    floor: str = ""


SILENT: Final = Said()


class ObjectWords:
    """The words of owners on objects of one kind; the sink of their metadata.

    `changed` is called with the key of an object whose words are others than before.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._words: dict[str, Said] = {}

    def keys(self) -> AbstractSet[str]:
        """Return the objects known, with a word or without."""
        return self._words.keys()

    def put(self, key: str, obj: owner_wire.Owner) -> None:
        """Take an object's metadata."""
        self._set(key, said_on(obj))

    def remove(self, key: str) -> None:
        """Forget an object, and its words."""
        self._set(key, SILENT)
        self._words.pop(key, None)

    def _set(self, key: str, said: Said) -> None:
        before, self._words[key] = self._words.get(key, SILENT), said
        if said != before:
            self._changed(key)

    def of(self, key: str) -> Said:
        """Return the words on an object."""
        return self._words.get(key, SILENT)


def said_on(obj: owner_wire.Owner) -> Said:
    """Return the owner's words on an object."""
    notes = obj.metadata.annotations
    if notes is None:
        return SILENT
    return Said(notes.min_available_after_loss or "", notes.on_demand_floor or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The owner's words that concern one workload.

    Attributes:
        own: on the workload itself.
        namespace: on its namespace.
    """

    own: Said = SILENT
    namespace: Said = SILENT


def workload_fact(
    key: str, pods: Iterable[PodRecord], words: Words, lookup: Lookup
) -> tuple[WorkloadFact, frozenset[str]] | None:
    """Return a workload's fact, and the pools where its pods are, "" for nodes of none.

    None for one without pods, and for a Job whose pods say nothing of a loss.
    """
    n_replicas, healthy, on, on_pods = _counted(pods)
    namespace, kind, name = key.split("/", 2)
    if not n_replicas or (kind == JOB and not on_pods):
        return None
    nodes = [node for node_name in on if (node := lookup.node(node_name)) is not None]
    pools = frozenset([node.pool for node in nodes])
    # A pod of a node that is gone says that it is Ready until somebody deletes it.
    healthy = {node.name: n for node in nodes if (n := healthy.get(node.name))}
    said, said_by = _said(key, words, strictest(on_pods, n_replicas))
    floor, floor_by = _floor(key, words)
    fact = WorkloadFact(
        namespace=namespace,
        kind=kind,
        name=name,
        n_replicas=n_replicas,
        said=said,
        said_by=said_by,
        floor=floor,
        floor_by=floor_by,
        healthy_by_node=sorted_counts(healthy),
        n_leaving=sum([healthy.get(node.name, 0) for node in nodes if node.leaving]),
        spot_by_offering=on_spot(nodes, healthy),
        pools=tuple(sorted(pools - {""})),
    )
    return fact, pools


def _counted(pods: Iterable[PodRecord]) -> tuple[int, dict[str, int], set[str], set[str]]:
    """Count pods, and Ready ones by node; return the nodes with any pod, and the pods' words."""
    n_replicas = 0
    healthy: dict[str, int] = {}
    on: set[str] = set()
    words: set[str] = set()
    for pod in pods:
        n_replicas += 1
        node = pod.node
        if pod.costs.word:
            words.add(pod.costs.word)
        if node:
            on.add(node)
            if pod.ready:
                healthy[node] = healthy.get(node, 0) + 1
    return n_replicas, healthy, on, words


def _said(key: str, words: Words, on_pods: str) -> tuple[str, str]:
    """Return the word that counts and whose it is: the nearest to the pods' owner."""
    namespace, kind, name = key.split("/", 2)
    if words.own.after_loss:
        return words.own.after_loss, f"{kind} {namespace}/{name}"
    if on_pods:
        return on_pods, f"pods of {kind} {namespace}/{name}"
    if words.namespace.after_loss and kind != JOB:
        return words.namespace.after_loss, f"Namespace {namespace}"
    return "", ""


def _floor(key: str, words: Words) -> tuple[str, str]:
    """Return the floor that counts and whose word it is: the workload's own, else its namespace's.

    A Job has none.
    """
    namespace, kind, name = key.split("/", 2)
    if words.own.floor:
        return words.own.floor, f"{kind} {namespace}/{name}"
    if words.namespace.floor and kind != JOB:
        return words.namespace.floor, f"Namespace {namespace}"
    return "", ""
