"""Karpenter's objects as they come over the wire, as far as they are read.

Comes in: nothing. Goes out: structs of karpenter.sh/v1. Declares only.
"""

from __future__ import annotations

from spotvortex.kube.api.quantities import Quantity
from spotvortex.kube.api.wire import AnnotatedMeta, Requirement, Wire


class TemplateMeta(Wire, frozen=True, gc=False):
    """The labels that a NodePool gives its nodes."""

    labels: dict[str, str] | None = None


class NodeTemplateSpec(Wire, frozen=True, gc=False):
    """What a NodePool's nodes must be like."""

    requirements: list[Requirement] | None = None


class NodeTemplate(Wire, frozen=True, gc=False):
    """What a NodePool's nodes are made from."""

    metadata: TemplateMeta | None = None
    spec: NodeTemplateSpec | None = None


class Disruption(Wire, frozen=True, gc=False):
    """How a NodePool consolidates."""

    consolidation_policy: str | None = None
    consolidate_after: str | None = None


class Amounts(Wire, frozen=True, gc=False):
    """The three resources that are compared with a NodePool's limits."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    nodes: Quantity | None = None


class NodePoolSpec(Wire, frozen=True, gc=False):
    """What a NodePool allows.

    Attributes:
        template: what its nodes are made from.
        disruption: how it consolidates.
        weight: of two NodePools that fit, the heavier is tried first.
        limits: most of each resource that its nodes may add up to.
    """

    template: NodeTemplate | None = None
    disruption: Disruption | None = None
    weight: int | None = None
    limits: Amounts | None = None


class NodePoolStatus(Wire, frozen=True, gc=False):
    """What the nodes of a NodePool add up to, in capacity."""

    resources: Amounts | None = None


class NodePool(Wire, frozen=True, gc=False):
    """A Karpenter NodePool, karpenter.sh/v1."""

    metadata: AnnotatedMeta
    spec: NodePoolSpec | None = None
    status: NodePoolStatus | None = None
