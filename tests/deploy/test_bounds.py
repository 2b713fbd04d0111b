"""What we can ask for has an end, and placeholders never keep our own pod out."""

import pytest

from spotvortex.core.domain import labels
from tests.controlplane.api import APPLY_PATCH, wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import PodShape, namespace_manifest, pod_manifest
from tests.deploy.manifests import ACTIVE, KUSTOMIZE, active_bounds, only, render

NAMESPACE = "bounds"
CLASS = {"priorityClassName": labels.PRIORITY_CLASS}


def placeholder(name, *, cpu="1", memory="1Gi"):
    return pod_manifest(name, PodShape(namespace=NAMESPACE, cpu=cpu, memory=memory, spec=CLASS))


def daemon(name):
    """The daemon's own pod, as the Deployment makes it."""
    template = only(render(ACTIVE), "Deployment")["spec"]["template"]
    metadata = template["metadata"] | {"name": name, "namespace": NAMESPACE}
    spec = template["spec"] | {"serviceAccountName": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def limited(name, **hard):
    """The bounds as they are shipped, one of them tighter."""
    bounds = active_bounds(NAMESPACE)
    (found,) = [m for m in bounds if m["metadata"]["name"] == name]
    assert hard.keys() <= {key.replace("requests.", "") for key in found["spec"]["hard"]}
    for key, value in hard.items():
        full = key if key in found["spec"]["hard"] else f"requests.{key}"
        found["spec"]["hard"][full] = value
    return bounds


@pytest.mark.controlplane
def test_placeholders_end_at_their_quota_and_our_own_pods_come_all_the_same(
    control_plane: ControlPlane,
):
    api = control_plane.api()
    api.apply([namespace_manifest(NAMESPACE), *limited("spotvortex-placeholders", cpu="3")])
    quotas = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
    control_plane_has_counted(api, quotas)
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    anchor = pod_manifest("anchor", PodShape(namespace=NAMESPACE, cpu="1m"))

    def admitted(manifest):
        return api.request("POST", f"{pods}?dryRun=All", manifest)[0] == 201

    # The server's own admission hears a moment later that a quota has been counted.
    wait_until(lambda: all(map(admitted, (placeholder("dry"), daemon("dry"), anchor))))
    codes = [api.request("POST", pods, placeholder(f"p-{n}"))[0] for n in range(4)]
    assert codes == [201, 201, 201, 403]
    status, answer = api.request("POST", pods, placeholder("p-9"))
    assert (status, "exceeded quota: spotvortex-placeholders" in answer["message"]) == (403, True)
    api.create(placeholder("nothing", cpu="0", memory="0"))
    for n in range(3):
        api.create(daemon(f"daemon-{n}"))
    api.create(anchor)
    api.delete(f"/api/v1/namespaces/{NAMESPACE}")


@pytest.mark.controlplane
@pytest.mark.parametrize("overlay", ["shadow", "advise", "canary", "active"])
def test_the_server_takes_every_manifest_as_it_is_shipped(control_plane: ControlPlane, overlay):
    api = control_plane.api()
    api.apply([namespace_manifest("spotvortex")])
    for manifest in render(KUSTOMIZE / "overlays" / overlay):
        path = f"{api.path_of(manifest)}?fieldManager=test&force=true&fieldValidation=Strict"
        api.must("PATCH", f"{path}&dryRun=All", manifest, content_type=APPLY_PATCH)


def control_plane_has_counted(api, path):
    """Wait for the quota controller: before it has counted, a quota refuses all."""
    wait_until(lambda: all("used" in q.get("status", {}) for q in api.items(path)), 30)
