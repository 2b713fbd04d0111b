"""Drawings for HTML pages: lines over time, events over time, medians with their intervals.

Comes in: figures by name. Goes out: inline SVG with a title and a description, whose size does not
grow with the length of a run: a line has at most 500 points, a row of events at most 250 bars.
Colours and dashes are those of `page`. May not compute what a table does not show too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from spotvortex.report.html.page import N_COLOURS, text

Point: TypeAlias = tuple[float, float]

MAX_POINTS: Final = 500
MAX_BARS: Final = 250
WIDTH: Final = 900.0
_LEFT: Final = 70.0
_NAMES: Final = 270.0
"""Left margin where names of rows stand in it."""

_RIGHT: Final = 20.0
_TOP: Final = 26.0
_BOTTOM: Final = 34.0
_INNER: Final = 210.0
"""Height of the field of a line plot, without its margins."""

_LANE: Final = 26.0
_DASHES: Final = ("", "7 4", "2 3", "9 3 2 3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What a drawing is called and says.

    Attributes:
        ident: its identifier, unlike any other on the page.
        title: its title.
        description: what it shows, for those who do not see it.
        x_unit: unit of the horizontal axis.
        y_unit: unit of the vertical axis, "" without one.
    """

    ident: str
    title: str
    description: str
    x_unit: str
    y_unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A named series of points in order of x. Figures that are not finite are left out."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A named row of events.

    Attributes:
        name: the row's name.
        events: where each lies on the axis, and how much happened at once.
        colour: the place of the line whose colour it has.
    """

    name: str
    events: tuple[tuple[float, int], ...]
    colour: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """A named median with its interval.

    Attributes:
        name: the row's name.
        low: lower end of the interval.
        median: the median.
        high: upper end of the interval.
    """

    name: str
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """Where figures lie on the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]
    inner: float
    left: float = _LEFT

    def at_x(self, value: float) -> float:
        low, high = self.x
        return self.left + (WIDTH - self.left - _RIGHT) * (value - low) / (high - low)

    def at_y(self, value: float) -> float:
        low, high = self.y
        return _TOP + self.inner * (high - value) / (high - low)


