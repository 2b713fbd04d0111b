"""The pods that the controller itself puts into the cluster.

Comes in: every pod. Goes out: an `OwnPod` of each that the controller made: those in its own
namespace that carry its label of kinds. The label alone, in another namespace, does not count. Any
other pod costs one comparison.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from spotvortex.core.domain import labels as label_names
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.observation import OwnPod
from spotvortex.kube.api.wire import objects as wire

_KINDS: Final = frozenset(PodKind)
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


class OwnPods:
    """The controller's pods by key; finished ones stay until they are deleted."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._pods: dict[str, OwnPod] = {}
        self._by_node: dict[str, dict[str, OwnPod]] = {}
        self._all: tuple[OwnPod, ...] | None = ()

    def keys(self) -> AbstractSet[str]:
        """Return the keys of the pods known."""
        return self._pods.keys()

    def all(self) -> tuple[OwnPod, ...]:
        """Return the pods known, sorted by name; the same object while nothing has changed."""
        if self._all is None:
            self._all = tuple(self._pods[key] for key in sorted(self._pods))
        return self._all

    def about(self, node_uid: str) -> tuple[OwnPod, ...]:
        """Return the pods that are about one node, sorted by name."""
        pods = self._by_node.get(node_uid, {})
        return tuple(pods[key] for key in sorted(pods))

    def put(self, key: str, obj: wire.Pod) -> bool:
        """Take a pod if the controller made it, and tell whether it did.

        Raises:
            ValueError: one of its times cannot be read.
        """
        if obj.metadata.namespace != self._namespace or not self._namespace:
            return False
        labels = obj.metadata.labels or {}
        kind = labels.get(label_names.KIND, "")
        if kind not in _KINDS:
            self.remove(key)
            return False
        pod = _own_pod(obj, PodKind(kind), labels)
        if pod != self._pods.get(key):
            self.remove(key)
            self._pods[key] = pod
            self._by_node.setdefault(pod.for_uid, {})[key] = pod
        return True

    def remove(self, key: str) -> None:
        """Forget a pod, if it is known."""
        self._all = None
        pod = self._pods.pop(key, None)
        if pod is None:
            return
        del self._by_node[pod.for_uid][key]
        if not self._by_node[pod.for_uid]:
            del self._by_node[pod.for_uid]


def _own_pod(obj: wire.Pod, kind: PodKind, labels: dict[str, str]) -> OwnPod:
    meta, spec = obj.metadata, obj.spec or wire.PodSpec()
    status = obj.status or wire.PodStatus()
    since = status.start_time or meta.creation_timestamp
    return OwnPod(
        name=meta.name,
        kind=kind,
        plan_id=labels.get(label_names.PLAN, ""),
        for_uid=labels.get(label_names.FOR, ""),
        node=spec.node_name or "",
        ends_at=(_seconds(since) if since else 0.0) + (spec.active_deadline_seconds or 0),
        order=(meta.annotations and meta.annotations.order) or "",
        finished=status.phase in _FINISHED,
        terminating=meta.deletion_timestamp is not None,
        pending_reason=_pending_reason(status),
        n_pods=_n_pods(labels.get(label_names.ROOM, "")),
        created_at=_seconds(meta.creation_timestamp) if meta.creation_timestamp else 0.0,
        bound_at=_seconds(status.start_time) if status.start_time else None,
    )


def _n_pods(text: str) -> int:
    """Return for how many pods' room a placeholder stands, one where that cannot be read."""
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 4 else 1


def _pending_reason(status: wire.PodStatus) -> str:
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.message or "not scheduled"
    return ""


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
