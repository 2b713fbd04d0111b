"""What breaks if one offering, or all Spot of one zone, is taken away.

Comes in: budgets, each with its pods on Spot over the whole cluster. Goes out: each loss that would
leave a budget's workload under its minimum, and how many more nodes of a pool may go to Spot before
one would. Only Spot can be reclaimed, so on-demand nodes survive here; an outage of a whole zone is
not what Spot adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from spotvortex.core.domain.observation import PdbFact, PoolFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A PodDisruptionBudget that would be broken by one loss.

    Attributes:
        what: what is lost: an offering (`m6i.large/us-east-1a`) or `zone us-east-1a`.
        n_nodes: nodes with pods of the budget that go with it.
        pdb: the budget's key, `namespace/name`.
        workload: the workload that the budget covers.
        healthy: Ready pods before the loss.
        healthy_left: Ready pods after it.
        desired_healthy: healthy pods that the budget demands.
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
    """A PodDisruptionBudget against its worst zone, as one pool sees it.

    Attributes:
        pdb: the budget's key, `namespace/name`.
        zone: the zone whose Spot has most of its pods, "" where none is on Spot.
        pods: pods that may still be lost beyond that zone and beyond those that may be on their way
            into it; negative where the loss breaks the budget already.
        room: how many of these this pool may use up.
    """

    pdb: str
    zone: str
    pods: int
    room: int


def single_losses(pdbs: Iterable[PdbFact]) -> tuple[Loss, ...]:
    """List every budget that losing one Spot offering, or one zone's Spot, would break.

    A zone is listed only for budgets that no single offering of that zone breaks on its own. A
    budget that is short of healthy pods already is not broken by a loss, and is left out.
    """
    found = [loss for pdb in pdbs for loss in _losses_of(pdb)]
    return tuple(sorted(found, key=lambda loss: (-loss.n_nodes, loss.what, loss.pdb)))


def _losses_of(pdb: PdbFact) -> Iterable[Loss]:
    healthy = pdb.healthy
    spare = healthy - pdb.desired_healthy
    if spare < 0:
        return
    nodes: Counter[str] = Counter()
    pods: Counter[str] = Counter()
    covered: set[str] = set()
    for share in pdb.spot_by_offering:
        zone = share.offering.zone
        nodes[zone] += share.n_nodes
        pods[zone] += share.n_pods
        if share.n_pods > spare:
            covered.add(zone)
            yield _loss(pdb, str(share.offering), share.n_nodes, healthy - share.n_pods)
    for zone, lost in pods.items():
        if lost > spare and zone not in covered:
            yield _loss(pdb, f"zone {zone}", nodes[zone], healthy - lost)


def _loss(pdb: PdbFact, what: str, n_nodes: int, healthy_left: int) -> Loss:
    return Loss(
        what=what,
        n_nodes=n_nodes,
        pdb=pdb.key,
        workload=pdb.workload,
        healthy=pdb.healthy,
        healthy_left=healthy_left,
        desired_healthy=pdb.desired_healthy,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """The margins of a pool's budgets by key, each with the fact that it was computed from."""

    by_budget: Mapping[str, tuple[PdbFact, Margin]]

    @property
    def tightest(self) -> Margin | None:
        """The margin with least to spare, None where no budget covers the pool."""
        margins = (margin for _, margin in self.by_budget.values())
        return min(margins, key=lambda margin: (margin.pods, margin.pdb), default=None)


def worst_zone_margins(pool: PoolFacts, before: Margins | None = None) -> Margins:
    """Compute by budget what it can spare once the Spot of its worst zone is gone.

    Args:
        pool: whose budgets.
        before: an earlier result for the same pool: what has not changed since is taken from it.
    """
    known = before.by_budget if before is not None else {}
    by_budget: dict[str, tuple[PdbFact, Margin]] = {}
    for pdb in pool.pdbs:
        if not pdb.healthy_by_node:
            continue
        hit = known.get(pdb.key)
        if hit is None or hit[0] is not pdb:
            hit = (pdb, _margin(pdb, pool.name))
        by_budget[pdb.key] = hit
    return Margins(by_budget=by_budget)


def _margin(pdb: PdbFact, pool: str) -> Margin:
    lost: dict[str, int] = {}
    for share in pdb.spot_by_offering:
        zone = share.offering.zone
        lost[zone] = lost.get(zone, 0) + share.n_pods - share.n_leaving
    most, worst = max([(n, zone) for zone, n in lost.items()], default=(0, ""))
    # Pods of a wave that is under way, whoever moves it, may all still land in the worst zone.
    left = pdb.healthy - pdb.desired_healthy - most - pdb.n_leaving
    return Margin(pdb=pdb.key, zone=worst, pods=left, room=_room(left, pdb.pools, pool))


def _room(pods: int, pools: Sequence[str], pool: str) -> int:
    """Share what a budget can spare among the pools where its pods run, the first by name first.

    Pools decide without knowing of each other, maybe in the same cycle, so none may use up what
    another was promised.
    """
    if pods <= 0 or len(pools) <= 1 or pool not in pools:
        return pods
    each, rest = divmod(pods, len(pools))
    return each + (pools.index(pool) < rest)


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
            if moved[key] > margins.by_budget[key][1].room:
                return n_safe
    return len(order)
