"""The objects and patches that the controller writes, as plain dictionaries.

Comes in: a call, and what the pod that it is made for says. Goes out: JSON values. Each object of
ours has our labels, passes restricted pod security, and ends by itself. Nothing here talks to a
server.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain import labels as label_names
from spotvortex.core.drain.calls import CreateAnchor, CreatePlaceholder
from spotvortex.kube.api.node_labels import DO_NOT_DISRUPT, SAFE_TO_EVICT
from spotvortex.kube.write.placeholder_spec import PlaceholderSpec

Json = dict[str, object]

PAUSE_IMAGE: Final = "registry.k8s.io/pause:3.10"
ANCHOR_REQUESTS: Final = {"cpu": "1m", "memory": "8Mi"}

# The pause image's own user, named so that the kubelet need not ask the image.
_POD_SECURITY: Final = {
    "runAsNonRoot": True,
    "runAsUser": 65535,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceholderOptions:
    """Where the controller's pods live and what they run.

    Attributes:
        namespace: the controller's own.
        image: of a container that does nothing.
        reads_durations: tells whether the provisioner that runs now reads "30m" in do-not-disrupt;
            an older Karpenter takes "true" alone, and anything else for no protection.
    """

    namespace: str
    image: str = PAUSE_IMAGE
    reads_durations: Callable[[], bool] = _never


def placeholder(
    call: CreatePlaceholder, like: PlaceholderSpec, home: PlaceholderOptions, tether: Json
) -> Json:
    """Return a pod that asks for the room of another one.

    Topology spread and pod (anti-)affinity are not copied. Both count pods by labels, and a
    placeholder must not carry the labels of the workload: Services, ReplicaSets and budgets would
    take a placeholder for one of their own pods. Without them it may get room that the pod cannot
    use; the wave is then short of room, which is seen, and no pod is evicted against a budget.

    Args:
        call: what is asked for.
        like: what was taken over from the pod.
        home: namespace and image.
        tether: the owner reference that lets it be collected once we are gone.
    """
    notes = {DO_NOT_DISRUPT: "true", label_names.ORDER: call.order, **like.annotations}
    requests = {"cpu": f"{call.cpu_milli}m", "memory": str(call.memory_bytes), **like.requests}
    spec = _spec(home, requests, limits=like.limits, expires_s=call.expires_s)
    spec["priorityClassName"] = label_names.PRIORITY_CLASS
    spec["nodeSelector"] = like.node_selector
    spec["tolerations"] = like.tolerations
    if like.node_affinity:
        spec["affinity"] = {"nodeAffinity": like.node_affinity}
    labels = label_names.pod_labels(
        label_names.PodKind.PLACEHOLDER,
        plan_id=call.plan_id,
        for_uid=call.for_uid,
        pool=call.pool,
    )
    if call.n_pods > 1:
        labels |= {label_names.ROOM: str(call.n_pods)}
    return _pod(call.name, home, labels, notes, tether) | {"spec": spec}


def anchor(call: CreateAnchor, home: PlaceholderOptions, tether: Json) -> Json:
    """Return a tiny pod that keeps a node; it is bound by name, past the scheduler.

    A selector or affinity would tell Karpenter that the pod can run nowhere else, and the node
    could never be consolidated again, not even after the anchor's own time.
    """
    minutes = f"{math.ceil(call.expires_s / 60)}m"
    notes = {DO_NOT_DISRUPT: minutes if home.reads_durations() else "true", SAFE_TO_EVICT: "false"}
    spec = _spec(home, ANCHOR_REQUESTS, limits={}, expires_s=call.expires_s)
    spec["nodeName"] = call.node
    # Whatever taint the node gets, the anchor stays until it is taken away or its time is over.
    spec["tolerations"] = [{"operator": "Exists"}]
    labels = label_names.pod_labels(
        label_names.PodKind.ANCHOR, plan_id=call.plan_id, for_uid=call.node_uid, pool=call.pool
    )
    return _pod(call.name, home, labels, notes, tether) | {"spec": spec}


def _pod(
    name: str,
    home: PlaceholderOptions,
    labels: Mapping[str, str],
    notes: Mapping[str, str],
    tether: Json,
) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": home.namespace,
            "labels": dict(labels),
            "annotations": dict(notes),
            "ownerReferences": [tether],
        },
    }


def _spec(
    home: PlaceholderOptions,
    requests: Mapping[str, str],
    *,
    limits: Mapping[str, str],
    expires_s: int,
) -> Json:
    container: Json = {
        "name": "pause",
        "image": home.image,
        "resources": {"requests": dict(requests), "limits": dict(limits)},
        "securityContext": _CONTAINER_SECURITY,
    }
    return {
        "containers": [container],
        "securityContext": _POD_SECURITY,
        "activeDeadlineSeconds": expires_s,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }


def as_extra(pod: Json, plan_id: str) -> Json:
    """Return a placeholder for room beyond what was lost: on other nodes than the plan's own room.

    A provisioner packs pods that wait together into as few nodes as it can. Without this, what is
    extra would make one node larger, and be late or fail with it.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    assert isinstance(metadata, dict)
    assert isinstance(spec, dict)
    others: Json = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {
            "matchLabels": {label_names.PLAN: plan_id},
            "matchExpressions": [{"key": label_names.EXTRA, "operator": "DoesNotExist"}],
        },
    }
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [others]}}
    labels = metadata["labels"] | {label_names.EXTRA: "true"}
    return pod | {
        "metadata": metadata | {"labels": labels},
        "spec": spec | {"affinity": spec.get("affinity", {}) | apart},
    }


