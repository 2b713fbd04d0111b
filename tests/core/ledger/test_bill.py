"""The ledger agrees with a bill of the same nodes to 1 %, over restarts and changes of price."""

from datetime import UTC, datetime
from random import Random

import pytest

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.ledger.ledger_text import from_text, to_text
from spotvortex.core.ledger.periods import PeriodLength
from spotvortex.report.ledger.account import By, account_of
from tests.core.builders import market, node, plan_of, pool, quote, stated
from tests.core.ledger.cost_and_usage import Account, Life, effective, lines_of
from tests.core.ledger.looks import START, Book, look

DAY_S = 86_400.0
DAYS = 3
END = START + DAYS * DAY_S
TICK_S = 60.0
OFFERINGS = tuple(
    Offering(instance_type=kind, zone=f"us-east-1{zone}")
    for kind in ("m6i.large", "c6i.xlarge")
    for zone in "ab"
)
POOLS = ("api", "web")


def lives(rng):
    """Nodes that stay for minutes to two days, of two pools, bought both ways."""
    found = []
    for i in range(260):
        since = START + rng.uniform(-0.5, DAYS) * DAY_S
        stays = rng.choice((rng.uniform(90.0, 3600.0), rng.uniform(2.0, 48.0) * 3600.0))
        offering = OFFERINGS[i % 4]
        found.append(
            Life(f"i-{i}", POOLS[i % 3 == 0], offering, rng.random() < 0.6, since, since + stays)
        )
    return found


def prices(rng):
    """Spot prices that change every few hours, and on-demand prices that change once."""
    spot, on_demand = {}, {}
    for offering in OFFERINGS:
        list_usd = 0.096 if offering.instance_type == "m6i.large" else 0.17
        on_demand[offering] = [(START - DAY_S, list_usd), (START + 1.4 * DAY_S, 1.07 * list_usd)]
        steps, at = [], START - DAY_S
        while at < END:
            steps.append((at, list_usd * rng.uniform(0.25, 0.6)))
            at += rng.uniform(1.0, 9.0) * 3600.0
        spot[offering] = steps
    return spot, on_demand


def price_at(steps, at):
    return [usd for since, usd in steps if since <= at][-1]


class Cluster:
    """The cluster as the daemon sees it; a pool that did not change is the same object."""

    def __init__(self, found, account, commitments):
        self.lives, self.account, self.commitments = found, account, commitments
        self.pools = {}

    def look(self, at):
        pools = map(self._pool_at(at), POOLS)
        return look(at, *pools, decisions=(), market=self._market(at))

    def _pool_at(self, at):
        def made(name):
            alive = tuple(x for x in self.lives if x.pool == name and x.since <= at < x.until)
            known = self.pools.get(name)
            if known is None or known[0] != alive:
                nodes = tuple(
                    node(
                        x.uid,
                        pool=name,
                        offering=x.offering,
                        created_at=x.since,
                        capacity_type=CapacityType.SPOT if x.on_spot else CapacityType.ON_DEMAND,
                    )
                    for x in alive
                )
                self.pools[name] = known = alive, pool(name, nodes=nodes)
            return known[1]

        return made

    def _market(self, at):
        quotes = (
            quote(
                offering,
                spot_usd_per_hour=price_at(self.account.spot[offering], at),
                on_demand_usd_per_hour=price_at(self.account.on_demand[offering], at),
                history_usd_per_hour=(),
            )
            for offering in OFFERINGS
        )
        return market(*quotes, commitments=stated(*self.commitments))


def played(plan_usd_per_hour, gap=None, until=END):
    """A ledger of some days with a restart every five hours or so, and the report of the same."""
    rng = Random(15)
    found = lives(rng)
    account = Account(*prices(rng), plan_usd_per_hour=plan_usd_per_hour)
    plans = [plan_of(usd_per_hour=plan_usd_per_hour)] if plan_usd_per_hour else []
    cluster, book = Cluster(found, account, plans), Book()
    at = restart_at = START
    while at <= until:
        book.take(cluster.look(at))
        at += TICK_S
        if gap is not None and gap[0] <= at < gap[1]:
            at = gap[1]
        if at >= restart_at:
            book = Book(from_text(to_text(book.ledger)))
            at += rng.choice((0.0, TICK_S, 4 * TICK_S))
            restart_at = at + rng.uniform(3.0, 7.0) * 3600.0
    book.take(cluster.look(until))
    return book.ledger, lines_of(account.report(found, START, until)), account, found


