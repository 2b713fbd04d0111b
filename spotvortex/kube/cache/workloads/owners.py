"""Which workload a pod belongs to, whether it is the only one there, and what its owner says.

Comes in: pods as they come and go, who owns each ReplicaSet, and the words of owners on
ReplicaSets, StatefulSets and namespaces. Goes out: workload ids (`namespace/Kind/name`), their
pods and words, and the answer to "single replica?". Only pods that live count: one that is
being deleted is on its way out, and its successor is then the only one. DaemonSet and mirror pods
are never asked about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final

from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire import owners as owner_wire
from spotvortex.kube.cache.indexes import DirtySet
from spotvortex.kube.cache.pods import PodRecord
from spotvortex.kube.cache.workloads.facts import SILENT, ObjectWords, Said, Words, said_on

# The alphabet of Kubernetes' SafeEncodeString, in which template hashes are written.
_HASHED: Final = re.compile(r"^(.+/)ReplicaSet(/.+)-[bcdfghjklmnpqrstvwxz2456789]{1,10}$")


@lru_cache(maxsize=65536)
def guessed_workload(owner: str) -> str:
    """Guess the workload of a controller from its name alone.

    A ReplicaSet whose name ends like a template hash is taken for a Deployment's.
    """
    return _HASHED.sub(r"\1Deployment\2", owner)


class Workloads:
    """Live pods by controller, and controllers by workload; also the sink of ReplicaSets."""

    def __init__(self, changes: DirtySet) -> None:
        self._changes = changes
        self._pods: dict[str, dict[str, PodRecord]] = {}
        self._controllers: dict[str, set[str]] = {}
        self._told: dict[str, str] = {}
        self._said: dict[str, tuple[int, Said]] = {}
        self.stateful_sets = ObjectWords(self._word_of_stateful_set)
        self.namespaces = ObjectWords(self._word_of_namespace)

    def workload_of(self, pod: PodRecord) -> str:
        """Return the pod's workload id; a bare pod is its own workload."""
        if not pod.owner:
            namespace, _, name = pod.key.partition("/")
            return f"{namespace}/Pod/{name}"
        return self.name_of(pod.owner)

    def is_single(self, pod: PodRecord) -> bool:
        """Tell whether a pod is the only live one of its workload."""
        if not _counts(pod) or len(self._pods[pod.owner]) > 1:
            return False
        return self._n_live(self.name_of(pod.owner)) == 1

    def replace(self, old: PodRecord | None, new: PodRecord | None) -> None:
        """Take note of a pod that came, changed or went."""
        before = old if old is not None and _counts(old) else None
        after = new if new is not None and _counts(new) else None
        if before is not None and (after is None or after.owner != before.owner):
            self._detach(before)
        if after is not None:
            self._attach(after)
        for pod in (before, after):
            if pod is not None:
                self._changes.workloads.add(self.name_of(pod.owner))

    def _attach(self, pod: PodRecord) -> None:
        pods = self._pods.get(pod.owner)
        if pods is None:
            pods = self._pods[pod.owner] = {}
            self._controllers.setdefault(self.name_of(pod.owner), set()).add(pod.owner)
        is_new = pod.key not in pods
        pods[pod.key] = pod
        if is_new and len(pods) <= 2:
            self._mark_if_few(self.name_of(pod.owner))

    def _detach(self, pod: PodRecord) -> None:
        pods = self._pods[pod.owner]
        del pods[pod.key]
        workload = self.name_of(pod.owner)
        if not pods:
            del self._pods[pod.owner]
            self._leave(workload, pod.owner)
        if len(pods) <= 1:
            self._mark_if_few(workload)

    def _leave(self, workload: str, controller: str) -> None:
        controllers = self._controllers[workload]
        controllers.discard(controller)
        if not controllers:
            del self._controllers[workload]

    def _mark_if_few(self, workload: str) -> None:
        """Mark the nodes of a workload that may just have crossed from one pod to two, or back."""
        if self._n_live(workload) <= 2:
            for controller in self._controllers.get(workload, ()):
                self._mark(controller)

    def _mark(self, controller: str) -> None:
        for pod in self._pods[controller].values():
            self._changes.nodes.add(pod.node)

    def _n_live(self, workload: str) -> int:
        return sum(len(self._pods[c]) for c in self._controllers.get(workload, ()))

    def name_of(self, controller: str) -> str:
        """Return the workload of a controller, "" of none."""
        return self._told.get(controller) or guessed_workload(controller)

    def pods_of(self, workload: str) -> Iterator[PodRecord]:
        """Return the live pods of a workload."""
        for controller in self._controllers.get(workload, ()):
            yield from self._pods[controller].values()

    def words_on(self, workload: str) -> Words:
        """Return what owners say of a workload; of its ReplicaSets the newest rollout counts.

        The Deployment controller copies the Deployment's annotations there.
        """
        namespace, kind, name = workload.split("/", 2)
        own = self.stateful_sets.of(f"{namespace}/{name}") if kind == "StatefulSet" else SILENT
        said = [self._said.get(c, _UNSAID) for c in self._controllers.get(workload, ())]
        return Words(
            own=max(said, default=_UNSAID)[1] if own == SILENT else own,
            namespace=self.namespaces.of(namespace),
        )

    def _word_of_stateful_set(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        self._changes.workloads.add(f"{namespace}/StatefulSet/{name}")

    def _word_of_namespace(self, key: str) -> None:
        mine = f"{key}/"
        self._changes.workloads |= {w for w in self._controllers if w.startswith(mine)}

    # The sink of ReplicaSets.

    def keys(self) -> AbstractSet[str]:
        """Return the ReplicaSets known, `namespace/name`."""
        return {controller.replace("/ReplicaSet/", "/", 1) for controller in self._told}

    def put(self, key: str, obj: owner_wire.Owner) -> None:
        """Learn who owns a ReplicaSet."""
        controller = _replica_set(key)
        self._rename(controller, _owner_of(controller, obj.metadata))
        self._say(controller, (_revision_of(obj), said_on(obj)))

    def remove(self, key: str) -> None:
        """Forget a ReplicaSet; pods that it may still have fall back to the guess."""
        controller = _replica_set(key)
        self._rename(controller, "")
        self._say(controller, _UNSAID)

    def _say(self, controller: str, said: tuple[int, Said]) -> None:
        if said == self._said.get(controller, _UNSAID):
            return
        if said == _UNSAID:
            del self._said[controller]
        else:
            self._said[controller] = said
        self._changes.workloads.add(self.name_of(controller))

    def _rename(self, controller: str, workload: str) -> None:
        before = self.name_of(controller)
        if workload:
            self._told[controller] = workload
        else:
            self._told.pop(controller, None)
        after = self.name_of(controller)
        if before == after or controller not in self._pods:
            return
        self._leave(before, controller)
        self._controllers.setdefault(after, set()).add(controller)
        self._mark_if_few(before)
        self._mark_if_few(after)
        self._mark(controller)
        self._changes.workloads |= {before, after}
        for pod in self._pods[controller].values():
            self._changes.label_sets.add(pod.label_set)


_UNSAID: Final = (0, SILENT)


def _revision_of(obj: owner_wire.Owner) -> int:
    notes = obj.metadata.annotations
    text = (notes.revision or "") if notes is not None else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _counts(pod: PodRecord) -> bool:
    return bool(pod.owner) and not pod.stays and not pod.terminating


def _replica_set(key: str) -> str:
    namespace, _, name = key.partition("/")
    return f"{namespace}/ReplicaSet/{name}"


def _owner_of(controller: str, meta: wire.Meta) -> str:
    for reference in meta.owner_references or ():
        if reference.controller:
            return f"{meta.namespace or ''}/{reference.kind}/{reference.name}"
    return controller
