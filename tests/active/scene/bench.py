"""A small pool without Karpenter: nodes to come from and nodes to go to are there already.

Comes in: a control plane with KWOK and Karpenter's CRDs. Goes out: one pool at a time, with its
NodeClaims, whose deletion `claims.Provisioner` carries out as Karpenter would; and answers about
its end. So one scene takes seconds, and many follow each other on one control plane. Shares no code
with the product.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from tests.active.scene.claims import CLAIMS, claim_manifest, finish
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    Manifest,
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_manifest,
    nodepool_manifest,
    pdb_manifest,
)
from tests.deploy.manifests import active_bounds, active_fence, active_roles
from tests.witness.crash_proxy import Reply
from tests.witness.judge.case import CLUSTER
from tests.witness.judge.names import (
    AFTER_LOSS,
    AT_RISK,
    CORDONED,
    DRAIN,
    FREEZE,
    KIND,
    LEASE,
    NAMESPACE,
    NODE_POOL_LABEL,
    POOL_LABEL,
    STATE,
)
from tests.witness.market import write_scripted_risk
from tests.witness.scene import is_ready

USER = "replica-a"
ZONES = ("us-west-2a", "us-west-2b")
NODE_POOLS = "/apis/karpenter.sh/v1/nodepools"
KINDS = ("spot", "on-demand")
LEASE_PATH = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{LEASE}"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
MARKS = (CORDONED, DRAIN, AT_RISK)
RULES: dict[str, Any] = {"max_in_flight": {CLUSTER: 2}, "settle_s": 1.0, "anchors_stay": True}
"""Bounds of the observer for the settings of `Bench.variables`."""

NO_BUDGET = Reply(
    status=429,
    body=json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": "TooManyRequests",
            "code": 429,
            "message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": {"causes": [{"reason": "DisruptionBudget", "message": "none left"}]},
        }
    ).encode(),
)
"""What the server says where a budget allows no eviction now."""

_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How the pool begins: `n_from` nodes with all the pods, `n_to` empty ones.

    There are two workloads, of as many pods each as there are nodes, and two at least: a single
    replica is never moved of our own accord. With `pair` Spot and on-demand have a NodePool each.
    """

    n_from: int = 2
    n_to: int = 2
    kind_from: str = "spot"
    kind_to: str = "on-demand"
    cpu: str = "900m"
    pdb: bool = True
    consolidate_after: str = "0s"
    pair: bool = False
    spec: dict[str, Any] | None = None

    @property
    def n_replicas(self) -> int:
        """Pods of each workload."""
        return max(2, self.n_from)

    @property
    def n_pods(self) -> int:
        """Pods of both workloads."""
        return 2 * self.n_replicas


def prepare(plane: ControlPlane) -> None:
    """Make our namespace with the rights, the bounds and the fence that are shipped."""
    user = plane.username(USER)
    plane.apply([namespace_manifest(NAMESPACE)])
    plane.apply([*active_bounds(), *active_roles(user), *active_fence(user)])


class Ours:
    """What of ours is in a cluster, and what a person does to us there."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane, self.api = plane, plane.api()

    def own_pods(self, kind: str) -> list[Manifest]:
        """Return the pods of ours of a kind."""
        pods = self.api.items(f"/api/v1/namespaces/{NAMESPACE}/pods")
        return [p for p in pods if p["metadata"]["labels"].get(KIND) == kind]

    def marked(self) -> list[str]:
        """Return the nodes that carry anything of ours, or are cordoned by anybody."""
        found = []
        for node in self.api.items("/api/v1/nodes"):
            metadata = node["metadata"]
            ours = {*metadata.get("labels", {}), *metadata.get("annotations", {})} & {*MARKS}
            if ours or node["spec"].get("unschedulable"):
                found.append(f"{metadata['name']}: {sorted(ours)}")
        return found

    def standing(self) -> str:
        """Say how the cluster stands, for a person."""
        labels = [node["metadata"]["labels"] for node in self.api.items("/api/v1/nodes")]
        kinds = dict(Counter(label.get("karpenter.sh/capacity-type", "") for label in labels))
        anchors, room = self.own_pods("anchor"), self.own_pods("placeholder")
        return f"{kinds}, marked {self.marked()}, {len(anchors)} anchors, {len(room)} placeholders"

    def release_lease(self) -> None:
        """Give a dead daemon's lease back, as it would have itself, to spare its 15 s."""
        path = LEASE_PATH
        if self.api.request("GET", path)[0] == 200:
            self.api.patch(path, {"spec": {"holderIdentity": ""}})

    def is_frozen(self) -> bool:
        """Tell whether somebody has stopped the daemon."""
        return self.api.request("GET", f"{CONFIG_MAPS}/{FREEZE}")[0] == 200

    def freeze(self) -> None:
        """Stop the daemon as a person would."""
        metadata = {"name": FREEZE, "namespace": NAMESPACE}
        self.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


