"""Karpenter alone by a backtest: the replays' ratio over what the ledger saw, and its limits."""

import math

import pytest

from spotvortex.core.ledger.ledger import EMPTY_LEDGER
from spotvortex.report.ledger.alone import LIMITS, HistoryReplay, as_json, beside_alone, lines_of
from spotvortex.results.timeline import Hour
from tests.core.ledger.looks import START, Book, look, web

HOUR_S = 3600.0


def replay(*costs, policy="spotvortex", start_at=START, outage_minutes=3.0):
    """A replay of so many dollars in each hour."""
    hours = [
        Hour(at_h=i + 1.0, cost_usd_per_hour=usd, spot_ratio=0.5, n_nodes=9)
        for i, usd in enumerate(costs)
    ]
    return HistoryReplay(
        policy=policy, start_at=start_at, hours=hours, outage_minutes=outage_minutes
    )


def alone(*costs, **changes):
    return replay(*costs, policy="B3", outage_minutes=9.0, **changes)


def test_the_ratio_of_the_replays_is_laid_over_what_the_ledger_saw():
    ledger = Book().steady(web(), hours=2.0).ledger
    found = beside_alone(ledger, replay(2.0, 2.0), alone(3.0, 2.0))
    assert found.seen_usd == pytest.approx(2 * 0.86)
    assert found.seen_hours == pytest.approx(2.0)
    assert (found.replayed_usd, found.replayed_alone_usd) == pytest.approx((4.0, 5.0))
    assert found.alone_usd == pytest.approx(2 * 0.86 * 1.25)
    assert found.saved_usd == pytest.approx(2 * 0.86 * 0.25)
    told = "\n".join(lines_of(found))
    assert "beside Karpenter alone (B3), estimated by backtest: $0.43 less" in told
    assert "2026-07-14 04:00 to 2026-07-14 06:00 UTC, 2.0 h seen: $1.72 at list price" in told
    assert "outages 3 and 9 min" in told
    assert all(limit in told for limit in LIMITS)


def test_only_whole_periods_that_both_have_are_compared():
    ledger = Book().steady(web(), hours=4.0).ledger
    later = START + 0.5 * HOUR_S
    ours, without = replay(1.0, 2.0, 4.0, start_at=later), alone(1.0, 2.0, 4.0, start_at=later)
    found = beside_alone(ledger, ours, without)
    assert (found.since, found.until) == (START + HOUR_S, START + 3 * HOUR_S)
    # Half of the first hour of the replay, all of the second, half of the third.
    assert found.replayed_usd == pytest.approx(0.5 + 2.0 + 2.0)
    assert found.saved_usd == pytest.approx(0.0)


def test_an_hour_that_nobody_saw_is_in_neither():
    book = Book().steady(web()).take(look(START + 3 * HOUR_S, web()))
    book.steady(web(), since=START + 3 * HOUR_S + 30.0, hours=0.99)
    found = beside_alone(book.ledger, replay(1.0, 9.0, 9.0, 1.0), alone(2.0, 9.0, 9.0, 2.0))
    assert found.seen_hours == pytest.approx(2.0, rel=0.01)
    assert found.alone_usd == pytest.approx(2 * found.seen_usd)


def test_where_the_ledger_has_nothing_of_the_replay_there_is_no_estimate():
    assert beside_alone(EMPTY_LEDGER, replay(1.0), alone(1.0)) is None
    far = START + 100 * HOUR_S
    ledger = Book().steady(web()).ledger
    assert beside_alone(ledger, replay(1.0, start_at=far), alone(1.0, start_at=far)) is None


def test_what_cost_more_than_karpenter_alone_is_said_as_such():
    found = beside_alone(Book().steady(web()).ledger, replay(2.0), alone(1.0))
    assert "$0.43 more" in next(iter(lines_of(found)))
    data = as_json(found)
    assert data["saved_usd"] == pytest.approx(-0.43)
    assert data["limits"] == list(LIMITS)
    assert all(math.isfinite(v) for v in data.values() if isinstance(v, float))
