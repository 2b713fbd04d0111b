"""From the facts of one pool to what its decision reads.

Comes in: nodes, budgets, quotes, scores and the health of the inputs. Goes out: a `PoolInput`. What
is no figure (NaN, a price of zero, a score outside 0..1) counts as unknown, never as good news. The
order in which nodes, budgets or inputs come never matters. May not judge.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final

from spotvortex.core.blocking import blockers_of, capacity_types_of, pdb_blocked_nodes
from spotvortex.core.features import OfferingScore, price_ratio
from spotvortex.core.observation import (
    InputHealth,
    InputState,
    NodeFact,
    PoolFacts,
    SpotQuote,
)
from spotvortex.core.pools import (
    MAX_CANDIDATES,
    MAX_OFFERINGS,
    Candidate,
    Money,
    OfferingInput,
    PoolInput,
    Risk,
    Safety,
)
from spotvortex.core.safety import safe_moves_to_spot, tightest, worst_zone_margins
from spotvortex.core.types import HARD_BLOCKERS, Blocker, CapacityType, Offering

MAX_PRICE_USD_PER_HOUR: Final = 1e6
"""A price above this is an error of its source, not a price."""

_NO_QUOTE: Final = SpotQuote(offering=Offering(instance_type="", zone=""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is seen of the world beside one pool, the same for all pools of a cycle."""

    at: float
    quotes: Mapping[Offering, SpotQuote]
    scores: Mapping[Offering, OfferingScore]
    inputs: tuple[InputHealth, ...]
    max_input_age_s: float


def reduce_pool(pool: PoolFacts, sight: Sight) -> PoolInput:
    """Reduce one pool to what its decision reads. The order of nodes never matters."""
    nodes = sorted(pool.nodes, key=lambda n: (n.name, n.uid))
    sight = _trusted(sight, nodes)
    spot = _of(nodes, CapacityType.SPOT)
    on_demand = _of(nodes, CapacityType.ON_DEMAND)
    pdb_blocked = pdb_blocked_nodes(pool)
    blockers = {n.name: blockers_of(n, pdb_blocked) for n in nodes}
    away = _candidates(spot, blockers, lambda o: -_runtime(sight, o))
    entry = _candidates(on_demand, blockers, lambda o: _price_ratio(sight, o))
    kinds = capacity_types_of(pool)
    offerings = _offerings(nodes, sight)
    cpu, memory = _requested_ratios(nodes)
    bad = tuple(sorted(h.name for h in sight.inputs if _is_bad(h, sight.max_input_age_s)))
    entry_names = {c.node for c in entry}
    entry_nodes = [n for n in on_demand if n.name in entry_names]
    return PoolInput(
        pool=pool.name,
        at=sight.at,
        provisioner=pool.provisioner,
        n_spot=len(spot),
        n_on_demand=len(on_demand),
        n_reserved=len(_of(nodes, CapacityType.RESERVED)),
        n_unknown=len(_of(nodes, CapacityType.UNKNOWN)),
        n_spot_out_of_scope=sum(o.n_spot for o in offerings if not o.in_scope),
        n_moving=sum(1 for n in nodes if n.moving or n.cordoned),
        n_not_ready=sum(1 for n in nodes if not n.ready),
        allows_spot=CapacityType.SPOT in kinds,
        allows_on_demand=CapacityType.ON_DEMAND in kinds,
        cpu_requested_ratio=cpu,
        memory_requested_ratio=memory,
        offerings=offerings[:MAX_OFFERINGS],
        n_offerings=len(offerings),
        spot_risk=_risk(spot, sight),
        entry_risk=_risk(entry_nodes, sight),
        spot_money=_money(spot, sight),
        entry_money=_money(entry_nodes, sight),
        safety=_safety(pool, entry, sight),
        to_on_demand=away[:MAX_CANDIDATES],
        to_spot=entry[:MAX_CANDIDATES],
        n_spot_movable=len(away),
        n_on_demand_movable=len(entry),
        blocked=_blocked(blockers),
        unsupported=tuple(sorted({o.offering.family for o in offerings if not o.in_scope})),
        out_of_range=_out_of_range(offerings, sight),
        oldest_input_s=_oldest_input_s(sight),
        bad_inputs=bad,
        confidence_terms=_confidence(nodes, sight),
    )


