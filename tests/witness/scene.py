"""The standard active scene: one mixed NodePool of real Karpenter, with its workloads.

Comes in: a control plane with Karpenter and the shape of the scene. Goes out: running workloads on
Spot nodes, and answers to what a test asks of the end: how many nodes of which kind, whether all
pods run, whether the NodePool is as it was, what of ours is left. Shares no code with the product.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    Manifest,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_class_manifest,
    nodepool_manifest,
    pdb_manifest,
    pod_template,
)
from tests.witness.home import prepare_home
from tests.witness.judge.names import AFTER_LOSS, CORDONED, DRAIN, NAMESPACE, PREFIX

POOL = "web"
SHOP = "shop"
ZONES = ("us-west-2a", "us-west-2b", "us-west-2c")
INSTANCE_TYPES = ("c5.xlarge", "m5.xlarge", "r5.xlarge", "m6i.xlarge", "c6i.xlarge")
"""All of 4 vCPU, so that whatever Karpenter chooses holds as many pods."""

POD_CPU, DAEMON_CPU, PODS_PER_NODE = "900m", "50m", 4
N_DEPLOYMENTS = 10
STATEFUL = "ledger"
PATIENT = {"test.spotvortex.io/use-grace-period": "true"}
PAIR = (f"{POOL}-spot", f"{POOL}-od")
_OF_POOL = f"karpenter.sh/nodepool in ({POOL},{','.join(PAIR)})"
_NODES = f"/api/v1/nodes?labelSelector={quote(_OF_POOL)}"
_POD_LIST = f"/api/v1/namespaces/{SHOP}/pods"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the scene looks like.

    `n_nodes` nodes are full of pods; zones of volumes may ask Karpenter for a few more at first.
    `grace_s` is what each pod takes to end. `n_stateful` pods are of a StatefulSet whose volumes
    lie in one zone each. `consolidate_after` and `budgets` are written into the NodePool as they
    are; every workload's PodDisruptionBudget has `max_unavailable`. `after_loss` is the word on the
    namespace of what must stay after a loss; "" says nothing. The scene is ready once the
    nodes have been the same for `calm_s`: Karpenter looks every 10 s for what it can consolidate,
    and once more 15 s later. With `still` it consolidates nothing from then on. With `pair` Spot
    and on-demand have a NodePool each, and Spot's is the heavier one. `node_class` is that of the
    provider that launches.
    """

    n_nodes: int = 20
    n_stateful: int = 4
    grace_s: int = 5
    consolidation: str = "WhenEmptyOrUnderutilized"
    consolidate_after: str = "0s"
    budgets: tuple[Manifest, ...] = ({"nodes": "10%"},)
    annotations: dict[str, str] = field(default_factory=dict)
    max_unavailable: int | str = 1
    after_loss: str = ""
    calm_s: float = 28.0
    still: bool = False
    pair: bool = False
    node_class: Manifest = field(default_factory=node_class_manifest)

    @property
    def node_pools(self) -> tuple[str, ...]:
        """The NodePools of the pool, by name."""
        return PAIR if self.pair else (POOL,)

    @property
    def n_pods(self) -> int:
        """All pods but those of the DaemonSet: as many as fill the nodes."""
        return self.n_nodes * PODS_PER_NODE


@dataclass(frozen=True, slots=True)
class Counts:
    """Nodes of the pool."""

    spot: int
    on_demand: int


