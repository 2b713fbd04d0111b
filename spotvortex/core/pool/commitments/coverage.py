"""Which on-demand nodes the account's commitments pay for already.

Comes in: the cluster's nodes, on-demand prices and commitments. Goes out: the covered share of each
node, and what is left of each commitment. The order is the one that AWS documents: reserved
instances before Savings Plans (zonal before regional, of these the smallest sizes first), EC2
Instance Savings Plans before Compute ones, the highest discount first and of equal ones the lowest
rate. Whatever AWS leaves open is settled by name, so that the order of nodes never matters.

Of nodes that are alike, those that stay anyhow are covered first: which of them a bill names makes
no difference to what a move of another one saves. Those that are leaving come last, so that the
replacement of a node is not taken for one too many while both are there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.domain.cloud.commitments import (
    KIND_RANK,
    Commitment,
    CommitmentState,
)
from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.observation import NodeFact, Observation, PoolFacts
from spotvortex.core.domain.sides import is_driven
from spotvortex.core.domain.types import (
    HARD_BLOCKERS,
    Blocker,
    CapacityType,
    Offering,
    is_price,
    short,
)

_KEPT: Final = frozenset({CapacityType.ON_DEMAND, CapacityType.RESERVED})
_HOLDING: Final = HARD_BLOCKERS | {Blocker.PINNED_ON_DEMAND}
_HOLDING_SPOT: Final = HARD_BLOCKERS | {Blocker.PINNED_SPOT}


NOTHING: Final = 1e-9
"""A share of a node that is rounding and no node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentUse:
    """One commitment, and how far it is used.

    Attributes:
        commitment: the commitment.
        used: how much of its amount the nodes draw.
        unused_usd_per_hour: what the rest costs, None where no price tells.
        offered_to: the pool whose Spot nodes the rest could pay for on-demand, the first by name
            of several; "" of none.
    """

    commitment: Commitment
    used: float
    unused_usd_per_hour: float | None
    offered_to: str = ""

    def idle_nodes(self, offering: Offering, usd_per_hour: float | None) -> float:
        """Return how many on-demand nodes of a type in a zone the rest would pay for."""
        commitment, region = self.commitment, region_of(offering.zone)
        if commitment.zone not in ("", offering.zone):
            return 0.0
        if not commitment.applies_to(offering.instance_type, region):
            return 0.0
        drawn = commitment.drawn_by(offering.instance_type, usd_per_hour)
        return max(0.0, commitment.amount - self.used) / drawn if drawn else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What commitments cover at one instant.

    Attributes:
        state: whether commitments are stated.
        shares: covered share of each node that is covered at all, 0..1, by uid.
        by: names of the commitments that cover it, by uid, in the order of their turn.
        uses: every commitment that counts, in the order of the statement.
    """

    state: CommitmentState = CommitmentState.UNSTATED
    shares: Mapping[str, float] = field(default_factory=dict)
    by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uses: tuple[CommitmentUse, ...] = ()

    @property
    def unused_usd_per_hour(self) -> float:
        """What all commitments cost that nothing uses, as far as prices tell."""
        return math.fsum(use.unused_usd_per_hour or 0.0 for use in self.uses)

    def idle_nodes(self, offering: Offering, usd_per_hour: float | None, pool: str) -> float:
        """Return how many more on-demand nodes of a pool what nothing uses would pay for."""
        return math.fsum(
            use.idle_nodes(offering, usd_per_hour) for use in self.uses if use.offered_to == pool
        )


NO_COVERAGE: Final = Coverage()


@dataclass(slots=True, kw_only=True)
class _Group:
    """Nodes of one type in one region, by `_stays_first`.

    `left` (share not covered yet) and `by` go by place there; no node before `first` has any left.
    """

    instance_type: str
    region: str
    usd_per_hour: float | None
    nodes: Sequence[NodeFact]
    left: list[float]
    by: list[list[str]]
    first: int = 0


Prices = Mapping[tuple[str, str], float]
"""On-demand prices in USD per hour, by instance type and region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """A coverage with what it was made from, which only saves work.

    Attributes:
        pools: the pools.
        unpooled: the nodes of no pool.
        prices: the on-demand prices.
        commitments: those that count.
        coverage: what came of it.
    """

    pools: tuple[PoolFacts, ...] = ()
    unpooled: tuple[NodeFact, ...] = ()
    prices: Prices = field(default_factory=dict)
    commitments: tuple[Commitment, ...] = ()
    coverage: Coverage = NO_COVERAGE


NOTHING_COVERED: Final = Covered()


def covered_at(observation: Observation, before: Covered = NOTHING_COVERED) -> Covered:
    """Cover the nodes of a cluster; what was found before is kept while nothing has changed."""
    cluster, market = observation.cluster, observation.market
    commitments = market.commitments
    items = commitments.at(observation.at)
    if not items:
        return Covered(coverage=Coverage(state=commitments.state))
    prices = prices_of(market.quotes.values())
    if (
        _same(before.pools, cluster.pools)
        and before.unpooled == cluster.unpooled
        and before.prices == prices
        and before.commitments == items
    ):
        return before
    return Covered(
        pools=cluster.pools,
        unpooled=cluster.unpooled,
        prices=prices,
        commitments=items,
        coverage=coverage_of(cluster.nodes, prices, items),
    )


def _same(before: Sequence[PoolFacts], now: Sequence[PoolFacts]) -> bool:
    """Tell whether all pools are the very same objects: a pool that did not change is."""
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))


def prices_of(quotes: Iterable[SpotQuote]) -> Prices:
    """Return the on-demand price of each type in each region; of two the lower one."""
    found: dict[tuple[str, str], float] = {}
    for quote in quotes:
        price = quote.on_demand_usd_per_hour
        if price is None or not is_price(price):
            continue
        key = (quote.offering.instance_type, region_of(quote.offering.zone))
        found[key] = min(price, found.get(key, math.inf))
    return found


