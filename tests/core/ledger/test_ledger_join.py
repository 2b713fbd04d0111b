"""Of two replicas of a cluster each knows what the other does not, and nothing is counted twice."""

from dataclasses import replace

from spotvortex.core.ledger.ledger import EMPTY_LEDGER, Baseline, Beside, Restarts
from spotvortex.core.ledger.ledger_join import joined
from spotvortex.core.ledger.sums import PoolSums
from tests.core.ledger.looks import START, Book, look, web

BEFORE = Baseline(node_hours=10.0, spot_hours=2.0, ended_at=START + 60.0)
LATER = replace(BEFORE, spot_hours=9.0, ended_at=START + 600.0)


def accounted(n_restarts=0, baseline=None, hours=0.5):
    book = Book().steady(web(), hours=hours)
    restarts = {"web": Restarts(pods=n_restarts, pod_hours=n_restarts / 60.0)}
    beside = Beside(restarts=restarts if n_restarts else {})
    ledger = book.take(look(book.ledger.at + 30.0, web()), beside).ledger
    return ledger if baseline is None else replace(ledger, baselines={"web": baseline})


def test_money_and_hours_are_this_processs_own():
    own, other = accounted(), accounted(hours=0.3)
    found = joined(own, other)
    assert found == replace(own, baselines=found.baselines)


def test_pods_that_a_leader_has_evicted_are_taken_once():
    own, other = accounted(2), accounted(7)
    found = joined(own, other)
    assert found.totals["web"].n_restarts == 7
    assert found.periods[0].pools["web"].n_restarts == 7
    assert found.totals["web"].saved_usd == own.totals["web"].saved_usd
    assert joined(found, other) == found
    assert joined(accounted(9), other).totals["web"].n_restarts == 9
    assert joined(replace(own, totals={}), other).totals["web"].n_restarts == 7


def test_the_spot_share_before_the_first_move_is_that_of_who_moved_first():
    assert joined(accounted(), accounted(1, BEFORE)).baselines["web"] == BEFORE
    assert joined(accounted(1, LATER), accounted(1, BEFORE)).baselines["web"] == BEFORE
    assert joined(accounted(1, BEFORE), accounted()).baselines["web"] == BEFORE
    own = accounted()
    one, again = (
        replace(own, baselines={"web": b}) for b in (BEFORE, replace(BEFORE, spot_hours=3.0))
    )
    assert joined(one, again).baselines["web"] == BEFORE
    assert joined(own, accounted(hours=0.1)).baselines == own.baselines


def test_of_a_pool_that_only_the_other_has_seen_its_evicted_pods_are_taken_and_nothing_else():
    own, other = accounted(), accounted(7)
    unseen = replace(other, totals={"api": PoolSums(saved_usd=9.0), "job": other.totals["web"]})
    found = joined(own, unseen).totals
    assert found.keys() == {"web", "job"}
    assert (found["job"].n_restarts, found["job"].saved_usd) == (7, 0.0)


def test_it_began_with_whoever_began_first():
    own = accounted()
    for since in (own.since - 60.0, own.since + 60.0):
        assert joined(own, replace(own, since=since)).since == min(own.since, since)


def test_an_empty_ledger_adds_nothing():
    own = accounted(2)
    assert joined(own, EMPTY_LEDGER) == own
