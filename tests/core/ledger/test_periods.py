"""Hours, days and months begin and end by UTC, and older ones are folded into longer ones."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.ledger.periods import (
    DAY_S,
    HOUR_S,
    KEPT_DAYS,
    KEPT_HOURS,
    Period,
    PeriodLength,
    added,
    end_of,
    folded,
    in_order,
    pieces,
    start_of,
)
from spotvortex.core.ledger.sums import ClusterSums, NodeSums, PoolSums
from tests.core.ledger.looks import START

HOUR, DAY, MONTH, BEFORE = PeriodLength


def at(*moment):
    return datetime(*moment, tzinfo=UTC).timestamp()


def period(span=HOUR, start=START, hours=1.0, **rows):
    return Period(span=span, start=start, cluster=ClusterSums(seen_hours=hours), **rows)


@pytest.mark.parametrize(
    ("span", "start", "end"),
    [
        (HOUR, at(2026, 7, 14, 5), at(2026, 7, 14, 6)),
        (DAY, at(2026, 7, 14), at(2026, 7, 15)),
        (MONTH, at(2026, 7, 1), at(2026, 8, 1)),
        (BEFORE, 0.0, 0.0),
    ],
)
def test_a_moment_belongs_to_the_hour_day_and_month_of_utc(span, start, end):
    assert start_of(span, at(2026, 7, 14, 5, 59, 59)) == start
    assert end_of(span, start) == end == period(span, start).end
    assert start_of(span, start) == start


def test_a_month_ends_with_its_last_day_whatever_its_length():
    months = [at(2027, month, 1) for month in range(1, 13)] + [at(2028, 1, 1)]
    assert all(end_of(MONTH, one) == other for one, other in pairwise(months))


def test_a_period_takes_a_row_for_itself_and_one_for_each_of_its_nodes_and_pools():
    assert period().n_rows == 1
    nodes = {("web", kind): NodeSums() for kind in CapacityType}
    assert period(nodes=nodes, pools={"web": PoolSums()}).n_rows == 2 + len(nodes)


@pytest.mark.parametrize(
    ("since", "span"),
    [
        (START - KEPT_HOURS * HOUR_S, HOUR),
        (START - KEPT_HOURS * HOUR_S - 1.0, DAY),
        (start_of(DAY, START) - KEPT_DAYS * DAY_S, DAY),
        (start_of(DAY, START) - KEPT_DAYS * DAY_S - 1.0, MONTH),
    ],
)
def test_time_is_cut_as_finely_as_it_would_be_kept(since, span):
    assert next(pieces(since, START + 60.0))[0] is span


@given(st.integers(0, 100 * 86_400), st.integers(0, 100 * 86_400))
def test_the_pieces_of_a_stretch_follow_each_other_and_each_lies_in_one_period(since, more):
    cut = list(pieces(START + since, START + since + more))
    bounds = [START + since, *(end for _, _, end in cut)]
    assert [begin for _, begin, _ in cut] == bounds[:-1]
    assert bounds[-1] == START + since + more
    for span, begin, end in cut:
        assert begin < end <= end_of(span, start_of(span, begin))


def test_sums_are_added_to_the_period_of_the_same_length_and_start_alone():
    hour, day = period(start=at(2026, 7, 14)), period(DAY, at(2026, 7, 14))
    later = period(start=at(2026, 7, 14, 1))
    found = added(added(added((), later), day), hour)
    assert found == (day, hour, later) == in_order([later, hour, day])
    twice = added(found, hour)
    assert [p.cluster.seen_hours for p in twice] == [1.0, 2.0, 1.0]
    twice = added(found, later)
    assert [p.cluster.seen_hours for p in twice] == [1.0, 1.0, 2.0]


def hours(n):
    return tuple(period(start=START + i * HOUR_S) for i in range(n))


def test_as_many_hours_as_are_kept_stay_and_one_more_folds_the_oldest_into_its_day():
    assert folded(hours(KEPT_HOURS)) == hours(KEPT_HOURS)
    day, *rest = folded(hours(KEPT_HOURS + 1))
    assert (day.span, day.start, day.cluster.seen_hours) == (DAY, start_of(DAY, START), 1.0)
    assert tuple(rest) == hours(KEPT_HOURS + 1)[1:]


def test_with_as_many_rows_as_there_may_be_nothing_is_folded_and_with_more_the_oldest_hours_are():
    assert folded(hours(3), max_rows=3) == hours(3)
    spans = [p.span for p in folded(hours(3), max_rows=2)]
    assert spans == [DAY, HOUR]
    days = tuple(period(DAY, START + i * DAY_S) for i in range(3))
    assert [p.span for p in folded((*days, *hours(1)), max_rows=3)] == [MONTH, DAY, HOUR]


def test_what_cannot_be_folded_any_more_stays_whatever_it_takes():
    lone = (period(BEFORE, 0.0), period(MONTH, 0.0), period(DAY, 0.0), period())
    assert folded(lone, max_rows=1) == lone
