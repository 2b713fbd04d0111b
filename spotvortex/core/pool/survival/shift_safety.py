"""Which Spot nodes may move to other Spot without leaving a workload worse off after a loss.

Comes in: Spot nodes in the order in which they would be moved, and what each workload needs after
any loss. Goes out: those that may move, wherever their pods land. What leaves an offering is no
longer lost with it, and is taken to land in whatever other offering or zone hits most: that loss
may then take no more than is left to spare, or than the worst loss takes already. May not judge
what a move is worth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spotvortex.core.domain.observation import NodeFact
from spotvortex.core.domain.types import Offering
from spotvortex.core.domain.workloads import Need, WorkloadFact
from spotvortex.core.pool.survival.zone_loss import (
    MAX_LOOKED_AT,
    Guarded,
    Margins,
    PodsOn,
    shared_room,
)


@dataclass(frozen=True, slots=True)
class LossCounts:
    """What losses take of a workload or budget, the same whatever offering is left.

    Attributes:
        fact: the workload or budget.
        have: its healthy pods. Those on the move, whoever moves them, may all land in the loss that
            hits most, and do not count.
        by_offering: pods lost with each offering.
        by_zone: pods lost with the Spot of each zone.
    """

    fact: Guarded
    have: int
    by_offering: Mapping[Offering, int]
    by_zone: Mapping[str, int]


def loss_counts(fact: Guarded) -> LossCounts:
    """Count what losses take of a workload or budget."""
    offerings: Counter[Offering] = Counter()
    zones: Counter[str] = Counter()
    for share in fact.spot_by_offering:
        n_lost = share.n_pods - share.n_leaving
        offerings[share.offering] += n_lost
        zones[share.offering.zone] += n_lost
    return LossCounts(fact, fact.healthy - fact.n_leaving, offerings, zones)


def shift_room(losses: LossCounts, need: Need, left: Offering, pool: str) -> int:
    """Return how many pods of a workload or budget a pool may move off an offering together."""
    fact, have = losses.fact, losses.have
    if isinstance(fact, WorkloadFact) and fact.problem:
        return 0
    offerings, zones = losses.by_offering, losses.by_zone
    worst = _short(need, max(offerings.values(), default=0), max(zones.values(), default=0))
    other = max((n for o, n in offerings.items() if o != left), default=0)
    zone = max((n for z, n in zones.items() if z != left.zone), default=0)
    return shared_room(max(0, worst - have) - (_short(need, other, zone) - have), fact.pools, pool)


def _short(need: Need, n_offering: int, n_zone: int) -> int:
    """Return how many pods there must be so that the loss of these leaves enough."""
    return max(need.after_offering + n_offering, need.after_zone + n_zone)


def pick_shiftable(
    order: Sequence[NodeFact], on_node: PodsOn, margins: Margins, pool: str, most: int
) -> list[NodeFact]:
    """Pick the nodes, in this order, that may leave their offering together with its others.

    Args:
        order: Spot nodes in the order in which they would be moved.
        on_node: what `pods_on` says of them.
        margins: of the workloads and budgets of their pool.
        pool: its name.
        most: how many to pick.
    """
    # By offering left, and the key of the workload or budget.
    moved: dict[Offering, Counter[str]] = {}
    rooms: dict[Offering, dict[str, int]] = {}
    losses: dict[str, LossCounts] = {}
    picked: list[NodeFact] = []

    def room_of(key: str, left: Offering) -> int:
        fact, margin = margins.by_key[key]
        if key not in losses:
            losses[key] = loss_counts(fact)
        return shift_room(losses[key], margin.need, left, pool)

    for node in order[:MAX_LOOKED_AT]:
        if len(picked) >= most:
            break
        pods = [(key, n) for key, n in on_node.get(node.name, ()) if key in margins.by_key]
        gone = moved.setdefault(node.offering, Counter())
        room = rooms.setdefault(node.offering, {})
        for key, _ in pods:
            if key not in room:
                room[key] = room_of(key, node.offering)
        if all(gone[key] + n <= room[key] for key, n in pods):
            gone.update(dict(pods))
            picked.append(node)
    return picked
