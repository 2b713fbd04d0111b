"""A ledger is the same after a restart, bounded however long it runs, refused where it is odd."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.ledger.flow import Flow
from spotvortex.core.ledger.ledger import EMPTY_LEDGER, MAX_POOLS, Baseline, Ledger
from spotvortex.core.ledger.ledger_text import LedgerFormatError, from_text, to_text
from spotvortex.core.ledger.periods import (
    KEPT_DAYS,
    KEPT_HOURS,
    KEPT_MONTHS,
    MAX_ROWS,
    Period,
    PeriodLength,
    added,
    folded,
    pieces,
    start_of,
)
from spotvortex.core.ledger.sums import NO_POOL, ClusterSums, NodeSums, PoolSums, plus
from tests.core.ledger.looks import START, Book, web

SPOT = CapacityType.SPOT


def test_a_ledger_that_is_written_and_read_in_between_goes_on_as_one_that_never_ended():
    whole = Book().steady(web(), hours=2.0)
    first = Book().steady(web(), hours=1.0)
    second = Book(from_text(to_text(first.ledger)))
    second.steady(web(), since=START + 3600.0 + 30.0, hours=1.0 - 30.0 / 3600.0)
    assert second.total() == pytest.approx(whole.total())
    assert [p.nodes for p in second.ledger.periods] == [
        {k: pytest.approx(v, abs=1e-5) for k, v in p.nodes.items()} for p in whole.ledger.periods
    ]
    assert second.ledger.since == START


def test_what_was_counted_comes_back_to_the_last_bit():
    book = Book().steady(web(), hours=0.7)
    assert from_text(to_text(book.ledger)).totals == book.ledger.totals
    assert from_text(to_text(EMPTY_LEDGER)) == EMPTY_LEDGER


def test_columns_of_a_later_version_are_left_out_and_missing_ones_are_nothing():
    data = json.loads(to_text(Book().steady(web(), hours=0.1).ledger))
    at = data["columns"]["pools"].index("restart_usd")
    data["columns"]["pools"][at] = "of_the_future"
    read = from_text(json.dumps(data))
    assert read.totals["web"].saved_usd > 0.0
    assert read.totals["web"].restart_usd == 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "other"},
        {"version": 2},
        {"at": "noon"},
        {"at": True},
        {"at": 10**400},
        {"periods": [{"span": "week"}]},
        {"totals": [["web", 1.0]]},
        {"totals": {"web": 1.0}},
        {"totals": [[1.0]]},
        {"columns": []},
        {"flow": None},
        {"baselines": [["web"]]},
    ],
)
def test_what_is_no_ledger_is_refused(change):
    data = json.loads(to_text(Book().steady(web(), hours=0.1).ledger))
    with pytest.raises(LedgerFormatError):
        from_text(json.dumps(data | change))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"schema":"spotvortex.ledger"}', "[" * 99_999]
)
def test_a_text_that_is_no_document_is_refused(text):
    with pytest.raises(LedgerFormatError):
        from_text(text)


def hour(at, usd=1.0, n_pools=1):
    return Period(
        span=PeriodLength.HOUR,
        start=start_of(PeriodLength.HOUR, at),
        nodes={(f"p{i}", SPOT): NodeSums(list_usd=usd) for i in range(n_pools)},
        pools={f"p{i}": PoolSums(saved_usd=usd) for i in range(n_pools)},
        cluster=ClusterSums(seen_hours=1.0),
    )


def three_years(n_pools=1):
    periods = ()
    for i in range(0, 3 * 365 * 24, 6):
        periods = folded(added(periods, hour(START + i * 3600.0, n_pools=n_pools)))
    return periods


def test_hours_become_days_and_days_months_and_nothing_is_lost():
    periods = three_years()
    count = {span: sum(p.span is span for p in periods) for span in PeriodLength}
    assert count[PeriodLength.HOUR] == KEPT_HOURS
    assert KEPT_DAYS - 1 <= count[PeriodLength.DAY] <= KEPT_DAYS
    assert count[PeriodLength.MONTH] == KEPT_MONTHS
    assert count[PeriodLength.BEFORE] == 1
    total = NO_POOL
    for period in periods:
        total = plus(total, period.pools["p0"])
    assert total.saved_usd == pytest.approx(3 * 365 * 4)
    days = [p.pools["p0"].saved_usd for p in periods if p.span is PeriodLength.DAY]
    assert days[1:-1] == [4.0] * (len(days) - 2)


def test_with_many_pools_fewer_periods_are_kept():
    periods = ()
    for i in range(24 * 10):
        periods = folded(added(periods, hour(START + i * 3600.0, n_pools=MAX_POOLS)))
        assert sum(p.n_rows for p in periods) <= MAX_ROWS
    total = sum(p.pools["p7"].saved_usd for p in periods)
    assert total == 24 * 10


def test_a_stretch_is_cut_at_the_ends_of_periods():
    until = START + 100 * 86_400.0 + 1234.5
    cut = list(pieces(START + 7.0, until))
    assert cut[0] == (
        PeriodLength.MONTH,
        START + 7.0,
        start_of(PeriodLength.MONTH, START + 31 * 86_400.0),
    )
    assert cut[-1][2] == until
    assert all(a[2] == b[1] for a, b in pairwise(cut))
    assert [s for s, _, _ in cut].count(PeriodLength.HOUR) <= KEPT_HOURS + 1


def test_the_largest_ledger_fits_into_half_an_object():
    """A ConfigMap holds 1 MiB: the ledger, and one that could not be read."""
    odd = 123_456.123_456_789
    names = [f"{i:063}" for i in range(MAX_POOLS)]
    money = PoolSums(*(odd for _ in PoolSums._fields))
    nodes = NodeSums(*(odd for _ in NodeSums._fields))
    n_periods = MAX_ROWS // (2 * MAX_POOLS)
    period = hour(START)
    full = replace(
        period,
        nodes={(n, CapacityType.ON_DEMAND): nodes for n in names},
        pools=dict.fromkeys(names, money),
    )
    largest = Ledger(
        since=START,
        flow=Flow(
            at=START + 0.123456,
            nodes={(n, kind): nodes for n in names for kind in CapacityType},
            pools=dict.fromkeys(names, money),
        ),
        periods=(full,) * n_periods,
        totals=dict.fromkeys(names, money),
        baselines={n: Baseline(node_hours=odd, spot_hours=odd, ended_at=START) for n in names},
    )
    assert len(to_text(largest).encode()) <= 512 * 1024
