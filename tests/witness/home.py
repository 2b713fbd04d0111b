"""What our pods need in a cluster, for scenes without the shipped manifests."""

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import namespace_manifest
from tests.witness.judge.names import NAMESPACE, PRIORITY_CLASS


def prepare_home(plane: ControlPlane) -> None:
    """Create our namespace and the PriorityClass."""
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": PRIORITY_CLASS},
        "value": -10,
        "preemptionPolicy": "Never",
    }
    plane.apply([namespace_manifest(NAMESPACE), priority])
