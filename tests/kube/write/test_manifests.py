"""A tether takes our pods with it when nobody comes back to delete them."""

import pytest

from spotvortex.core.domain import labels
from spotvortex.kube.write.manifests import owner_job, owner_reference
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    NodeShape,
    PodShape,
    namespace_manifest,
    node_manifest,
    pod_manifest,
)

NAMESPACE = "tethers"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
LIFETIME_S = 6


def test_a_tether_has_a_name_of_ours_and_a_life_that_ends():
    for name, lifetime_s in (("other", 60), (f"{labels.TETHER_PREFIX}a", 0)):
        with pytest.raises(AssertionError):
            owner_job(name, NAMESPACE, lifetime_s)
    with pytest.raises(AssertionError):
        owner_job(f"{labels.TETHER_PREFIX}a", NAMESPACE, labels.LONGEST_LIFE_S + 1)


def pod(name, owner=None, **changes):
    manifest = pod_manifest(name, PodShape(namespace=NAMESPACE, grace_s=0, **changes))
    if owner is not None:
        manifest["metadata"]["ownerReferences"] = [owner]
    return manifest


@pytest.mark.controlplane
def test_pods_that_run_and_pods_that_wait_go_with_their_tether(control_plane: ControlPlane):
    api = control_plane.api()
    control_plane.apply([namespace_manifest(NAMESPACE), node_manifest("tethered", NodeShape())])
    job = owner_job(f"{labels.TETHER_PREFIX}a", NAMESPACE, LIFETIME_S)
    uid = api.create(job)["metadata"]["uid"]
    owner = owner_reference(f"{labels.TETHER_PREFIX}a", uid)
    api.create(pod("runs", owner, node_name="tethered"))
    api.create(pod("waits", owner, spec={"nodeSelector": {"no": "such"}}))
    api.create(pod("free", spec={"nodeSelector": {"no": "such"}}))

    def phases():
        return {p["metadata"]["name"]: p["status"].get("phase") for p in api.items(PODS)}

    wait_until(lambda: phases().get("runs") == "Running")
    assert phases() == {"runs": "Running", "waits": "Pending", "free": "Pending"}

    def completed():
        (stored,) = api.items(JOBS)
        conditions = stored["status"].get("conditions", [])
        complete = [c["status"] for c in conditions if c["type"] == "Complete"]
        return (complete, stored["status"].get("active", 0)) == (["True"], 0)

    wait_until(completed)

    wait_until(lambda: not api.items(JOBS), LIFETIME_S + 60)
    wait_until(lambda: phases() == {"free": "Pending"}, 60)
    api.delete(f"{PODS}/free")
    api.delete("/api/v1/nodes/tethered")
