"""A stand-in for Cluster Autoscaler: it scales KWOK nodes on a real API server by the same rules.

Comes in: an API and groups. Goes out: nodes made for pods that wait, and nodes removed that nothing
needs, by a thread; its status as ConfigMap; and what it did. It is no Cluster Autoscaler, and
stands where that cannot be built. Of its rules it keeps those that moving by pods rests on, as its
FAQ and its source say: pods below -10 count for nothing; a group with nodes looks like one of them,
and an empty managed group has its name as a label, and its capacity type as `capacityType` alone; a
node goes that asks for less than half of itself, whose pods fit elsewhere, whom nothing keeps, and
which stays so for a while, never below the smallest size; it is tainted first, then drained by
evictions. It knows no expander, no cloud that fails, no pod affinity, and CPU alone. Shares no code
with the product.
"""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from tests.controlplane.api import Api
from tests.controlplane.manifests import Manifest, NodeShape, node_manifest

CUTOFF = -10
NAMESPACE, STATUS = "kube-system", "cluster-autoscaler-status"
NODEGROUP, CAPACITY = "eks.amazonaws.com/nodegroup", "eks.amazonaws.com/capacityType"
DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
TAINT = "ToBeDeletedByClusterAutoscaler"
UUID = "0a1b2c3d-1111-2222-3333-4444555566"