def money(rows, **wanted):
    return sum(effective(r) for r in rows if all(wanted[k](r) for k in wanted))


@pytest.fixture(scope="module", params=[0.0, 1.2], ids=["no-plan", "savings-plan"])
def played_days(request):
    return played(request.param)


def test_a_morning_agrees_to_one_percent():
    ledger, rows, *_ = played(1.2, until=START + 6 * 3600.0)
    account = account_of(ledger)
    assert account.total.cost_usd + account.cluster.unused_usd == pytest.approx(money(rows), 0.01)


@pytest.mark.trial
def test_the_whole_bill_agrees_to_one_percent(played_days):
    ledger, rows, *_ = played_days
    account = account_of(ledger)
    cost = account.total.cost_usd + account.cluster.unused_usd
    assert cost == pytest.approx(money(rows), rel=0.01)
    assert account.cluster.unknown_hours == 0.0
    assert account.cluster.seen_hours == pytest.approx(DAYS * 24.0)


@pytest.mark.trial
def test_each_day_agrees_to_one_percent(played_days):
    ledger, rows, *_ = played_days
    for day in account_of(ledger, By.DAY).rows:
        begins = datetime.fromtimestamp(day.start, UTC).strftime("%Y-%m-%d")
        billed = money(rows, day=lambda r, d=begins: r["lineItem/UsageStartDate"][:10] == d)
        cost = day.sums.cost_usd + day.cluster.unused_usd
        assert cost == pytest.approx(billed, rel=0.01), begins


@pytest.mark.trial
def test_each_pool_and_way_of_buying_agrees_to_one_percent(played_days):
    ledger, rows, *_ = played_days
    for name in POOLS:
        for on_spot, kind in ((True, CapacityType.SPOT), (False, CapacityType.ON_DEMAND)):
            found = [p.nodes[name, kind] for p in ledger.periods if (name, kind) in p.nodes]
            market_of = "SpotUsage" if on_spot else "BoxUsage"
            chosen = [
                r
                for r in rows
                if r["resourceTags/user:pool"] == name
                and r["lineItem/UsageType"].startswith(market_of)
            ]
            hours = sum(float(r["lineItem/UsageAmount"]) for r in chosen)
            assert sum(s.node_hours for s in found) == pytest.approx(hours, rel=0.01)
            public = sum(float(r["pricing/publicOnDemandCost"]) for r in chosen)
            assert sum(s.on_demand_list_usd for s in found) == pytest.approx(public, rel=0.01)


@pytest.mark.trial
def test_the_saving_is_what_the_same_bill_would_have_been_more_without_spot(played_days):
    ledger, rows, account, found = played_days
    without = [Life(x.uid, x.pool, x.offering, False, x.since, x.until) for x in found]
    more = money(lines_of(account.report(without, START, END))) - money(rows)
    assert account_of(ledger).total.saved_usd == pytest.approx(more, rel=0.01)


@pytest.mark.trial
def test_hours_in_which_nobody_looked_are_unknown_and_the_rest_agrees():
    gap = START + 30 * 3600.0, START + 41 * 3600.0
    ledger, _, account, found = played(0.0, gap)
    seen = [
        line
        for since, until in ((START, gap[0]), (gap[1], END))
        for line in lines_of(account.report(found, since, until))
    ]
    told = account_of(ledger)
    assert told.cluster.unknown_hours == pytest.approx(11.0, abs=0.1)
    assert told.total.cost_usd == pytest.approx(money(seen), rel=0.01)
    empty = [
        p
        for p in ledger.periods
        if p.span is PeriodLength.HOUR and gap[0] < p.start < gap[1] - 3600
    ]
    assert len(empty) == 9
    assert not any(p.nodes for p in empty)
