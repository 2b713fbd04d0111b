"""The ledger added up: for all, by pool, or by hour, day and month.

Comes in: a ledger. Goes out: an account whose figures screen, JSON, CSV and console share. May not
make a figure up: an hour that nobody saw is counted as unknown, and no money belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.ledger.ledger import Ledger
from spotvortex.core.ledger.periods import Key, Period, PeriodLength, start_of, summed
from spotvortex.core.ledger.sums import (
    NO_CLUSTER,
    NO_NODES,
    NO_POOL,
    ClusterSums,
    NodeSums,
    PoolSums,
    plus,
)

NO_POOL_WORDS: Final = "(no pool)"


class By(StrEnum):
    """By what the ledger is added up."""

    POOL = "pool"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """The figures of one row; money in USD.

    Attributes:
        node_hours: hours of nodes with known prices.
        spot_node_hours: those of them on Spot.
        unpriced_node_hours: hours of nodes of which a price is not known; in no other figure.
        cost_usd: what the nodes cost: beyond commitments, and what they used of those.
        list_usd: the same at list price.
        all_on_demand_usd: what the same nodes would cost on-demand, beyond commitments.
        saved_usd: what was saved beside that; less than 0 where it was none.
        saved_at_least_usd: the same if unused commitments would have paid for all of it.
        projected_usd: the saving at the Spot share that was decided on.
        before_usd: what it would have cost at the Spot share before the first move.
        double_running_minutes: minutes of nodes that were emptied while their room was paid for.
        double_running_usd: what these cost; it is in the cost.
        n_restarts: pods that were evicted.
        restart_usd: what their room cost while they started again.
    """

    node_hours: float
    spot_node_hours: float
    unpriced_node_hours: float
    cost_usd: float
    list_usd: float
    all_on_demand_usd: float
    saved_usd: float
    saved_at_least_usd: float
    projected_usd: float
    before_usd: float
    double_running_minutes: float
    double_running_usd: float
    n_restarts: float
    restart_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: a pool, or a period.

    Attributes:
        pool: the pool's name, "" of a period.
        span: how long the period is, "" of a pool.
        start: when it begins, seconds since the epoch; 0 of a pool.
        sums: its figures.
        cluster: what is known of the whole cluster then; nothing of a pool.
    """

    pool: str = ""
    span: str = ""
    start: float = 0.0
    sums: Sum
    cluster: ClusterSums = NO_CLUSTER


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAccount:
    """The whole ledger added up.

    Attributes:
        since: when it was begun, seconds since the epoch, None before the first look.
        at: until when it accounts, None before the first look.
        total: the sums of all.
        cluster: hours seen and not seen, and what holds for all.
        rows: the sums of each pool or period.
    """

    since: float | None
    at: float | None
    total: Sum
    cluster: ClusterSums
    rows: tuple[Row, ...]

    @property
    def is_stated(self) -> bool:
        """Tell whether commitments were stated all the time."""
        return self.cluster.stated_hours >= self.cluster.seen_hours > 0.0


def account_of(ledger: Ledger, by: By = By.POOL) -> LedgerAccount:
    """Add a ledger up."""
    whole = _added_up(ledger.periods)
    rows = _by_pool(whole) if by is By.POOL else _by_period(ledger.periods, PeriodLength(by.value))
    begun = bool(ledger.periods) or ledger.at > 0.0
    return LedgerAccount(
        since=ledger.since if begun else None,
        at=ledger.at if begun else None,
        total=_sum(whole.nodes.items(), whole.pools.values()),
        cluster=whole.cluster,
        rows=tuple(rows),
    )


def _added_up(
    periods: Iterable[Period], span: PeriodLength = PeriodLength.BEFORE, start: float = 0.0
) -> Period:
    nodes: dict[Key, NodeSums] = {}
    pools: dict[str, PoolSums] = {}
    cluster = NO_CLUSTER
    for period in periods:
        nodes = summed(nodes, period.nodes)
        pools = summed(pools, period.pools)
        cluster = plus(cluster, period.cluster)
    return Period(span=span, start=start, nodes=nodes, pools=pools, cluster=cluster)


def _by_pool(whole: Period) -> Iterable[Row]:
    for pool in sorted(whole.pools):
        nodes = ((key, sums) for key, sums in whole.nodes.items() if key[0] == pool)
        yield Row(pool=pool or NO_POOL_WORDS, sums=_sum(nodes, [whole.pools[pool]]))


def _by_period(periods: Iterable[Period], span: PeriodLength) -> Iterable[Row]:
    """Group what is no longer than wanted; what has been folded already stays as long as it is."""
    spans = tuple(PeriodLength)
    groups: dict[tuple[PeriodLength, float], list[Period]] = {}
    for period in periods:
        wanted = max(period.span, span, key=spans.index)
        groups.setdefault((wanted, start_of(wanted, period.start)), []).append(period)
    for (wanted, start), found in sorted(groups.items(), key=lambda item: item[0][1]):
        one = _added_up(found)
        yield Row(
            span=wanted.value,
            start=start,
            sums=_sum(one.nodes.items(), one.pools.values()),
            cluster=one.cluster,
        )


def _sum(nodes: Iterable[tuple[Key, NodeSums]], pools: Iterable[PoolSums]) -> Sum:
    by_type: dict[CapacityType, NodeSums] = {}
    for (_, kind), sums in nodes:
        by_type[kind] = plus(by_type.get(kind, NO_NODES), sums)
    whole, money = NO_NODES, NO_POOL
    for sums in by_type.values():
        whole = plus(whole, sums)
    for one in pools:
        money = plus(money, one)
    return Sum(
        node_hours=whole.node_hours,
        spot_node_hours=by_type.get(CapacityType.SPOT, NO_NODES).node_hours,
        unpriced_node_hours=whole.unpriced_hours,
        cost_usd=whole.uncovered_usd + whole.committed_usd,
        list_usd=whole.list_usd,
        all_on_demand_usd=whole.on_demand_usd,
        saved_usd=money.net_usd,
        saved_at_least_usd=money.least_usd,
        projected_usd=money.projected_usd,
        before_usd=money.before_usd,
        double_running_minutes=money.double_hours * 60.0,
        double_running_usd=money.double_usd,
        n_restarts=money.n_restarts,
        restart_usd=money.restart_usd,
    )
