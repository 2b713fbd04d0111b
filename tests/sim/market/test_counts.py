"""Counts over time, against a plain reading of the records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.sim.market.counts import CapacityCounts, compressed
from tests.sim.market.grid import on_grid

COUNTS = CapacityCounts(times=(0.0, 100.0, 200.0, 300.0), values=(5, 2, 2, 7))


@st.composite
def step_functions(draw):
    times = sorted(draw(st.sets(st.integers(0, 500), min_size=1, max_size=12)))
    values = draw(st.lists(st.integers(0, 6), min_size=len(times), max_size=len(times)))
    return CapacityCounts(times=tuple(map(float, times)), values=tuple(values))


def test_a_number_holds_until_the_next_record():
    assert [COUNTS.at(t) for t in (-5.0, 0.0, 99.9, 100.0, 299.0, 300.0, 9e9)] == [
        *(5, 5, 5, 2, 2, 7, 7)
    ]


def test_the_least_of_a_span_and_when_it_falls_below():
    assert COUNTS.least(0.0, 99.0) == 5
    assert COUNTS.least(0.0, 100.0) == 2
    assert COUNTS.first_below(5, 0.0, 99.0) is None
    assert COUNTS.first_below(5, 0.0, 400.0) == 100.0
    assert COUNTS.first_below(5, 150.0, 400.0) == 150.0


def test_falls_and_node_hours_are_counted():
    assert list(COUNTS.falls()) == [(100.0, 3)]
    assert COUNTS.node_hours(0.0, 400.0) == pytest.approx((500 + 400 + 700) / 3600.0)
    assert COUNTS.node_hours(50.0, 150.0) == pytest.approx((250 + 100) / 3600.0)


def test_records_that_change_nothing_are_dropped():
    assert compressed([0.0, 1.0, 2.0], [3, 3, 4]) == CapacityCounts(times=(0.0, 2.0), values=(3, 4))


@given(step_functions(), st.integers(0, 60), st.integers(1, 60), st.integers(1, 12))
def test_a_grid_holds_the_least_of_each_step(counts, start, step, n_steps):
    grid = on_grid(counts, float(start), float(step), n_steps)
    seconds = [
        [counts.at(float(t)) for t in range(start + k * step, start + (k + 1) * step)]
        for k in range(n_steps)
    ]
    assert grid.tolist() == [min(cell) for cell in seconds]


@given(step_functions(), st.integers(0, 600), st.integers(0, 200), st.integers(0, 7))
def test_the_first_time_below_is_the_first(counts, since, length, number):
    found = counts.first_below(number, float(since), float(since + length))
    below = [t for t in range(since, since + length + 1) if counts.at(float(t)) < number]
    assert found == (float(below[0]) if below else None)
    assert (counts.least(float(since), float(since + length)) < number) == bool(below)
