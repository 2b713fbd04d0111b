"""Label names, and how a node is bought according to its labels.

Comes in: labels and annotations. Goes out: an `Offering`, a `CapacityType`, and whether a node is
to be left alone. Several provisioners say the same thing in their own words; this is the only place
that knows them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from spotvortex.core.domain.autoscaling import labelled_group, managed_group
from spotvortex.core.domain.cloud.hosting import Hosting, hosting_of
from spotvortex.core.domain.labels import KEPT, POOL, SCALE_DOWN_DISABLED
from spotvortex.core.domain.types import CapacityType, Offering

MANAGER: Final = "spotvortex.io/manager"
NODEPOOL: Final = "karpenter.sh/nodepool"
NODEGROUP: Final = "eks.amazonaws.com/nodegroup"
INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
ZONE: Final = "topology.kubernetes.io/zone"
CAPACITY_TYPE: Final = "karpenter.sh/capacity-type"
NODEGROUP_CAPACITY_TYPE: Final = "eks.amazonaws.com/capacityType"
UNKNOWN: Final = "unknown"
"""Stands for an instance type or a zone that no label tells."""

MAX_OFFERINGS: Final = 4096
"""Offerings that are kept as one object each."""

INSTANCE_CPU: Final = "karpenter.k8s.aws/instance-cpu"
"""vCPUs of the instance type."""

INSTANCE_MEMORY: Final = "karpenter.k8s.aws/instance-memory"
"""MiB of the instance type."""

CONTROL_PLANE: Final = (
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
)

POOL_CAPACITY_TYPE: Final = "spotvortex.io/capacity-type"
"""Label of nodes that no provisioner labels so: how they are bought."""

CAPACITY_TYPE_LABELS: Final = (
    CAPACITY_TYPE,
    POOL_CAPACITY_TYPE,
    NODEGROUP_CAPACITY_TYPE,
    "node.kubernetes.io/lifecycle",
)
"""In the order in which they are asked; the first one that is not empty counts."""

DO_NOT_DISRUPT: Final = "karpenter.sh/do-not-disrupt"
SAFE_TO_EVICT: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict"
"""Annotations of pods; of nodes the first alone."""

_WORDS: Final = {
    "spot": CapacityType.SPOT,
    "ec2spot": CapacityType.SPOT,
    "on-demand": CapacityType.ON_DEMAND,
    "ondemand": CapacityType.ON_DEMAND,
    "ec2ondemand": CapacityType.ON_DEMAND,
    "ec2-on-demand": CapacityType.ON_DEMAND,
    "normal": CapacityType.ON_DEMAND,
    "reserved": CapacityType.RESERVED,
    "capacity-block": CapacityType.RESERVED,
    "capacityblock": CapacityType.RESERVED,
}


def normalised(word: str) -> CapacityType:
    """Return the capacity type that a label's value means, UNKNOWN for any other word."""
    spelt = word.strip().lower().replace("_", "-").replace(" ", "-")
    return _WORDS.get(spelt, CapacityType.UNKNOWN)


def capacity_type_of(labels: Mapping[str, str]) -> CapacityType:
    """Return how a node with these labels is bought."""
    for name in CAPACITY_TYPE_LABELS:
        if word := labels.get(name, "").strip():
            return normalised(word)
    return CapacityType.UNKNOWN


def hosting_and_kind(labels: Mapping[str, str], provider_id: str) -> tuple[Hosting, CapacityType]:
    """Return what a node runs on and how it is bought: where there is no Spot, nobody knows."""
    hosting = hosting_of(labels, provider_id, labels.get(ZONE, ""))
    return hosting, capacity_type_of(labels) if hosting.may_be_spot else CapacityType.UNKNOWN


def is_left_alone(annotations: Mapping[str, str]) -> bool:
    """Tell whether a node itself says that it must not be disrupted.

    Only the exact text "true" counts. What the controller has set itself is no word of an owner's.
    """
    owners = annotations.get(SCALE_DOWN_DISABLED) == "true" and KEPT not in annotations
    return owners or annotations.get(DO_NOT_DISRUPT) == "true"


def spellings(capacity_type: CapacityType) -> tuple[str, ...]:
    """Return the values by which labels name a capacity type, as they are written most."""
    words = sorted(word for word, meant in _WORDS.items() if meant is capacity_type)
    upper = (word.upper().replace("-", "_") for word in words)
    return tuple(dict.fromkeys((*words, *upper)))


def autoscaled_group_of(labels: Mapping[str, str]) -> str:
    """Return the group of a node that Cluster Autoscaler may grow, "" where no label tells it.

    A managed node group by its own label; any other by pool and capacity type, both as our labels.
    """
    managed = labels.get(NODEGROUP, "")
    if managed:
        return managed_group(managed)
    pool, kind = labels.get(POOL, ""), normalised(labels.get(POOL_CAPACITY_TYPE, ""))
    known = pool and kind in (CapacityType.SPOT, CapacityType.ON_DEMAND)
    return labelled_group(pool, kind) if known else ""


def offering_of(labels: Mapping[str, str]) -> Offering:
    """Return what a node is by its labels: one object for all nodes that are the same."""
    return _offering(labels.get(INSTANCE_TYPE) or UNKNOWN, labels.get(ZONE) or UNKNOWN)


@lru_cache(maxsize=MAX_OFFERINGS)
def _offering(instance_type: str, zone: str) -> Offering:
    return Offering(instance_type=instance_type, zone=zone)
