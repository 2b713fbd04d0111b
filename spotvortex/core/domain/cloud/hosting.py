"""What a node runs on, as far as its labels and its provider id tell, and what that allows.

Comes in: labels, a provider id, a zone. Goes out: a `Hosting`. Where nothing is said it is an
ordinary EC2 instance. May not guess an Outpost: no label tells of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

COMPUTE_TYPE: Final = "eks.amazonaws.com/compute-type"
"""EKS's own label of nodes that are not of a node group."""

AUTO_MODE_GROUP: Final = "eks.amazonaws.com"
"""API group of the NodeClasses of EKS Auto Mode; those of Karpenter are `karpenter.k8s.aws`."""

BUILT_IN_POOLS: Final = frozenset({"general-purpose", "system"})
"""NodePools that EKS Auto Mode brings: on-demand alone, and nobody can change them (EKS User Guide,
"Enable or disable built-in NodePools")."""

_ANYWHERE: Final = frozenset({"vsphere", "tinkerbell", "cloudstack", "nutanix", "snow"})
"""Schemes of provider ids of EKS Anywhere's infrastructure providers."""

_EC2: Final = frozenset({"", "aws", "kwok"})
"""Schemes of EC2; of KWOK, which plays its nodes in tests; and none, while it is not set yet."""

_REGIONAL: Final = re.compile(r"[a-z]+(-[a-z]+)+-\d+[a-z]")


class Hosting(StrEnum):
    """What a node runs on."""

    EC2 = "ec2"
    AUTO_MODE = "eks-auto-mode"
    LOCAL_ZONE = "local-zone"
    """A Local Zone or a Wavelength Zone."""
    FARGATE = "eks-fargate"
    HYBRID = "eks-hybrid"
    ANYWHERE = "eks-anywhere"
    OTHER = "other"
    """Another cloud, or machines of the owner's."""

    @property
    def may_be_spot(self) -> bool:
        """Tell whether there is EC2 Spot at all; a node where there is none is never moved."""
        return self in (Hosting.EC2, Hosting.AUTO_MODE, Hosting.LOCAL_ZONE)


_BY_COMPUTE_TYPE: Final = {
    "auto": Hosting.AUTO_MODE,
    "fargate": Hosting.FARGATE,
    "hybrid": Hosting.HYBRID,
}

WORDS: Final[Mapping[Hosting, str]] = {
    Hosting.EC2: "",
    Hosting.AUTO_MODE: (
        "EKS Auto Mode: moved by pods as Karpenter's nodes are, untested; its NodePools "
        "general-purpose and system buy on-demand alone and cannot be changed, so Spot needs a "
        "NodePool of your own"
    ),
    Hosting.LOCAL_ZONE: (
        "a Local or Wavelength Zone: Spot is sold in some of them and for few types, at prices of "
        "their own; without a Spot price there nothing moves towards Spot"
    ),
    Hosting.FARGATE: "EKS Fargate: there is no Spot, and each pod is its own node; never moved",
    Hosting.HYBRID: "EKS Hybrid Nodes: machines of your own, no Spot; never moved",
    Hosting.ANYWHERE: "EKS Anywhere: machines of your own, no Spot; never moved",
    Hosting.OTHER: "no EC2, by their provider ids: no prices and no risks; never moved",
}
"""What is possible there and what is not, and why."""


def hosting_of(labels: Mapping[str, str], provider_id: str, zone: str) -> Hosting:
    """Return what a node runs on."""
    told = _BY_COMPUTE_TYPE.get(labels.get(COMPUTE_TYPE, ""))
    if told is not None:
        return told
    scheme = provider_id.partition("://")[0] if "://" in provider_id else ""
    if scheme in _ANYWHERE:
        return Hosting.ANYWHERE
    if scheme == "eks-hybrid":
        return Hosting.HYBRID
    if scheme not in _EC2:
        return Hosting.OTHER
    if "/fargate-" in provider_id:
        return Hosting.FARGATE
    return Hosting.LOCAL_ZONE if _is_local(zone) else Hosting.EC2


def _is_local(zone: str) -> bool:
    """Tell `us-west-2-lax-1a` and `us-east-1-wl1-bos-wlz-1` from `us-east-1a`."""
    return bool(re.match(r"[a-z]+(-[a-z]+)+-\d+-", zone)) and not _REGIONAL.fullmatch(zone)