def coverage_of(
    nodes: Iterable[NodeFact], prices: Prices, commitments: Sequence[Commitment]
) -> Coverage:
    """Cover nodes by commitments of which none has ended."""
    nodes = tuple(nodes)
    groups = _groups(nodes, prices)
    amounts = {c.name: max(0.0, c.amount) for c in commitments}
    for commitment, group, drawn in sorted(_turns(groups, commitments), key=_turn):
        if amounts[commitment.name] > 0.0:
            amounts[commitment.name] = _draw(commitment, group, drawn, amounts[commitment.name])
    shares: dict[str, float] = {}
    by: dict[str, tuple[str, ...]] = {}
    for group in groups:
        for node, left, names in zip(group.nodes, group.left, group.by, strict=True):
            share = short(1.0 - left)
            if share > 0.0:
                shares[node.uid], by[node.uid] = share, tuple(names)
    uses = _offered([_use(c, amounts[c.name], groups) for c in commitments], nodes, prices)
    return Coverage(state=CommitmentState.STATED, shares=shares, by=by, uses=uses)


def _offered(
    uses: Sequence[CommitmentUse], nodes: Iterable[NodeFact], prices: Prices
) -> tuple[CommitmentUse, ...]:
    """Say of each commitment which pool's Spot nodes could have what is left of it."""
    spot = {(n.pool, n.offering) for n in nodes if n.pool and _may_leave_spot(n)}
    asked = sorted(spot, key=lambda found: found[0])
    return tuple(replace(use, offered_to=_first_to_use(use, asked, prices)) for use in uses)


def _may_leave_spot(node: NodeFact) -> bool:
    held = node.leaving or node.do_not_disrupt or not node.ready or not is_driven(node)
    held = held or any(blocked.blocker in _HOLDING_SPOT for blocked in node.load.blocked)
    return node.capacity_type is CapacityType.SPOT and not held


def _first_to_use(use: CommitmentUse, asked: Sequence[tuple[str, Offering]], prices: Prices) -> str:
    for pool, offering in asked:
        price = prices.get((offering.instance_type, region_of(offering.zone)))
        if use.idle_nodes(offering, price) > NOTHING:
            return pool
    return ""


def _groups(nodes: Iterable[NodeFact], prices: Prices) -> list[_Group]:
    found: dict[tuple[str, str], list[NodeFact]] = {}
    for node in nodes:
        if node.capacity_type in _KEPT:
            key = node.offering.instance_type, region_of(node.offering.zone)
            found.setdefault(key, []).append(node)
    return [
        _Group(
            instance_type=key[0],
            region=key[1],
            usd_per_hour=prices.get(key),
            nodes=sorted(alike, key=_stays_first),
            left=[1.0] * len(alike),
            by=[[] for _ in alike],
        )
        for key, alike in sorted(found.items())
    ]


def _stays_first(node: NodeFact) -> tuple[bool, bool, float, str, str]:
    """Put nodes first that nothing moves to Spot, then the oldest, and last those that leave."""
    stays = (
        node.capacity_type is CapacityType.RESERVED
        or not node.pool
        or not is_driven(node)
        or node.do_not_disrupt
        or any(blocked.blocker in _HOLDING for blocked in node.load.blocked)
    )
    created_at = node.created_at if math.isfinite(node.created_at) else math.inf
    return node.leaving, not stays, created_at, node.name, node.uid


_Turn = tuple[Commitment, _Group, float]


def _turns(groups: Sequence[_Group], commitments: Iterable[Commitment]) -> Iterator[_Turn]:
    """Yield which commitment may cover which nodes, and how much one of those draws."""
    for commitment in commitments:
        for group in groups:
            if not commitment.applies_to(group.instance_type, group.region):
                continue
            drawn = commitment.drawn_by(group.instance_type, group.usd_per_hour)
            if drawn is not None and drawn > 0.0:
                yield commitment, group, drawn


def _turn(turn: _Turn) -> tuple[int, float, float, str, str, str]:
    commitment, group, drawn = turn
    discount = commitment.discount_of(group.instance_type)
    rank = KIND_RANK[commitment.kind]
    return rank, -discount, drawn, commitment.name, group.instance_type, group.region


def _draw(commitment: Commitment, group: _Group, drawn: float, amount: float) -> float:
    """Cover nodes of a group until either is used up; return what is left of the amount."""
    while group.first < len(group.nodes) and group.left[group.first] <= 0.0:
        group.first += 1
    for i in range(group.first, len(group.nodes)):
        zone = group.nodes[i].offering.zone
        if group.left[i] <= 0.0 or commitment.zone not in ("", zone):
            continue
        share = amount / drawn
        if share >= group.left[i] - NOTHING:
            amount -= group.left[i] * drawn
            group.left[i] = 0.0
        else:
            group.left[i] -= share
            amount = 0.0
        group.by[i].append(commitment.name)
        if amount <= NOTHING * drawn:
            return 0.0
    return amount


def _use(commitment: Commitment, unused: float, groups: Sequence[_Group]) -> CommitmentUse:
    """Say what is left of a commitment, by the first type there that it applies to."""
    fitting = (g for g in groups if commitment.applies_to(g.instance_type, g.region))
    group = next((g for g in fitting if g.usd_per_hour is not None), None)
    instance_type = commitment.instance_type or (group.instance_type if group else "")
    worth = commitment.worth_of(unused, instance_type, group.usd_per_hour if group else None)
    return CommitmentUse(
        commitment=commitment,
        used=short(max(0.0, commitment.amount) - unused),
        unused_usd_per_hour=0.0 if not unused else worth if worth is None else short(worth),
    )
