"""The ledger is told with its range, its gaps and its prices called what they are."""

import csv
import io
import json
from dataclasses import replace

from spotvortex.core.ledger.ledger import EMPTY_LEDGER, Beside, Restarts
from spotvortex.core.ledger.periods import PeriodLength
from spotvortex.report.ledger.account import By, account_of
from spotvortex.report.ledger.screen import as_csv, lines_of, render
from tests.core.builders import market, on_demand, plan_of, pool, stated
from tests.core.ledger.looks import START, Book, look, web


def shown(ledger, by=By.POOL):
    return "\n".join(lines_of(account_of(ledger, by)))


def test_without_a_word_on_commitments_the_saving_is_a_range_at_list_price():
    text = shown(Book().steady(web()).ledger)
    assert "since 2026-07-14 04:00 UTC: 1.0 h seen, no gap" in text
    assert "saved -$0.06 .. $0.14 beside all on-demand: list prices" in text
    row = " ".join(text.splitlines()[-1].split())
    assert row == "web 10.0 2.0 $0.86 $0.14 -$0.06 $0.14 $0.86 0 m 0"


def test_stated_commitments_give_one_figure_and_what_nothing_used():
    paid = market(commitments=stated(plan_of(usd_per_hour=10 * 0.075)))
    text = shown(Book().steady(web(), market=paid).ledger)
    assert "cost $0.66; saved -$0.06 beside all on-demand, beyond the commitments stated" in text
    assert "commitments that nothing used cost $0.15" in text


def test_a_gap_is_named_and_nothing_is_told_of_it():
    book = Book().steady(web()).take(look(START + 3 * 3600.0, web()))
    text = shown(book.ledger, By.HOUR)
    assert "1.0 h seen, 2.0 h unknown: nobody looked, and no figure covers them" in text
    assert text.splitlines()[-1].endswith("1.0 h unknown")
    assert "2026-07-14 05:00 hour" in text


def test_moves_are_told_as_costs():
    nodes = (on_demand("d", mark="{}"),)
    beside = Beside(restarts={"web": Restarts(pods=4, pod_hours=0.1)})
    book = Book().steady(web(nodes=nodes), hours=0.5)
    book.take(look(START + 1860.0, web(nodes=nodes)), beside)
    assert "31 node-minutes double ($0.05, in the cost), 4 pods restarted" in shown(book.ledger)


def test_the_twin_is_told_where_there_is_one():
    book = Book().take(look(START, web()))
    assert "alone cost" not in shown(book.ledger)
    book.take(look(START + 30.0, web()), Beside(alone_usd=1.5))
    assert "under its provisioner alone cost $1.50" in shown(book.ledger)


def test_before_the_second_cycle_it_says_so():
    assert "Nothing is accounted for yet" in shown(EMPTY_LEDGER)
    assert json.loads(render(account_of(EMPTY_LEDGER)))["since"] is None
    assert as_csv(account_of(EMPTY_LEDGER)) == ""


def test_days_add_hours_up_and_what_is_a_day_already_stays_one():
    book = Book().steady(web(), hours=3.0, step_s=300.0)
    (day,) = account_of(book.ledger, By.DAY).rows
    assert (day.span, day.sums.node_hours) == ("day", 30.0)
    assert len(account_of(book.ledger, By.HOUR).rows) == 3
    older = replace(book.ledger.periods[0], span=PeriodLength.BEFORE, start=0.0)
    kept = replace(book.ledger, periods=(older, *book.ledger.periods))
    assert [r.span for r in account_of(kept, By.MONTH).rows] == ["before", "month"]
    assert "before that" in shown(kept, By.MONTH)


def test_json_and_csv_hold_the_same_figures():
    book = Book().steady(web(), pool("api", n_spot=1, n_on_demand=1))
    account = account_of(book.ledger)
    data = json.loads(render(account))
    assert (data["schema"], data["version"]) == ("spotvortex.ledger-report", 1)
    assert data["commitments_stated"] is False
    assert [row["pool"] for row in data["rows"]] == ["api", "web"]
    rows = list(csv.DictReader(io.StringIO(as_csv(account))))
    assert rows[0].keys() == data["rows"][0].keys()
    assert float(rows[1]["saved_usd"]) == round(data["rows"][1]["saved_usd"], 6)
    hours = list(csv.DictReader(io.StringIO(as_csv(account_of(book.ledger, By.HOUR)))))
    assert hours[0]["start"] == "2026-07-14T04:00:00.000Z"


def test_nodes_of_no_pool_have_a_row():
    book = Book()
    for at in (START, START + 60.0):
        plan = look(at)
        cluster = replace(plan.observation.cluster, unpooled=(on_demand("x", pool=""),))
        book.take(replace(plan, observation=replace(plan.observation, cluster=cluster)))
    assert account_of(book.ledger).rows[0].pool == "(no pool)"
