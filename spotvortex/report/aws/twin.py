"""The text of a managed node group's twin: alike but for how it is bought.

Comes in: the group as EKS describes it. Goes out: a file for eksctl, or Terraform. Sizes begin at
none: the daemon moves nodes there. May not call AWS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from spotvortex.errors import SettingsError

_OTHERS: Final = {"ON_DEMAND": ("SPOT", "-od", "-spot"), "SPOT": ("ON_DEMAND", "-spot", "-od")}
"""What the twin buys, how a name of this one ends, and how the twin's does."""

_EFFECTS: Final = {
    "NO_SCHEDULE": "NoSchedule",
    "NO_EXECUTE": "NoExecute",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
}
_FAMILIES: Final = {
    "AL2_": "AmazonLinux2",
    "AL2023_": "AmazonLinux2023",
    "BOTTLEROCKET_": "Bottlerocket",
    "WINDOWS_CORE_2019_": "WindowsServer2019CoreContainer",
    "WINDOWS_FULL_2019_": "WindowsServer2019FullContainer",
    "WINDOWS_CORE_2022_": "WindowsServer2022CoreContainer",
    "WINDOWS_FULL_2022_": "WindowsServer2022FullContainer",
}
"""What eksctl calls the images of EKS, by how EKS's own name begins; of a custom image the launch
template tells."""

_OTHERS_TAGS: Final = ("aws:", "alpha.eksctl.io/", "eksctl.cluster.k8s.io/", "eksctl.io/")
"""Tags that AWS and eksctl write by themselves, of the very group."""

POOL: Final = "spotvortex.io/pool"

Described = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A group that is to be made.

    Attributes:
        name: its name.
        buys: `SPOT` or `ON_DEMAND`.
        labels: of its nodes.
        also_label: what the nodes of the group itself have to be labelled with, "" where the names
            of both tell the pool.
    """

    name: str
    buys: str
    labels: Mapping[str, str]
    also_label: str


def twin_of(group: Described) -> Twin:
    """Return what the twin of a group is called, and how it is bought.

    Raises:
        SettingsError: the group has no twin, since it buys neither way.
    """
    name, word = str(group.get("nodegroupName", "")), str(group.get("capacityType", ""))
    if word not in _OTHERS:
        raise SettingsError(f"{name} buys {word or 'nothing that EKS tells'}: it has no twin")
    buys, own, other = _OTHERS[word]
    labels = {str(k): str(v) for k, v in (group.get("labels") or {}).items()}
    base = name.removesuffix(own)
    pool = labels.get(POOL, "")
    if base != name or pool:
        return Twin(name=f"{base}{other}", buys=buys, labels=labels, also_label="")
    labels[POOL] = name
    return Twin(name=f"{name}{other}", buys=buys, labels=labels, also_label=f"{POOL}={name}")


def eksctl_text(group: Described, region: str) -> str:
    """Return a ClusterConfig with the twin alone, for `eksctl create nodegroup -f`."""
    twin = twin_of(group)
    made: dict[str, object] = {
        "name": twin.name,
        "spot": twin.buys == "SPOT",
        "minSize": 0,
        "maxSize": _largest(group),
        "desiredCapacity": 0,
        "subnets": list(group.get("subnets") or ()),
        "iam": {"instanceRoleARN": str(group.get("nodeRole", ""))},
        "labels": dict(twin.labels),
    }
    if group.get("instanceTypes"):
        made["instanceTypes"] = list(group["instanceTypes"])
    image = _image(group)
    family = next((name for start, name in _FAMILIES.items() if image.startswith(start)), "")
    if family:
        made["amiFamily"] = family
    if group.get("diskSize"):
        made["volumeSize"] = int(group["diskSize"])
    if tags := _tags(group):
        made["tags"] = tags
    taints = [
        {k: v for k, v in (t | {"effect": _EFFECTS.get(t.get("effect", ""), "")}).items() if v}
        for t in map(dict, group.get("taints") or ())
    ]
    if taints:
        made["taints"] = taints
    if template := _template(group):
        made["launchTemplate"] = template
    document = {
        "apiVersion": "eksctl.io/v1alpha5",
        "kind": "ClusterConfig",
        "metadata": {"name": str(group.get("clusterName", "")), "region": region},
        "managedNodeGroups": [made],
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return _comment(group, twin) + text


def terraform_text(group: Described) -> str:
    """Return the twin as a resource of Terraform."""
    twin = twin_of(group)
    lines = [
        f'resource "aws_eks_node_group" {_text(twin.name)} {{',
        f"  cluster_name    = {_text(str(group.get('clusterName', '')))}",
        f"  node_group_name = {_text(twin.name)}",
        f"  node_role_arn   = {_text(str(group.get('nodeRole', '')))}",
        f"  subnet_ids      = {_text(list(group.get('subnets') or ()))}",
        f"  capacity_type   = {_text(twin.buys)}",
    ]
    if group.get("instanceTypes"):
        lines.append(f"  instance_types  = {_text(list(group['instanceTypes']))}")
    if _image(group):
        lines.append(f"  ami_type        = {_text(_image(group))}")
    if group.get("diskSize"):
        lines.append(f"  disk_size       = {int(group['diskSize'])}")
    if tags := _tags(group):
        lines += ["  tags = {", *(f"    {_text(k)} = {_text(v)}" for k, v in tags.items()), "  }"]
    labels = (f"    {_text(k)} = {_text(v)}" for k, v in twin.labels.items())
    lines += ["  labels = {", *labels, "  }"]
    size = {"desired_size": 0, "max_size": _largest(group), "min_size": 0}
    lines += ["  scaling_config {", *(f"    {k} = {v}" for k, v in size.items()), "  }"]
    for taint in map(dict, group.get("taints") or ()):
        lines += ["  taint {", *(f"    {k} = {_text(v)}" for k, v in taint.items()), "  }"]
    if template := _template(group):
        lines += ["  launch_template {", *(f"    {k} = {_text(v)}" for k, v in template.items())]
        lines.append("  }")
    ignored = "ignore_changes = [scaling_config[0].desired_size]"
    lines += [f"  lifecycle {{\n    {ignored}\n  }}", "}"]
    return _comment(group, twin) + "\n".join(lines) + "\n"


def _comment(group: Described, twin: Twin) -> str:
    if not twin.also_label:
        return ""
    return f"# Label the nodes of {group.get('nodegroupName', '')} {twin.also_label} as well.\n"


def _image(group: Described) -> str:
    """Return what EKS calls the image, "" where a launch template names one."""
    said = str(group.get("amiType") or "")
    return "" if said == "CUSTOM" else said


def _tags(group: Described) -> dict[str, str]:
    """Return the tags that its owner has set; by that of its pool the daemon finds a group."""
    told = {str(k): str(v) for k, v in (group.get("tags") or {}).items()}
    return {k: v for k, v in sorted(told.items()) if not k.startswith(_OTHERS_TAGS)}


def _largest(group: Described) -> int:
    return int((group.get("scalingConfig") or {}).get("maxSize", 10))


def _template(group: Described) -> dict[str, str]:
    found = group.get("launchTemplate") or {}
    return {k: str(found[k]) for k in ("id", "version") if found.get(k)}


def _text(value: object) -> str:
    """Write a value as Terraform does: its texts and lists are JSON, but for `${`."""
    return json.dumps(value).replace("${", "$${")
