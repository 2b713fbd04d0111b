"""How a world fares: its cost, its Spot share, its losses, and the pods that are missing.

Comes in: the world's steps. Goes out: a `CoursePoint` at any time. May not change anything, and
bills by the step; what a run costs to the cent is `billing`'s matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.types import CapacityType
from spotvortex.results.course import CoursePoint
from spotvortex.sim.cluster.objects import SimNode
from spotvortex.sim.cluster.scenario import WorkloadKind
from spotvortex.sim.cluster.state import ClusterObjects
from spotvortex.sim.market.prices import PricedMarket

_SERVING: Final = (WorkloadKind.DEPLOYMENT, WorkloadKind.STATEFUL_SET)


@dataclass(slots=True, kw_only=True)
class Course:
    """Implements `world.WorldAccount`.

    Attributes:
        cluster: the cluster that is watched.
        market: what its nodes cost.
        at: the time of the last step, seconds since the epoch.
    """

    cluster: ClusterObjects
    market: PricedMarket
    at: float
    _usd: float = 0.0
    _missing_pod_s: float = 0.0
    _n_lost: int = 0

    def step(self, at: float, seconds: float) -> None:
        """Take note of one step of the world, which ends at a time."""
        self.at = at
        self._usd += self._usd_per_hour() * seconds / 3600.0
        self._missing_pod_s += self._n_missing() * seconds

    def struck(self, node: SimNode, at: float) -> None:  # noqa: ARG002 - a count is enough
        """Take note of a node that the provider takes away."""
        self._n_lost += 1

    def point(self) -> CoursePoint:
        """Return where the world stands."""
        nodes = self.cluster.nodes.values()
        n_spot = sum(node.capacity_type is CapacityType.SPOT for node in nodes)
        return CoursePoint(
            at=self.at,
            usd=self._usd,
            usd_per_hour=self._usd_per_hour(),
            spot_ratio=n_spot / len(nodes) if nodes else 0.0,
            n_lost=self._n_lost,
            missing_pod_minutes=self._missing_pod_s / 60.0,
        )

    def _usd_per_hour(self) -> float:
        return sum(self._price(node) for node in self.cluster.nodes.values())

    def _price(self, node: SimNode) -> float:
        if node.capacity_type is CapacityType.SPOT:
            return self.market.spot_usd_per_hour(node.offering, self.at)
        return self.market.on_demand_usd_per_hour(node.offering)

    def _n_missing(self) -> int:
        return sum(
            max(0, workload.replicas - self.cluster.healthy(workload))
            for workload in self.cluster.workloads.values()
            if workload.kind in _SERVING
        )
