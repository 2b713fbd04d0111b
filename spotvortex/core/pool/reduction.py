"""From the facts of one pool to what its decision reads.

Comes in: nodes, budgets, quotes, scores and the health of the inputs. Goes out: a `PoolInput`. A
value that cannot be right (NaN, a price of zero, a score outside 0..1) counts as unknown, never as
good news. The order in which nodes, budgets or inputs come never matters. May not judge.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import lru_cache
from itertools import zip_longest
from typing import Final

from spotvortex.core.domain.inputs import InputHealth, InputState
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.observation import NodeFact, NodeGroupFact
from spotvortex.core.domain.sides import allows, receiving_sides
from spotvortex.core.domain.types import (
    Blocker,
    CapacityType,
    Fallback,
    Offering,
    is_price,
    short,
)
from spotvortex.core.pool.commitments.effective_price import (
    cover_of,
    least_covered,
    marginal_usd_per_hour,
)
from spotvortex.core.pool.context import NO_QUOTE, CycleContext
from spotvortex.core.pool.group_fit import room_for
from spotvortex.core.pool.input import (
    FEW_CANDIDATES,
    MAX_CANDIDATES,
    MAX_OFFERINGS,
    Candidate,
    GroupFit,
    Money,
    OfferingInput,
    PoolInput,
    Risk,
)
from spotvortex.core.pool.loss_safety import loss_safety, relieving_first, safe_first
from spotvortex.core.pool.offerings import offerings_of, others_of
from spotvortex.core.pool.owner_rules import rules_of
from spotvortex.core.pool.shifting import age_s, shiftable
from spotvortex.core.pool.summary import PoolSummary
from spotvortex.core.pool.survival.safety_vector import UNKNOWN_STARTUP_S
from spotvortex.core.scoring.features import price_ratio

MEMORY_CONFIDENCE: Final = 0.75
"""Confidence term of a score that the memory gave in the place of a graph that was to decide."""

MAX_STEPS: Final = 100.0
"""The learned policy's clock stops here."""

_Places = tuple[tuple[NodeFact, ...], GroupFit]
"""Nodes that may move, the first to move first, and where they could go."""

_KEPT: Final = frozenset({CapacityType.ON_DEMAND, CapacityType.RESERVED})

_CONSOLIDATING: Final = frozenset({"WhenEmptyOrUnderutilized", "WhenUnderutilized"})
"""Policies of NodePools under which Karpenter replaces a node by a cheaper one."""


def reduce_summary(shape: PoolSummary, sight: CycleContext) -> PoolInput:
    """Reduce one pool whose shape is known already; what is seen has to be `trusted`."""
    nodes, spot = shape.nodes, shape.spot
    entry_nodes = _growing(shape, sight)
    away, room_on_demand = _places(shape, sight, CapacityType.ON_DEMAND)
    entry, room_spot = _places(shape, sight, CapacityType.SPOT)
    offerings = offerings_of(nodes, sight)
    found = PoolInput(
        pool=shape.facts.name,
        at=sight.at,
        provisioner=shape.facts.provisioner,
        n_spot=len(spot),
        n_on_demand=len(shape.on_demand),
        n_reserved=shape.n_of(CapacityType.RESERVED),
        n_unknown=shape.n_of(CapacityType.UNKNOWN),
        n_spot_out_of_scope=sum(o.n_spot for o in offerings if not o.in_scope),
        n_moving=sum(1 for n in nodes if n.moving or n.cordoned or n.uid in sight.in_flight_uids),
        n_not_ready=sum(1 for n in nodes if not n.ready),
        allows_spot=CapacityType.SPOT in shape.capacity_types,
        allows_on_demand=CapacityType.ON_DEMAND in shape.capacity_types,
        cpu_requested_ratio=shape.cpu_requested_ratio,
        memory_requested_ratio=shape.memory_requested_ratio,
        offerings=offerings[:MAX_OFFERINGS],
        n_offerings=len(offerings),
        spot_risk=_risk(spot, sight),
        entry_risk=_risk(entry_nodes, sight),
        spot_money=_money(spot, sight),
        entry_money=_money(entry_nodes, sight),
        safety=loss_safety(shape, away, entry, sight),
        to_on_demand=_candidates(away, shape, CapacityType.ON_DEMAND, sight),
        to_spot=_candidates(entry, shape, CapacityType.SPOT, sight),
        n_spot_movable=len(away),
        n_on_demand_movable=len(entry),
        room_on_demand=room_on_demand,
        room_spot=room_spot,
        blocked=_blocked(shape.blockers),
        unsupported=tuple(sorted({o.offering.family for o in offerings if not o.in_scope})),
        out_of_range=_out_of_range(offerings, sight),
        outage_hours=_mean(n.load.outage_hours for n in nodes),
        outage_said_ratio=_share(n.load.outage_hours is not None for n in nodes),
        startup_s=max((n.load.startup_s or 0.0 for n in nodes), default=0.0) or UNKNOWN_STARTUP_S,
        steps_since_move=_steps_since_move(nodes, sight.at),
        price_deviation_usd_per_hour=_price_deviation(spot or entry_nodes, sight),
        oldest_input_s=_oldest_input_s(sight),
        bad_inputs=_bad_inputs(sight),
        confidence_terms=_confidence([n for n in nodes if sight.covers(n.offering)], sight),
    )
    return _with_ours(found, shape, sight)


