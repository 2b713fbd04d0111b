"""The Spot nodes of a pool that may move to other Spot, and in which order.

Comes in: a pool's summary and what is seen beside it. Goes out: nodes, where they could go, and how
many of them harm no workload. Those that a partial loss has spared come first; of the rest two of
each offering in turn, what looks dearest first. May not judge: what a shift is worth is for
`core.decision.offerings.shift`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.core.domain.observation import NodeFact
from spotvortex.core.domain.sides import BY_PODS
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.pool.context import NO_QUOTE, CycleContext
from spotvortex.core.pool.group_fit import room_for
from spotvortex.core.pool.input import MAX_CANDIDATES, GroupFit
from spotvortex.core.pool.loss_safety import binding_margins
from spotvortex.core.pool.summary import PoolSummary
from spotvortex.core.pool.survival.shift_safety import pick_shiftable
from spotvortex.core.scoring.features import price_ratio

OLD_S: Final = 7200.0
"""Older than any time in which a shift pays back: among such nodes the smallest goes first."""

SURVIVOR_HOURS: Final = 3.0
"""As long as survivors of a partial loss come first."""

AT_ONCE: Final = 2
"""Nodes of one offering that are named before one of the next is."""

USUAL_LOSS_HOURS: Final = 0.25
"""What a loss costs where nobody says, to put nodes in order by."""

NO_AVOIDING: Final = "a node group cannot be asked to avoid an instance type in a zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shiftable:
    """Where a pool's Spot nodes may go as Spot.

    Attributes:
        nodes: those that may move, the first to move first.
        room: where they could go.
        n_safe: how many of them, from the first on, find a place and harm no workload.
    """

    nodes: tuple[NodeFact, ...]
    room: GroupFit
    n_safe: int


def shiftable(shape: PoolSummary, sight: CycleContext) -> Shiftable:
    """Say which Spot nodes of a pool may move to other Spot, and where to."""
    ranked = _ranked(shape, sight)
    asked = (ranked, sight.budgets_bind)
    return shape.last.of("shiftable", asked, lambda: _placed(ranked, shape, sight))


def _placed(ranked: tuple[NodeFact, ...], shape: PoolSummary, sight: CycleContext) -> Shiftable:
    asked = [n for n in ranked if n.provisioner not in BY_PODS]
    groups = shape.facts.node_groups
    found, room = room_for(asked, asked or shape.nodes, groups, CapacityType.SPOT, shape.sizes)
    if ranked and not asked:
        return Shiftable(nodes=(), room=replace(room, no_driver=NO_AVOIDING), n_safe=0)
    hosted = found[: room.n_placed] if room.node_group else found
    margins = binding_margins(shape, sight)
    safe = pick_shiftable(hosted, shape.pods_on, margins, shape.facts.name, MAX_CANDIDATES)
    names = {node.name for node in safe}
    others = (node for node in found if node.name not in names)
    return Shiftable(nodes=(*safe, *others), room=room, n_safe=len(safe))


def _ranked(shape: PoolSummary, sight: CycleContext) -> tuple[NodeFact, ...]:
    lanes: dict[Offering, list[NodeFact]] = {}
    for node in shape.movable_spot:
        if node.uid not in sight.in_flight_uids and sight.covers(node.offering):
            lanes.setdefault(node.offering, []).append(node)
    hours = _loss_hours(shape.nodes)
    turns = []
    for offering, lane in lanes.items():
        dear = _dear(offering, hours, sight)
        for i, node in enumerate(sorted(lane, key=lambda n: _age_first(n, sight.at))):
            own = node.name == sight.own_node
            turns.append(((own, *_turn(offering, i, sight), -dear, offering, i), node))
    return tuple(node for _, node in sorted(turns, key=lambda turn: turn[0]))


def _turn(offering: Offering, i: int, sight: CycleContext) -> tuple[int, float]:
    """Put survivors first, the last loss before others; then two of each offering in turn."""
    known = sight.known.get(offering)
    lost = known.lost_hours if known is not None and known.is_survivor else None
    if lost is not None and lost <= SURVIVOR_HOURS:
        return 0, round(lost, 2)
    return 1 + i // AT_ONCE, 0.0


def _loss_hours(nodes: Sequence[NodeFact]) -> float:
    said = [n.load.outage_hours for n in nodes if n.load.outage_hours is not None]
    return math.fsum(said) / len(said) if said else USUAL_LOSS_HOURS


def _dear(offering: Offering, loss_hours: float, sight: CycleContext) -> float:
    """Guess what a node costs, as a share of on-demand; the decision weighs it exactly."""
    ratio = price_ratio(sight.quotes.get(offering, NO_QUOTE))
    found = sight.scores.get(offering)
    score = (found.runtime_score if found else None) or 0.0
    price = ratio if math.isfinite(ratio) else 1.0
    return price * (1.0 - score / 2.0) + score * (loss_hours / 2.0 + 0.25)


def _age_first(node: NodeFact, at: float) -> tuple[float, int, int, str]:
    young = max(0.0, OLD_S - age_s(node, at))
    load = node.load
    return young, load.n_workload_pods, load.workload_cpu_milli, node.name


def age_s(node: NodeFact, at: float) -> int:
    """Return how long a node has existed, in whole seconds, 0 where that is not known."""
    age = at - node.created_at
    return int(age) if math.isfinite(age) and age > 0.0 else 0
