"""Reads what a kustomization gives, as far as ours use it: resources, components, merge patches.

Configurations only say what an overlay of a user's own would change, and are left out here.
"""

from pathlib import Path
from typing import Any

import yaml

from tests.paths import ROOT

KUSTOMIZE = ROOT / "deploy" / "kustomize"
SHADOW = KUSTOMIZE / "overlays" / "shadow"
ADVISE = KUSTOMIZE / "overlays" / "advise"
CANARY = KUSTOMIZE / "overlays" / "canary"
ACTIVE = KUSTOMIZE / "overlays" / "active"
WEIGHTS = KUSTOMIZE / "overlays" / "weights"
NAMESPACE = "spotvortex"
ACCOUNT = "system:serviceaccount:spotvortex:spotvortex"
COMPONENT = {"app.kubernetes.io/component": "writing-account"}
"""By this label the fence finds the binding that names whom it stands around."""

Manifest = dict[str, Any]


def render(folder: Path) -> list[Manifest]:
    """Every manifest of a kustomization, patches merged; another field of it is an error."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    manifests = merged(folder, kustomization, [])
    for name in kustomization.get("components", []):
        component = yaml.safe_load((folder / name / "kustomization.yaml").read_text())
        manifests = merged(folder / name, component, manifests)
    return manifests


FIELDS = {"apiVersion", "kind", "resources", "patches", "configurations", "components"}


def merged(folder: Path, kustomization: Manifest, before: list[Manifest]) -> list[Manifest]:
    """Add the manifests of a kustomization to those before it, and merge its patches into all."""
    unknown = kustomization.keys() - FIELDS
    assert not unknown, f"{folder}: {unknown} is not read here"
    manifests = list(before)
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


def roles_of(overlay: Path, username: str, namespace: str = NAMESPACE) -> list[Manifest]:
    """Every role that an overlay gives, bound to a user of a test beside our account.

    Args:
        overlay: its folder.
        username: as the API server calls it.
        namespace: where our own objects lie; it has to be there.
    """
    found = [m for m in render(overlay) if "Role" in m["kind"]]
    return [_bound_to(username, _moved(m, namespace), namespace) for m in found]


def active_roles(
    username: str, namespace: str = NAMESPACE, overlay: Path = ACTIVE
) -> list[Manifest]:
    """Every role that the active overlay gives, as `roles_of` gives them."""
    return roles_of(overlay, username, namespace)


def active_bounds(namespace: str = NAMESPACE) -> list[Manifest]:
    """The PriorityClass and the quotas of the active overlay, for a namespace of a test."""
    kinds = ("PriorityClass", "ResourceQuota")
    return [_moved(m, namespace) for m in render(ACTIVE) if m["kind"] in kinds]


def active_fence(
    username: str, namespace: str = NAMESPACE, overlay: Path = ACTIVE
) -> list[Manifest]:
    """The admission policies of an overlay that writes, around a user of a test and its namespace.

    The binding that names the account is among them, whatever else the user may do.
    """
    manifests = render(overlay)
    (binding,) = [m for m in manifests if COMPONENT.items() <= m["metadata"]["labels"].items()]
    account = _bound_to(username, binding, namespace)
    fence = [m for m in manifests if m["kind"].startswith("ValidatingAdmissionPolicy")]
    for manifest in fence:
        name = f"{manifest['metadata']['name']}-{namespace}"
        manifest["metadata"]["name"] = name
        spec = manifest["spec"]
        if "policyName" in spec:
            spec["policyName"] = f"{spec['policyName']}-{namespace}"
            if "selector" in spec["paramRef"]:
                del spec["paramRef"]["selector"]
                spec["paramRef"]["name"] = account["metadata"]["name"]
            else:
                spec["paramRef"]["namespace"] = namespace
        elif spec["paramKind"]["kind"] == "Lease":
            (condition,) = spec["matchConditions"]
            condition["expression"] = f"request.userInfo.username == '{username}'"
    return [account, *fence]


def _moved(manifest: Manifest, namespace: str) -> Manifest:
    meta = manifest["metadata"]
    if meta.get("namespace") == NAMESPACE:
        meta = meta | {"namespace": namespace}
    return manifest | {"metadata": meta}


def _bound_to(username: str, manifest: Manifest, namespace: str) -> Manifest:
    """Name a user beside the account of a namespace, and the binding after that namespace."""
    if "subjects" not in manifest:
        return manifest
    group = "rbac.authorization.k8s.io"
    meta = manifest["metadata"]
    (account,) = manifest["subjects"]
    return manifest | {
        "metadata": meta | {"name": f"{meta['name']}-{namespace}"},
        "subjects": [
            {"apiGroup": group, "kind": "User", "name": username},
            account | {"namespace": namespace},
        ],
    }