def room_job(name: str, pod: Json, n: int, lifetime_s: int) -> Json:
    """Return a Job that makes `n` placeholders alike, once, and ends with the last of them.

    Indexed, with no failure of an index forgiven: what is preempted or deleted is not made again,
    as a Deployment or any other Job would, for which a provisioner would launch yet more nodes. Its
    deadline counts from its creation, so Pending placeholders end with it too; then it vanishes.
    https://kubernetes.io/docs/concepts/workloads/controllers/job/#backoff-limit-per-index

    Args:
        name: begins with `label_names.TETHER_PREFIX`.
        pod: what `placeholder` gives; its name, its owner and its journal are left out.
        n: how many.
        lifetime_s: seconds until all of them end.
    """
    assert name.startswith(label_names.TETHER_PREFIX), name
    assert 0 < lifetime_s <= label_names.LONGEST_LIFE_S, lifetime_s
    metadata, spec = pod["metadata"], pod["spec"]
    assert isinstance(metadata, dict)
    assert isinstance(spec, dict)
    notes: Mapping[str, str] = metadata.get("annotations", {})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": metadata["labels"],
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": n,
            "parallelism": n,
            "backoffLimitPerIndex": 0,
            "activeDeadlineSeconds": lifetime_s,
            "ttlSecondsAfterFinished": 0,
            "template": {
                "metadata": {
                    "labels": metadata["labels"],
                    "annotations": {DO_NOT_DISRUPT: "true"}
                    | {k: v for k, v in notes.items() if k != label_names.ORDER},
                },
                "spec": {**spec, "restartPolicy": "Never"},
            },
        },
    }


def owner_job(name: str, namespace: str, lifetime_s: int) -> Json:
    """Return a Job that runs nothing and vanishes, with all that name it as their owner.

    With no completions asked for it is complete at once and never has a pod. From then on the
    cluster itself counts `ttlSecondsAfterFinished`, deletes the Job, and the garbage collector
    follows, whether a pod is Running or Pending.
    https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/

    Args:
        name: begins with `label_names.TETHER_PREFIX`.
        namespace: ours.
        lifetime_s: seconds until it is deleted, counted by the cluster; no longer than what we
            leave behind may last.
    """
    assert name.startswith(label_names.TETHER_PREFIX), name
    assert 0 < lifetime_s <= label_names.LONGEST_LIFE_S, lifetime_s
    labels: Json = {label_names.MANAGED_BY: label_names.MANAGER}
    container: Json = {
        "name": "none",
        "image": PAUSE_IMAGE,
        "securityContext": _CONTAINER_SECURITY,
    }
    never_run: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": _POD_SECURITY,
        "containers": [container],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "completions": 0,
            "parallelism": 0,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": lifetime_s,
            "template": {"metadata": {"labels": labels}, "spec": never_run},
        },
    }


def owner_reference(name: str, uid: str) -> Json:
    """Return the entry of `ownerReferences` that ties a pod to a tether; it stays a bare pod.

    `controller` is false: Karpenter and Cluster Autoscaler then do not take the Job for something
    that would make the pod again. `blockOwnerDeletion` is false, since it would need a right.
    """
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name,
        "uid": uid,
        "controller": False,
        "blockOwnerDeletion": False,
    }


def eviction(namespace: str, name: str, uid: str) -> Json:
    """Return an eviction of one very pod, with its own grace period since none is named."""
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"namespace": namespace, "name": name},
        "deleteOptions": {"preconditions": {"uid": uid}},
    }


def deletion(*, uid: str = "", grace_s: int | None = None, background: bool = False) -> Json:
    """Return delete options: of one very object where a uid is given.

    Args:
        uid: the object's, "" for whichever there is.
        grace_s: seconds until it is gone, None for its own.
        background: the garbage collector takes what it owns, after it.
    """
    options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if uid:
        options["preconditions"] = {"uid": uid}
    if grace_s is not None:
        options["gracePeriodSeconds"] = grace_s
    if background:
        options["propagationPolicy"] = "Background"
    return options


def node_patch(
    uid: str,
    *,
    version: str = "",
    labels: Mapping[str, str | None] | None = None,
    notes: Mapping[str, str | None] | None = None,
    unschedulable: bool | None = None,
) -> Json:
    """Return a merge patch of one very node; None takes a label or annotation away.

    IMPORTANT: no taint, ever. `spec.taints` is one atomic list, and others write to it too.
    """
    metadata: Json = {"uid": uid}
    if version:
        metadata["resourceVersion"] = version
    if labels:
        metadata["labels"] = dict(labels)
    if notes:
        metadata["annotations"] = dict(notes)
    patch: Json = {"metadata": metadata}
    if unschedulable is not None:
        patch["spec"] = {"unschedulable": unschedulable or None}
    return patch
