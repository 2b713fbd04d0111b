"""The savings ledger, and how one cycle is added to it.

Comes in: the ledger as it was, a plan, and what the controller's drains have cost since. Goes out:
the ledger with that time added. Between two looks the mean of both counts; a stretch in which
nobody looked for longer than `GAP_S` becomes unknown hours, and no figure is made up for it. What
decides may not read it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.decision.messages import Decision, Plan
from spotvortex.core.ledger.flow import Flow, Pricing, flow_of, priced
from spotvortex.core.ledger.periods import (
    HOUR_S,
    Key,
    KeyT,
    Period,
    PeriodLength,
    added,
    folded,
    pieces,
    start_of,
    summed,
)
from spotvortex.core.ledger.sums import (
    NO_NODES,
    NO_POOL,
    ClusterSums,
    NodeSums,
    PoolSums,
    Sums,
    plus,
    times,
)

GAP_S: Final = 600.0
"""The longest time between two looks of which the mean still tells; a restart is shorter."""

MAX_POOLS: Final = 100
OTHERS: Final = "(others)"
"""Pools that have rows of their own; what comes later is added up under this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The Spot share of a pool before the controller moved anything there.

    Attributes:
        node_hours: hours of nodes that were seen until then.
        spot_hours: those of them on Spot.
        ended_at: time of the first wave, None before it.
        ended_ratio: the share at that wave, for a pool of which nothing had been seen before.
    """

    node_hours: float = 0.0
    spot_hours: float = 0.0
    ended_at: float | None = None
    ended_ratio: float = 0.0

    @property
    def spot_ratio(self) -> float:
        """The share, 0..1."""
        return self.spot_hours / self.node_hours if self.node_hours else self.ended_ratio


NO_BASELINE: Final = Baseline()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """What drains have cost since the last look, beside the nodes.

    Attributes:
        pods: pods that were evicted.
        pod_hours: how long these take to start again.
    """

    pods: int = 0
    pod_hours: float = 0.0


NO_FLOW: Final = Flow(at=-math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All that is accounted for.

    Attributes:
        since: when it was begun, seconds since the epoch; infinite before the first look.
        flow: the newest look.
        periods: what was, the longest and oldest first.
        totals: each pool's money since the beginning, by name.
        baselines: the Spot shares before the first move, by pool.
    """

    since: float = math.inf
    flow: Flow = NO_FLOW
    periods: tuple[Period, ...] = ()
    totals: Mapping[str, PoolSums] = field(default_factory=dict)
    baselines: Mapping[str, Baseline] = field(default_factory=dict)

    @property
    def at(self) -> float:
        """Until when it accounts, seconds since the epoch."""
        return self.flow.at


