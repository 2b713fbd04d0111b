"""What we create in a cluster, as the API server takes it.

Comes in: plain values. Goes out: dictionaries, ready to be sent. May not send anything.
"""

from __future__ import annotations

from typing import Final

from spotvortex.core import marks

Manifest = dict[str, object]

PAUSE_IMAGE: Final = "registry.k8s.io/pause:3.10"


def tether_job(name: str, namespace: str, lifetime_s: int) -> Manifest:
    """Return a Job that runs nothing and vanishes, with all that name it as their owner.

    With no completions asked for it is complete at once and never has a pod. From then on the
    cluster itself counts `ttlSecondsAfterFinished`, deletes the Job, and the garbage collector
    follows, whether a pod is Running or Pending. `activeDeadlineSeconds` of a pod does less: it
    counts only from the pod's start on a node.
    (kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished)

    Args:
        name: begins with `marks.TETHER_PREFIX`.
        namespace: ours.
        lifetime_s: seconds until it is deleted, counted by the cluster.
    """
    assert name.startswith(marks.TETHER_PREFIX), name
    assert 0 < lifetime_s <= marks.LONGEST_LIFE_S, lifetime_s
    labels: dict[str, object] = {marks.MANAGED_BY: marks.MANAGER}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "completions": 0,
            "parallelism": 0,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": lifetime_s,
            "template": {"metadata": {"labels": labels}, "spec": _never_run()},
        },
    }


def tether_reference(name: str, uid: str) -> Manifest:
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


def _never_run() -> Manifest:
    """Return the pod's spec that a Job must have; acceptable to restricted pod security."""
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "none",
                "image": PAUSE_IMAGE,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }
