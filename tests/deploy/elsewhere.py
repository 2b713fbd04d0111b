"""An overlay as kustomize gives it to a user who sets another `namespace`, installed there."""

import subprocess
from pathlib import Path
from shutil import copytree
from typing import Any

import yaml

from tests.controlplane.api import Api
from tests.controlplane.cluster import ControlPlane
from tests.deploy.manifests import KUSTOMIZE, Manifest

CLUSTER_SCOPED = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def built(overlay: Path, namespace: str, folder: Path) -> list[Manifest]:
    """Return what kustomize makes of an overlay of a user's own, without what would run."""
    copy = copytree(KUSTOMIZE, folder / "kustomize")
    theirs = folder / "theirs"
    theirs.mkdir()
    resources = [f"../{copy.name}/{overlay.relative_to(KUSTOMIZE)}"]
    text = yaml.safe_dump({"namespace": namespace, "resources": resources})
    (theirs / "kustomization.yaml").write_text(text)
    command = ["kubectl", "kustomize", str(theirs)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    manifests = [m for m in yaml.safe_load_all(printed) if m["kind"] != "Deployment"]
    for manifest in manifests:
        if manifest["kind"] in CLUSTER_SCOPED:
            # kustomize does not know that they have no namespace; the server drops it, as here.
            del manifest["metadata"]["namespace"]
    return manifests


class Elsewhere:
    """One overlay in another namespace, and the account there with a token of its own."""

    def __init__(self, plane: ControlPlane, overlay: Path, namespace: str, folder: Path) -> None:
        self.plane, self.namespace, self.admin = plane, namespace, plane.api()
        self.manifests = built(overlay, namespace, folder)
        self.admin.apply(sorted(self.manifests, key=lambda m: m["kind"] != "Namespace"))
        self.token = self._token()
        self.us = Api(plane.url, self.token, plane.ssl_context())

    def _token(self) -> str:
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/spotvortex/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str(self.admin.must("POST", path, body)["status"]["token"])

    def clear(self) -> None:
        """Take away the account, its bindings and its namespace; what binds nobody is others' too.

        The policies stay, and bind nobody any more. Where the last policy with a kind of parameter
        goes and another comes a moment later, the API server was seen not to enforce the new one.
        """
        for manifest in self.manifests:
            kind = manifest["kind"]
            left = (*CLUSTER_SCOPED, "PriorityClass", "ClusterRole")
            if "namespace" in manifest["metadata"] or kind in left:
                continue
            self.admin.request("DELETE", self.admin.path_of(manifest))

    def of(self, kind: str, name: str) -> Manifest:
        """Return one manifest."""
        (found,) = [m for m in self.manifests if (m["kind"], m["metadata"]["name"]) == (kind, name)]
        return found

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig of the account there."""
        cluster = {"server": self.plane.url, "certificate-authority": str(self.plane.ca_path)}
        config: dict[str, Any] = {
            "current-context": "one",
            "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": self.token}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path
