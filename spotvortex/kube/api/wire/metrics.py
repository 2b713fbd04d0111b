"""What metrics.k8s.io serves, as far as it is read.

Comes in: bytes of a list of NodeMetrics or PodMetrics. Goes out: structs, with each quantity as the
server wrote it. Of a list that holds what cannot be read the rest is kept. May not add anything up.
"""

from __future__ import annotations

from datetime import datetime

from spotvortex.kube.api.quantities import Quantity
from spotvortex.kube.api.wire.objects import Meta, Wire

NO_AMOUNT: Quantity = "0"


class Used(Wire, frozen=True, gc=False):
    """CPU and memory over the window of a sample."""

    cpu: Quantity = NO_AMOUNT
    memory: Quantity = NO_AMOUNT


class UsedContainer(Wire, frozen=True, gc=False):
    """What one container uses."""

    usage: Used = Used()


class NodeMetrics(Wire, frozen=True, gc=False):
    """What one node uses, its system included."""

    metadata: Meta
    usage: Used
    timestamp: datetime | None = None


class PodMetrics(Wire, frozen=True, gc=False):
    """What one pod uses, by container."""

    metadata: Meta
    containers: tuple[UsedContainer, ...] = ()
    timestamp: datetime | None = None
