"""A small town: a pool of KWOK nodes with claims, workloads and budgets, and our shipped rights.

Comes in: a control plane with Karpenter's CRDs, but without Karpenter, and a shape. Goes out: a
pool of which a daemon moves nodes as soon as it may not be all Spot. There are on-demand nodes with
room from the start; a thread plays the provisioner and takes a node away once its claim is gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.controlplane.api import Api, wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.credentials import SHADOW_USER
from tests.controlplane.manifests import (
    Manifest,
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_class_manifest,
    node_manifest,
    nodepool_manifest,
    pdb_manifest,
)
from tests.deploy.manifests import ACTIVE, active_bounds, active_fence, active_roles, only, render
from tests.e2e.equipment.daemon import Daemon
from tests.witness.judge.names import AFTER_LOSS, CAPACITY_TYPE, CORDONED, DRAIN, NAMESPACE
from tests.witness.market import CALM, Script, write_scripted_risk
from tests.witness.scene import is_ready

POOL, SHOP = "web", "shop"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
INSTANCE_TYPE = "m5.xlarge"
PODS_PER_NODE = 3
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
OWN_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
EMPTY = {"nodeSelector": {"karpenter.sh/nodepool": POOL}}

QUICK = {
    "SPOTVORTEX_MODE": "active",
    "SPOTVORTEX_MAX_SPOT_RATIO": "0",
    "SPOTVORTEX_SETTLE_S": "0",
    "SPOTVORTEX_MAX_INPUT_AGE_S": "10",
    "SPOTVORTEX_MAX_POOL_DISRUPTION_RATIO": "0.5",
    "SPOTVORTEX_MAX_CLUSTER_DISRUPTION_RATIO": "0.5",
    "SPOTVORTEX_MAX_WAVE_NODES": "2",
}
"""All Spot is to go, in waves of two nodes, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many nodes of which kind; `grace_s` is what each pod takes to end."""

    n_spot: int = 6
    n_on_demand: int = 6
    grace_s: int = 2


class Town:
    """The scene on one control plane, built on creation; `close` ends its thread."""

    def __init__(self, plane: ControlPlane, size: Size) -> None:
        self.plane, self.size = plane, size
        self.api: Api = plane.api()
        self._end = threading.Event()
        home = only(render(ACTIVE), "Namespace")
        shop = namespace_manifest(SHOP)
        # Its pods may all be on Spot: what a loss may take has scenes of its own.
        shop["metadata"]["annotations"] = {AFTER_LOSS: "0"}
        plane.apply([home, shop, *active_bounds()])
        plane.apply(active_roles(SHADOW_USER))
        plane.apply(active_fence(SHADOW_USER))
        plane.apply([node_class_manifest(), nodepool_manifest(POOL)])
        self._build()
        self.first_pool = self.node_pool()
        self._thread = threading.Thread(target=self._provision, name="provisioner")
        self._thread.start()

    def close(self) -> None:
        """End the provisioner."""
        self._end.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _build(self) -> None:
        """Fill the Spot nodes first, so that the on-demand ones come up empty."""
        for number in range(self.size.n_spot):
            self.add_node("spot", number)
        self.plane.apply(list(_workloads(self.size)))
        wait_until(self.all_running, 120)
        for number in range(self.size.n_on_demand):
            self.add_node("on-demand", number)
        wait_until(lambda: all(map(_is_ready_node, self.nodes())), 60)

    def add_node(self, capacity_type: str, number: int) -> None:
        """Create a node with the claim that owns it, as Karpenter does."""
        name = f"{POOL}-{capacity_type}-{number}"
        claim = self.api.create(_claim(name))
        path = f"{CLAIMS}/{name}"
        self.api.must("PUT", f"{path}/status", claim | {"status": {"nodeName": name}})
        shape = NodeShape(
            pool=POOL,
            capacity_type=capacity_type,
            instance_type=INSTANCE_TYPE,
            zone=ZONES[number % len(ZONES)],
        )
        node = node_manifest(name, shape)
        node["metadata"]["ownerReferences"] = [
            {
                "apiVersion": "karpenter.sh/v1",
                "kind": "NodeClaim",
                "name": name,
                "uid": claim["metadata"]["uid"],
            }
        ]
        self.api.create(node)

    def _provision(self) -> None:
        while not self._end.wait(0.25):
            claimed = {claim["metadata"]["name"] for claim in self.api.items(CLAIMS)}
            for node in self.nodes():
                name = node["metadata"]["name"]
                if name not in claimed:
                    self.api.request("DELETE", f"/api/v1/nodes/{name}")

    # -- what there is --------------------------------------------------------

    def nodes(self) -> list[dict[str, Any]]:
        """Return all nodes."""
        return self.api.items("/api/v1/nodes")

    def n_spot(self) -> int:
        """Count the Spot nodes that are left."""
        return sum(n["metadata"]["labels"][CAPACITY_TYPE] == "spot" for n in self.nodes())

    def cordoned(self) -> list[str]:
        """Return the nodes that carry our label, our journal or a cordon."""
        return [n["metadata"]["name"] for n in self.nodes() if _is_touched(n)]

    def pods(self) -> list[dict[str, Any]]:
        """Return the workloads' pods."""
        return self.api.items(f"/api/v1/namespaces/{SHOP}/pods")

    def own_pods(self, kind: str = "") -> list[dict[str, Any]]:
        """Return the pods of ours, of one kind where it is given."""
        found = [p for p in self.api.items(OWN_PODS) if "deletionTimestamp" not in p["metadata"]]
        return [p for p in found if not kind or _kind_of(p) == kind]

    def all_running(self) -> bool:
        """Tell whether every wanted pod is Ready, and none is left over."""
        pods = self.pods()
        return len(pods) == self.size.n_spot * PODS_PER_NODE and all(map(is_ready, pods))

    def node_pool(self) -> tuple[int, Manifest]:
        """Return generation and spec of the NodePool."""
        pool = self.api.get(f"/apis/karpenter.sh/v1/nodepools/{POOL}")
        return pool["metadata"]["generation"], pool["spec"]

    def in_wave(self) -> bool:
        """Tell whether a node is marked: the middle of a wave."""
        return bool(self.cordoned())

    def is_quiet(self) -> bool:
        """Tell whether nothing of ours is under way; anchors stay."""
        return not self.own_pods("placeholder") and not self.cordoned()

    # -- daemons ---------------------------------------------------------------

    def settings(
        self, user: str, folder: Path, *, script: Script = ((0, CALM),), server: str | None = None
    ) -> dict[str, str]:
        """Return the variables of a daemon that acts as a user, in a market of calm."""
        risk = write_scripted_risk(folder, script, instance_types=(INSTANCE_TYPE,), zones=ZONES)
        kubeconfig = self.plane.kubeconfig(user, server=server)
        return QUICK | risk | {"KUBECONFIG": str(kubeconfig), "SPOTVORTEX_POD_NAME": user}

    def daemon(self, user: str, folder: Path, **changes: str) -> Daemon:
        """Return a daemon that is not started yet; `changes` are further variables."""
        folder.mkdir(exist_ok=True)
        server = changes.pop("server", None)
        return Daemon(folder, self.settings(user, folder, server=server) | changes)

    def holder(self) -> str:
        """Return the pod name of the one who holds the lease, "" for nobody."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/spotvortex"
        status, lease = self.api.request("GET", path)
        return str(lease["spec"].get("holderIdentity", "")).split("_")[0] if status == 200 else ""

    def await_wave(self, timeout_s: float = 90) -> None:
        """Wait until a node is marked."""
        wait_until(self.in_wave, timeout_s, every_s=0.05)


@contextmanager
def town(start: Callable[..., ControlPlane], size: Size | None = None) -> Iterator[Town]:
    """Build a town on a control plane of its own.

    Args:
        start: makes the control plane, and sees to its end.
        size: of the town.
    """
    built = Town(start(with_kwok=True, karpenter_crds=True), size or Size())
    try:
        yield built
    finally:
        built.close()


def steady(tell: Callable[[], object], for_s: float, timeout_s: float = 60) -> None:
    """Wait until an answer has been the same for a while."""
    since, before = time.monotonic(), tell()

    def is_steady() -> bool:
        nonlocal since, before
        now = tell()
        if now != before:
            since, before = time.monotonic(), now
        return time.monotonic() - since >= for_s

    wait_until(is_steady, timeout_s, every_s=0.25)


def _claim(name: str) -> Manifest:
    node_class = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": name, "labels": {"karpenter.sh/nodepool": POOL}},
        "spec": {"nodeClassRef": node_class, "requirements": []},
    }


def _workloads(size: Size) -> Iterator[Manifest]:
    """As many Deployments as fit three replicas each, with a budget that lets one go."""
    for number in range(size.n_spot):
        app = f"app-{number}"
        shape = PodShape(
            app=app,
            namespace=SHOP,
            cpu="1200m",
            memory="1Gi",
            grace_s=size.grace_s,
            annotations={"test.spotvortex.io/use-grace-period": "true"},
            spec=EMPTY,
        )
        yield deployment_manifest(shape, replicas=PODS_PER_NODE)
        yield pdb_manifest(app, SHOP, max_unavailable=1)


def _is_touched(node: dict[str, Any]) -> bool:
    metadata = node["metadata"]
    marks = {*metadata.get("labels", {}), *metadata.get("annotations", {})}
    return bool(marks & {CORDONED, DRAIN}) or bool(node["spec"].get("unschedulable"))


def _is_ready_node(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _kind_of(pod: dict[str, Any]) -> str:
    return str(pod["metadata"].get("labels", {}).get("spotvortex.io/kind", ""))
