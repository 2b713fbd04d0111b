"""Reads what a kustomization gives, as far as ours use it: resources, bases and merge patches."""

from pathlib import Path
from typing import Any

import yaml

KUSTOMIZE = Path(__file__).parents[2] / "deploy" / "kustomize"
SHADOW = KUSTOMIZE / "overlays" / "shadow"

Manifest = dict[str, Any]


def render(folder: Path) -> list[Manifest]:
    """Every manifest of a kustomization, patches merged; another field of it is an error."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = kustomization.keys() - {"apiVersion", "kind", "resources", "patches"}
    assert not unknown, f"{folder}: {unknown} is not read here"
    manifests: list[Manifest] = []
    for name in kustomization["resources"]:
        path = folder / name
        found = render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
        manifests += found
    for patch in kustomization.get("patches", []):
        change = yaml.safe_load((folder / patch["path"]).read_text())
        (target,) = [m for m in manifests if identity(m) == identity(change)]
        manifests[manifests.index(target)] = merge(target, change)
    return manifests


def identity(manifest: Manifest) -> tuple[str, str, str, str]:
    """What makes an object the same one."""
    meta = manifest["metadata"]
    return manifest["apiVersion"], manifest["kind"], meta.get("namespace", ""), meta["name"]


def merge(target: Any, change: Any) -> Any:
    """Merge as a strategic merge patch does; lists of named objects by their names."""
    if isinstance(target, dict) and isinstance(change, dict):
        merged = {key: merge(target.get(key), value) for key, value in change.items()}
        return target | merged
    if isinstance(target, list) and all(isinstance(c, dict) and "name" in c for c in change):
        named = {item["name"]: item for item in target}
        return list((named | {c["name"]: merge(named.get(c["name"]), c) for c in change}).values())
    return change


def only(manifests: list[Manifest], kind: str) -> Manifest:
    """The one manifest of a kind."""
    (found,) = [m for m in manifests if m["kind"] == kind]
    return found


def shadow_cluster_role() -> Manifest:
    """The very ClusterRole that the shadow overlay installs."""
    return only(render(SHADOW), "ClusterRole")
