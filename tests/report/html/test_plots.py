"""Drawings stay small whatever the length of a run, and keep its peaks."""

import math
from itertools import cycle, islice
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.report.html.plots import (
    MAX_BARS,
    MAX_POINTS,
    Caption,
    EventRow,
    Line,
    Whisker,
    event_plot,
    line_plot,
    thinned,
    ticks,
    whisker_plot,
)

CAPTION = Caption(ident="c", title="T", description="D", x_unit="day", y_unit="USD/h")


def drawn(svg):
    return ElementTree.fromstring(svg)


def points_of(svg):
    return [
        [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        for line in drawn(svg).iter("polyline")
    ]


def test_a_short_series_is_drawn_whole():
    assert thinned([(0.0, 1.0), (1.0, 2.0)]) == ((0.0, 1.0), (1.0, 2.0))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(501, 3000))
def test_a_long_series_keeps_its_extremes_and_its_order(few, n):
    values = list(islice(cycle(few), n))
    points = list(enumerate(values))
    kept = thinned(points)
    assert len(kept) <= MAX_POINTS
    assert list(kept) == sorted(set(kept))
    assert set(kept) <= set(points)
    assert {min(values), max(values)} <= {y for _, y in kept}


def test_what_is_not_finite_is_left_out():
    odd = [(0.0, math.nan), (1.0, math.inf), (math.nan, 1.0), (2.0, 3.0)]
    assert thinned(odd) == ((2.0, 3.0),)
    assert points_of(line_plot(CAPTION, [Line(name="a", points=tuple(odd))])) == [[(70.0, 26.0)]]


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 7.0, [0.0, 2.0, 4.0, 6.0]),
        (-3.0, 4.0, [-2.0, 0.0, 2.0, 4.0]),
        (99.0, 100.0, [99.0, 99.2, 99.4, 99.6, 99.8, 100.0]),
    ],
)
def test_ticks_are_round_figures_within_the_range(low, high, found):
    assert ticks(low, high) == pytest.approx(found)


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9))
def test_ticks_are_few(low, width):
    assert len(ticks(low, low + width)) <= 12


def test_lines_lie_where_their_figures_say():
    svg = line_plot(CAPTION, [Line(name="a", points=((0.0, 0.0), (5.0, 4.0), (10.0, 8.0)))])
    assert points_of(svg) == [[(70.0, 236.0), (475.0, 131.0), (880.0, 26.0)]]


def test_a_fixed_height_leaves_room_above():
    svg = line_plot(CAPTION, [Line(name="a", points=((0.0, 0.5), (1.0, 0.5)))], y_max=1.0)
    assert points_of(svg) == [[(70.0, 131.0), (880.0, 131.0)]]


def test_lines_differ_in_colour_and_dashes_and_are_named():
    lines = [Line(name=f"policy <{i}>", points=((0.0, 1.0), (1.0, i))) for i in range(9)]
    found = drawn(line_plot(CAPTION, lines))
    looks = [(e.get("class"), e.get("stroke-dasharray")) for e in found.iter("polyline")]
    assert len(set(looks[:8])) == 8
    assert len({dashes for _, dashes in looks}) == 4
    assert {f"policy <{i}>" for i in range(9)} <= {t.text for t in found.iter("text")}


def test_a_drawing_without_figures_is_still_a_drawing():
    for svg in (
        line_plot(CAPTION, []),
        line_plot(CAPTION, [Line(name="a", points=())]),
        event_plot(CAPTION, [], (0.0, 0.0)),
        event_plot(CAPTION, [EventRow(name="a", events=())], (0.0, 1.0)),
        whisker_plot(CAPTION, [], 2.0),
    ):
        assert drawn(svg).findtext("title") == "T"


def test_bars_count_what_happened_at_once_and_never_grow_in_number():
    events = tuple((i / 1000.0, 2) for i in range(10_000))
    svg = event_plot(CAPTION, [EventRow(name="moves", events=events)], (0.0, 10.0))
    assert len(list(drawn(svg).iter("rect"))) == MAX_BARS
    assert "moves: 20000" in {t.text for t in drawn(svg).iter("text")}


def test_events_beyond_the_range_are_drawn_at_its_edge():
    svg = event_plot(CAPTION, [EventRow(name="a", events=((-5.0, 1), (99.0, 1)))], (0.0, 10.0))
    xs = sorted(float(r.get("x")) for r in drawn(svg).iter("rect"))
    assert xs == [270.0, pytest.approx(880.0 - 610.0 / MAX_BARS, abs=0.1)]


def test_the_limit_lies_among_the_medians():
    rows = [Whisker(name="calm", low=-1.0, median=0.0, high=1.0)]
    found = drawn(whisker_plot(CAPTION, rows, 2.0))
    (limit,) = [e for e in found.iter("line") if e.get("class") == "limit"]
    (dot,) = found.iter("circle")
    assert float(limit.get("x1")) == 880.0
    assert float(dot.get("cx")) == pytest.approx(270.0 + 610.0 / 3.0, abs=0.1)
