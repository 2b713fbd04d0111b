"""What kustomize builds: every overlay by itself, and with each component.

Comes in: deploy/kustomize. Goes out: objects by their identity. `kubectl kustomize` is what builds,
in a copy of the folder. May not know Helm.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).resolve().parents[2] / "deploy" / "kustomize"
BUILD_S = 60

Manifest = dict[str, Any]
Identity = tuple[str, str]
Build = dict[Identity, Manifest]


class BuildError(RuntimeError):
    """kubectl is not there, or refuses a kustomization."""


class Kustomize:
    """Builds overlays in a copy of the manifests.

    Args:
        folder: an empty one, for the copy and for the kustomizations over it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(SOURCE, folder / "kustomize")

    def build(self, overlay: str, components: Sequence[str] = (), namespace: str = "") -> Build:
        """Return every object of an overlay with components over it.

        Raises:
            BuildError: kubectl is not there, or it refuses.
        """
        kustomization: Manifest = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"kustomize/overlays/{overlay}"],
            "components": [f"kustomize/components/{name}" for name in components],
        }
        if namespace:
            kustomization["namespace"] = namespace
        (self._folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        manifests = yaml.safe_load_all(_printed(self._folder))
        return {identity(m): normal(m) for m in manifests}


def _printed(folder: Path) -> str:
    command = ["kubectl", "kustomize", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
    except FileNotFoundError as error:
        raise BuildError("kubectl is missing; it builds the kustomizations") from error
    if done.returncode:
        raise BuildError(done.stderr.strip())
    return done.stdout


def identity(manifest: Manifest) -> Identity:
    """Return kind and name: the project has no two of the same."""
    return manifest["kind"], manifest["metadata"]["name"]


def normal(manifest: Manifest) -> Manifest:
    """Sort the variables of containers, whose order means nothing, by name."""
    for container in containers(manifest):
        container.get("env", []).sort(key=lambda variable: str(variable["name"]))
    return manifest


def containers(manifest: Manifest) -> list[Manifest]:
    """Return the containers of a Deployment, none of anything else."""
    if manifest["kind"] != "Deployment":
        return []
    found: list[Manifest] = manifest["spec"]["template"]["spec"]["containers"]
    return found
