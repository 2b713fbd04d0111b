"""PodDisruptionBudgets, and which pods they cover.

Comes in: budgets, and pods with their labels. Goes out: for each budget a `PdbFact` and the nodes
concerned. Labels are interned once for each namespace, and selectors are matched against those
label sets, never against pods: a workload of a thousand pods is matched once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeVar

from spotvortex.core.domain.observation import PdbFact
from spotvortex.kube.api.selectors import check, matches
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.cache.indexes import DirtySet
from spotvortex.kube.cache.pods import PodRecord
from spotvortex.kube.cache.workloads.pdbs import Lookup, fact_of

Inner = TypeVar("Inner")
Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class LabelSet:
    """One distinct set of labels in a namespace.

    Attributes:
        number: the number under which it is interned.
        namespace: the namespace of its pods.
        labels: the labels, by name.
        pods: the pods that have it, by key.
        budgets: keys of the PodDisruptionBudgets that match it.
    """

    number: int
    namespace: str
    labels: Mapping[str, str]
    pods: dict[str, PodRecord] = field(default_factory=dict)
    budgets: set[str] = field(default_factory=set)

    @property
    def identity(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """Namespace and labels, which no other set has together."""
        return self.namespace, frozenset(self.labels.items())


@dataclass(slots=True, eq=False)
class MatchedPdb:
    """A PodDisruptionBudget with the label sets that it matches.

    Attributes:
        pdb: the budget as the server shows it.
        label_sets: numbers of the label sets that it matches.
    """

    pdb: wire.Pdb
    label_sets: set[int] = field(default_factory=set)

    @property
    def selector(self) -> wire.LabelSelector | None:
        """Its selector."""
        return self.pdb.spec.selector if self.pdb.spec is not None else None


class MatchedPdbs:
    """Label sets and budgets, matched with each other; also the sink of budgets."""

    def __init__(self, changes: DirtySet) -> None:
        self._changes = changes
        self._sets: dict[int, LabelSet] = {}
        self._by_identity: dict[tuple[str, frozenset[tuple[str, str]]], LabelSet] = {}
        self._sets_in: dict[str, dict[int, LabelSet]] = {}
        self._budgets: dict[str, MatchedPdb] = {}
        self._budgets_in: dict[str, dict[str, MatchedPdb]] = {}
        self._next_number = 0

    def label_set(self, namespace: str, labels: Mapping[str, str]) -> int:
        """Return the number of a set of labels; a new one is matched with every budget there."""
        identity = namespace, frozenset(labels.items())
        known = self._by_identity.get(identity)
        if known is not None:
            return known.number
        self._next_number += 1
        new = LabelSet(self._next_number, namespace, labels)
        self._by_identity[identity] = self._sets[new.number] = new
        self._sets_in.setdefault(namespace, {})[new.number] = new
        for key, budget in self._budgets_in.get(namespace, {}).items():
            if matches(budget.selector, labels):
                new.budgets.add(key)
                budget.label_sets.add(new.number)
        return new.number

    def n_budgets(self, pod: PodRecord) -> int:
        """Count the budgets that match a pod."""
        return len(self._sets[pod.label_set].budgets)

    def budgets_of(self, label_set: int) -> AbstractSet[str]:
        """Return the keys of the budgets that match a label set, none if it is gone."""
        known = self._sets.get(label_set)
        return known.budgets if known is not None else frozenset()

    def replace(self, old: PodRecord | None, new: PodRecord | None) -> None:
        """Take note of a pod that came, changed or went."""
        if new is not None:
            self._sets[new.label_set].pods[new.key] = new
            self._changes.label_sets.add(new.label_set)
        if old is not None and (new is None or new.label_set != old.label_set):
            self._detach(old)

    def _detach(self, pod: PodRecord) -> None:
        label_set = self._sets[pod.label_set]
        del label_set.pods[pod.key]
        self._changes.pdbs |= label_set.budgets
        if not label_set.pods:
            self._drop(label_set)

    def _drop(self, label_set: LabelSet) -> None:
        """Forget a label set that no pod has: StatefulSet pods have one each, Jobs come and go."""
        del self._sets[label_set.number], self._by_identity[label_set.identity]
        _remove(self._sets_in, label_set.namespace, label_set.number)
        for key in label_set.budgets:
            self._budgets[key].label_sets.discard(label_set.number)

    # The sink of budgets.

    def keys(self) -> AbstractSet[str]:
        """Return the budgets known, `namespace/name`."""
        return self._budgets.keys()

    def put(self, key: str, obj: wire.Pdb) -> None:
        """Take a budget; it is matched again only if its selector changed."""
        new = MatchedPdb(obj)
        # IMPORTANT: before anything is kept, or the pods that come later could not be matched.
        check(new.selector)
        self._changes.pdbs.add(key)
        known = self._budgets.get(key)
        if known is not None and known.selector == new.selector:
            known.pdb = obj
            return
        namespace = obj.metadata.namespace or ""
        found = [
            label_set
            for label_set in self._sets_in.get(namespace, {}).values()
            if matches(new.selector, label_set.labels)
        ]
        self.remove(key)
        self._budgets[key] = new
        self._budgets_in.setdefault(namespace, {})[key] = new
        for label_set in found:
            new.label_sets.add(label_set.number)
            label_set.budgets.add(key)
            self._mark_if(label_set, n_budgets=2)

    def remove(self, key: str) -> None:
        """Forget a budget."""
        budget = self._budgets.pop(key, None)
        if budget is None:
            return
        self._changes.pdbs.add(key)
        _remove(self._budgets_in, budget.pdb.metadata.namespace or "", key)
        for number in budget.label_sets:
            self._sets[number].budgets.discard(key)
            self._mark_if(self._sets[number], n_budgets=1)

    def _mark_if(self, label_set: LabelSet, *, n_budgets: int) -> None:
        """Mark the nodes of pods that are covered by two budgets from now on, or no longer."""
        if len(label_set.budgets) == n_budgets:
            self._changes.nodes |= {pod.node for pod in label_set.pods.values()}

    def fact(self, key: str, lookup: Lookup) -> tuple[PdbFact, frozenset[str]] | None:
        """Work out one budget from the pods that it covers.

        Args:
            key: `namespace/name`.
            lookup: gives the workload of a controller, and the node of a name.

        Returns:
            The fact and the pools where those pods are, "" for nodes that belong to none; None if
            the budget is gone.
        """
        budget = self._budgets.get(key)
        return None if budget is None else fact_of(budget.pdb, self._covered(budget), lookup)

    def _covered(self, budget: MatchedPdb) -> Iterator[PodRecord]:
        """Yield the pods covered; one being deleted does not count, as in Kubernetes itself."""
        for number in budget.label_sets:
            for pod in self._sets[number].pods.values():
                if not pod.terminating:
                    yield pod


def _remove(index: dict[str, dict[Inner, Value]], outer: str, inner: Inner) -> None:
    """Remove an entry of a two-level index, and the level that becomes empty."""
    del index[outer][inner]
    if not index[outer]:
        del index[outer]
