"""What breaks if one offering, or all Spot of one zone, is taken away.

Comes in: the nodes and budgets of one pool. Goes out: each loss that would leave a budget's
workload under its minimum, and how many more nodes may go to Spot before one would. Only Spot can
be reclaimed, so on-demand nodes survive here; an outage of a whole zone is not what Spot adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """The margins of a pool's budgets by key, with what they were computed from."""

    zone_of: Mapping[str, str]
    by_budget: Mapping[str, tuple[PdbFact, Margin]]

    @property
    def tightest(self) -> Margin | None:
        """The margin with least room, None where no budget covers the pool."""
        margins = (margin for _, margin in self.by_budget.values())
        return min(margins, key=lambda margin: (margin.pods, margin.pdb), default=None)


def worst_zone_margins(pool: PoolFacts, before: Margins | None = None) -> Margins:
    """Compute by budget what it can spare once the Spot of its worst zone is gone.

    Args:
        pool: the nodes and budgets.
        before: an earlier result for the same pool: what has not changed since is taken from it.
    """
    zone_of = {n.name: n.offering.zone for n in pool.nodes if n.capacity_type is CapacityType.SPOT}
    known = before.by_budget if before is not None and before.zone_of == zone_of else {}
    by_budget: dict[str, tuple[PdbFact, Margin]] = {}
    for pdb in pool.pdbs:
        if not pdb.healthy_by_node:
            continue
        hit = known.get(pdb.key)
        if hit is None or hit[0] is not pdb:
            hit = (pdb, _margin(pdb, zone_of))
        by_budget[pdb.key] = hit
    return Margins(zone_of=zone_of, by_budget=by_budget)


def _margin(pdb: PdbFact, zone_of: Mapping[str, str]) -> Margin:
    healthy = 0
    lost: dict[str, int] = {}
    for node, count in pdb.healthy_by_node:
        healthy += count
        zone = zone_of.get(node)
        if zone is not None:
            lost[zone] = lost.get(zone, 0) + count
    worst = max(lost, key=lambda zone: (lost[zone], zone), default="")
    left = healthy - pdb.desired_healthy - lost.get(worst, 0)
    return Margin(pdb=pdb.key, zone=worst, pods=left)


def budget_pods(pool: PoolFacts, names: Set[str]) -> dict[str, list[tuple[str, int]]]:
    """Return for each of these nodes how many pods of each budget run there."""
    on_node: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
    for pdb in pool.pdbs:
        for name, count in pdb.healthy_by_node:
            if name in on_node:
                on_node[name].append((pdb.key, count))
    return on_node


def safe_moves_to_spot(
    order: Sequence[str],
    on_node: Mapping[str, Sequence[tuple[str, int]]],
    margins: Margins,
) -> int:
    """Count the nodes, in this order, that may become Spot before a worst zone breaks a budget.

    The pods of a moved node are taken to land in the budget's worst zone, the most careful
    reading of where a provisioner may put them: the zone's loss then takes them too.

    Args:
        order: names of on-demand nodes in the order in which they would be moved.
        on_node: what `budget_pods` says of them.
        margins: what `worst_zone_margins` says of their pool.
    """
    moved: Counter[str] = Counter()
    for n_safe, name in enumerate(order):
        for key, count in on_node.get(name, ()):
            moved[key] += count
            if moved[key] > margins.by_budget[key][1].pods:
                return n_safe
    return len(order)