class Bench(Ours):
    """One pool with its workloads, built on entry and cleared away on exit."""

    def __init__(self, plane: ControlPlane, size: Size | None = None) -> None:
        super().__init__(plane)
        self.size = size or Size()
        number = next(_NUMBERS)
        self.pool, self.shop = f"pool-{number}", f"shop-{number}"
        # By capacity type, the NodePool that launches it; and what all nodes of the pool say.
        ends = {"spot": "-spot", "on-demand": "-od"} if self.size.pair else dict.fromkeys(KINDS, "")
        self.sides = {kind: self.pool + end for kind, end in ends.items()}
        self.label = POOL_LABEL if self.size.pair else NODE_POOL_LABEL
        self._serial = itertools.count(1)
        self.first_pools: list[tuple[int, Manifest]] = []

    def __enter__(self) -> Self:
        size = self.size
        space = namespace_manifest(self.shop)
        if not size.pdb:
            # Whoever has no budget here may lose all: pool safety has scenes of its own.
            space["metadata"]["annotations"] = {AFTER_LOSS: "0"}
        self.plane.apply([space, *map(self._node_pool, sorted({*self.sides.values()}))])
        self.first_pools = self.node_pools()
        # Pods that come while one node is not usable yet would all go to the other.
        self.add_empty(size.kind_from, size.n_from)
        self.plane.apply(list(self._workloads()))
        wait_until(self.all_running, 60)
        self.add_empty(size.kind_to, size.n_to)
        return self

    def __exit__(self, *_: object) -> None:
        clear(self)

    def _node_pool(self, name: str) -> Manifest:
        disruption = {
            "consolidationPolicy": "WhenEmptyOrUnderutilized",
            "consolidateAfter": self.size.consolidate_after,
        }
        kinds = tuple(kind for kind, side in self.sides.items() if side == name)
        made = nodepool_manifest(name, capacity_types=kinds, spec={"disruption": disruption})
        if self.size.pair:
            made["spec"]["template"]["metadata"] = {"labels": {self.label: self.pool}}
        return made

    def _workloads(self) -> list[Manifest]:
        made: list[Manifest] = []
        for app in ("one", "two"):
            shape = self.pod_shape(app)
            made.append(deployment_manifest(shape, replicas=self.size.n_replicas))
            if self.size.pdb:
                made.append(pdb_manifest(app, self.shop, max_unavailable=1))
        return made

    def pod_shape(self, app: str, **spec: Any) -> PodShape:
        """Return the shape of a workload's pod, which runs in this pool alone."""
        selector = {self.label: self.pool}
        spread = {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": app}},
        }
        given = {"nodeSelector": selector, "topologySpreadConstraints": [spread]}
        return PodShape(
            app=app,
            namespace=self.shop,
            cpu=self.size.cpu,
            grace_s=1,
            spec=given | (self.size.spec or {}) | spec,
        )

    def add_node(self, kind: str, zone: str = ZONES[0], cpu: str = "4") -> str:
        """Add a Ready node with its NodeClaim; return its name."""
        name = f"{self.pool}-{kind}-{next(self._serial)}"
        claim = self.api.create(claim_manifest(name, self.sides[kind], kind))
        shape = NodeShape(
            pool=self.sides[kind],
            capacity_type=kind,
            instance_type="c5.xlarge",
            zone=zone,
            cpu=cpu,
            labels={self.label: self.pool},
        )
        node = node_manifest(name, shape)
        node["metadata"]["ownerReferences"] = [
            {
                "apiVersion": "karpenter.sh/v1",
                "kind": "NodeClaim",
                "name": name,
                "uid": claim["metadata"]["uid"],
                "blockOwnerDeletion": True,
            }
        ]
        provider = node["spec"]["providerID"]
        self.api.create(node)
        status = {"status": {"nodeName": name, "providerID": provider}}
        self.api.patch(f"{CLAIMS}/{name}/status", status)
        return name

    def add_empty(self, kind: str, n: int) -> None:
        """Add empty nodes, and wait until pods may go there."""
        names = {self.add_node(kind, ZONES[number % 2]) for number in range(n)}

        def usable() -> bool:
            there = [node for node in self.nodes() if node["metadata"]["name"] in names]
            return len(there) == n and not any(node["spec"].get("taints") for node in there)

        wait_until(usable, 30)

    # -- what is there ------------------------------------------------------

    def nodes(self) -> list[Manifest]:
        """Return the nodes of the pool."""
        return self.api.items(f"/api/v1/nodes?labelSelector={quote(self.label, '')}%3D{self.pool}")

    def counts(self) -> dict[str, int]:
        """Count the nodes of the pool by capacity type."""
        return Counter(n["metadata"]["labels"]["karpenter.sh/capacity-type"] for n in self.nodes())

    def an_instance(self) -> str:
        """Return the instance of a node that pods run on."""
        used = {pod["spec"]["nodeName"] for pod in self.pods()}
        node = self.api.get(f"/api/v1/nodes/{min(used)}")
        return str(node["spec"]["providerID"]).rpartition("/")[2]

    def pods(self) -> list[Manifest]:
        """Return the workloads' pods."""
        return self.api.items(f"/api/v1/namespaces/{self.shop}/pods")

    def all_running(self) -> bool:
        """Tell whether every wanted pod is Ready, and none is left over."""
        pods = self.pods()
        return len(pods) == self.size.n_pods and all(map(is_ready, pods))

    def is_clean(self) -> bool:
        """Tell whether nothing of ours is left but anchors, and no NodeClaim is leaving."""
        leaving = [c for c in self.api.items(CLAIMS) if "deletionTimestamp" in c["metadata"]]
        return not (self.own_pods("placeholder") or self.marked() or leaving)

    def at_end(self, **counts: int) -> bool:
        """Tell whether the pool stands as it should, with nothing left."""
        wanted = {kind.replace("_", "-"): n for kind, n in counts.items() if n}
        return dict(self.counts()) == wanted and self.all_running() and self.is_clean()

    def node_pools(self) -> list[tuple[int, Manifest]]:
        """Return generation and spec of each NodePool."""
        pools = [self.api.get(f"{NODE_POOLS}/{side}") for side in sorted({*self.sides.values()})]
        return [(pool["metadata"]["generation"], pool["spec"]) for pool in pools]

    def pool_is_unchanged(self) -> bool:
        """Tell whether the NodePools are as they were made."""
        return self.node_pools() == self.first_pools

    def events(self, reason: str = "SpotVortex") -> list[str]:
        """Return what our Events say, by their reason's beginning, of this pool's nodes."""
        return [
            f"{e['reason']}: {e['message']}"
            for e in self.api.items("/api/v1/namespaces/default/events")
            if e["reason"].startswith(reason)
            and e["involvedObject"]["name"].startswith(f"{self.pool}-")
        ]

    # -- what is done to it -------------------------------------------------

    def variables(self, folder: Path, risk: float, url: str = "") -> dict[str, str]:
        """Return the daemon's settings for a short scene at a steady risk.

        Args:
            folder: for prices and bundle.
            risk: the score from now on.
            url: of a proxy before the API server.
        """
        script = write_scripted_risk(
            folder, [(-60.0, risk)], instance_types=("c5.xlarge",), zones=ZONES
        )
        return script | {
            "KUBECONFIG": str(self.plane.kubeconfig(USER, server=url or None)),
            "SPOTVORTEX_MODE": "active",
            "SPOTVORTEX_SETTLE_S": "1",
            "SPOTVORTEX_DWELL_S": "1",
            "SPOTVORTEX_MAX_DWELL_S": "1",
            "SPOTVORTEX_MAX_POOL_DISRUPTION_RATIO": "0.5",
            "SPOTVORTEX_MAX_CLUSTER_DISRUPTION_RATIO": "0.5",
            "SPOTVORTEX_BIND_S": "60",
        }


def clear(bench: Bench) -> None:
    """Take everything of a scene away, ours too, and wait until it is gone.

    Pods go before their nodes: what is bound to no node waits long for its collector.
    """
    api, shop = bench.api, bench.shop
    api.request("DELETE", f"/api/v1/namespaces/{shop}")
    at_once = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
    api.request("DELETE", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", at_once)
    for path in (LEASE_PATH, f"{CONFIG_MAPS}/{STATE}", f"{CONFIG_MAPS}/{FREEZE}"):
        api.request("DELETE", path)
    for side in {*bench.sides.values()}:
        api.request("DELETE", f"{NODE_POOLS}/{side}")

    def no_pods() -> bool:
        paths = [f"/api/v1/namespaces/{namespace}/pods" for namespace in (NAMESPACE, shop)]
        for path in paths:
            api.request("DELETE", path, at_once)
        return not any(api.items(path) for path in paths)

    wait_until(no_pods, 60, every_s=0.3)
    for claim in api.items(CLAIMS):
        api.request("DELETE", f"{CLAIMS}/{claim['metadata']['name']}")
        finish(api, claim)
    wait_until(lambda: not bench.nodes() and not api.items(CLAIMS), 60)
