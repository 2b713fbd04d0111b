"""The ledger of a daemon: begun when it is known what was before, shown by who leads, kept."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.observation import WriteAuthority
from spotvortex.core.domain.types import CapacityType, Mode
from spotvortex.core.drain.messages import DrainEnd, DrainOrder, DrainResult
from spotvortex.core.ledger.ledger import EMPTY_LEDGER, Beside, Restarts
from spotvortex.results.course import CoursePoint
from spotvortex.telemetry.metrics import Metrics
from tests.core.ledger.looks import START, Book, look, web
from tests.telemetry.books import book_of
from tests.telemetry.test_metrics import samples


class Store:
    """A store that keeps what it is given, once it is settled."""

    def __init__(self, before=None, *, is_settled=True, keeps=True):
        self.before, self.is_settled, self.keeps, self.saved = before, is_settled, keeps, None
        self.fails = False

    def recall(self):
        before, self.before = self.before, None
        return before

    def save(self, ledger):
        self.saved = self.saved if self.fails else ledger
        return not self.fails


async def steady(book, since=START, n=10, **authority):
    for i in range(n):
        plan = look(since + i * 30.0, web())
        standing = WriteAuthority(**authority)
        await book.planned(replace(plan, observation=replace(plan.observation, standing=standing)))


async def test_nothing_is_accounted_for_before_it_is_known_what_was():
    before = Book().steady(web(), hours=0.5).ledger
    store = Store(before, is_settled=False)
    book = book_of(store)
    await steady(book, START + 1800.0)
    assert book.ledger == EMPTY_LEDGER
    assert store.saved is None
    store.is_settled = True
    await steady(book, START + 2100.0)
    assert book.ledger.since == START
    assert book.ledger.totals["web"].saved_usd == pytest.approx(0.14 * 2370.0 / 3600.0)


async def test_counters_show_what_is_saved_so_that_a_restart_takes_nothing_back():
    store = Store()
    book = book_of(store)
    await steady(book, n=4)
    assert book.totals() == book.ledger.totals
    store.fails = True
    await steady(book, START + 120.0, n=4)
    assert book.totals() == store.saved.totals != book.ledger.totals


async def test_a_replica_that_takes_over_takes_what_only_the_last_leader_knew():
    leader = Book().take(look(START, web()))
    leader.take(look(START + 30.0, web()), Beside(restarts={"web": Restarts(pods=3)}))
    store = Store()
    book = book_of(store)
    await steady(book, n=3)
    own = book.ledger.totals["web"]
    store.before = leader.ledger
    await steady(book, START + 90.0, n=1)
    assert book.ledger.totals["web"].n_restarts == 3
    assert book.ledger.totals["web"].saved_usd > own.saved_usd > 0.0


async def test_where_nothing_is_kept_counters_show_what_this_process_has_counted():
    book = book_of()
    await steady(book)
    assert book.totals() == book.ledger.totals != {}
    book = book_of(Store(keeps=False))
    await steady(book)
    assert book.totals() == book.ledger.totals != {}


async def test_of_two_replicas_only_the_one_that_leads_shows_counters():
    book = book_of(writes=True)
    await steady(book, leader=False)
    assert book.totals() == {}
    await steady(book, START + 300.0, leader=True)
    assert book.totals() == book.ledger.totals != {}


def ended(n_evicted, mode=Mode.ACTIVE):
    order = DrainOrder(
        plan_id="p",
        pool="web",
        node="n",
        uid="u",
        claim="",
        sides=(),
        to=CapacityType.SPOT,
        reason="",
        deadline=START,
        mode=mode,
    )
    return DrainResult(
        order=order, end=DrainEnd.DONE, reason="", at=START, n_calls=1, n_evicted=n_evicted
    )


async def test_restarts_are_counted_where_something_was_evicted_and_not_only_recorded():
    book = book_of()
    await steady(book, n=2)
    book.drained(ended(5))
    book.drained(ended(7, Mode.SHADOW))
    await steady(book, START + 60.0, n=1)
    assert book.ledger.totals["web"].n_restarts == 5
    assert book.ledger.totals["web"].restart_usd > 0.0


async def test_the_cluster_that_is_left_alone_is_followed_from_the_first_look_on():
    costs = iter((10.0, 10.5, 11.5))

    def alone():
        return CoursePoint(
            at=0.0,
            usd=next(costs),
            usd_per_hour=1.0,
            spot_ratio=1.0,
            n_lost=0,
            missing_pod_minutes=0.0,
        )

    book = book_of(alone=alone)
    await steady(book, n=3)
    (hour,) = book.ledger.periods
    assert hour.cluster.alone_usd == 1.5


async def test_counters_go_on_from_what_was_kept_and_never_go_back():
    first = Store()
    book = book_of(first)
    await steady(book)
    made = Metrics(version="1", mode=Mode.SHADOW)
    made.follow_ledger(book.totals)
    name = "spotvortex_savings_usd_total{kind=realised,pool=web}"
    shown = samples(made)[name]
    assert shown > 0.0
    again = book_of(Store(first.saved))
    made = Metrics(version="1", mode=Mode.SHADOW)
    made.follow_ledger(again.totals)
    assert name not in samples(made)
    await steady(again, START + 300.0)
    found = samples(made)
    assert found[name] > shown
    assert found["spotvortex_savings_usd_total{kind=at_stake,pool=web}"] > 0.0
    assert found["spotvortex_move_cost_usd_total{kind=restarts,pool=web}"] == 0.0
    assert found["spotvortex_double_running_seconds_total{pool=web}"] == 0.0
    assert found["spotvortex_restarts_total{pool=web}"] == 0.0
