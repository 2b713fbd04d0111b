"""The pods that we ourselves put into the cluster.

Comes in: every pod. Goes out: a record of each that is ours. Ours are the pods in our namespace
that carry our label of kinds; a label alone, anywhere else, makes no pod ours. To any other pod
this costs one comparison.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from msgspec import Struct

from spotvortex.core import marks
from spotvortex.kube import wire

_KINDS: Final = frozenset({marks.PLACEHOLDER, marks.ANCHOR})
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


class OwnPodRecord(Struct, frozen=True, gc=False, kw_only=True):
    """One pod of ours.

    `node` is where it is bound, "" where it waits, and `ready` says that it is bound; whether that
    node is Ready is judged elsewhere. `started_at` and `created_at` are seconds since the epoch,
    `started_at` None before a kubelet has taken it; `deadline_s` counts from there, 0 for none.
    `order` is the order's journal of a placeholder; `pending_reason` the scheduler's word.
    """

    name: str
    kind: str
    plan_id: str
    for_uid: str
    node: str
    started_at: float | None
    created_at: float
    deadline_s: int
    order: str
    ready: bool
    finished: bool
    terminating: bool
    pending_reason: str = ""


class OwnPods:
    """Pods of ours by key; finished ones stay until they are deleted."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._pods: dict[str, OwnPodRecord] = {}

    def keys(self) -> AbstractSet[str]:
        """Return the keys of the pods known."""
        return self._pods.keys()

    def all(self) -> tuple[OwnPodRecord, ...]:
        """Return the pods known, sorted by name."""
        return tuple(self._pods[key] for key in sorted(self._pods))

    def put(self, key: str, obj: wire.Pod) -> bool:
        """Take a pod if it is ours, and tell whether it is.

        Raises:
            ValueError: one of its times cannot be read.
        """
        if obj.metadata.namespace != self._namespace or not self._namespace:
            return False
        labels = obj.metadata.labels or {}
        kind = labels.get(marks.KIND, "")
        if kind not in _KINDS:
            self._pods.pop(key, None)
            return False
        self._pods[key] = _record(obj, kind, labels)
        return True

    def remove(self, key: str) -> None:
        """Forget a pod, if it is known."""
        self._pods.pop(key, None)


def _record(obj: wire.Pod, kind: str, labels: dict[str, str]) -> OwnPodRecord:
    meta, spec = obj.metadata, obj.spec or wire.PodSpec()
    status = obj.status or wire.PodStatus()
    return OwnPodRecord(
        name=meta.name,
        kind=kind,
        plan_id=labels.get(marks.PLAN, ""),
        for_uid=labels.get(marks.FOR, ""),
        node=spec.node_name or "",
        started_at=_seconds(status.start_time) if status.start_time else None,
        created_at=_seconds(meta.creation_timestamp) if meta.creation_timestamp else 0.0,
        deadline_s=spec.active_deadline_seconds or 0,
        order=(meta.annotations and meta.annotations.order) or "",
        ready=bool(spec.node_name),
        finished=status.phase in _FINISHED,
        terminating=meta.deletion_timestamp is not None,
        pending_reason=_pending_reason(status),
    )


def _pending_reason(status: wire.PodStatus) -> str:
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.message or "not scheduled"
    return ""


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