class ActiveScene:
    """The scene on one control plane, built on creation."""

    def __init__(self, plane: ControlPlane, shape: Shape, *, timeout_s: float = 240) -> None:
        self.plane, self.shape = plane, shape
        self.n_wanted = shape.n_pods
        self._api = plane.api()
        # The pool comes last: with all pods waiting Karpenter packs them in one go, and the number
        # of nodes is as asked for.
        plane.apply([_namespace(shape), *_volumes(shape), *_workloads(shape)])
        wait_until(lambda: len(self.pods()) >= shape.n_pods, timeout_s)
        plane.apply([shape.node_class, *_node_pools(shape)])
        wait_until(self.all_running, timeout_s, every_s=0.5)
        self._await_calm(timeout_s)
        if shape.still:
            change = {"spec": {"disruption": {"consolidateAfter": "Never"}}}
            for name in shape.node_pools:
                self._api.patch(f"/apis/karpenter.sh/v1/nodepools/{name}", change)
        self.first_pools = self.node_pools()

    def _await_calm(self, timeout_s: float) -> None:
        """Wait until Karpenter has done with packing: the same nodes for a while, none empty."""
        since, before = time.monotonic(), frozenset[str]()

        def calm() -> bool:
            nonlocal since, before
            nodes = self.nodes()
            now = frozenset(node["metadata"]["uid"] for node in nodes)
            used = {pod["spec"].get("nodeName") for pod in self.pods()}
            leaving = any("deletionTimestamp" in node["metadata"] for node in nodes)
            empty = any(node["metadata"]["name"] not in used for node in nodes)
            if now != before or leaving or empty or not self.all_running():
                since, before = time.monotonic(), now
            return time.monotonic() - since >= self.shape.calm_s

        wait_until(calm, timeout_s, every_s=0.5)

    def nodes(self) -> list[dict[str, Any]]:
        """Return the nodes of the pool."""
        return self._api.items(_NODES)

    def counts(self) -> Counts:
        """Count the nodes of the pool by capacity type."""
        kinds = Counter(n["metadata"]["labels"]["karpenter.sh/capacity-type"] for n in self.nodes())
        return Counts(spot=kinds["spot"], on_demand=kinds["on-demand"])

    def pods(self) -> list[dict[str, Any]]:
        """Return the workloads' pods, those of the DaemonSet left out."""
        return [p for p in self._api.items(_POD_LIST) if p["metadata"]["labels"]["app"] != "agent"]

    def all_running(self) -> bool:
        """Tell whether every wanted pod is Ready, and none is left over."""
        pods = self.pods()
        return len(pods) == self.n_wanted and all(map(is_ready, pods))

    def n_ready(self) -> int:
        """Count the workloads' pods that are Ready."""
        return sum(map(is_ready, self.pods()))

    def node_pools(self) -> list[tuple[int, Manifest]]:
        """Return generation and spec of each NodePool."""
        path = "/apis/karpenter.sh/v1/nodepools"
        pools = [self._api.get(f"{path}/{name}") for name in self.shape.node_pools]
        return [(pool["metadata"]["generation"], pool["spec"]) for pool in pools]

    def pool_is_unchanged(self) -> bool:
        """Tell whether the NodePools are as they were when the scene was built."""
        return self.node_pools() == self.first_pools

    def scale(self, app: str, replicas: int) -> None:
        """Change the size of one Deployment, `app-0` to `app-9`; `all_running` follows."""
        path = f"/apis/apps/v1/namespaces/{SHOP}/deployments/{app}"
        self.n_wanted += replicas - self._api.get(path)["spec"]["replicas"]
        self._api.patch(path, {"spec": {"replicas": replicas}})

    def ours_left(self, namespace: str = NAMESPACE) -> list[str]:
        """Return what of ours is still there: pods, and nodes with a mark; nothing is clean."""
        pods = self._api.items(f"/api/v1/namespaces/{namespace}/pods")
        found = [f"pod {p['metadata']['name']}" for p in pods if _is_ours(p)]
        for node in self._api.items("/api/v1/nodes"):
            metadata = node["metadata"]
            marks = {*metadata.get("labels", {}), *metadata.get("annotations", {})}
            found += [
                f"node {metadata['name']} {mark}" for mark in sorted(marks & {CORDONED, DRAIN})
            ]
        return found


@contextmanager
def active_scene(
    start: Callable[..., ControlPlane], shape: Shape | None = None, **options: Any
) -> Iterator[ActiveScene]:
    """Start a control plane with Karpenter and build the scene on it.

    Args:
        start: the fixture `fresh_control_plane`, which also stops what it started.
        shape: of the scene.
        options: further fields of `Options`.
    """
    plane = start(with_kwok=True, with_karpenter=True, **options)
    prepare_home(plane)
    yield ActiveScene(plane, shape or Shape())


