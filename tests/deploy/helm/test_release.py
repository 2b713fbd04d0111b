"""A release of the chart on a real API server: it changes its mode, keeps its memory, and goes."""

import json
import os
import subprocess

import pytest

from scripts.chart.__main__ import CHART
from spotvortex.core.domain import labels
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import namespace_manifest
from tests.deploy.helm.build import find_helm

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(1800)]

NAMESPACE = "platform"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
WRITING = (
    f"{RBAC}/clusterroles/spotvortex-active",
    f"{RBAC}/clusterrolebindings/spotvortex-active",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/spotvortex-nodes",
    "/apis/scheduling.k8s.io/v1/priorityclasses/spotvortex-placeholder",
)
"""What a mode that writes brings, and what goes with it."""


@pytest.fixture
def cluster(fresh_control_plane, tmp_path):
    plane: ControlPlane = fresh_control_plane(karpenter_crds=True)
    helm = find_helm()
    folders = {f"HELM_{name}_HOME": str(tmp_path) for name in ("CACHE", "CONFIG", "DATA")}
    variables = {**os.environ, **folders, "KUBECONFIG": str(plane.kubeconfig())}

    def run(*words, **values):
        command = [str(helm), *words, "--namespace", NAMESPACE]
        command += ["--values", "-"] if words[0] == "upgrade" else []
        done = subprocess.run(
            command,
            input=json.dumps(values),
            env=variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return plane.api(), run


def test_a_release_changes_its_mode_keeps_its_memory_and_goes(cluster):
    api, helm = cluster
    api.apply([namespace_manifest(NAMESPACE)])
    memory = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{labels.MEMORY}"
    deployment = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/spotvortex"

    def there():
        return [api.request("GET", path)[0] == 200 for path in WRITING]

    said = helm("upgrade", "--install", "spotvortex", str(CHART), mode="shadow")
    assert "runs in mode shadow" in said
    assert not any(there())
    api.patch(memory, {"data": {"memory": "learned"}})

    said = helm("upgrade", "spotvortex", str(CHART), mode="active", otlp={"endpoint": ""})
    assert "Stop all moves now" in said
    assert all(there())
    assert api.get(deployment)["spec"]["replicas"] == 2
    (subject,) = api.get(WRITING[1])["subjects"]
    assert subject["namespace"] == NAMESPACE

    helm("upgrade", "spotvortex", str(CHART), mode="shadow")
    assert not any(there())
    assert api.get(memory)["data"] == {"memory": "learned"}

    helm("uninstall", "spotvortex")
    assert api.request("GET", deployment)[0] == 404
    assert api.request("GET", f"{RBAC}/clusterroles/spotvortex")[0] == 404
