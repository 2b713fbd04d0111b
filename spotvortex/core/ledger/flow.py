"""What a cluster costs and saves by the hour at one instant.

Comes in: a plan with its observation. Goes out: a `Flow`, and each pool's own figures, which are
made anew only where its nodes, its prices or its commitments have changed. A node with an unknown
price is counted and left out of every sum. May not guess a price.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from spotvortex.core.decision.messages import Decision, Plan
from spotvortex.core.domain.cloud.commitments import CommitmentState
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.observation import NodeFact, Observation
from spotvortex.core.domain.types import Action, CapacityType, Offering
from spotvortex.core.ledger.sums import (
    NO_CLUSTER,
    NO_NODES,
    ClusterSums,
    NodeSums,
    PoolSums,
    plus,
)
from spotvortex.core.pool.commitments.coverage import (
    NO_COVERAGE,
    NOTHING_COVERED,
    Coverage,
    Covered,
    coverage_of,
    covered_at,
    prices_of,
)

NO_POOL_NAME: Final = ""
"""The pool of nodes that belong to none."""

PROJECTED_S: Final = 3600.0
"""How long a target counts as decided on after the decision; in shadow it is never reached."""

Key = tuple[str, CapacityType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What a cluster costs and saves, by the hour.

    Attributes:
        at: wall time, seconds since the epoch.
        nodes: nodes by pool and how they are bought.
        pools: each pool's money, by name.
        cluster: what holds for all.
    """

    at: float
    nodes: Mapping[Key, NodeSums] = field(default_factory=dict)
    pools: Mapping[str, PoolSums] = field(default_factory=dict)
    cluster: ClusterSums = NO_CLUSTER


