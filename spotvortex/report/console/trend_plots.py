"""Cost and Spot share over time, drawn.

Comes in: points of a line. Goes out: two drawings. May not compute what the points do not say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from spotvortex.report.html.page import paragraph
from spotvortex.report.html.plots import Caption, Line, line_plot
from spotvortex.results.course import CoursePoint
from spotvortex.telemetry.trends import TrendPoint

_COST: Final = Caption(
    ident="cost",
    title="Cost over time",
    description="What the nodes cost an hour, and what they would cost all on-demand.",
    x_unit="hours, 0 is now",
    y_unit="cost in USD/h",
)
_RATIO: Final = Caption(
    ident="ratio",
    title="Spot share over time",
    description="The share of nodes on Spot, and the share that was decided on.",
    x_unit="hours, 0 is now",
    y_unit="share of nodes on Spot",
)


def trend_plots(points: Sequence[TrendPoint]) -> Iterator[str]:
    """Yield the drawings; figures of the axis are hours before the last point."""
    if len(points) <= 1:
        yield paragraph("There is nothing to draw yet: a line begins with the second cycle.")
        return
    cost = (
        _line("cost now", points, lambda p: p.cost.usd_per_hour),
        _line("all on-demand", points, lambda p: p.cost.all_on_demand_usd_per_hour),
    )
    ratio = (
        _line("Spot share", points, lambda p: p.spot_ratio),
        _line("target", points, lambda p: p.target_ratio),
    )
    yield line_plot(_COST, cost)
    yield line_plot(_RATIO, ratio, 1.0)


_SPENT: Final = Caption(
    ident="side-cost",
    title="Cost now, side by side",
    description="What the nodes of each simulated cluster cost an hour.",
    x_unit="hours, 0 is now",
    y_unit="cost in USD/h",
)
_SHARES: Final = Caption(
    ident="side-ratio",
    title="Spot share, side by side",
    description="The share of nodes on Spot of each simulated cluster.",
    x_unit="hours, 0 is now",
    y_unit="share of nodes on Spot",
)
_MISSING: Final = Caption(
    ident="side-missing",
    title="Pods that were missing, side by side",
    description="Minutes that pods were not Ready since the start, summed over pods.",
    x_unit="hours, 0 is now",
    y_unit="pod-minutes not Ready",
)


def course_plots(courses: Mapping[str, Sequence[CoursePoint]]) -> Iterator[str]:
    """Yield the drawings of simulated clusters beside each other; none before the second cycle."""
    if any(len(points) <= 1 for points in courses.values()):
        return
    yield line_plot(_SPENT, [_line(n, p, lambda c: c.usd_per_hour) for n, p in courses.items()])
    yield line_plot(_SHARES, [_line(n, p, lambda c: c.spot_ratio) for n, p in courses.items()], 1.0)
    yield line_plot(
        _MISSING, [_line(n, p, lambda c: c.missing_pod_minutes) for n, p in courses.items()]
    )


class _Dated(Protocol):
    @property
    def at(self) -> float: ...


Dated = TypeVar("Dated", bound=_Dated)


def _line(name: str, points: Sequence[Dated], figure: Callable[[Dated], float]) -> Line:
    return hours_line(name, [(p.at, figure(p)) for p in points])


def hours_line(name: str, figures: Sequence[tuple[float, float]]) -> Line:
    """Return a line of figures by time, drawn in hours before the last of them."""
    last, _ = figures[-1]
    return Line(name=name, points=tuple(((at - last) / 3600.0, value) for at, value in figures))
