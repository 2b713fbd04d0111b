"""Karpenter's objects as they come over the wire, as far as they are read.

Comes in: nothing. Goes out: structs of karpenter.sh/v1, and what of a NodePool is its owner's own.
May not know any other object.
"""

from __future__ import annotations

import msgspec

from spotvortex.core.domain.labels import RESTORE
from spotvortex.kube.api.quantities import Quantity, cpu_or_none
from spotvortex.kube.api.wire.objects import AnnotatedMeta, Requirement, Wire


class TemplateMeta(Wire, frozen=True, gc=False):
    """The labels that a NodePool gives its nodes."""

    labels: dict[str, str] | None = None


class NodeClassRef(Wire, frozen=True, gc=False):
    """Whose NodeClass a NodePool's nodes are made by."""

    group: str | None = None


class NodeTemplateSpec(Wire, frozen=True, gc=False):
    """What a NodePool's nodes must be like."""

    requirements: list[Requirement] | None = None
    node_class_ref: NodeClassRef | None = None


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


class Settable(Wire, frozen=True, gc=False):
    """What the controller may change of a NodePool, as it stands there; None where it is not."""

    weight: int | None = None
    cpu: Quantity | None = None


class RestoreNote(Settable, frozen=True, gc=False, omit_defaults=True):
    """The note on a NodePool that the controller steers: its owner's values, and what was set."""

    set: Settable = Settable()


class NodePool(Wire, frozen=True, gc=False):
    """A Karpenter NodePool, karpenter.sh/v1."""

    metadata: AnnotatedMeta
    spec: NodePoolSpec | None = None
    status: NodePoolStatus | None = None


def class_group_of(template: NodeTemplate) -> str:
    """Return the API group of the NodeClass that nodes are made by, "" where none is named."""
    made_by = template.spec.node_class_ref if template.spec is not None else None
    return (made_by.group if made_by is not None else None) or ""


def settable_of(pool: NodePool) -> Settable:
    """Return what the controller may change of a NodePool."""
    spec = pool.spec or NodePoolSpec()
    return Settable(weight=spec.weight, cpu=(spec.limits or Amounts()).cpu)


def used_cpu_milli(pool: NodePool) -> int:
    """Return what its nodes add up to, in thousandths of a core.

    Raises:
        ValueError: the quantity cannot be read.
    """
    used = (pool.status or NodePoolStatus()).resources or Amounts()
    return cpu_or_none(used.cpu) or 0


def owners_of(pool: NodePool) -> Settable | None:
    """Return its owner's own values while the controller steers it, None where it does not.

    What somebody else has changed since is its owner's by that.

    Raises:
        ValueError: the note of them cannot be read.
    """
    text = (pool.metadata.annotations or {}).get(RESTORE)
    if text is None:
        return None
    try:
        note = msgspec.json.decode(text, type=RestoreNote)
    except msgspec.DecodeError as error:
        raise ValueError(f"{RESTORE} cannot be read: {error}") from error
    now = settable_of(pool)
    return Settable(
        weight=note.weight if now.weight == note.set.weight else now.weight,
        cpu=note.cpu if cpu_or_none(now.cpu) == cpu_or_none(note.set.cpu) else now.cpu,
    )