def _with_ours(found: PoolInput, shape: PoolSummary, sight: CycleContext) -> PoolInput:
    """Add what is asked for the pool, and which of its nodes are on the move, kept or at risk.

    And which Spot nodes may move to other Spot.
    """
    able = shiftable(shape, sight) if shape.spot else None
    kept = [n for n in shape.nodes if n.capacity_type in _KEPT]
    outside = [n for n in shape.spot if not sight.covers(n.offering)]
    return replace(
        found,
        node_vcpu=_node_vcpu(shape.on_demand or shape.nodes),
        n_spot_leaving=_n_leaving(shape.spot, sight),
        n_on_demand_leaving=_n_leaving(kept, sight),
        n_in_flight=sum(1 for n in shape.nodes if n.uid in sight.in_flight_uids and not n.moving),
        n_anchored=sum(1 for n in shape.on_demand if n.uid in sight.anchored),
        consolidates=any(map(_brings_back, shape.facts.node_groups)),
        rules=rules_of(shape.facts.node_groups),
        vector=shape.vector,
        n_spot_outside=len(outside) - _n_leaving(outside, sight),
        commitments=cover_of(kept, _movable_to_spot(shape, sight), sight.coverage),
        others=others_of(shape.nodes, shape.usable, sight),
        to_shift=_candidates(able.nodes, shape, CapacityType.SPOT, sight) if able else (),
        room_shift=able.room if able else None,
        n_shift_safe=able.n_safe if able else 0,
    )


def _brings_back(group: NodeGroupFact) -> bool:
    """Tell whether a NodePool by itself replaces its on-demand nodes by Spot ones of its own."""
    return group.consolidation in _CONSOLIDATING and allows(group, CapacityType.UNKNOWN)


def _places(shape: PoolSummary, sight: CycleContext, to: CapacityType) -> _Places:
    """Return the nodes that may move there, best first, and the room that NodePools have."""
    ranked = _in_order(shape, sight, to)
    asked = (ranked, sight.relieve_first, sight.budgets_bind)
    return shape.last.of(("places", to), asked, lambda: _placed(ranked, shape, sight, to))


def _placed(
    ranked: tuple[NodeFact, ...], shape: PoolSummary, sight: CycleContext, to: CapacityType
) -> _Places:
    found, room = room_for(ranked, shape.nodes, shape.facts.node_groups, to, shape.sizes)
    first = relieving_first if to is CapacityType.ON_DEMAND else safe_first
    return first(found, room, shape, sight), room


def _in_order(shape: PoolSummary, sight: CycleContext, to: CapacityType) -> tuple[NodeFact, ...]:
    """Return the nodes that may move there, in the order of risk or of price."""
    if to is CapacityType.ON_DEMAND:
        movable = _free(shape.movable_spot, sight)
        return _ranked(movable, sight, lambda o: -_runtime(sight, o))
    return _ranked(_growing(shape, sight), sight, lambda o: _price_ratio(sight, o))


def _free(nodes: Iterable[NodeFact], sight: CycleContext) -> tuple[NodeFact, ...]:
    """Leave out the nodes that one of the controller's orders is about already."""
    return tuple(n for n in nodes if n.uid not in sight.in_flight_uids)


def _growing(shape: PoolSummary, sight: CycleContext) -> tuple[NodeFact, ...]:
    """Return the on-demand nodes that may become Spot: what has no score never does.

    Nodes that a commitment pays for stay where others may move, and else are said to be such.
    """
    return least_covered(_movable_to_spot(shape, sight), sight.coverage)


def _movable_to_spot(shape: PoolSummary, sight: CycleContext) -> list[NodeFact]:
    free = _free(shape.movable_on_demand, sight)
    return [n for n in free if sight.covers(n.offering)]


