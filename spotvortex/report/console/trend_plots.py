"""Cost and Spot share over time, drawn.

Comes in: points of a line. Goes out: two drawings. May not compute what the points do not say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from spotvortex.report.html.page import paragraph
from spotvortex.report.html.plots import Caption, Line, line_plot
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


def _line(name: str, points: Sequence[TrendPoint], figure: Callable[[TrendPoint], float]) -> Line:
    last = points[-1].at
    return Line(name=name, points=tuple(((p.at - last) / 3600.0, figure(p)) for p in points))
