"""What the API server sends of owners of pods and of namespaces: metadata alone.

Comes in: nothing. Goes out: frozen structs, as in `wire`. May not interpret anything.
"""

from __future__ import annotations

from msgspec import field

from spotvortex.core.domain import labels as label_names
from spotvortex.kube.api.wire.objects import Meta, Wire


class OwnerNotes(Wire, frozen=True, gc=False):
    """The annotations of an owner of pods, or of a namespace, that are read.

    Attributes:
        min_available_after_loss: the owner's word on what must stay after a loss.
        on_demand_floor: the owner's word on what must stay on-demand.
        revision: of a Deployment's ReplicaSet: which of its rollouts made it.
    """

    min_available_after_loss: str | None = field(
        default=None, name=label_names.MIN_AVAILABLE_AFTER_LOSS
    )
    on_demand_floor: str | None = field(default=None, name=label_names.ON_DEMAND_FLOOR)
    revision: str | None = field(default=None, name="deployment.kubernetes.io/revision")


class OwnerMeta(Meta, frozen=True, gc=False):
    """Metadata of an owner of pods, or of a namespace."""

    annotations: OwnerNotes | None = None


class Owner(Wire, frozen=True, gc=False):
    """The metadata of a ReplicaSet, a StatefulSet or a namespace."""

    metadata: OwnerMeta