def is_ready(pod: dict[str, Any]) -> bool:
    """Tell whether a pod is Ready and not about to end."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _is_ours(thing: dict[str, Any]) -> bool:
    return any(name.startswith(PREFIX) for name in thing["metadata"].get("labels", {}))


def _node_pools(shape: Shape) -> Iterator[Manifest]:
    if not shape.pair:
        yield _node_pool(shape, POOL)
        return
    for name, kind, weight in zip(PAIR, ("spot", "on-demand"), (10, 1), strict=True):
        pool = _node_pool(shape, name, (kind,))
        pool["spec"]["weight"] = weight
        # By this label the nodes say themselves which pool they are of.
        pool["spec"]["template"]["metadata"] = {"labels": {"spotvortex.io/pool": POOL}}
        yield pool


def _node_pool(shape: Shape, name: str, kinds: tuple[str, ...] = ("spot", "on-demand")) -> Manifest:
    disruption = {
        "consolidationPolicy": shape.consolidation,
        "consolidateAfter": shape.consolidate_after,
        "budgets": list(shape.budgets),
    }
    pool = nodepool_manifest(name, capacity_types=kinds, spec={"disruption": disruption})
    pool["metadata"]["annotations"] = dict(shape.annotations)
    types = {
        "key": "node.kubernetes.io/instance-type",
        "operator": "In",
        "values": list(INSTANCE_TYPES),
    }
    template = pool["spec"]["template"]["spec"]
    template["requirements"].append(types)
    template["nodeClassRef"] = {
        "group": shape.node_class["apiVersion"].partition("/")[0],
        "kind": shape.node_class["kind"],
        "name": shape.node_class["metadata"]["name"],
    }
    # Expiry would move nodes on its own account.
    template["expireAfter"] = "Never"
    return pool


def _namespace(shape: Shape) -> Manifest:
    made = namespace_manifest(SHOP)
    if shape.after_loss:
        made["metadata"]["annotations"] = {AFTER_LOSS: shape.after_loss}
    return made


def _workloads(shape: Shape) -> Iterator[Manifest]:
    left = shape.n_pods - shape.n_stateful
    for number in range(N_DEPLOYMENTS):
        replicas = left // N_DEPLOYMENTS + (number < left % N_DEPLOYMENTS)
        app = f"app-{number}"
        yield deployment_manifest(_pod_shape(app, shape), replicas=replicas)
        yield pdb_manifest(app, SHOP, max_unavailable=shape.max_unavailable)
    yield _stateful_set(shape)
    yield pdb_manifest(STATEFUL, SHOP, max_unavailable=shape.max_unavailable)
    yield _daemon_set(shape)


def _pod_shape(app: str, shape: Shape, **spec: Any) -> PodShape:
    return PodShape(
        app=app,
        namespace=SHOP,
        cpu=POD_CPU,
        memory="1Gi",
        grace_s=shape.grace_s,
        annotations=dict(PATIENT),
        spec=spec,
    )


def _stateful_set(shape: Shape) -> Manifest:
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": STATEFUL, "namespace": SHOP},
        "spec": {
            "replicas": shape.n_stateful,
            "serviceName": STATEFUL,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": STATEFUL}},
            "template": pod_template(_pod_shape(STATEFUL, shape)),
            "volumeClaimTemplates": [claim],
        },
    }


def _volumes(shape: Shape) -> Iterator[Manifest]:
    """One volume a StatefulSet pod, each in one zone and kept for that pod's claim."""
    for number in range(shape.n_stateful):
        zone = ZONES[number % len(ZONES)]
        term = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}
        terms = [{"matchExpressions": [term]}]
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{STATEFUL}-{number}"},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": SHOP, "name": f"data-{STATEFUL}-{number}"},
                "hostPath": {"path": f"/data/{number}"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            },
        }


def _daemon_set(shape: Shape) -> Manifest:
    pod = PodShape(app="agent", namespace=SHOP, cpu=DAEMON_CPU, memory="64Mi", grace_s=1)
    pod.spec["tolerations"] = [{"operator": "Exists"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": SHOP},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": pod_template(pod)},
    }
