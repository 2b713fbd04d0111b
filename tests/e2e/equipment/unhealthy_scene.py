"""One node with a pod for every blocker, and what the Eviction API should make of each."""

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    Manifest,
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_manifest,
    pdb_manifest,
    pod_manifest,
    pod_status,
)

NAMESPACE = "sickbay"
NODE = "sickbay-1"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
PDBS = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
HERE = {"nodeSelector": {"kubernetes.io/hostname": NODE}}
HOLD = {"test.spotvortex.io/hold": "true"}
ZONAL = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}

EXPECTED = {
    "bare": (201, "bare-pod"),
    "open": (201, None),
    "quiet": (201, "do-not-disrupt"),
    "lonely": (201, "single-replica"),
    "local": (201, "local-storage"),
    "zonal": (201, "volume"),
    "pinned": (201, "pinned-on-demand"),
    "slow": (201, "long-grace"),
    "never": (429, "pdb-never-allows"),
    "full": (429, "pdb-never-allows"),
    "uncounted": (429, "pdb-uncounted"),
    "short-ready": (429, "pdb-allows-0"),
    "short-unready": (429, "unready-under-pdb"),
    "spare-unready": (201, None),
    "spare-ready": (429, "pdb-allows-0"),
    "always-unready": (201, None),
    "always-ready": (429, "pdb-allows-0"),
    "nothing-unready": (429, "unready-under-pdb"),
    "both": (500, "two-pdbs"),
    "pending": (201, None),
    "going": (201, None),
}
"""By the beginning of a pod's name: the server's status, and the doctor's trouble."""


def build(plane: ControlPlane) -> None:
    """Create the node, the workloads and their budgets, and wait until all figures are there."""
    api = plane.api()
    plane.apply([namespace_manifest(NAMESPACE)])
    api.create(node_manifest(NODE, NodeShape(pool="sickbay", capacity_type="on-demand")))
    plane.apply(_deployments())
    _create_held_pods(plane)
    plane.apply(_budgets())
    wait_until(lambda: _settled(plane), timeout=90)


def _deployments() -> list[Manifest]:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c", "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
            "volumeName": "v",
        },
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "v"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "/v"},
            "claimRef": {"namespace": NAMESPACE, "name": "c"},
        },
    }
    host_path = {"volumes": [{"name": "h", "hostPath": {"path": "/x"}}]}
    on_demand = {"nodeSelector": HERE["nodeSelector"] | {"karpenter.sh/capacity-type": "on-demand"}}
    peace = {"karpenter.sh/do-not-disrupt": "true"}
    return [
        volume,
        claim,
        _deployment("open", 3),
        _deployment("quiet", 2, annotations=peace),
        _deployment("lonely", 1),
        _deployment("local", 2, spec=HERE | host_path),
        _deployment("zonal", 2, spec=HERE | ZONAL),
        _deployment("pinned", 2, spec=on_demand),
        _deployment("slow", 2, grace_s=600),
        _deployment("never", 2),
        _deployment("full", 2),
        _deployment("both", 2),
    ]


def _deployment(app: str, replicas: int, **changes: object) -> Manifest:
    shape = {"app": app, "namespace": NAMESPACE, "spec": HERE} | changes
    return deployment_manifest(PodShape(**shape), replicas=replicas)  # type: ignore[arg-type]


def _create_held_pods(plane: ControlPlane) -> None:
    """Bare pods whose status nobody changes but us; a number alone can be their budget."""
    for app, name, state in (
        ("bare", "bare", "ready"),
        ("uncounted", "uncounted", "ready"),
        ("short", "short-ready", "ready"),
        ("short", "short-unready", "unready"),
        ("short", "short-unready-too", "unready"),
        ("spare", "spare-ready", "ready"),
        ("spare", "spare-unready", "unready"),
        ("always", "always-ready", "ready"),
        ("always", "always-unready", "unready"),
        ("always", "always-unready-too", "unready"),
        ("nothing", "nothing-unready", "unready"),
        ("pending", "pending", "pending"),
        ("going", "going", "going"),
    ):
        shape = PodShape(app=app, namespace=NAMESPACE, node_name=NODE, annotations=HOLD)
        plane.api().create(pod_manifest(name, shape))
        set_state(plane, name, state)


def set_state(plane: ControlPlane, name: str, state: str) -> None:
    """Give a held pod the status of a state."""
    path = f"{PODS}/{name}"
    if state == "pending":
        return
    status = pod_status(plane.api().get(path))
    if state == "unready":
        for condition in status["conditions"]:
            if condition["type"] in ("Ready", "ContainersReady"):
                condition["status"] = "False"
    plane.api().patch(f"{path}/status", {"status": status})
    if state == "going":
        plane.api().delete(path)


def _budgets() -> list[Manifest]:
    always = pdb_manifest("always", NAMESPACE, min_available=2)
    always["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow"
    second = pdb_manifest("both", NAMESPACE)
    second["metadata"]["name"] = "both-again"
    pending = pdb_manifest("pending", NAMESPACE, min_available=1)
    pending["metadata"]["name"] = "pending-again"
    return [
        pdb_manifest("open", NAMESPACE),
        pdb_manifest("never", NAMESPACE, max_unavailable=0),
        pdb_manifest("full", NAMESPACE, min_available="100%"),
        pdb_manifest("uncounted", NAMESPACE),
        pdb_manifest("short", NAMESPACE, min_available=2),
        pdb_manifest("spare", NAMESPACE, min_available=1),
        pdb_manifest("nothing", NAMESPACE),
        always,
        pdb_manifest("both", NAMESPACE),
        second,
        pdb_manifest("pending", NAMESPACE, min_available=1),
        pending,
        pdb_manifest("going", NAMESPACE, min_available=1),
    ]


def _settled(plane: ControlPlane) -> bool:
    budgets = plane.api().items(PDBS)
    seen = all(b["status"].get("observedGeneration") for b in budgets)
    figures = {b["metadata"]["name"]: b["status"].get("currentHealthy") for b in budgets}
    wanted = {"open": 3, "never": 2, "full": 2, "both": 2, "short": 1, "spare": 1, "always": 1}
    ready = sum(
        any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in p["status"].get("conditions", ())
        )
        for p in plane.api().items(PODS)
    )
    return seen and wanted.items() <= figures.items() and ready >= 25
