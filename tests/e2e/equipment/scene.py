"""Three pools of different provisioners, with their workloads."""

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.fill import ZONES
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

NAMESPACE = "shop"
POOLS = ("api", "batch", "web")
INSTANCE_TYPES = ("c5.xlarge", "m5.xlarge")


def nodes() -> list[Manifest]:
    """10 nodes of a mixed NodePool, 6 of a pair, 4 of a managed node group."""
    return [
        *(_node("web", "web", "spot", i) for i in range(6)),
        *(_node("web", "web", "on-demand", i) for i in range(4)),
        # All in one zone, two of them of one type: what is lost together breaks checkout.
        *(_node("api-spot", "api-spot", "spot", 6 * i) for i in range(3)),
        *(_node("api-od", "api-od", "on-demand", i) for i in range(3)),
        *(_node("batch", "batch", "on-demand", i, style="nodegroup") for i in range(4)),
    ]


def _node(
    prefix: str, pool: str, capacity_type: str, number: int, style: str = "karpenter"
) -> Manifest:
    shape = NodeShape(
        pool=pool,
        style=style,
        capacity_type=capacity_type,
        instance_type=INSTANCE_TYPES[number % 2],
        zone=ZONES[number % 3],
        # Nobody else's pods belong on these nodes, and theirs on nobody else's.
        labels={"test.spotvortex.io/scene": "shop"},
    )
    return node_manifest(f"{prefix}-{capacity_type}-{number}", shape)


def extra_node(number: int) -> Manifest:
    """One more on-demand node of the mixed pool."""
    return _node("web-late", "web", "on-demand", number)


def _service(app: str, label: str, values: list[str], replicas: int) -> Manifest:
    term = {"matchExpressions": [{"key": label, "operator": "In", "values": values}]}
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
        }
    }
    shape = PodShape(app=app, namespace=NAMESPACE, cpu="500m", spec={"affinity": affinity})
    return deployment_manifest(shape, replicas=replicas)


def _guarded(workload: Manifest, word: str) -> Manifest:
    """Add the owner's word on what must stay after a loss."""
    workload["metadata"]["annotations"] = {"spotvortex.io/min-available-after-loss": word}
    return workload


def workloads() -> list[Manifest]:
    """Deployments of several replicas with a budget each, and one of a single replica.

    The owner of checkout lets a loss take one pod of six.
    """
    karpenter, group = "karpenter.sh/nodepool", "eks.amazonaws.com/nodegroup"
    return [
        _service("front", karpenter, ["web"], 12),
        pdb_manifest("front", NAMESPACE, min_available="25%"),
        _guarded(_service("checkout", karpenter, ["api-spot", "api-od"], 6), "5"),
        pdb_manifest("checkout", NAMESPACE, max_unavailable=1),
        _service("reports", group, ["batch"], 4),
        pdb_manifest("reports", NAMESPACE, max_unavailable=1),
        _service("ledger", group, ["batch"], 1),
    ]


N_PODS = 12 + 6 + 4 + 1


def build(plane: ControlPlane) -> None:
    """Create the scene and wait until every pod is Ready."""
    plane.apply([namespace_manifest(NAMESPACE)])
    pools = [
        nodepool_manifest("web"),
        nodepool_manifest("api-spot", capacity_types=("spot",)),
        nodepool_manifest("api-od", capacity_types=("on-demand",)),
    ]
    plane.apply(pools)
    for node in nodes():
        plane.api().create(node)
    plane.apply(workloads())
    wait_until(lambda: n_ready(plane) == N_PODS, timeout=90)


def n_ready(plane: ControlPlane) -> int:
    """Count the pods of the scene that are Ready."""
    pods = plane.api().items(f"/api/v1/namespaces/{NAMESPACE}/pods")
    return sum(
        any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in pod["status"].get("conditions", [])
        )
        for pod in pods
    )
