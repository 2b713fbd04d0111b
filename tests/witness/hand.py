"""A writer driven by hand: makes the requests of the active mode one by one, rightly or wrongly.

Comes in: a control plane and the user to be. Goes out: requests over HTTP. It knows the documented
forms alone, so the observer is tried without the product.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.controlplane.api import MERGE_PATCH, Api, wait_until
from tests.controlplane.cluster import ControlPlane
from tests.witness.judge.names import (
    ANCHOR,
    CAPACITY_TYPE,
    CORDONED,
    DO_NOT_DISRUPT,
    DRAIN,
    FOR,
    KIND,
    LEASE,
    NAMESPACE,
    ORDER,
    PLACEHOLDER,
    PLAN,
    PRIORITY_CLASS,
)

Json = dict[str, Any]
_OWN = f"/api/v1/namespaces/{NAMESPACE}/pods"
_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


class Hand:
    """One writer.

    Args:
        plane: where.
        user: a key of `ControlPlane.users`.
        api: another client, e.g. one that goes through a proxy.
    """

    def __init__(
        self, plane: ControlPlane, user: str = "replica-a", api: Api | None = None
    ) -> None:
        self.api = api or plane.api(user)
        self.identity = f"{user}-pod"
        self.cpu = "100m"  # what a placeholder asks for
        self._admin = plane.api()

    # -- the lease ----------------------------------------------------------

    def take_lease(self, seconds: int = 60) -> None:
        """Create the lease, or take it over from whoever has it."""
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": seconds,
            "renewTime": datetime.now(UTC).isoformat(timespec="microseconds"),
        }
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE, "namespace": NAMESPACE},
            "spec": spec,
        }
        if self.api.request("POST", _LEASES, body)[0] == 409:
            self.api.patch(f"{_LEASES}/{LEASE}", {"spec": spec})

    def release_lease(self) -> None:
        """Give the lease up."""
        self.api.patch(f"{_LEASES}/{LEASE}", {"spec": {"holderIdentity": ""}})

    # -- our pods -----------------------------------------------------------

    def placeholder(self, name: str, node: Json, plan: str, **selector: str) -> None:
        """Ask for the room of one pod, on an on-demand node where nothing else is said."""
        pod = _pod(name, PLACEHOLDER, node, plan)
        pod["metadata"]["annotations"][ORDER] = _order(node, plan)
        pod["spec"]["nodeSelector"] = selector or {CAPACITY_TYPE: "on-demand"}
        pod["spec"]["priorityClassName"] = PRIORITY_CLASS
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = self.cpu
        self.api.must("POST", _OWN, pod)

    def anchor(self, name: str, node: Json, plan: str) -> None:
        """Keep a node."""
        pod = _pod(name, ANCHOR, node, plan)
        pod["spec"]["nodeName"] = node["metadata"]["name"]
        self.api.must("POST", _OWN, pod)

    def await_running(self, *names: str) -> None:
        """Wait until pods of ours run."""
        for name in names:
            wait_until(
                lambda n=name: self._admin.get(f"{_OWN}/{n}")["status"]["phase"] == "Running"
            )

    def delete_own(self, kind: str, **labels: str) -> None:
        """Delete pods of ours of a kind, by `plan` and `uid` of their node."""
        keys = {"plan": PLAN, "uid": FOR}
        pairs = [f"{KIND}={kind}", *(f"{keys[k]}={v}" for k, v in labels.items())]
        selector = ",".join(pairs).replace("=", "%3D").replace("/", "%2F")
        self.api.must("DELETE", f"{_OWN}?labelSelector={selector}", {"gracePeriodSeconds": 0})

    # -- nodes and pods of others -------------------------------------------

    def mark(self, node: Json, plan: str, kind: str = "drain", **metadata: Any) -> None:
        """Cordon a node and write the journal, in one patch with a precondition."""
        body = {
            "metadata": {
                "uid": node["metadata"]["uid"],
                "labels": {CORDONED: "true"},
                "annotations": {DRAIN: _order(node, plan, kind)},
            }
            | metadata,
            "spec": {"unschedulable": True},
        }
        self.patch_node(node, body)

    def unmark(self, node: Json) -> None:
        """Take the mark away and uncordon."""
        body = {
            "metadata": {
                "uid": node["metadata"]["uid"],
                "labels": {CORDONED: None},
                "annotations": {DRAIN: None},
            },
            "spec": {"unschedulable": None},
        }
        self.patch_node(node, body)

    def patch_node(self, node: Json, body: Json) -> None:
        """Write to a node."""
        path = f"/api/v1/nodes/{node['metadata']['name']}"
        self.api.must("PATCH", path, body, content_type=MERGE_PATCH)

    def evict(self, pod: Json, *, uid: bool = True) -> int:
        """Evict a pod and return the status code."""
        metadata = {k: pod["metadata"][k] for k in ("namespace", "name")}
        body: Json = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        if uid:
            body["deleteOptions"] = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        return self.api.request("POST", f"{pod_path(pod)}/eviction", body)[0]

    def delete_claim(self, node: Json) -> None:
        """Delete the NodeClaim of a node, with its uid as precondition."""
        claims = "/apis/karpenter.sh/v1/nodeclaims"
        name = node["metadata"]["name"]
        found = (c for c in self._admin.items(claims) if c["status"].get("nodeName") == name)
        claim = next(found)["metadata"]
        self.api.delete(f"{claims}/{claim['name']}", {"preconditions": {"uid": claim["uid"]}})

    def await_gone(self, *pods: Json) -> None:
        """Wait until pods are gone."""
        for pod in pods:
            wait_until(lambda p=pod: self._admin.request("GET", pod_path(p))[0] == 404)

    def move(
        self, node: Json, pods: list[Json], plan: str, *, before_mark: Callable[[], object] = bool
    ) -> None:
        """Move one node as it should be done: room, mark, evictions, clean-up."""
        names = [f"{plan}-{pod['metadata']['name']}" for pod in pods]
        for name in names:
            self.placeholder(name, node, plan)
        self.await_running(*names)
        before_mark()
        self.mark(node, plan)
        for pod in pods:
            # A budget may say no until the last one's successor runs.
            wait_until(lambda p=pod: self.evict(p) == 201)
        self.await_gone(*pods)
        self.delete_own(PLACEHOLDER, plan=plan, uid=node["metadata"]["uid"])


def pod_path(pod: Json) -> str:
    """Return the path of a pod."""
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def after_lag(seconds: float = 0.7) -> None:
    """Let more time pass than the watch may lag behind."""
    time.sleep(seconds)


def _order(node: Json, plan: str, kind: str = "drain") -> str:
    metadata = node["metadata"]
    order = {"v": 1, "plan": plan, "kind": kind, "pool": "web", "uid": metadata["uid"]}
    return json.dumps(order)


def _pod(name: str, kind: str, node: Json, plan: str) -> Json:
    labels = {KIND: kind, PLAN: plan, FOR: node["metadata"]["uid"]}
    container = {
        "name": "pause",
        "image": "example.test/pause:1",
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
        # A namespace may be as restricted as there is.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": labels,
            # Without it Karpenter takes the new node away again before anything has moved there.
            "annotations": {DO_NOT_DISRUPT: "true"},
        },
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