def _n_leaving(nodes: Iterable[NodeFact], sight: CycleContext) -> int:
    return sum(1 for n in nodes if n.moving or n.cordoned or n.uid in sight.in_flight_uids)


def _node_vcpu(nodes: Iterable[NodeFact]) -> int:
    """Return the whole vCPU of the smallest node: what is allocatable is a little less."""
    sizes = [n.allocatable_cpu_milli for n in nodes if n.allocatable_cpu_milli > 0]
    return math.ceil(min(sizes) / 1000) if sizes else 0


def _share(said: Iterable[bool]) -> float:
    answers = list(said)
    return short(sum(answers) / len(answers)) if answers else 0.0


def _steps_since_move(nodes: Sequence[NodeFact], at: float) -> float:
    """Return the age of the pool's youngest node in steps of 600 s: the last time that it changed.

    A node that claims to be from the future has just come.
    """
    ages = [max(0.0, at - n.created_at) for n in nodes if math.isfinite(n.created_at)]
    return short(min(min(ages, default=math.inf) / 600.0, MAX_STEPS))


def _price_deviation(nodes: Sequence[NodeFact], sight: CycleContext) -> float:
    """Return the sample deviation of the last 12 price points of the commonest offering."""
    counts = Counter(n.offering for n in nodes)
    offering = min(counts, key=lambda o: (-counts[o], o), default=NO_QUOTE.offering)
    return _deviation(sight.quotes.get(offering, NO_QUOTE).history_usd_per_hour[-12:])


@lru_cache(maxsize=1024)
def _deviation(history: tuple[float, ...]) -> float:
    """Return the sample deviation of what can be prices; many pools and cycles ask of the same."""
    prices = [price for price in history if is_price(price)]
    return short(statistics.stdev(prices)) if len(prices) > 1 else 0.0


def _is_bad(health: InputHealth, max_age_s: float) -> bool:
    if not health.required:
        return False
    return health.state is not InputState.OK or not health.age_s <= max_age_s


def _bad_inputs(sight: CycleContext) -> tuple[str, ...]:
    limit = sight.max_input_age_s
    return tuple(sorted(h.name.value for h in sight.inputs if _is_bad(h, limit)))


def _oldest_input_s(sight: CycleContext) -> float:
    """Return the age of the oldest required input, infinite where there is none or no number."""
    ages = [h.age_s for h in sight.inputs if h.required]
    return short(max((math.inf if math.isnan(age) else age for age in ages), default=math.inf))


def _ranked(
    nodes: Iterable[NodeFact], sight: CycleContext, rank: Callable[[Offering], float]
) -> tuple[NodeFact, ...]:
    """Order movable nodes: offerings by rank in turn, the smallest blast radius of each first.

    Nodes with a rebalance recommendation come before all others, the process's own node last. Those
    that only an owner's word may move come after those that others may, so that they hide none; the
    other way round where they are to leave anyhow.
    """
    groups: dict[Offering, list[NodeFact]] = {}
    for node in nodes:
        groups.setdefault(node.offering, []).append(node)
    ordered = sorted(groups, key=lambda o: (rank(o), o))
    lanes = [
        sorted(groups[o], key=lambda n: (n.load.n_workload_pods, n.load.workload_cpu_milli, n.name))
        for o in ordered
    ]
    picked = [node for turn in zip_longest(*lanes) for node in turn if node is not None]
    return tuple(sorted(picked, key=lambda n: _turn(n, sight)))


def _turn(node: NodeFact, sight: CycleContext) -> tuple[bool, bool, bool]:
    late = sight.covers(node.offering) is sight.outside_first
    return late, node.name == sight.own_node, node.uid not in sight.at_risk


def _candidates(
    nodes: Sequence[NodeFact], shape: PoolSummary, to: CapacityType, sight: CycleContext
) -> tuple[Candidate, ...]:
    named = nodes[: _n_named(shape, sight)]
    return tuple(_candidate(node, _sides(node, shape, to), sight) for node in named)


def _sides(node: NodeFact, shape: PoolSummary, to: CapacityType) -> tuple[str, ...]:
    """Return the node groups that may take a node's pods: the same for all nodes of its group."""
    asked = ("sides", node.provisioner, node.node_group, to)
    return shape.last.of(asked, (), lambda: receiving_sides(node, shape.facts.node_groups, to))


def _n_named(shape: PoolSummary, sight: CycleContext) -> int:
    """Return how many nodes are named: no more than may be on the move at once, and a few."""
    n_at_once = math.ceil(sight.max_moving_ratio * len(shape.nodes))
    return min(MAX_CANDIDATES, max(FEW_CANDIDATES, n_at_once))