EMPTY_LEDGER: Final = Ledger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a cycle adds that its plan does not tell.

    Attributes:
        restarts: what drains have cost, by pool.
        alone_usd: what the same cluster has cost under its provisioner alone since the last look,
            None where nobody follows one.
    """

    restarts: Mapping[str, Restarts] = field(default_factory=dict)
    alone_usd: float | None = None


NOTHING_BESIDE: Final = Beside()


def accrue(
    ledger: Ledger, plan: Plan, pricing: Pricing, beside: Beside = NOTHING_BESIDE
) -> tuple[Ledger, Pricing]:
    """Add the time from the last look to a plan.

    A clock that is set back by more than `GAP_S` adds nothing, and time counts on from there.
    """
    if ledger.at - GAP_S <= plan.at <= ledger.at:
        return ledger, pricing
    pricing = priced(plan.observation, plan.decisions, pricing)
    baselines = _baselines(ledger, plan.decisions, pricing, plan.at)
    ended = {pool: b.spot_ratio for pool, b in baselines.items() if b.ended_at is not None}
    flow = _bounded(flow_of(plan, pricing, ended), ledger.totals)
    grown = replace(ledger, baselines=baselines, flow=flow)
    if math.isinf(ledger.at) or plan.at < ledger.at:
        return replace(grown, since=min(ledger.since, plan.at)), pricing
    if plan.at - ledger.at > GAP_S:
        return _with_gap(grown, ledger.at), pricing
    grown = _with_time(grown, ledger.flow)
    if beside.restarts or beside.alone_usd is not None:
        grown = _with_events(grown, pricing, beside, since=ledger.at)
    return grown, pricing


def _baselines(
    ledger: Ledger, decisions: Iterable[Decision], pricing: Pricing, at: float
) -> Mapping[str, Baseline]:
    """Count on until the first wave of a mode that writes; only known pools are kept."""
    hours = (at - ledger.at) / HOUR_S if 0.0 <= at - ledger.at <= GAP_S else 0.0
    found: dict[str, Baseline] = {}
    for decision in decisions:
        pool = pricing.pools.get(decision.pool)
        known = ledger.baselines.get(decision.pool, NO_BASELINE)
        if pool is None or known.ended_at is not None:
            found[decision.pool] = known
            continue
        found[decision.pool] = replace(
            known,
            node_hours=known.node_hours + pool.n_nodes * hours,
            spot_hours=known.spot_hours + pool.n_spot * hours,
            ended_at=at if decision.moves and decision.mode.writes else None,
            ended_ratio=pool.spot_ratio,
        )
    gone = {p: b for p, b in ledger.baselines.items() if p not in found}
    known_first = sorted((found | gone).items(), key=lambda row: row[0] not in ledger.baselines)
    return dict(known_first[:MAX_POOLS])


def _bounded(flow: Flow, known: Mapping[str, PoolSums]) -> Flow:
    """Add up under one name what is beyond the pools that have rows of their own."""
    new = sorted(flow.pools.keys() - known.keys())
    n_free = max(0, MAX_POOLS - len(known.keys() - {OTHERS}))
    beyond = set(new[n_free:])
    if not beyond:
        return flow
    nodes: dict[Key, NodeSums] = {}
    pools: dict[str, PoolSums] = {}
    for (pool, kind), sums in flow.nodes.items():
        key = OTHERS if pool in beyond else pool, kind
        nodes[key] = plus(nodes.get(key, NO_NODES), sums)
    for pool, money in flow.pools.items():
        name = OTHERS if pool in beyond else pool
        pools[name] = plus(pools.get(name, NO_POOL), money)
    return replace(flow, nodes=nodes, pools=pools)


def _with_time(ledger: Ledger, before: Flow) -> Ledger:
    """Add the mean of two looks for the time between them, hour by hour."""
    now = ledger.flow
    nodes = _means(before.nodes, now.nodes)
    pools = _means(before.pools, now.pools)
    cluster = times(plus(before.cluster, now.cluster), 0.5)
    periods, totals = ledger.periods, ledger.totals
    for span, since, until in pieces(before.at, now.at):
        hours = (until - since) / HOUR_S
        money = {pool: times(sums, hours) for pool, sums in pools.items()}
        totals = summed(totals, money)
        periods = added(
            periods,
            Period(
                span=span,
                start=start_of(span, since),
                nodes={key: times(sums, hours) for key, sums in nodes.items()},
                pools=money,
                cluster=times(cluster, hours),
            ),
        )
    return replace(ledger, periods=folded(periods), totals=totals)


def _means(one: Mapping[KeyT, Sums], other: Mapping[KeyT, Sums]) -> dict[KeyT, Sums]:
    return {key: times(sums, 0.5) for key, sums in summed(one, other).items()}


def _with_gap(ledger: Ledger, since: float) -> Ledger:
    """Add a stretch in which nobody looked."""
    periods = ledger.periods
    for span, start, end in pieces(since, ledger.at):
        gap = ClusterSums(unknown_hours=(end - start) / HOUR_S)
        periods = added(periods, Period(span=span, start=start_of(span, start), cluster=gap))
    return replace(ledger, periods=folded(periods))


def _with_events(ledger: Ledger, pricing: Pricing, beside: Beside, *, since: float) -> Ledger:
    """Add what drains have cost, and what another cluster has, to the hour of the last look."""
    pools: dict[str, PoolSums] = {}
    for name, restarts in beside.restarts.items():
        pool = pricing.pools.get(name)
        per_pod = pool.all_on_demand_usd / pool.n_pods if pool and pool.n_pods else 0.0
        key = name if name in ledger.totals else OTHERS
        found = PoolSums(n_restarts=float(restarts.pods), restart_usd=restarts.pod_hours * per_pod)
        pools[key] = plus(pools.get(key, NO_POOL), found)
    alone = ClusterSums()
    if beside.alone_usd is not None:
        alone = ClusterSums(alone_hours=(ledger.at - since) / HOUR_S, alone_usd=beside.alone_usd)
    start = start_of(PeriodLength.HOUR, since)
    more = Period(span=PeriodLength.HOUR, start=start, pools=pools, cluster=alone)
    return replace(ledger, periods=added(ledger.periods, more), totals=summed(ledger.totals, pools))
