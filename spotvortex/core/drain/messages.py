"""What travels to and from the drainer: orders, what is in flight, results.

Comes in: values of the domain. Goes out: `DrainOrder`, `InFlight`, `InHand`,
`DrainResult`. Every message
carries the trace context of its cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.cloud.notices import NoticeKind
from spotvortex.core.domain.labels import LONGEST_LIFE_S
from spotvortex.core.domain.observation import NodeFact, OwnPod
from spotvortex.core.domain.types import CapacityType, Mode, Offering


class OrderKind(StrEnum):
    """Why a node is drained: a decision, or a notice that the node will be taken away."""

    DRAIN = "drain"
    INTERRUPTION = "interruption"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainOrder:
    """One node to move: ask for its replacement, wait for it, then drain.

    Attributes:
        plan_id: the decision that it carries out.
        pool: the workload pool.
        node: the node's name.
        uid: the node's uid.
        claim: by what name its provisioner releases the node, "" where nobody does.
        sides: the groups of its pool that may give the room, the one to try first first; none
            where no driver asks for room there.
        to: what capacity is asked for; UNKNOWN where any will do.
        reason: why, for people.
        deadline: wall time; what is not done by then is undone, or, of an interruption, over.
        traceparent: the trace of the cycle that gave it.
        kind: a drain that was decided on, or an interruption.
        mode: whose actuator carries it out.
        avoid: the Spot offerings that its room must not get, sorted: those that are being lost, and
            those that the pool avoids.
        bind_by: wall time; room that is not bound by then is given up.
        n_wave: nodes that are drained together; none is before there is room for all.
        leftover_s: the lifetime of the pods that it makes, in seconds.
        hedged: it asks for the room of its node twice; see `hedge`.
    """

    plan_id: str
    pool: str
    node: str
    uid: str
    claim: str
    sides: tuple[str, ...]
    to: CapacityType
    reason: str
    deadline: float
    traceparent: str = ""
    kind: OrderKind = OrderKind.DRAIN
    mode: Mode = Mode.SHADOW
    avoid: tuple[Offering, ...] = ()
    bind_by: float = math.inf
    n_wave: int = 1
    leftover_s: int = LONGEST_LIFE_S
    hedged: bool = False


def reason_of(kind: NoticeKind) -> str:
    """Return the reason of an order that a notice has led to."""
    return f"notice {kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """What the controller has under way, as the cluster itself shows it; see `orders`.

    Attributes:
        orders: the orders found, sorted by the uid of their node.
        leaving: uids of those of their nodes that somebody is already taking away, so that there is
            nothing left to drain.
        interrupted: uids of the nodes whose own journal says that the cloud takes them.
        unread_marks: nodes whose journal cannot be read.
        unread_pods: placeholders whose journal cannot be read.
        orphaned_plans: plans of lost nodes that have room and no node any more.
    """

    orders: tuple[DrainOrder, ...] = ()
    leaving: frozenset[str] = frozenset()
    interrupted: frozenset[str] = frozenset()
    unread_marks: tuple[NodeFact, ...] = ()
    unread_pods: tuple[OwnPod, ...] = ()
    orphaned_plans: frozenset[str] = frozenset()

    @property
    def uids(self) -> frozenset[str]:
        """The uids of the nodes concerned."""
        return frozenset(order.uid for order in self.orders)


NOTHING_IN_FLIGHT: Final = InFlight()


@dataclass(frozen=True, slots=True, kw_only=True)
class InHand:
    """What the drainer holds now, told whenever it changes.

    Attributes:
        uids: the nodes of the orders that may write, by uid: some may not show in the cluster yet.
    """

    uids: frozenset[str] = frozenset()


NOTHING_IN_HAND: Final = InHand()


class DrainEnd(StrEnum):
    """How a drain ended."""

    DONE = "done"
    GONE = "gone"
    NO_REPLACEMENT = "no-replacement"
    ABORTED = "aborted"
    REFUSED = "refused"
    HANDED_OVER = "handed-over"
    """Left as it is, because no write is allowed now; the replica that may write goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainResult:
    """What became of one order.

    Attributes:
        order: the order.
        end: how it ended.
        reason: why, for people.
        at: wall time at which it ended.
        n_calls: requests that it took.
        n_evicted: pods that were evicted.
    """

    order: DrainOrder
    end: DrainEnd
    reason: str
    at: float
    n_calls: int
    n_evicted: int

    @property
    def told_as(self) -> str:
        """The end in a word, for people: `recorded` where nothing was done but written down."""
        only_recorded = self.end is DrainEnd.DONE and not self.order.mode.writes
        return "recorded" if only_recorded else self.end.value