@dataclass(slots=True, kw_only=True)
class Group:
    """A managed node group: what its nodes are like, and how many there may be."""

    name: str
    capacity_type: str
    smallest: int = 0
    largest: int = 10
    cpu: str = "4"
    instance_type: str = "c5.xlarge"
    zone: str = "us-west-2a"

    @property
    def scaling_group(self) -> str:
        """The name of the Auto Scaling group that EKS makes of it."""
        return f"eks-{self.name}-{UUID}{len(self.name):02d}"

    def node(self, name: str) -> Manifest:
        """Return a node of it."""
        shape = NodeShape(
            pool=self.name,
            style="nodegroup",
            capacity_type=self.capacity_type,
            instance_type=self.instance_type,
            zone=self.zone,
            cpu=self.cpu,
        )
        return node_manifest(name, shape)

    @property
    def template(self) -> dict[str, str]:
        """The labels of an empty group's node, as Cluster Autoscaler guesses them."""
        word = {"spot": "SPOT", "on-demand": "ON_DEMAND"}[self.capacity_type]
        labels: dict[str, str] = self.node("x")["metadata"]["labels"]
        return {k: v for k, v in labels.items() if k != CAPACITY} | {"capacityType": word}


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A node that was removed: whether it was cordoned or kept then, and what ran there."""

    name: str
    group: str
    cordoned: bool
    kept: bool
    pods: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Autoscaler:
    """Scales the groups until it is left; `unneeded_s` is its `scale-down-unneeded-time`."""

    api: Api
    groups: tuple[Group, ...]
    unneeded_s: float = 4.0
    scales_down: bool = True
    made: list[str] = field(default_factory=list)
    removed: list[Removed] = field(default_factory=list)
    sizes: dict[str, set[int]] = field(default_factory=dict)
    _unneeded: dict[str, float] = field(default_factory=dict)
    _serial: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="autoscaler")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._end.set()
        self._thread.join(30)

    def add(self, group: Group) -> str:
        """Add one node to a group."""
        name = f"{group.name}-{next(self._serial)}"
        self.api.create(group.node(name))
        self.made.append(name)
        return name

    def _run(self) -> None:
        while not self._end.wait(0.5):
            with suppress(OSError, http.client.HTTPException):
                self._loop()

    def _loop(self) -> None:
        nodes, pods = self.api.items("/api/v1/nodes"), self.api.items("/api/v1/pods")
        counted = [p for p in pods if _priority(p) >= CUTOFF]
        counted = [p for p in counted if p["status"].get("phase") not in ("Succeeded", "Failed")]
        self._write_status(nodes)
        self._scale_up(nodes, counted)
        if self.scales_down:
            self._scale_down(nodes, counted)

    # -- up ------------------------------------------------------------------

    def _scale_up(self, nodes: list[Manifest], pods: list[Manifest]) -> None:
        """Add nodes to the first group that fits what waits, unless some are on their way."""
        takers = [n for n in nodes if _takes_pods(n)]
        waiting = [p for p in pods if _is_unschedulable(p) and not _fit([p], takers, pods)]
        if any(not _is_ready(node) for node in nodes):
            return
        for group in self.groups:
            there = [n for n in nodes if _group_of(n) == group.name]
            like = there[0]["metadata"]["labels"] if there else group.template
            mine = [p for p in waiting if _may_be_on(p, like)]
            waiting = [p for p in waiting if p not in mine]
            for _ in range(min(_bins(mine, _milli(group.cpu)), group.largest - len(there))):
                self.add(group)

    # -- down ----------------------------------------------------------------

    def _scale_down(self, nodes: list[Manifest], pods: list[Manifest]) -> None:
        now = time.monotonic()
        for node in nodes:
            name = node["metadata"]["name"]
            if _is_tainted(node):
                self._drain(node, [p for p in pods if p["spec"].get("nodeName") == name])
            elif not self._is_unneeded(node, nodes, pods):
                self._unneeded.pop(name, None)
            elif now - self._unneeded.setdefault(name, now) >= self.unneeded_s:
                del self._unneeded[name]
                taints = [*node["spec"].get("taints", ()), {"key": TAINT, "effect": "NoSchedule"}]
                self._note(node, pods)
                self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": taints}})
                return

    def _is_unneeded(self, node: Manifest, nodes: list[Manifest], pods: list[Manifest]) -> bool:
        group = next((g for g in self.groups if g.name == _group_of(node)), None)
        there = [n for n in nodes if group and _group_of(n) == group.name and not _is_tainted(n)]
        if group is None or len(there) <= group.smallest or not _is_ready(node):
            return False
        if node["metadata"].get("annotations", {}).get(DISABLED) == "true":
            return False
        own = [p for p in pods if p["spec"].get("nodeName") == node["metadata"]["name"]]
        if any(map(_keeps_its_node, own)) or _used(own) * 2 >= _milli(group.cpu):
            return False
        others = [n for n in nodes if n is not node and _takes_pods(n)]
        return _fit(own, others, pods)

    def _note(self, node: Manifest, pods: list[Manifest]) -> None:
        name = node["metadata"]["name"]
        own = [p["metadata"]["name"] for p in pods if p["spec"].get("nodeName") == name]
        self.removed.append(
            Removed(
                name=name,
                group=_group_of(node),
                cordoned=bool(node["spec"].get("unschedulable")),
                kept=DISABLED in node["metadata"].get("annotations", {}),
                pods=tuple(own),
            )
        )

    def _drain(self, node: Manifest, own: list[Manifest]) -> None:
        for pod in own:
            meta = {k: pod["metadata"][k] for k in ("namespace", "name")}
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
            path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
            self.api.request("POST", path, body)
        if not own:
            self.api.request("DELETE", f"/api/v1/nodes/{node['metadata']['name']}")

    # -- status ----------------------------------------------------------------

    def _write_status(self, nodes: list[Manifest]) -> None:
        lines = [f"time: {time.time()}", "autoscalerStatus: Running", "nodeGroups:"]
        for group in self.groups:
            n = sum(_group_of(node) == group.name for node in nodes)
            self.sizes.setdefault(group.name, set()).add(n)
            lines += [
                f"- name: {group.scaling_group}",
                "  health:",
                "    status: Healthy",
                f"    cloudProviderTarget: {n}",
                f"    minSize: {group.smallest}",
                f"    maxSize: {group.largest}",
            ]
        meta = {"name": STATUS, "namespace": NAMESPACE}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
        self.api.apply([body | {"data": {"status": "\n".join(lines) + "\n"}}])


def _group_of(node: Manifest) -> str:
    return str(node["metadata"]["labels"].get(NODEGROUP, ""))


def _priority(pod: Manifest) -> int:
    return int(pod["spec"].get("priority", 0))


def _is_unschedulable(pod: Manifest) -> bool:
    """A pod that waits for a lesser one to go needs no node."""
    if pod["status"].get("nominatedNodeName"):
        return False
    conditions = pod["status"].get("conditions", ())
    return any(c["type"] == "PodScheduled" and c["status"] == "False" for c in conditions)


def _is_ready(node: Manifest) -> bool:
    conditions = node["status"].get("conditions", ())
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    taints = {t["key"] for t in node["spec"].get("taints", ())}
    return ready and "node.kubernetes.io/not-ready" not in taints


def _is_tainted(node: Manifest) -> bool:
    return any(t["key"] == TAINT for t in node["spec"].get("taints", ()))


def _takes_pods(node: Manifest) -> bool:
    return _is_ready(node) and not node["spec"].get("unschedulable") and not _is_tainted(node)


def _keeps_its_node(pod: Manifest) -> bool:
    """A pod that says so keeps its node, and so does one that nobody would make again."""
    said = pod["metadata"].get("annotations", {}).get(SAFE_TO_EVICT)
    owners = pod["metadata"].get("ownerReferences", ())
    made = any(owner.get("controller") for owner in owners)
    return said == "false" or (not made and said != "true")


def _milli(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else round(float(quantity) * 1000)


def _used(pods: list[Manifest]) -> int:
    return sum(
        _milli(container.get("resources", {}).get("requests", {}).get("cpu", "0"))
        for pod in pods
        for container in pod["spec"]["containers"]
    )


def _bins(pods: list[Manifest], cpu_milli: int) -> int:
    """Count the nodes that the pods fill, the largest first."""
    bins: list[int] = []
    for need in sorted((_used([pod]) for pod in pods), reverse=True):
        at = next((i for i, used in enumerate(bins) if used + need <= cpu_milli), None)
        if at is not None:
            bins[at] += need
        elif need <= cpu_milli:
            bins.append(need)
    return len(bins)


def _fit(own: list[Manifest], others: list[Manifest], pods: list[Manifest]) -> bool:
    """Tell whether the pods of a node would find room on the others."""
    left = {}
    for node in others:
        name = node["metadata"]["name"]
        there = [p for p in pods if p["spec"].get("nodeName") == name]
        left[name] = _milli(node["status"]["allocatable"]["cpu"]) - _used(there)
    labels = {n["metadata"]["name"]: n["metadata"]["labels"] for n in others}
    for pod in own:
        need = _used([pod])
        fits = [n for n in left if left[n] >= need and _may_be_on(pod, labels[n])]
        if not fits:
            return False
        left[fits[0]] -= need
    return True


def _may_be_on(pod: Manifest, labels: dict[str, str]) -> bool:
    """Judge selector and required node affinity, as the scheduler does."""
    spec = pod["spec"]
    if any(labels.get(k) != v for k, v in spec.get("nodeSelector", {}).items()):
        return False
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    terms = required["nodeSelectorTerms"]
    return any(all(_holds(r, labels) for r in term.get("matchExpressions", ())) for term in terms)


def _holds(rule: dict[str, Any], labels: dict[str, str]) -> bool:
    value, values = labels.get(rule["key"]), rule.get("values", ())
    match rule["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case operator:
            raise AssertionError(f"no placeholder of ours asks by {operator}")
