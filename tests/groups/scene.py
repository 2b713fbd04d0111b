"""A pool of two groups in a cloud, with what ships, and without Karpenter or Cluster Autoscaler.

Comes in: a control plane with KWOK. Goes out: the pool with its workloads and answers about its
end. The daemon has the account, the rights, the bounds and the fence of the active overlay.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

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
from tests.groups.cloud import ZONE, Cloud
from tests.witness.judge.names import AFTER_LOSS, CORDONED, DRAIN, KIND, NAMESPACE
from tests.witness.market import CALM, write_scripted_risk
from tests.witness.scene import is_ready

SHOP = "shop"
N_PODS, N_NODES = 12, 6
JOURNAL = f"/api/v1/namespaces/{NAMESPACE}/configmaps/spotvortex-state-groups"
SPOT, ON_DEMAND = "web-spot-asg", "web-od-asg"


class TwinGroups:
    """Two groups of one pool, the on-demand one empty at first, with six pods on three nodes."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane, self.api = plane, plane.api()
        self.cloud = Cloud()
        self.kinds = (
            NodeKind(group=SPOT, capacity_type="spot"),
            NodeKind(group=ON_DEMAND, capacity_type="on-demand"),
        )
        self.bridge = Bridge(cloud=self.cloud, api=plane.api(), kinds=self.kinds)
        self._stack = ExitStack()

    def make_groups(self, **of_on_demand: Any) -> None:
        """Make both groups in the cloud."""
        for kind in self.kinds:
            tags = {
                "spotvortex.io/pool": kind.pool,
                "spotvortex.io/capacity-type": kind.capacity_type,
            }
            more = of_on_demand if kind.group == ON_DEMAND else {}
            size = N_NODES if kind.group == SPOT else 0
            self.cloud.make_group(kind.group, tags, size, **more)

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
            made.append(deployment_manifest(shape, replicas=N_PODS // 2))
            made.append(pdb_manifest(app, SHOP, max_unavailable=1))
        self.plane.apply(made)
        wait_until(self.all_running, 60)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

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
        return len(pods) == N_PODS and all(map(is_ready, pods))

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

    def is_all(self, group: str) -> bool:
        """Tell whether one group has all nodes, as many as before, and nothing is left."""
        wanted = {kind.group: 0 for kind in self.kinds} | {group: N_NODES}
        return self.desired() == wanted and self.counts() == {group: N_NODES} and self.is_quiet()

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
            "SPOTVORTEX_PROVISIONER": "asg",
            "SPOTVORTEX_SETTLE_S": "1",
            "SPOTVORTEX_DWELL_S": "1",
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
