"""The offerings of a pool: those that it holds, those that it may use, and what is known of each.

Comes in: the facts of a pool, prices, scores and ages. Goes out: offerings, bounded: the types that
it holds, and those that its groups list where they are few, in every zone where it has a node or a
group may buy. What a group's requirements allow by other words than types is not guessed. May not
judge any of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from spotvortex.core.domain.observation import ClusterFacts, NodeFact, NodeGroupFact, PoolFacts
from spotvortex.core.domain.sides import allows
from spotvortex.core.domain.types import CapacityType, Offering, short
from spotvortex.core.pool.context import NO_QUOTE, CycleContext
from spotvortex.core.pool.input import MAX_IDLE_NODES, MAX_OTHERS, OfferingInput
from spotvortex.core.scoring.features import OfferingContext

LATELY_HOURS: Final = 24.0
"""A loss within this time makes an offering worth naming though it is not held."""

UNKNOWN: Final = OfferingContext(
    offering=NO_QUOTE.offering, quote=NO_QUOTE, hours_since_loss=0.0, hazard_per_hour=0.0
)
"""Stands for what the memory does not know."""

MAX_SOURCE: Final = 64
"""Characters of the name of a source of prices that are recorded."""

MAX_LISTED_TYPES: Final = 8
"""Types that a group may list so that all of them are looked at; of more, those held are."""

MAX_SIBLINGS: Final = 36
"""Offerings of one pool that are looked at, held or not."""


def usable_by(pool: PoolFacts) -> tuple[Offering, ...]:
    """Return the Spot offerings that a pool may use, sorted; those held come first where cut."""
    held = Offering.each_once(node.offering for node in pool.nodes)
    return _usable(frozenset(held), pool.node_groups)


@lru_cache(maxsize=1024)
def _usable(held: frozenset[Offering], groups: tuple[NodeGroupFact, ...]) -> tuple[Offering, ...]:
    """Return what is held, and what groups may buy beside; the same from cycle to cycle."""
    if not held:
        return ()
    found = sorted(set(_siblings(groups, held)) - held)
    return tuple(sorted([*sorted(held), *found][: max(MAX_SIBLINGS, len(held))]))


def usable_in(cluster: ClusterFacts) -> tuple[Offering, ...]:
    """Return the offerings that a cluster holds or its pools may use, each once, sorted."""
    found = set(cluster.offerings)
    for pool in cluster.pools:
        found.update(usable_by(pool))
    return tuple(sorted(found))


def _siblings(groups: tuple[NodeGroupFact, ...], held: frozenset[Offering]) -> Iterator[Offering]:
    own_types, own_zones = {o.instance_type for o in held}, {o.zone for o in held}
    for group in groups:
        if not allows(group, CapacityType.SPOT):
            continue
        listed = set(group.instance_types)
        types = own_types & listed if listed else own_types
        if 0 < len(listed) <= MAX_LISTED_TYPES:
            types = listed
        for instance_type in types:
            for zone in group.zones or own_zones:
                yield Offering(instance_type=instance_type, zone=zone)


def offerings_of(nodes: Sequence[NodeFact], sight: CycleContext) -> tuple[OfferingInput, ...]:
    """Return the offerings that a pool holds, the largest first."""
    n_spot: dict[Offering, int] = {}
    n_on_demand: dict[Offering, int] = {}
    for node in nodes:
        n_spot.setdefault(node.offering, 0)
        n_on_demand.setdefault(node.offering, 0)
        if node.capacity_type is CapacityType.SPOT:
            n_spot[node.offering] += 1
        else:
            n_on_demand[node.offering] += 1
    order = sorted(n_spot, key=lambda o: (-n_spot[o], -n_on_demand[o], o))
    pool = nodes[0].pool if nodes else ""
    found = tuple(_offering_input(o, n_spot[o], n_on_demand[o], sight) for o in order)
    if not sight.coverage.uses:
        return found
    return tuple(replace(o, idle_nodes=_idle_nodes(o.offering, pool, sight)) for o in found)


def others_of(
    nodes: Sequence[NodeFact], usable: Sequence[Offering], sight: CycleContext
) -> tuple[OfferingInput, ...]:
    """Return the Spot offerings that a pool may use and does not hold: lost lately, then cheap."""
    held = {node.offering for node in nodes}
    known = [o for o in usable if o not in held and _is_scored(o, sight)]
    known.sort(key=lambda o: (_hours_lately(o, sight), _ratio(o, sight), o))
    return tuple(_offering_input(o, 0, 0, sight) for o in known[:MAX_OTHERS])


def _is_scored(offering: Offering, sight: CycleContext) -> bool:
    score = sight.scores.get(offering)
    return score is not None and score.in_scope and score.runtime_score is not None


def _hours_lately(offering: Offering, sight: CycleContext) -> float:
    """Return hours since a loss to sort by: one of more than a day ago is none."""
    hours = _rounded(sight.known.get(offering, UNKNOWN).lost_hours)
    return hours if hours is not None and hours <= LATELY_HOURS else math.inf


def _ratio(offering: Offering, sight: CycleContext) -> float:
    quote = sight.quotes.get(offering, NO_QUOTE)
    spot, on_demand = quote.spot_usd_per_hour, quote.on_demand_usd_per_hour
    return math.inf if spot is None or on_demand is None else spot / on_demand


def _offering_input(
    offering: Offering, n_spot: int, n_on_demand: int, sight: CycleContext
) -> OfferingInput:
    quote = sight.quotes.get(offering, NO_QUOTE)
    score = sight.scores.get(offering)
    known = sight.known.get(offering, UNKNOWN)
    return OfferingInput(
        offering=offering,
        n_spot=n_spot,
        n_on_demand=n_on_demand,
        spot_usd_per_hour=quote.spot_usd_per_hour,
        on_demand_usd_per_hour=quote.on_demand_usd_per_hour,
        capacity_score=score.capacity_score if score else None,
        runtime_score=score.runtime_score if score else None,
        in_scope=sight.covers(offering),
        risk_factor=score.risk_factor if score else 1.0,
        price_source=quote.source[:MAX_SOURCE],
        held_hours=None if known is UNKNOWN else round(known.held_hours, 2),
        lost_hours=_rounded(known.lost_hours),
        is_survivor=known.is_survivor,
        refused_hours=_rounded(known.refused_hours),
        from_memory=score is not None and score.from_memory,
    )


def _idle_nodes(offering: Offering, pool: str, sight: CycleContext) -> float:
    listed = sight.quotes.get(offering, NO_QUOTE).on_demand_usd_per_hour
    return short(min(sight.coverage.idle_nodes(offering, listed, pool), MAX_IDLE_NODES))


def _rounded(hours: float | None) -> float | None:
    return None if hours is None else round(hours, 2)
