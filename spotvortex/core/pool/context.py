"""What is seen of the world beside one pool: prices, scores, and moves that are under way.

Comes in: an observation and the scores made from it. Goes out: a `CycleContext`. A value that
cannot be right (NaN, a price of zero, a score outside 0..1) counts as unknown, never as good news.
May not judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.domain.inputs import InputHealth
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.observation import Observation
from spotvortex.core.domain.types import Offering, is_price, short
from spotvortex.core.drain.keeping import anchored_until
from spotvortex.core.pool.commitments.coverage import NO_COVERAGE, Coverage
from spotvortex.core.scoring.features import OfferingContext, OfferingScore

NO_QUOTE: Final = SpotQuote(offering=Offering(instance_type="", zone=""))
"""Stands for a quote that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleContext:
    """What is seen of the world beside one pool, the same for all pools of a cycle.

    Attributes:
        at: wall time of the observation.
        quotes: prices by offering.
        scores: risk scores by offering.
        inputs: the health of every input.
        max_input_age_s: age from which an input is stale, in seconds.
        in_flight_uids: uids of the nodes that the controller's orders are about.
        anchored: uids of the nodes that the controller's anchors keep.
        at_risk: uids of the nodes that a rebalance was recommended for.
        own_node: name of the node that this process runs on, "" where that is not known.
        budgets_bind: PodDisruptionBudgets bound a loss, too.
        relieve_first: nodes whose leaving makes a loss hurt less are the first to leave Spot.
        outside_first: nodes outside the model's scope are the first to leave Spot, not the last.
        coverage: which on-demand nodes the account's commitments pay for already.
        known: what the interruption memory knows, by offering.
        max_moving_ratio: share of a pool that may be on the move at once, 0..1.
    """

    at: float
    quotes: Mapping[Offering, SpotQuote]
    scores: Mapping[Offering, OfferingScore]
    inputs: tuple[InputHealth, ...]
    max_input_age_s: float
    in_flight_uids: frozenset[str] = frozenset()
    anchored: frozenset[str] = frozenset()
    at_risk: frozenset[str] = frozenset()
    own_node: str = ""
    outside_first: bool = False
    budgets_bind: bool = False
    relieve_first: bool = False
    coverage: Coverage = NO_COVERAGE
    known: Mapping[Offering, OfferingContext] = field(default_factory=dict)
    max_moving_ratio: float = 0.0

    def covers(self, offering: Offering) -> bool:
        """Tell whether the model was made for an offering; true where nothing is known of it."""
        score = self.scores.get(offering)
        # IMPORTANT: without a score nothing is known of the scope; "not in scope" can be an exit.
        return score is None or score.in_scope


def cycle_context(
    observation: Observation,
    scores: Mapping[Offering, OfferingScore],
    limits: Limits,
    in_flight_uids: frozenset[str] = frozenset(),
    coverage: Coverage = NO_COVERAGE,
) -> CycleContext:
    """Gather what all pools of a cycle share, as far as it can be right.

    `in_flight_uids` are those that the cluster shows.
    """
    cluster = observation.cluster
    found = CycleContext(
        in_flight_uids=in_flight_uids | observation.in_hand,
        anchored=frozenset(anchored_until(cluster.own_pods, observation.at)),
        at_risk=frozenset(node.uid for node in cluster.nodes if node.at_risk),
        own_node=observation.standing.own_node,
        at=observation.at,
        quotes=observation.market.quotes,
        scores=scores,
        inputs=observation.inputs,
        max_input_age_s=limits.max_input_age_s,
        outside_first=limits.exit_unsupported,
        budgets_bind=limits.budgets_bind,
        relieve_first=limits.reduce_unsafe,
        coverage=coverage,
        max_moving_ratio=limits.max_pool_disruption_ratio,
    )
    return trusted(found)


def trusted(sight: CycleContext) -> CycleContext:
    """Make unknown what cannot be right. Once a cycle: pools share most of their offerings."""
    return replace(
        sight,
        quotes={offering: _priced(quote) for offering, quote in sight.quotes.items()},
        scores={offering: _scored(score) for offering, score in sight.scores.items()},
    )


def _priced(quote: SpotQuote) -> SpotQuote:
    """Drop a value that is no price, and one recorded in the future or at no time."""
    spot = _price(quote.spot_usd_per_hour)
    if spot is None and quote.spot_usd_per_hour is not None:
        quote = replace(quote, age_s=math.inf)
    spot = spot if quote.age_s >= 0.0 else None
    on_demand = _price(quote.on_demand_usd_per_hour)
    if (spot, on_demand) == (quote.spot_usd_per_hour, quote.on_demand_usd_per_hour):
        return quote
    return replace(quote, spot_usd_per_hour=spot, on_demand_usd_per_hour=on_demand)


def _price(value: float | None) -> float | None:
    """Round a price; one that rounding leaves nothing of is none."""
    price = None if value is None else short(value)
    return price if price is not None and is_price(price) else None


def _scored(score: OfferingScore) -> OfferingScore:
    """Drop a figure that is no probability, and any of a family outside the model's scope."""
    if not score.in_scope:
        return replace(score, capacity_score=None, runtime_score=None)
    capacity = _within(score.capacity_score, 0.0, 1.0)
    runtime = _within(score.runtime_score, 0.0, 1.0)
    if (capacity, runtime) == (score.capacity_score, score.runtime_score):
        return score
    return replace(score, capacity_score=capacity, runtime_score=runtime)


def _within(value: float | None, low: float, high: float) -> float | None:
    return short(value) if value is not None and low <= value <= high else None
