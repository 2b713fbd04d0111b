"""How a node and the wave that it is drained with stand, as the next step of its drain sees them.

Comes in: nothing. Goes out: `NodeView` and what it is made of. An actuator makes one at each look.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from spotvortex.core.drain.calls import PodView
from spotvortex.core.drain.messages import DrainOrder, OrderKind


class Halt(StrEnum):
    """Why an order must not go on as planned."""

    NONE = "none"
    UNDO = "undo"
    """Undo it: a freeze that is not hard, a weaker mode, inputs too old."""
    DROP = "drop"
    """Leave everything as it is: no write is allowed now; the replica that may write goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A node that a placeholder of an order is bound to.

    Attributes:
        node: the node's name.
        uid: the node's uid.
        anchored_until: wall time until which anchors keep it, 0 where none does.
        kept: it carries the controller's note that it is kept for this very plan.
    """

    node: str
    uid: str
    anchored_until: float = 0.0
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveView:
    """How the nodes that are drained together stand, the one that looks among them.

    Room is nobody's own: the pods of one node may take what was asked for those of another.

    Attributes:
        asking: one of the nodes has not asked for all its room yet.
        bound: placeholders that are bound.
        left: pods that still need room.
        room: placeholders that are there, bound or not.
        known: every one of the nodes has been looked at.
        last: the orders of all other nodes have ended.
        marking: one of the nodes is not marked yet.
        begun: a pod of one of the nodes was evicted.
        trouble: why one of the nodes never gets its room, "" where none has trouble.
        gives_back: every one of the lost nodes has its room or its pods go without, and the one
            that looks is to give back what has no node yet.
    """

    asking: bool
    bound: int
    left: int
    room: int = 0
    known: bool = True
    last: bool = True
    marking: bool = False
    begun: bool = False
    trouble: str = ""
    gives_back: bool = False

    @property
    def has_room(self) -> bool:
        """Tell whether there is room for every pod of the wave."""
        return not self.asking and self.is_enough

    @property
    def is_enough(self) -> bool:
        """Tell whether no more room need be asked for."""
        return self.known and self.bound >= self.left


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One node and its pods, as the next step of its drain sees them.

    Attributes:
        node: the node's name.
        uid: the node's uid.
        present: false once the node is gone or another one of its name has taken its place.
        cordoned: `spec.unschedulable`.
        pods: the pods that run on it.
        bound: placeholders of this order that have a Ready node.
        n_room: placeholders of this order.
        n_shared: placeholders of its plan that are of no single node.
        n_waiting: of those how many have no node yet.
        given: of those how many were ever bound, None where nobody counts; what is `bound` of them
            is set aside by `wave_barrier`.
        by_pod: it is set aside pod by pod: `bound` is for how many more pods there is room now.
        marked: the journal for this very plan is on the node.
        leaving: somebody is taking the node away already.
        receivers: the Ready nodes that the placeholders are bound to.
        pending_reason: the scheduler's word on a placeholder that has no node, "" without one.
        resource_version: the node's `metadata.resourceVersion`.
        zone: the zone that the node is in.
        halt: whether the order may go on.
        halt_reason: why it may not, "" where it may.
        wave: the nodes that are drained together, None where the node is drained by itself.
    """

    node: str
    uid: str
    present: bool
    cordoned: bool
    pods: tuple[PodView, ...]
    bound: int
    n_room: int = 0
    n_shared: int = 0
    n_waiting: int = 0
    given: int | None = None
    by_pod: bool = False
    marked: bool = False
    leaving: bool = False
    receivers: tuple[Receiver, ...] = ()
    pending_reason: str = ""
    resource_version: str = ""
    zone: str = ""
    halt: Halt = Halt.NONE
    halt_reason: str = ""
    wave: WaveView | None = None

    @property
    def movers(self) -> tuple[PodView, ...]:
        """The pods that a drain has to move."""
        return tuple(pod for pod in self.pods if not pod.stays)


def remains(order: DrainOrder, view: NodeView) -> bool:
    """Tell whether a drained node is still there and nobody takes it away.

    A node that is lost goes by itself; and a controller that has to stop awaits nobody.
    """
    planned = order.kind is OrderKind.DRAIN
    return planned and view.present and not view.leaving and view.halt is Halt.NONE
