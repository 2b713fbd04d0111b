"""A pool of two node groups that the stand-in grows, with what ships, and without Karpenter.

Comes in: a control plane with KWOK. Goes out: the pool with its workloads and answers about its
end. The daemon has the account, the rights, the bounds and the fence of the active overlay.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Self

from tests.active.scene.bench import LEASE_PATH, USER
from tests.autoscaler.stand_in import DISABLED, NODEGROUP, Autoscaler, Group
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
from tests.witness.judge.names import AFTER_LOSS, CORDONED, DRAIN, KIND, NAMESPACE
from tests.witness.market import CALM, write_scripted_risk
from tests.witness.scene import is_ready

KEPT = "spotvortex.io/kept"
SHOP = "shop"
N_PODS = 6


class Twins:
    """Two groups, one of them empty at first, with six pods on the other."""

    def __init__(self, plane: ControlPlane, **autoscaler: Any) -> None:
        self.plane, self.api = plane, plane.api()
        self.spot = Group(name="web-spot", capacity_type="spot")
        self.on_demand = Group(name="web-od", capacity_type="on-demand")
        self.autoscaler = Autoscaler(
            api=plane.api(), groups=(self.spot, self.on_demand), **autoscaler
        )

    def __enter__(self) -> Self:
        user = self.plane.username(USER)
        shop = namespace_manifest(SHOP)
        shop["metadata"]["annotations"] = {AFTER_LOSS: "0"}
        self.plane.apply([namespace_manifest(NAMESPACE), shop])
        self.plane.apply([*active_bounds(), *active_roles(user), *active_fence(user)])
        for _ in range(3):
            self.autoscaler.add(self.spot)
        made = []
        for app in ("one", "two"):
            shape = PodShape(app=app, namespace=SHOP, cpu="1500m", grace_s=1)
            made.append(deployment_manifest(shape, replicas=N_PODS // 2))
            made.append(pdb_manifest(app, SHOP, max_unavailable=1))
        self.plane.apply(made)
        wait_until(self.all_running, 60)
        self.autoscaler.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.autoscaler.__exit__()

    # -- what is there -----------------------------------------------------------

    def nodes(self) -> list[Manifest]:
        """Return all nodes."""
        return self.api.items("/api/v1/nodes")

    def counts(self) -> dict[str, int]:
        """Count the nodes by group."""
        return dict(Counter(n["metadata"]["labels"][NODEGROUP] for n in self.nodes()))

    def all_running(self) -> bool:
        """Tell whether every wanted pod is Ready, and none is left over."""
        pods = self.api.items(f"/api/v1/namespaces/{SHOP}/pods")
        return len(pods) == N_PODS and all(map(is_ready, pods))

    def own_pods(self, kind: str) -> list[Manifest]:
        """Return the pods of ours of a kind."""
        pods = self.api.items(f"/api/v1/namespaces/{NAMESPACE}/pods")
        return [p for p in pods if p["metadata"]["labels"].get(KIND) == kind]

    def noted(self, *names: str) -> list[str]:
        """Return the nodes that carry any of these names, or ours at all."""
        wanted = set(names or (KEPT, DISABLED, CORDONED, DRAIN))
        return [
            node["metadata"]["name"]
            for node in self.nodes()
            if wanted & {*node["metadata"]["labels"], *node["metadata"].get("annotations", {})}
        ]

    def is_all(self, group: Group) -> bool:
        """Tell whether all pods run in one group, the other is empty, and nothing is left."""
        if set(self.counts()) != {group.name} or not self.all_running():
            return False
        return not (self.noted() or self.own_pods("placeholder"))

    # -- the daemon ----------------------------------------------------------------

    def daemon(self, folder: Path, **changes: str) -> Daemon:
        """Return a daemon under the account that ships, at a calm risk."""
        folder.mkdir(exist_ok=True)
        zones = (self.spot.zone,)
        script = write_scripted_risk(
            folder, [(-60.0, CALM)], instance_types=("c5.xlarge",), zones=zones
        )
        given = {f"SPOTVORTEX_{name.upper()}": value for name, value in changes.items()}
        quick = {
            "KUBECONFIG": str(self.plane.kubeconfig(USER)),
            "SPOTVORTEX_MODE": "active",
            "SPOTVORTEX_SETTLE_S": "1",
            "SPOTVORTEX_DWELL_S": "1",
            "SPOTVORTEX_MAX_DWELL_S": "1",
            "SPOTVORTEX_MAX_POOL_DISRUPTION_RATIO": "0.7",
            "SPOTVORTEX_MAX_CLUSTER_DISRUPTION_RATIO": "0.7",
            "SPOTVORTEX_MAX_REQUESTED_RATIO": "1",
            "SPOTVORTEX_BIND_S": "60",
        }
        return Daemon(folder, quick | script | given)

    def release_lease(self) -> None:
        """Give a dead daemon's lease back, to spare its 15 s."""
        if self.api.request("GET", LEASE_PATH)[0] == 200:
            self.api.patch(LEASE_PATH, {"spec": {"holderIdentity": ""}})
