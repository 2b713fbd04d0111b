"""Every overlay with every component is taken by a real API server, under restricted pod security.

What stands around the account is installed first, so that quotas, priority classes and the fence
judge what follows as they would in a user's cluster.
"""

import shutil
import subprocess

import pytest
import yaml

from scripts.chart.builds import Kustomize
from scripts.chart.templates import COMPONENTS, MODES
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.deploy.elsewhere import CLUSTER_SCOPED

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here"),
]

UNSERVED = "monitoring.coreos.com/v1"
"""promtool judges those rules elsewhere; no server here has their kinds."""


def built(folder, mode, namespace):
    """All that goes over an overlay, in a namespace of the test, namespaces first."""
    over = [c.folder for c in COMPONENTS if mode in c.modes]
    manifests = list(Kustomize(folder).build(mode, over, namespace).values())
    for manifest in manifests:
        if manifest["kind"] in CLUSTER_SCOPED:
            del manifest["metadata"]["namespace"]
    served = [m for m in manifests if m["apiVersion"] != UNSERVED]
    return sorted(served, key=lambda m: m["kind"] != "Namespace")


@pytest.mark.parametrize("mode", MODES)
def test_the_server_takes_an_overlay_with_all_its_components(
    control_plane: ControlPlane, mode, tmp_path
):
    api, namespace = control_plane.api(), f"all-{mode}"
    manifests = built(tmp_path, mode, namespace)
    (deployment,) = [m for m in manifests if m["kind"] == "Deployment"]
    api.apply([m for m in manifests if m is not deployment])
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(manifests))
    command = ["kubectl", "--kubeconfig", str(control_plane.kubeconfig()), "apply"]
    command += ["--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"]
    done = subprocess.run(
        [*command, "-f", str(tmp_path / "all.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert len(done.stdout.splitlines()) == len(manifests)
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = template["metadata"] | {"name": "one", "namespace": namespace}
    pods = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
    answers = []

    def taken():
        answers.append(api.request("POST", pods, pod))
        return answers[-1][0] == 201

    # A quota refuses all until it has been counted.
    wait_until(taken, 30)
    pod["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    code, said = api.request("POST", pods, pod)
    assert (code, "restricted" in said["message"]) == (403, True)
    api.delete(f"/api/v1/namespaces/{namespace}")
    for manifest in manifests:
        if manifest["kind"] == "ClusterRoleBinding":
            api.delete(api.path_of(manifest))
