"""A pool of two groups in a cloud, with what ships, and without Karpenter or Cluster Autoscaler.

Comes in: a control plane with KWOK. Goes out: the pool with its workloads and answers about its
end. The daemon has the account, the rights, the bounds and the fence of the active overlay, and the
observer judges each scene at its end.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.active.scene.bench import LEASE_PATH, USER
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    Manifest,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    pdb_manifest,
)
from tests.deploy.manifests import active_bounds, active_fence, active_roles
from tests.e2e.equipment.daemon import Daemon
from tests.groups.bridge import Bridge, NodeKind
from tests.groups.cloud import ZONE, Cloud, made_of
from tests.witness.judge.case import CLUSTER as WHOLE
from tests.witness.judge.names import AFTER_LOSS, CORDONED, DRAIN, GROWTHS, KIND, NAMESPACE
from tests.witness.market import CALM, write_scripted_risk
from tests.witness.recording import Recording
from tests.witness.scene import is_ready

SHOP = "shop"
N_NODES = 6
PODS_A_NODE = 2
JOURNAL = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{GROWTHS}"
SPOT, ON_DEMAND = "web-spot-asg", "web-od-asg"
NAMES = ("web-spot", "web-od")
CLUSTER = "blue"
MAX_MOVING = 5
"""Nodes on the move at once: a wave is no larger, and one follows the other."""


class TwinGroups:
    """Two groups of one pool, the on-demand one empty at first, with two pods a node.

    Args:
        plane: the control plane.
        n_nodes: nodes of the Spot group at first.
        managed: they are EKS managed node groups.
        max_unavailable: of each workload's budget.
    """

    def __init__(
        self,
        plane: ControlPlane,
        n_nodes: int = N_NODES,
        *,
        managed: bool = False,
        max_unavailable: int | str = 1,
    ) -> None:
        self.plane, self.api = plane, plane.api()
        self.max_unavailable = max_unavailable
        self.rules: dict[str, object] | None = {
            "max_in_flight": {WHOLE: MAX_MOVING},
            "anchors_stay": True,
        }
        self.n_nodes, self.managed = n_nodes, managed
        self.cloud = Cloud()
        spot, on_demand = (made_of(n) for n in NAMES) if managed else (SPOT, ON_DEMAND)
        style = {"style": "nodegroup"} if managed else {}
        self.spot = NodeKind(group=spot, capacity_type="spot", name=NAMES[0], **style)
        self.on_demand = NodeKind(
            group=on_demand, capacity_type="on-demand", name=NAMES[1], **style
        )
        self.kinds = (self.spot, self.on_demand)
        self.bridge = Bridge(cloud=self.cloud, api=plane.api(), kinds=self.kinds)
        self.recording = Recording(plane, (plane.username(USER),))
        self.largest = 10
        self.n_pods = PODS_A_NODE * n_nodes
        self._stack = ExitStack()

    @property
    def grows(self) -> str:
        """The operation by which a group is grown."""
        return "UpdateNodegroupConfig" if self.managed else "SetDesiredCapacity"

    def make_groups(self) -> None:
        """Make both groups in the cloud."""
        for kind in self.kinds:
            size = self.n_nodes if kind is self.spot else 0
            largest = self.largest if kind is self.on_demand else max(10, self.n_nodes)
            if self.managed:
                word = kind.capacity_type.upper().replace("-", "_")
                self.cloud.make_nodegroup(CLUSTER, kind.name, word, size, largest)
                continue
            tags = {
                "spotvortex.io/pool": kind.pool,
                "spotvortex.io/capacity-type": kind.capacity_type,
            }
            self.cloud.make_group(kind.group, tags, size, largest)

    def __enter__(self) -> Self:
        user = self.plane.username(USER)
        shop = namespace_manifest(SHOP)
        shop["metadata"]["annotations"] = {AFTER_LOSS: "0"}
        self.plane.apply([namespace_manifest(NAMESPACE), shop])
        self.plane.apply([*active_bounds(), *active_roles(user), *active_fence(user)])
        self._stack.enter_context(self.cloud)
        self.make_groups()
        self._stack.enter_context(self.bridge)
        made = []
        for app in ("one", "two"):
            shape = PodShape(app=app, namespace=SHOP, cpu="1500m", grace_s=1)
            made.append(deployment_manifest(shape, replicas=self.n_nodes))
            made.append(pdb_manifest(app, SHOP, max_unavailable=self.max_unavailable))
        self.plane.apply(made)
        wait_until(self.all_running, 60)
        self._stack.enter_context(self.recording)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stack.close()
        if kind is None and self.rules is not None:
            assert self.recording.breaches(**self.rules) == []
            assert self.recording.observer().seen()["writes"] > 0

    # -- what is there -----------------------------------------------------------

    def nodes(self) -> list[Manifest]:
        """Return all nodes."""
        return self.api.items("/api/v1/nodes")

    def counts(self) -> dict[str, int]:
        """Count the nodes by group."""
        return dict(Counter(n["metadata"]["name"].rpartition("-")[0] for n in self.nodes()))

    def desired(self) -> dict[str, int]:
        """Return the size that each group is to have."""
        return {kind.group: self.cloud.desired(kind.group) for kind in self.kinds}

    def all_running(self) -> bool:
        """Tell whether every wanted pod is Ready, and none is left over."""
        pods = self.api.items(f"/api/v1/namespaces/{SHOP}/pods")
        return len(pods) == self.n_pods and all(map(is_ready, pods))

    def own_pods(self, kind: str) -> list[Manifest]:
        """Return the pods of ours of a kind."""
        pods = self.api.items(f"/api/v1/namespaces/{NAMESPACE}/pods")
        return [p for p in pods if p["metadata"]["labels"].get(KIND) == kind]

    def marked(self) -> list[str]:
        """Return the nodes that carry our cordon or journal."""
        return [
            node["metadata"]["name"]
            for node in self.nodes()
            if {CORDONED, DRAIN}
            & {*node["metadata"]["labels"], *node["metadata"].get("annotations", {})}
        ]

    def journal(self) -> dict[str, str]:
        """Return what the journal says of groups that have not been settled."""
        status, found = self.api.request("GET", JOURNAL)
        return dict(found.get("data") or {}) if status == 200 else {}

    def is_quiet(self) -> bool:
        """Tell whether nothing of ours is left, and all pods run."""
        left = self.marked() or self.own_pods("placeholder") or self.journal()
        return not left and self.all_running()

    def is_all(self, kind: NodeKind) -> bool:
        """Tell whether one group has all nodes, as many as before, and nothing is left."""
        there = {kind.group: self.n_nodes}
        wanted = {kind.group: 0 for kind in self.kinds} | there
        return self.desired() == wanted and self.counts() == there and self.is_quiet()

    def pod_uids(self) -> set[str]:
        """Return the uids of all pods of the workloads."""
        pods = self.api.items(f"/api/v1/namespaces/{SHOP}/pods")
        return {pod["metadata"]["uid"] for pod in pods}

    # -- the daemon ----------------------------------------------------------------

    def daemon(self, folder: Path, **changes: str) -> Daemon:
        """Return a daemon under the account that ships, at a calm risk."""
        folder.mkdir(exist_ok=True)
        script = write_scripted_risk(
            folder, [(-60.0, CALM)], instance_types=("c5.xlarge",), zones=(ZONE,)
        )
        given = {f"SPOTVORTEX_{name.upper()}": value for name, value in changes.items()}
        quick = {
            "KUBECONFIG": str(self.plane.kubeconfig(USER)),
            "SPOTVORTEX_MODE": "active",
            "SPOTVORTEX_PROVISIONER": "mng" if self.managed else "asg",
            "SPOTVORTEX_CLUSTER_NAME": CLUSTER if self.managed else "",
            "SPOTVORTEX_SETTLE_S": "1",
            "SPOTVORTEX_DWELL_S": "1",
            "SPOTVORTEX_MAX_DWELL_S": "1",
            "SPOTVORTEX_MAX_POOL_DISRUPTION_RATIO": "0.7",
            "SPOTVORTEX_MAX_CLUSTER_DISRUPTION_RATIO": "0.7",
            "SPOTVORTEX_MAX_REQUESTED_RATIO": "1",
            "SPOTVORTEX_BIND_S": "60",
        }
        return Daemon(folder, quick | self.cloud.variables() | script | given)

    def release_lease(self) -> None:
        """Give a dead daemon's lease back, to spare its 15 s."""
        if self.api.request("GET", LEASE_PATH)[0] == 200:
            self.api.patch(LEASE_PATH, {"spec": {"holderIdentity": ""}})
