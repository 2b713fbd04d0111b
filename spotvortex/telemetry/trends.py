"""How each pool's Spot ratio and cost have gone since the start, for people who look.

Comes in: every plan. Goes out: a line of points for each pool and one for all, of bounded length: a
line that is full drops every other point, and takes new ones half as often. Only what is in the
newest plan is kept. May not be read by anything that decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from spotvortex.core.decision.messages import Decision, Plan
from spotvortex.core.pool.cost import PoolCost, cost_of, total_of
from spotvortex.results.course import CoursePoint

Point = TypeVar("Point")

MAX_POINTS: Final = 240
"""Points of a line: two hours of cycles of 30 s at first, then a point every so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """One pool, or all of them, at one instant.

    Attributes:
        at: wall time, seconds since the epoch.
        spot_ratio: Spot nodes / counted nodes, 0..1.
        target_ratio: where the ratio is to go, 0..1.
        cost: what its nodes cost.
    """

    at: float
    spot_ratio: float
    target_ratio: float
    cost: PoolCost


@dataclass(slots=True)
class _Line(Generic[Point]):
    """Points, and how many plans lie between two of them."""

    points: list[Point] = field(default_factory=list)
    every: int = 1
    n_seen: int = 0

    def take(self, point: Point) -> None:
        if self.n_seen % self.every == 0:
            self.points.append(point)
        self.n_seen += 1
        if len(self.points) > MAX_POINTS:
            self.points = self.points[::2]
            self.every *= 2


class Trends:
    """The lines of all pools of the newest plan, and of simulated clusters.

    Args:
        courses: how simulated clusters have fared, by name.
    """

    def __init__(self, courses: Mapping[str, Callable[[], CoursePoint]] | None = None) -> None:
        self._all: _Line[TrendPoint] = _Line()
        self._pools: dict[str, _Line[TrendPoint]] = {}
        self._courses = dict(courses or {})
        self._fared: dict[str, _Line[CoursePoint]] = {name: _Line() for name in self._courses}

    def planned(self, plan: Plan) -> None:
        """Take a point of every pool."""
        points = {decision.pool: _point(decision) for decision in plan.decisions}
        self._pools = {pool: self._pools.get(pool) or _Line() for pool in points}
        for pool, point in points.items():
            self._pools[pool].take(point)
        self._all.take(_sum(plan, points))
        for name, course in self._courses.items():
            self._fared[name].take(course())

    def of(self, pool: str) -> tuple[TrendPoint, ...]:
        """Return the line of a pool, oldest first; none where the newest plan has no such pool."""
        line = self._pools.get(pool)
        return tuple(line.points) if line else ()

    def of_all(self) -> tuple[TrendPoint, ...]:
        """Return the line of all pools together."""
        return tuple(self._all.points)

    def of_courses(self) -> Mapping[str, tuple[CoursePoint, ...]]:
        """Return the line of each simulated cluster, by name."""
        return {name: tuple(line.points) for name, line in self._fared.items()}


def _point(decision: Decision) -> TrendPoint:
    return TrendPoint(
        at=decision.at,
        spot_ratio=decision.current_ratio,
        target_ratio=decision.target_ratio,
        cost=cost_of(decision.input),
    )


def _sum(plan: Plan, points: Mapping[str, TrendPoint]) -> TrendPoint:
    n_counted = sum(d.input.n_counted for d in plan.decisions)
    n_spot = sum(d.input.n_spot for d in plan.decisions)
    n_wanted = sum(d.target_ratio * d.input.n_counted for d in plan.decisions)
    return TrendPoint(
        at=plan.at,
        spot_ratio=n_spot / n_counted if n_counted else 0.0,
        target_ratio=n_wanted / n_counted if n_counted else 0.0,
        cost=total_of(point.cost for point in points.values()),
    )