def _trusted(sight: Sight, nodes: Sequence[NodeFact]) -> Sight:
    """Keep what concerns these nodes, without what is no figure."""
    offerings = dict.fromkeys(node.offering for node in nodes)
    return replace(
        sight,
        quotes={o: _priced(q) for o in offerings if (q := sight.quotes.get(o)) is not None},
        scores={o: _scored(s) for o in offerings if (s := sight.scores.get(o)) is not None},
    )


def _priced(quote: SpotQuote) -> SpotQuote:
    return replace(
        quote,
        spot_usd_per_hour=_within(quote.spot_usd_per_hour, 1e-9, MAX_PRICE_USD_PER_HOUR),
        on_demand_usd_per_hour=_within(quote.on_demand_usd_per_hour, 1e-9, MAX_PRICE_USD_PER_HOUR),
    )


def _scored(score: OfferingScore) -> OfferingScore:
    return replace(
        score,
        capacity_score=_within(score.capacity_score, 0.0, 1.0),
        runtime_score=_within(score.runtime_score, 0.0, 1.0),
    )


def _within(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and low <= value <= high else None


def _of(nodes: Iterable[NodeFact], kind: CapacityType) -> list[NodeFact]:
    return [node for node in nodes if node.capacity_type is kind]


def _is_bad(health: InputHealth, max_age_s: float) -> bool:
    if not health.required:
        return False
    return health.state is not InputState.OK or not health.age_s <= max_age_s


def _oldest_input_s(sight: Sight) -> float:
    """Return the age of the oldest required input, infinite where there is none or no number."""
    ages = [h.age_s for h in sight.inputs if h.required]
    return max((math.inf if math.isnan(age) else age for age in ages), default=math.inf)


def _movable(node: NodeFact, blockers: Set[Blocker]) -> bool:
    if node.cordoned or node.moving or not node.ready:
        return False
    pinned = node.capacity_type is CapacityType.ON_DEMAND and Blocker.PINNED_ON_DEMAND in blockers
    return not pinned and HARD_BLOCKERS.isdisjoint(blockers)


def _candidates(
    nodes: Sequence[NodeFact],
    blockers: Mapping[str, Set[Blocker]],
    rank: Callable[[Offering], float],
) -> tuple[Candidate, ...]:
    """Movable nodes: offerings by rank in turn, the smallest blast radius of each first."""
    groups: dict[Offering, list[NodeFact]] = {}
    for node in nodes:
        if _movable(node, blockers[node.name]):
            groups.setdefault(node.offering, []).append(node)
    ordered = sorted(groups, key=lambda o: (rank(o), o))
    lanes = [
        sorted(groups[o], key=lambda n: (n.load.n_workload_pods, n.load.workload_cpu_milli, n.name))
        for o in ordered
    ]
    picked = [node for turn in zip_longest(*lanes) for node in turn if node is not None]
    return tuple(_candidate(node) for node in picked)


def _candidate(node: NodeFact) -> Candidate:
    return Candidate(
        node=node.name,
        uid=node.uid,
        offering=node.offering,
        n_pods=node.load.n_workload_pods,
        workload_cpu_milli=node.load.workload_cpu_milli,
        workload_memory_bytes=node.load.workload_memory_bytes,
    )


def _runtime(sight: Sight, offering: Offering) -> float:
    score = sight.scores.get(offering)
    return score.runtime_score if score and score.runtime_score is not None else 1.0


def _price_ratio(sight: Sight, offering: Offering) -> float:
    ratio = price_ratio(sight.quotes.get(offering, _NO_QUOTE))
    return ratio if math.isfinite(ratio) else math.inf


def _offerings(nodes: Sequence[NodeFact], sight: Sight) -> tuple[OfferingInput, ...]:
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
    return tuple(_offering_input(o, n_spot[o], n_on_demand[o], sight) for o in order)


def _offering_input(
    offering: Offering, n_spot: int, n_on_demand: int, sight: Sight
) -> OfferingInput:
    quote = sight.quotes.get(offering, _NO_QUOTE)
    score = sight.scores.get(offering)
    return OfferingInput(
        offering=offering,
        n_spot=n_spot,
        n_on_demand=n_on_demand,
        spot_usd_per_hour=quote.spot_usd_per_hour,
        on_demand_usd_per_hour=quote.on_demand_usd_per_hour,
        capacity_score=score.capacity_score if score else None,
        runtime_score=score.runtime_score if score else None,
        # IMPORTANT: without a score nothing is known of the scope; "not in scope" can be an exit.
        in_scope=score.in_scope if score else True,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def _risk(nodes: Sequence[NodeFact], sight: Sight) -> Risk:
    scores = [s for n in nodes if (s := sight.scores.get(n.offering)) is not None]
    known = [s for s in scores if s.runtime_score is not None]
    worst = max(known, key=lambda s: (s.runtime_score or 0.0, s.offering), default=None)
    return Risk(
        capacity=_mean(s.capacity_score for s in scores),
        runtime=_mean(s.runtime_score for s in scores),
        worst=str(worst.offering) if worst else "",
        worst_runtime=worst.runtime_score if worst else None,
    )


def _money(nodes: Sequence[NodeFact], sight: Sight) -> Money:
    quotes = [sight.quotes.get(n.offering, _NO_QUOTE) for n in nodes]
    known = [q for q in quotes if math.isfinite(price_ratio(q))]
    return Money(
        spot_usd_per_hour=_mean(q.spot_usd_per_hour for q in known),
        on_demand_usd_per_hour=_mean(q.on_demand_usd_per_hour for q in known),
        covered_ratio=len(known) / len(quotes) if quotes else 1.0,
        last_resort=any(q.last_resort for q in known),
    )


def _safety(pool: PoolFacts, entry: Sequence[Candidate], sight: Sight) -> Safety:
    margins = worst_zone_margins(pool)
    margin = tightest(margins)
    pdbs = next((h for h in sight.inputs if h.name == "pdbs"), None)
    return Safety(
        n_pdbs=len(pool.pdbs),
        known=pdbs is not None and pdbs.state is InputState.OK,
        margin_pods=margin.pods if margin else None,
        margin_pdb=margin.pdb if margin else "",
        margin_zone=margin.zone if margin else "",
        safe_to_spot_nodes=safe_moves_to_spot(
            pool, [c.node for c in entry[:MAX_CANDIDATES]], margins
        ),
    )


def _requested_ratios(nodes: Sequence[NodeFact]) -> tuple[float | None, float | None]:
    usable = [n for n in nodes if n.ready and not n.cordoned and not n.moving]
    cpu = sum(n.allocatable_cpu_milli for n in usable)
    memory = sum(n.allocatable_memory_bytes for n in usable)
    return (
        sum(n.load.cpu_milli for n in usable) / cpu if cpu else None,
        sum(n.load.memory_bytes for n in usable) / memory if memory else None,
    )


def _blocked(blockers: Mapping[str, Set[Blocker]]) -> tuple[tuple[Blocker, int], ...]:
    counts = Counter(blocker for found in blockers.values() for blocker in found)
    return tuple(sorted(counts.items()))


def _out_of_range(offerings: Sequence[OfferingInput], sight: Sight) -> tuple[str, ...]:
    found = [
        str(o.offering)
        for o in offerings
        if o.in_scope and (s := sight.scores.get(o.offering)) is not None and not s.in_range
    ]
    return tuple(sorted(found)[:MAX_CANDIDATES])


def _confidence(nodes: Sequence[NodeFact], sight: Sight) -> tuple[tuple[str, float], ...]:
    """Terms 0..1: how fresh, how well priced, how long a history, how near the training range."""
    n = len(nodes)
    if n == 0:
        return (("nodes", 0.0),)
    scores = [sight.scores.get(node.offering) for node in nodes]
    freshness = 1.0 - 0.5 * _oldest_input_s(sight) / sight.max_input_age_s
    priced = _money(nodes, sight).covered_ratio
    history = math.fsum(min(1.0, s.n_history / 144.0) for s in scores if s) / n
    in_range = sum(1 for s in scores if s and s.in_range) / n
    scored = sum(1 for s in scores if s and s.runtime_score is not None) / n
    return (
        ("freshness", min(1.0, max(0.0, freshness))),
        ("history", 0.5 + 0.5 * history),
        ("model_range", in_range),
        ("prices", priced),
        ("scores", scored),
    )
