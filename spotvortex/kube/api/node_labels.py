"""Label names, and how a node is bought according to its labels.

Comes in: labels. Goes out: a `CapacityType`. Several provisioners say the same thing in their own
words; this is the only place that knows them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from spotvortex.core.domain.types import CapacityType

MANAGER: Final = "spotvortex.io/manager"
NODEPOOL: Final = "karpenter.sh/nodepool"
NODEGROUP: Final = "eks.amazonaws.com/nodegroup"
INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
ZONE: Final = "topology.kubernetes.io/zone"
CAPACITY_TYPE: Final = "karpenter.sh/capacity-type"
NODEGROUP_CAPACITY_TYPE: Final = "eks.amazonaws.com/capacityType"
INSTANCE_CPU: Final = "karpenter.k8s.aws/instance-cpu"
"""vCPUs of the instance type."""

INSTANCE_MEMORY: Final = "karpenter.k8s.aws/instance-memory"
"""MiB of the instance type."""

CONTROL_PLANE: Final = (
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
)

CAPACITY_TYPE_LABELS: Final = (
    CAPACITY_TYPE,
    "spotvortex.io/capacity-type",
    NODEGROUP_CAPACITY_TYPE,
    "node.kubernetes.io/lifecycle",
)
"""In the order in which they are asked; the first one that is not empty counts."""

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
