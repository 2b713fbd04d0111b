"""The cluster, as the tasks see it and reach into it.

Comes in and goes out: core values only. The daemon gives edges that speak to a cluster, the
simulator gives its world; the tasks cannot tell which. May not import an edge.
"""

from __future__ import annotations

from typing import Protocol

from spotvortex.core.domain.inputs import InputHealth
from spotvortex.core.domain.observation import ClusterFacts, NodeFact, OwnPod
from spotvortex.core.drain.calls import Answer, Call, PodView
from spotvortex.core.drain.messages import DrainOrder
from spotvortex.core.drain.views import NodeView
from spotvortex.core.pool.survival.eviction import PodEvictability


class WallClock(Protocol):
    """The time of day."""

    def now(self) -> float:
        """Return seconds since the epoch, UTC."""
        ...


class ClusterView(Protocol):
    """The cluster as kept up to date by watches, or by the simulator."""

    async def synced(self) -> None:
        """Wait until every required resource has been listed once."""
        ...

    def snapshot(self, now: float) -> ClusterFacts:
        """Return the cluster at this instant; unchanged parts are the same objects as before."""
        ...

    def health(self, now: float) -> tuple[InputHealth, ...]:
        """Return the state and age of each watched resource, at no cost."""
        ...

    def node(self, name: str) -> NodeFact | None:
        """Return one node as it is now, None where there is none of that name."""
        ...

    def pods_on(self, node: str) -> tuple[PodView, ...]:
        """Return the pods bound to a node, sorted by namespace and name."""
        ...

    def standings_on(self, node: str) -> tuple[PodEvictability, ...]:
        """Return the same pods with everything that speaks against moving them."""
        ...

    def own_pods(self, for_uid: str) -> tuple[OwnPod, ...]:
        """Return the placeholders and anchors that are about one node, sorted by name.

        Room that the lost nodes of a plan share is about the plan, and found by its id.
        """
        ...

    async def refresh(self, node: str) -> None:
        """Read one node, its pods and their budgets anew, so that the view is no older than this.

        Raises:
            ApiError: the server did not answer.
        """
        ...


class ClusterActuator(Protocol):
    """The only way to change a cluster; in shadow mode it records what it would do."""

    async def apply(self, call: Call) -> Answer:
        """Carry out one request and return the cluster's answer."""
        ...

    async def look(self, order: DrainOrder) -> NodeView:
        """Return the node of an order with its pods, as this actuator's own writes left it."""
        ...

    async def refresh(self, order: DrainOrder) -> None:
        """Make the next look show nothing older than now, where the edge can do so."""
        ...

    def forget(self, order: DrainOrder) -> None:
        """Forget what was kept for an order: it has ended."""
        ...