def _candidate(node: NodeFact, sides: tuple[str, ...], sight: CycleContext) -> Candidate:
    return Candidate(
        sides=sides,
        node=node.name,
        uid=node.uid,
        claim=node.claim,
        node_group=node.node_group,
        offering=node.offering,
        n_pods=node.load.n_workload_pods,
        workload_cpu_milli=node.load.workload_cpu_milli,
        workload_memory_bytes=node.load.workload_memory_bytes,
        anchored=node.uid in sight.anchored,
        in_scope=sight.covers(node.offering),
        age_s=age_s(node, sight.at),
    )


def _runtime(sight: CycleContext, offering: Offering) -> float:
    score = sight.scores.get(offering)
    return score.runtime_score if score and score.runtime_score is not None else 1.0


def _price_ratio(sight: CycleContext, offering: Offering) -> float:
    ratio = price_ratio(sight.quotes.get(offering, NO_QUOTE))
    return ratio if math.isfinite(ratio) else math.inf


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return short(math.fsum(known) / len(known)) if known else None


def _risk(nodes: Sequence[NodeFact], sight: CycleContext) -> Risk:
    scores = [s for n in nodes if (s := sight.scores.get(n.offering)) is not None]
    known = [s for s in scores if s.runtime_score is not None]
    worst = max(known, key=lambda s: (s.runtime_score or 0.0, s.offering), default=None)
    return Risk(
        capacity=_mean(s.capacity_score for s in scores),
        runtime=_mean(s.runtime_score for s in scores),
        worst=str(worst.offering) if worst else "",
        worst_runtime=worst.runtime_score if worst else None,
    )


def _money(nodes: Sequence[NodeFact], sight: CycleContext) -> Money:
    quoted = [(n, sight.quotes.get(n.offering, NO_QUOTE)) for n in nodes]
    priced = [(n, q) for n, q in quoted if math.isfinite(price_ratio(q))]
    known = [q for _, q in priced]
    return Money(
        spot_usd_per_hour=_mean(q.spot_usd_per_hour for q in known),
        on_demand_usd_per_hour=_mean(q.on_demand_usd_per_hour for q in known),
        covered_ratio=short(len(known) / len(quoted)) if quoted else 1.0,
        last_resort=any(q.last_resort for q in known),
        too_old_s=_too_old_s(q for _, q in quoted),
        marginal_usd_per_hour=marginal_usd_per_hour(priced, sight.coverage),
    )


def _too_old_s(quotes: Iterable[SpotQuote]) -> float | None:
    """Return the age of the oldest price that its source has left out for its age."""
    ages = [q.age_s for q in quotes if q.spot_usd_per_hour is None and 0.0 <= q.age_s < math.inf]
    return short(max(ages)) if ages else None


def _blocked(blockers: Mapping[str, Set[Blocker]]) -> tuple[tuple[Blocker, int], ...]:
    counts = Counter(blocker for found in blockers.values() for blocker in found)
    return tuple(sorted(counts.items()))


def _out_of_range(offerings: Sequence[OfferingInput], sight: CycleContext) -> tuple[str, ...]:
    found = [
        str(o.offering)
        for o in offerings
        if o.in_scope and (s := sight.scores.get(o.offering)) is not None and not s.in_range
    ]
    return tuple(sorted(found)[:FEW_CANDIDATES])


def _confidence(nodes: Sequence[NodeFact], sight: CycleContext) -> tuple[tuple[str, float], ...]:
    """Return terms 0..1: how fresh, how well priced, how long a history, how near the training."""
    n = len(nodes)
    if n == 0:
        return (("nodes", 0.0),)
    scores = [sight.scores.get(node.offering) for node in nodes]
    freshness = 1.0 - 0.5 * _oldest_input_s(sight) / sight.max_input_age_s
    priced = _money(nodes, sight).covered_ratio
    history = math.fsum(min(1.0, s.n_history / 144.0) for s in scores if s) / n
    in_range = sum(1 for s in scores if s and s.in_range) / n
    known = [s for s in scores if s and s.runtime_score is not None]
    n_abstained = sum(1 for s in known if s.fallback is Fallback.ABSTAINED)
    scored = (len(known) - (1.0 - MEMORY_CONFIDENCE) * n_abstained) / n
    terms = {
        "freshness": min(1.0, max(0.0, freshness)),
        "history": 0.5 + 0.5 * history,
        "model_range": in_range,
        "prices": priced,
        "scores": scored,
    }
    if any(s.fallback is Fallback.DRIFTED for s in known):
        terms["calibration"] = MEMORY_CONFIDENCE
    return tuple((name, short(value)) for name, value in terms.items())
