"""What breaks if one offering, or all Spot of one zone, is taken away.

Comes in: the nodes and budgets of one pool. Goes out: each loss that would leave a budget's
workload under its minimum, and how many more nodes may go to Spot before one would. Only Spot can
be reclaimed, so on-demand nodes survive here; an outage of a whole zone is not what Spot adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spotvortex.core.observation import PdbFact, PoolFacts
from spotvortex.core.types import CapacityType


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A budget that would be broken by one loss.

    `what` is an offering (`m6i.large/us-east-1a`) or `zone us-east-1a`; `n_nodes` go with it and
    leave `healthy_left` of `healthy` pods where the budget desires `desired_healthy`.
    """

    what: str
    n_nodes: int
    pdb: str
    workload: str
    healthy: int
    healthy_left: int
    desired_healthy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """The tightest budget of a pool against its worst zone.

    `pods` is what may still be lost beyond that zone; negative where the loss breaks it already.
    """

    pdb: str
    zone: str
    pods: int


def single_losses(pool: PoolFacts) -> tuple[Loss, ...]:
    """List every budget that losing one Spot offering, or one zone's Spot, would break.

    A zone is listed only for budgets that no single offering of that zone breaks on its own. A
    budget that is short of healthy pods already is not broken by a loss, and is left out.
    """
    spot = [n for n in pool.nodes if n.capacity_type is CapacityType.SPOT]
    offering_of = {n.name: str(n.offering) for n in spot}
    zone_of = {n.name: f"zone {n.offering.zone}" for n in spot}
    found: list[Loss] = []
    for pdb in pool.pdbs:
        broken = _broken_by(pdb, offering_of)
        covered = {f"zone {loss.what.partition('/')[2]}" for loss in broken}
        found += broken
        found += [loss for loss in _broken_by(pdb, zone_of) if loss.what not in covered]
    return tuple(sorted(found, key=lambda loss: (-loss.n_nodes, loss.what, loss.pdb)))


def _broken_by(pdb: PdbFact, group_of: Mapping[str, str]) -> list[Loss]:
    healthy = pdb.healthy
    if healthy < pdb.desired_healthy:
        return []
    lost = _lost_by_group(pdb, group_of)
    broken = {what: n for what, n in lost.items() if healthy - n < pdb.desired_healthy}
    if not broken:
        return []
    n_nodes = Counter(group_of.values())
    return [
        Loss(
            what=what,
            n_nodes=n_nodes[what],
            pdb=pdb.key,
            workload=pdb.workload,
            healthy=healthy,
            healthy_left=healthy - n,
            desired_healthy=pdb.desired_healthy,
        )
        for what, n in broken.items()
    ]


def _lost_by_group(pdb: PdbFact, group_of: Mapping[str, str]) -> Counter[str]:
    lost: Counter[str] = Counter()
    for node, count in pdb.healthy_by_node:
        group = group_of.get(node)
        if group is not None:
            lost[group] += count
    return lost


def worst_zone_margins(pool: PoolFacts) -> dict[str, Margin]:
    """Return by budget what it can spare once the Spot of its worst zone is gone."""
    zone_of = {n.name: n.offering.zone for n in pool.nodes if n.capacity_type is CapacityType.SPOT}
    return {pdb.key: _margin(pdb, zone_of) for pdb in pool.pdbs if pdb.healthy_by_node}


def tightest(margins: Mapping[str, Margin]) -> Margin | None:
    """Return the margin with least room, None where no budget covers the pool."""
    return min(margins.values(), key=lambda margin: (margin.pods, margin.pdb), default=None)


def _margin(pdb: PdbFact, zone_of: Mapping[str, str]) -> Margin:
    lost = _lost_by_group(pdb, zone_of)
    zone, n = max(lost.items(), key=lambda item: (item[1], item[0]), default=("", 0))
    return Margin(pdb=pdb.key, zone=zone, pods=pdb.healthy - pdb.desired_healthy - n)


def safe_moves_to_spot(pool: PoolFacts, order: Sequence[str], margins: Mapping[str, Margin]) -> int:
    """Count the nodes, in this order, that may become Spot before a worst zone breaks a budget.

    The pods of a moved node are taken to land in the budget's worst zone, the most careful
    reading of where a provisioner may put them: the zone's loss then takes them too.

    Args:
        pool: the nodes and budgets.
        order: names of on-demand nodes in the order in which they would be moved.
        margins: what `worst_zone_margins` says of the same pool.
    """
    place = {name: position for position, name in enumerate(order)}
    n_safe = len(order)
    for pdb in pool.pdbs:
        moved = sorted((place[name], n) for name, n in pdb.healthy_by_node if name in place)
        room = margins[pdb.key].pods if moved else 0
        for position, n in moved:
            room -= n
            if room < 0:
                n_safe = min(n_safe, position)
                break
    return n_safe
