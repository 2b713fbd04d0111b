"""An overlay that sets another `namespace`: rights, Events and fence go with it."""

import shutil

import pytest
import yaml

from tests.controlplane.api import APPLY_PATCH, MERGE_PATCH, wait_until
from tests.controlplane.manifests import NodeShape, node_manifest
from tests.deploy.elsewhere import Elsewhere
from tests.deploy.manifests import ACTIVE, NAMESPACE
from tests.deploy.test_fence import MARK, is_fenced

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH"),
]
HOME = "platform"
NODE = "elsewhere-node"


@pytest.fixture(scope="module")
def active(control_plane, tmp_path_factory):
    place = Elsewhere(control_plane, ACTIVE, HOME, tmp_path_factory.mktemp("overlay"))
    place.admin.create(node_manifest(NODE, NodeShape()))
    yield place
    place.admin.delete(f"/api/v1/nodes/{NODE}")
    place.clear()


def test_nothing_is_left_in_the_namespace_that_ships(active):
    for manifest in active.manifests:
        assert manifest["metadata"].get("namespace", HOME) == HOME
        assert all(s["namespace"] == HOME for s in manifest.get("subjects", ()))
        said = yaml.safe_dump(manifest)
        assert f"system:serviceaccount:{NAMESPACE}" not in said
        assert "request.namespace ==" not in said


def event(us):
    """Try to say something at a node."""
    about = {"apiVersion": "v1", "kind": "Node", "name": NODE, "uid": "u-1"}
    said = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "elsewhere", "namespace": "default"},
        "involvedObject": about,
        "reason": "SpotVortexAdvice",
        "type": "Normal",
    }
    return us.request("POST", "/api/v1/namespaces/default/events?dryRun=All", said)[0]


def test_the_account_there_is_fenced_in_and_may_do_its_work(active):
    node = f"/api/v1/nodes/{NODE}?dryRun=All"

    def patched(change):
        return active.us.request("PATCH", node, change, content_type=MERGE_PATCH)

    wait_until(lambda: is_fenced(patched({"metadata": {"labels": {"a": "b"}}})), 60)
    assert patched(MARK)[0] == 200
    wait_until(lambda: event(active.us) == 201, 30)


def test_the_server_takes_the_namespace_that_kustomize_adds_to_a_policy(active):
    """`kubectl apply -k` sends it so."""
    policy = next(m for m in active.manifests if m["kind"] == "ValidatingAdmissionPolicy")
    sent = policy | {"metadata": policy["metadata"] | {"namespace": HOME}}
    path = f"{active.admin.path_of(policy)}?fieldManager=test&force=true&dryRun=All"
    status, answer = active.admin.request("PATCH", path, sent, content_type=APPLY_PATCH)
    assert status == 200, answer


def test_a_freed_namespace_fences_nobody(active):
    """Without the binding of the writing rights the policies bind nobody, and break nothing."""
    active.admin.delete("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/spotvortex-active")
    path = f"/api/v1/nodes/{NODE}?dryRun=All"
    change = {"metadata": {"labels": {"team": "shop"}}}
    assert active.admin.patch(path, change)["metadata"]["labels"]["team"] == "shop"
    wait_until(
        lambda: active.us.request("PATCH", path, change, content_type=MERGE_PATCH)[0] == 403, 30
    )
