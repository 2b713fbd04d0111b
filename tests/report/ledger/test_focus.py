"""The FOCUS export keeps the published rules of its columns, and tells the ledger's money."""

import csv
import io
from dataclasses import replace

import pytest

from spotvortex.core.ledger.periods import PeriodLength
from spotvortex.report.ledger.account import account_of
from spotvortex.report.ledger.focus import COLUMNS, COMMITMENTS, as_focus
from tests.core.builders import market, plan_of, pool, stated
from tests.core.ledger.looks import Book, look, web
from tests.report.ledger import focus_rules
from tests.report.ledger.focus_rules import faults_of

PAID = market(commitments=stated(plan_of(usd_per_hour=4.5 * 0.075)))
RICH = market(commitments=stated(plan_of(usd_per_hour=100.0)))


def read(ledger):
    return list(csv.DictReader(io.StringIO(as_focus(ledger, "123456789012"))))


def book_of(**changes):
    return Book().steady(web(), pool("api", n_spot=1, n_on_demand=1), hours=2.0, **changes)


def total(rows, column, **wanted):
    chosen = (r for r in rows if all(r[name] == value for name, value in wanted.items()))
    return sum(float(row[column] or 0.0) for row in chosen)


@pytest.mark.parametrize("prices", [market(), PAID, RICH], ids=["unstated", "some", "all"])
def test_every_row_keeps_the_published_rules(prices):
    rows = read(book_of(market=prices).ledger)
    assert rows
    assert list(faults_of(rows)) == []


def test_the_rules_are_those_of_21_mandatory_columns_and_all_of_them_are_served():
    must = [c for c in focus_rules.COLUMNS.values() if c.level == focus_rules.MUST]
    assert len(must) == 21
    assert [c for c in COLUMNS if not c.startswith("x_")] == sorted(focus_rules.COLUMNS)


KINDS = {
    "at Spot price": {"PricingCategory": "Dynamic"},
    "at list price": {"PricingCategory": "Standard", "ChargeCategory": "Usage"},
    "by commitment": {"CommitmentDiscountStatus": "Used"},
    "unused": {"CommitmentDiscountStatus": "Unused"},
    "purchase": {"ChargeCategory": "Purchase"},
}
"""By what each kind of row is known."""

OPTIONAL = {"BillingAccountName", "ChargeDescription"}
"""What may be null or not in any row, where its owner has no name for it or nothing to say."""


def rows_by_kind():
    rows = [row for prices in (PAID, RICH) for row in read(book_of(market=prices).ledger)]
    return {
        kind: next(r for r in rows if marks.items() <= r.items()) for kind, marks in KINDS.items()
    }


ROWS = rows_by_kind()


def breaks_of(name, row):
    """Yield what no rule allows in a column of a row, by what is wrong with it."""
    column = focus_rules.COLUMNS[name]
    if name not in OPTIONAL:
        yield "null" if row[name] else "not null", "" if row[name] else _filling(name)
    if column.allowed:
        yield "another value", "Rent"
    if column.kind == focus_rules.DECIMAL:
        yield "thousands", "1,000.0"
        yield "a unit", "1 USD"
        yield "no number", "nan"
        if row[name]:
            yield "another amount", str(float(row[name]) * 1.5 + 1.0)
    if column.kind == focus_rules.TIME:
        yield "no zone", row[name].removesuffix("Z")
        yield "another zone", row[name].replace("Z", "+02:00")
    if column.kind == focus_rules.TEXT:
        yield "spaces", f" {row[name] or 'x'} "


def _filling(name):
    """Return what a column holds in a row of another kind."""
    filled = [row[name] for row in ROWS.values() if row[name]]
    return filled[0] if filled else "Correction"


def is_named(kind, change):
    """Whether a change of the row of a kind is a fault beside those of the rows as they are."""
    others = [row for k, row in ROWS.items() if k != kind]
    before = set(faults_of([ROWS[kind], *others]))
    return bool(set(faults_of([ROWS[kind] | change, *others])) - before)


@pytest.mark.parametrize("name", focus_rules.COLUMNS)
def test_every_column_that_breaks_a_rule_is_named(name):
    """In each kind of row: null or not, of another type, value or amount."""
    changes = [(kind, *broken) for kind, row in ROWS.items() for broken in breaks_of(name, row)]
    assert changes or name in OPTIONAL
    assert [c for c in changes if not is_named(c[0], {name: c[2]})] == []


@pytest.mark.parametrize("name", focus_rules.COLUMNS)
def test_a_column_that_is_missing_is_named(name):
    row = {n: v for n, v in ROWS["at list price"].items() if n != name}
    assert f"row 1: {name} is missing" in list(faults_of([row]))


def test_a_column_of_ones_own_stands_behind_x_and_a_purchase_has_its_usage():
    row = ROWS["at list price"]
    assert list(faults_of([row | {"pool": "web"}])) == [
        "row 1: pool is neither of FOCUS nor behind x_"
    ]
    assert list(faults_of([ROWS["by commitment"]]))


def test_without_commitments_what_is_billed_is_what_the_ledger_counts():
    book = book_of()
    rows, account = read(book.ledger), account_of(book.ledger)
    assert total(rows, "BilledCost") == pytest.approx(account.total.cost_usd)
    assert total(rows, "EffectiveCost") == pytest.approx(account.total.cost_usd)
    assert {r["PricingCategory"] for r in rows} == {"Standard", "Dynamic"}
    on_spot = total(rows, "PricingQuantity", x_CapacityType="spot")
    assert on_spot == pytest.approx(account.total.spot_node_hours)
    spared = total(rows, "x_OnDemandCost") - total(rows, "EffectiveCost")
    assert spared == pytest.approx(account.total.saved_usd)


def test_with_commitments_their_fee_is_billed_once_and_shared_by_those_who_use_it():
    book = book_of(market=PAID)
    rows, account = read(book.ledger), account_of(book.ledger)
    fee = total(rows, "BilledCost", ChargeCategory="Purchase")
    assert fee == pytest.approx(2 * 4.5 * 0.075)
    assert total(rows, "EffectiveCost", CommitmentDiscountId=COMMITMENTS) == pytest.approx(fee)
    assert total(rows, "EffectiveCost") == pytest.approx(account.total.cost_usd)
    hours = total(rows, "PricingQuantity", CommitmentDiscountStatus="Used")
    assert hours == pytest.approx(2 * 4.5)


def test_what_nothing_used_is_a_row_of_its_own():
    rows = read(book_of(market=RICH).ledger)
    unused = total(rows, "EffectiveCost", CommitmentDiscountStatus="Unused")
    assert unused == pytest.approx(2 * (100.0 - 9 * 0.075))


def test_what_has_no_billing_period_is_left_out():
    book = Book().steady(web(), hours=1.0)
    (hour,) = book.ledger.periods
    before = replace(hour, span=PeriodLength.BEFORE, start=0.0)
    day = replace(hour, span=PeriodLength.DAY, start=hour.start // 86_400.0 * 86_400.0)
    rows = read(replace(book.ledger, periods=(before, day, hour)))
    assert [r["ChargePeriodStart"][11:13] for r in rows] == ["00", "00", "04", "04"]
    assert list(faults_of(rows)) == []
    assert rows == [row for row in rows if row["BillingPeriodEnd"] == "2026-08-01T00:00:00Z"]


def test_an_empty_ledger_has_a_head_and_no_row():
    assert read(Book().take(look(0.0, web())).ledger) == []