class OfferingPrices(NamedTuple):
    """The prices of one offering in USD per hour, None where unknown."""

    spot: float | None
    on_demand: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Covers:
    """What commitments pay for, as it is and as it would be.

    Attributes:
        now: of the nodes as they are.
        coverage: the same, without what it was made from.
        all_on_demand: if all nodes were on-demand.
        discounts: share of the on-demand price that a commitment saves, by its name and type.
    """

    now: Covered = NOTHING_COVERED
    coverage: Coverage = NO_COVERAGE
    all_on_demand: Coverage = NO_COVERAGE
    discounts: Mapping[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPool:
    """The figures of a pool by the hour, with what they were made from.

    Attributes:
        nodes: its nodes.
        prices: the prices of its offerings, in the order in which they come.
        covers: what commitments pay for.
        by_type: its sums, by how the nodes are bought.
        all_on_demand_usd: what its nodes would cost on-demand, beyond commitments.
        all_spot_usd: what they would cost on Spot.
        spot_list_usd: the on-demand list price of its Spot nodes.
        double: nodes that run double, and what they cost.
        n_nodes: nodes with known prices that do not run double.
        n_spot: those of them on Spot.
        n_pods: pods on its nodes that a drain would move.
    """

    nodes: Sequence[NodeFact]
    prices: Mapping[Offering, OfferingPrices]
    covers: Covers
    by_type: Mapping[CapacityType, NodeSums]
    all_on_demand_usd: float
    all_spot_usd: float
    spot_list_usd: float
    double: tuple[float, float]
    n_nodes: int
    n_spot: int
    n_pods: int

    @property
    def spot_ratio(self) -> float:
        """The share of its nodes on Spot."""
        return self.n_spot / self.n_nodes if self.n_nodes else 0.0

    @property
    def uncovered_usd(self) -> float:
        """What its nodes cost beyond commitments."""
        return math.fsum(sums.uncovered_usd for sums in self.by_type.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """What is carried from cycle to cycle, only to save work.

    Attributes:
        pools: the figures of each pool, by name.
        covers: what commitments paid for at the last look.
        wanted: the last target that was decided on, with its time, by pool.
    """

    pools: Mapping[str, PricedPool] = field(default_factory=dict)
    covers: Covers = Covers()
    wanted: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def priced(observation: Observation, decisions: Iterable[Decision], before: Pricing) -> Pricing:
    """Work out the figures of every pool; those of a pool that did not change are kept."""
    covers = _covers(observation, before.covers)
    quotes = observation.market.quotes
    facts: dict[str, Sequence[NodeFact]] = {p.name: p.nodes for p in observation.cluster.pools}
    if observation.cluster.unpooled:
        facts[NO_POOL_NAME] = observation.cluster.unpooled
    pools = {
        name: _priced_pool(nodes, quotes, covers, before.pools.get(name))
        for name, nodes in facts.items()
    }
    wanted = dict(before.wanted)
    for decision in decisions:
        if decision.action is not Action.HOLD:
            wanted[decision.pool] = decision.target_ratio, observation.at
    fresh = observation.at - PROJECTED_S
    kept = {p: w for p, w in wanted.items() if p in pools and w[1] > fresh}
    return Pricing(pools=pools, covers=covers, wanted=kept)


def flow_of(plan: Plan, pricing: Pricing, baselines: Mapping[str, float]) -> Flow:
    """Return the flow of a plan.

    Args:
        plan: what was observed and decided.
        pricing: the figures of its pools.
        baselines: the Spot share before the first move, by pool; none where nothing was moved yet.
    """
    state = plan.observation.market.commitments.state
    stated = state is CommitmentState.STATED
    nodes = {(n, kind): s for n, p in pricing.pools.items() for kind, s in p.by_type.items()}
    pools = {
        name: _pool_sums(pool, pricing.wanted.get(name), baselines.get(name), is_stated=stated)
        for name, pool in pricing.pools.items()
    }
    cluster = ClusterSums(
        seen_hours=1.0,
        stated_hours=float(stated),
        unused_usd=pricing.covers.coverage.unused_usd_per_hour,
    )
    return Flow(at=plan.at, nodes=nodes, pools=pools, cluster=cluster)


def _pool_sums(
    pool: PricedPool, wanted: tuple[float, float] | None, baseline: float | None, *, is_stated: bool
) -> PoolSums:
    net = pool.all_on_demand_usd - pool.uncovered_usd
    a_share = pool.all_on_demand_usd - pool.all_spot_usd
    target = pool.spot_ratio if wanted is None else wanted[0]
    n_double, double_usd = pool.double
    before = pool.uncovered_usd
    if baseline is not None:
        before += (pool.spot_ratio - baseline) * a_share - double_usd
    return PoolSums(
        saved_usd=max(0.0, net),
        overspent_usd=max(0.0, -net),
        at_stake_usd=0.0 if is_stated else pool.spot_list_usd,
        projected_usd=max(0.0, net + (target - pool.spot_ratio) * a_share),
        before_usd=max(0.0, before),
        double_hours=n_double,
        double_usd=double_usd,
    )


def _covers(observation: Observation, before: Covers) -> Covers:
    """Cover the nodes as they are, and as if all were on-demand; kept while nothing changes."""
    now = covered_at(observation, before.now)
    if now is before.now or (not now.commitments and now.coverage == before.coverage):
        return before
    if not now.commitments:
        return Covers(now=now, coverage=now.coverage)
    whole = coverage_of(
        (
            replace(node, capacity_type=CapacityType.ON_DEMAND)
            for node in observation.cluster.nodes
            if not node.mark and node.capacity_type is not CapacityType.UNKNOWN
        ),
        prices_of(observation.market.quotes.values()),
        now.commitments,
    )
    types = {node.offering.instance_type for node in observation.cluster.nodes}
    discounts = {(c.name, t): c.discount_of(t) for c in now.commitments for t in types}
    return Covers(now=now, coverage=now.coverage, all_on_demand=whole, discounts=discounts)


def _priced_pool(
    nodes: Sequence[NodeFact],
    quotes: Mapping[Offering, SpotQuote],
    covers: Covers,
    known: PricedPool | None,
) -> PricedPool:
    if known is not None and _is_same(known, nodes, quotes, covers):
        return known
    prices = {o: _prices(quotes.get(o)) for o in {node.offering for node in nodes}}
    lines = [_Line.of(node, prices[node.offering], covers) for node in nodes]
    by_type: dict[CapacityType, NodeSums] = {}
    for node, line in zip(nodes, lines, strict=True):
        by_type[node.capacity_type] = plus(by_type.get(node.capacity_type, NO_NODES), line.sums)
    counted = [line for line in lines if line.is_counted]
    double = [line for line in lines if line.is_double]
    return PricedPool(
        nodes=nodes,
        prices=prices,
        covers=covers,
        by_type=by_type,
        all_on_demand_usd=math.fsum(line.sums.on_demand_usd for line in counted),
        all_spot_usd=math.fsum(line.spot_usd for line in counted),
        spot_list_usd=math.fsum(line.sums.on_demand_list_usd for line in counted if line.is_spot),
        double=(float(len(double)), math.fsum(line.sums.uncovered_usd for line in double)),
        n_nodes=len(counted),
        n_spot=sum(line.is_spot for line in counted),
        n_pods=sum(node.load.n_workload_pods for node in nodes),
    )


def _is_same(
    known: PricedPool,
    nodes: Sequence[NodeFact],
    quotes: Mapping[Offering, SpotQuote],
    covers: Covers,
) -> bool:
    if known.nodes is not nodes or known.covers is not covers:
        return False
    return all(_prices(quotes.get(o)) == price for o, price in known.prices.items())


def _prices(quote: SpotQuote | None) -> OfferingPrices:
    if quote is None:
        return OfferingPrices(None, None)
    return OfferingPrices(quote.spot_usd_per_hour, quote.on_demand_usd_per_hour)


class _Line(NamedTuple):
    """One node by the hour."""

    sums: NodeSums
    spot_usd: float = 0.0
    is_spot: bool = False
    is_counted: bool = False
    is_double: bool = False

    @classmethod
    def of(cls, node: NodeFact, prices: OfferingPrices, covers: Covers) -> _Line:
        """Price one node; a node that the controller is emptying runs double."""
        is_spot = node.capacity_type is CapacityType.SPOT
        on_demand = prices.on_demand
        own = prices.spot if is_spot else on_demand
        if own is None or on_demand is None or node.capacity_type is CapacityType.UNKNOWN:
            return cls(NodeSums(unpriced_hours=1.0))
        covered = 0.0 if is_spot else covers.coverage.shares.get(node.uid, 0.0)
        double = bool(node.mark)
        share = covers.all_on_demand.shares.get(node.uid, 0.0)
        sums = NodeSums(
            node_hours=1.0,
            list_usd=own,
            uncovered_usd=own * (1.0 - covered),
            committed_usd=own * covered * (1.0 - _discount(node, covers)),
            on_demand_usd=0.0 if double else on_demand * (1.0 - share),
            on_demand_list_usd=0.0 if double else on_demand,
        )
        spot_usd = on_demand if prices.spot is None else prices.spot
        return cls(sums, spot_usd, is_spot, is_counted=not double, is_double=double)


def _discount(node: NodeFact, covers: Covers) -> float:
    """Return what the commitments that cover a node save of its price; of several, the mean."""
    names = covers.coverage.by.get(node.uid, ())
    if not names:
        return 0.0
    found = [covers.discounts.get((n, node.offering.instance_type), 0.0) for n in names]
    return math.fsum(found) / len(found)
