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


class ObjectWords:
    """The words of owners on objects of one kind; the sink of their metadata.

    `changed` is called with the key of an object whose word is another one than before.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._words: dict[str, str] = {}

    def keys(self) -> AbstractSet[str]:
        """Return the objects known, with a word or without."""
        return self._words.keys()

    def put(self, key: str, obj: owner_wire.Owner) -> None:
        """Take an object's metadata."""
        self._set(key, said_on(obj))

    def remove(self, key: str) -> None:
        """Forget an object, and its word."""
        self._set(key, "")
        self._words.pop(key, None)

    def _set(self, key: str, word: str) -> None:
        before, self._words[key] = self._words.get(key, ""), word
        if word != before:
            self._changed(key)

    def of(self, key: str) -> str:
        """Return the word on an object, "" where there is none."""
        return self._words.get(key, "")


def said_on(obj: owner_wire.Owner) -> str:
    """Return the owner's word on an object, "" where there is none."""
    notes = obj.metadata.annotations
    return (notes.min_available_after_loss or "") if notes is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The owner's words that concern one workload, "" where there is none.

    Attributes:
        own: on the workload itself.
        namespace: on its namespace.
    """

    own: str = ""
    namespace: str = ""


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
    said, said_by = _said(key, words, strictest(on_pods, n_replicas))
    fact = WorkloadFact(
        namespace=namespace,
        kind=kind,
        name=name,
        n_replicas=n_replicas,
        said=said,
        said_by=said_by,
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
    if words.own:
        return words.own, f"{kind} {namespace}/{name}"
    if on_pods:
        return on_pods, f"pods of {kind} {namespace}/{name}"
    if words.namespace and kind != JOB:
        return words.namespace, f"Namespace {namespace}"
    return "", ""