def thinned(points: Sequence[Point], limit: int = MAX_POINTS) -> tuple[Point, ...]:
    """Keep the lowest and the highest point of each of so many stretches that the limit holds."""
    finite = [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]
    if len(finite) <= limit:
        return tuple(finite)
    n_stretches = limit // 2
    edges = [len(finite) * i // n_stretches for i in range(n_stretches + 1)]
    kept: list[Point] = []
    for start, end in pairwise(edges):
        stretch = range(start, end)
        ends = {
            min(stretch, key=lambda i: finite[i][1]),
            max(stretch, key=lambda i: finite[i][1]),
        }
        kept += [finite[i] for i in sorted(ends)]
    return tuple(kept)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round figures within the range, a power of ten times 1, 2 or 5 apart."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * f for f in (1.0, 2.0, 5.0, 10.0) if power * f >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def line_plot(caption: Caption, lines: Sequence[Line], y_max: float | None = None) -> str:
    """Draw lines over a common field that begins at 0; `y_max` fixes its height."""
    drawn = [(line.name, thinned(line.points)) for line in lines]
    xs = [x for _, points in drawn for x, _ in points]
    ys = [y for _, points in drawn for _, y in points]
    top = max(ys, default=0.0) if y_max is None else y_max
    field = _Field(x=_range(xs), y=_range([0.0, *ys, top]), inner=_INNER)
    parts = [*_axes(field, caption), *_y_axis(field, caption)]
    for i, (_, points) in enumerate(drawn):
        path = " ".join(f"{field.at_x(x):.1f},{field.at_y(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="line s{i % N_COLOURS}"{_dash(i)} points="{path}"/>')
    return _svg(caption, _INNER, [*parts, *_legend([line.name for line in lines], _INNER)])


def event_plot(caption: Caption, lanes: Sequence[EventRow], x_range: Point) -> str:
    """Draw one row for each lane; a bar is as high as its stretch has events."""
    inner = _LANE * max(1, len(lanes))
    field = _Field(x=_range(x_range), y=(0.0, 1.0), inner=inner, left=_NAMES)
    parts = list(_axes(field, caption))
    for i, lane in enumerate(lanes):
        base = _TOP + _LANE * (i + 1)
        parts += _bars(field, lane, base)
        n = sum(n for _, n in lane.events)
        parts.append(f'<text x="4" y="{base - 4.0:.1f}">{text(lane.name[:34])}: {n}</text>')
    return _svg(caption, inner, parts)


def _bars(field: _Field, lane: EventRow, base: float) -> Iterator[str]:
    low, high = field.x
    counts: Counter[int] = Counter()
    for x, n in lane.events:
        place = math.floor(MAX_BARS * (x - low) / (high - low))
        counts[min(max(place, 0), MAX_BARS - 1)] += n
    most = max(counts.values(), default=1)
    width = (WIDTH - field.left - _RIGHT) / MAX_BARS
    for place, n in sorted(counts.items()):
        height = (_LANE - 8.0) * (0.25 + 0.75 * n / most)
        yield (
            f'<rect class="f{lane.colour % N_COLOURS}" x="{field.left + place * width:.1f}"'
            f' y="{base - 4.0 - height:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
        )


def whisker_plot(caption: Caption, rows: Sequence[Whisker], limit: float) -> str:
    """Draw medians with intervals, one below the other, and the limit that they have to reach."""
    inner = _LANE * max(1, len(rows))
    ends = [v for row in rows for v in (row.low, row.high)]
    field = _Field(x=_range([0.0, limit, *ends]), y=(0.0, 1.0), inner=inner, left=_NAMES)
    parts = list(_axes(field, caption))
    x = f"{field.at_x(limit):.1f}"
    parts.append(f'<line class="limit" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_TOP + inner:.1f}"/>')
    for i, row in enumerate(rows):
        y = _TOP + _LANE * (i + 0.5)
        low, median, high = (field.at_x(v) for v in (row.low, row.median, row.high))
        parts += [
            f'<text x="4" y="{y + 4.0:.1f}">{text(row.name[:38])}</text>',
            f'<line class="line s0" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<circle class="f0" cx="{median:.1f}" cy="{y:.1f}" r="4"/>',
        ]
    return _svg(caption, inner, parts)


def _range(values: Sequence[float]) -> Point:
    """Return the lowest and the highest figure, never equal and never infinite."""
    finite = [v for v in values if math.isfinite(v)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    return (low, high) if high > low else (low, low + 1.0)


def _dash(index: int) -> str:
    pattern = _DASHES[index % len(_DASHES)]
    return f' stroke-dasharray="{pattern}"' if pattern else ""


def _axes(field: _Field, caption: Caption) -> Iterator[str]:
    """Yield the lower axis with its figures."""
    y = _TOP + field.inner
    yield f'<line class="axis" x1="{field.left}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
    for value in ticks(*field.x, about=8):
        x = field.at_x(value)
        place = f'x="{x:.1f}" y="{y + 16.0}" text-anchor="middle"'
        yield f'<text class="faint tick" {place}>{value:g}</text>'
    yield f'<text class="faint unit" x="4" y="{y + 30.0}">{text(caption.x_unit)}</text>'


def _y_axis(field: _Field, caption: Caption) -> Iterator[str]:
    for value in ticks(*field.y):
        y = field.at_y(value)
        yield f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6.0}" y="{y + 4.0:.1f}" text-anchor="end">{value:g}</text>'
    yield f'<text class="faint above" x="4" y="{_TOP - 14.0}">{text(caption.y_unit)}</text>'


def _legend(names: Sequence[str], inner: float) -> Iterator[str]:
    """Yield the names below the drawing, four in a row, each with its colour and dashes."""
    for i, name in enumerate(names):
        x = _LEFT + (WIDTH - _LEFT) / 4.0 * (i % 4)
        y = _TOP + inner + _BOTTOM + 16.0 * (i // 4) + 8.0
        yield (
            f'<g class="key"><line class="line s{i % N_COLOURS}"{_dash(i)} x1="{x:.1f}"'
            f' x2="{x + 26.0:.1f}" y1="{y - 4.0:.1f}" y2="{y - 4.0:.1f}"/>'
            f'<text x="{x + 32.0:.1f}" y="{y:.1f}">{text(name[:24])}</text></g>'
        )


def _svg(caption: Caption, inner: float, parts: Sequence[str]) -> str:
    n_names = sum(part.startswith("<polyline") for part in parts)
    height = _TOP + inner + _BOTTOM + 16.0 * math.ceil(n_names / 4)
    ident = text(caption.ident)
    return (
        f'<svg role="img" aria-labelledby="{ident}-t {ident}-d"'
        f' viewBox="0 0 {WIDTH:g} {height:g}"><title id="{ident}-t">{text(caption.title)}</title>'
        f'<desc id="{ident}-d">{text(caption.description)}</desc>{"".join(parts)}</svg>'
    )
