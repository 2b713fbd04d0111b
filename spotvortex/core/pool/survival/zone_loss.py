"""What breaks if one offering, all Spot of one zone, or all Spot at once is taken away.

Comes in: workloads and budgets, each with its pods on Spot over the whole cluster, and what must
stay of each. Goes out: each loss that would leave one with less, and how many more nodes of a pool
may go to Spot before one would. The loss of all Spot is judged where an owner has set a floor
alone: it says how many pods stay on-demand. Only Spot can be reclaimed, so on-demand nodes survive
here; an outage of a whole zone is not what Spot adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TypeAlias

from spotvortex.core.domain.observation import PdbFact, PoolFacts
from spotvortex.core.domain.types import Offering
from spotvortex.core.domain.workloads import (
    NOTHING,
    Need,
    SurvivalDefault,
    WorkloadFact,
    need_of,
)

Guarded: TypeAlias = PdbFact | WorkloadFact
"""What a loss may break."""

ALL_SPOT = "all Spot"
"""The loss that a floor is about, in words."""

MAX_LOOKED_AT = 500
"""Nodes among which those are sought that may become Spot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A workload, or a budget that binds, which would be left with too few pods by one loss.

    Attributes:
        what: what is lost: an offering (`m6i.large/us-east-1a`), `zone us-east-1a`, or `ALL_SPOT`.
        zone: the zone where it is lost, "" for all.
        n_nodes: nodes with pods of it that go with the loss.
        of: its key: `namespace/Kind/name` of a workload, `namespace/name` of a budget.
        healthy: Ready pods before the loss.
        healthy_left: Ready pods after it.
        needed: pods that must stay.
    """

    what: str
    zone: str
    n_nodes: int
    of: str
    healthy: int
    healthy_left: int
    needed: int

    @property
    def short(self) -> int:
        """Pods that are missing after the loss, negative where some are to spare."""
        return self.needed - self.healthy_left


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """A workload or a budget against the loss that hits it most, as one pool sees it.

    Attributes:
        of: its key.
        loss: that loss, as in `Loss.what`, "" where no pod of it is on Spot.
        zone: the zone of that loss, "" likewise.
        pods: pods that may still be lost beyond that loss and beyond those that may be on their
            way into it; negative where the loss leaves too few already.
        room: how many of these this pool may use up.
        floor_room: the same before the owner's floor is touched, None where there is none.
        breaks: the losses that leave too few, as in `breaking_losses`.
        slack_one_pods: pods that may be lost beyond those of the node with most of its pods.
        slack_two_pods: the same of the two nodes with most.
        need: pods that must stay.
    """

    of: str
    loss: str
    zone: str
    pods: int
    room: int
    floor_room: int | None = None
    breaks: tuple[str, ...] = ()
    slack_one_pods: int = 0
    slack_two_pods: int = 0
    need: Need = NOTHING


def need_by_budget(pdb: PdbFact) -> Need:
    """Return what a budget that binds asks for after any loss."""
    return Need(after_offering=pdb.desired_healthy, after_zone=pdb.desired_healthy)


def losses_of(fact: Guarded, need: Need) -> Iterator[Loss]:
    """Return what each loss leaves: of a Spot offering, of a zone's Spot, under a floor of all."""
    healthy = fact.healthy
    zones: dict[str, tuple[int, int]] = {}
    for share in fact.spot_by_offering:
        zone = share.offering.zone
        n_nodes, n_pods = zones.get(zone, (0, 0))
        zones[zone] = n_nodes + share.n_nodes, n_pods + share.n_pods
        yield Loss(
            what=str(share.offering),
            zone=zone,
            n_nodes=share.n_nodes,
            of=fact.key,
            healthy=healthy,
            healthy_left=healthy - share.n_pods,
            needed=need.after_offering,
        )
    for zone, (n_nodes, n_pods) in zones.items():
        yield Loss(
            what=f"zone {zone}",
            zone=zone,
            n_nodes=n_nodes,
            of=fact.key,
            healthy=healthy,
            healthy_left=healthy - n_pods,
            needed=need.after_zone,
        )
    if need.on_demand and zones:
        yield Loss(
            what=ALL_SPOT,
            zone="",
            n_nodes=sum(n for n, _ in zones.values()),
            of=fact.key,
            healthy=healthy,
            healthy_left=healthy - sum(n for _, n in zones.values()),
            needed=need.on_demand,
        )


def worst_loss(fact: Guarded, need: Need) -> Loss | None:
    """Return the loss that leaves most missing, None where no pod of it is on Spot.

    Of equals the smaller one counts: an offering rather than its zone.
    """
    return max(losses_of(fact, need), key=lambda loss: loss.short, default=None)


def breaking_losses(facts: Iterable[tuple[Guarded, Need]]) -> tuple[Loss, ...]:
    """List what losing one Spot offering, or one zone's Spot, would leave with too few pods.

    A zone is listed only for those that no single offering of that zone breaks on its own. One that
    has too few Ready pods already is not broken by a loss, and is left out.
    """
    found = [loss for fact, need in facts for loss in _breaking(fact, need)]
    return tuple(sorted(found, key=lambda loss: (-loss.n_nodes, loss.what, loss.of)))


def _breaking(fact: Guarded, need: Need) -> Iterator[Loss]:
    covered: set[str] = set()
    for loss in losses_of(fact, need):
        if loss.short > 0 and loss.healthy >= loss.needed and loss.zone not in covered:
            covered.add(loss.zone)
            yield loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """Margins by key, each with the fact that it was computed from."""

    by_key: Mapping[str, tuple[Guarded, Margin]]

    @property
    def tightest(self) -> Margin | None:
        """The margin with least to spare, None where there is none."""
        margins = (margin for _, margin in self.by_key.values())
        return min(margins, key=lambda margin: (margin.pods, margin.of), default=None)


NO_MARGINS = Margins(by_key={})


def budget_margins(pool: PoolFacts, before: Margins = NO_MARGINS) -> Margins:
    """Compute by budget what it can spare beyond its worst loss.

    Args:
        pool: whose budgets.
        before: an earlier result for the same pool: what has not changed since is taken from it.
    """
    return _margins(((p, need_by_budget(p)) for p in pool.pdbs), pool.name, before)


def workload_margins(
    pool: PoolFacts, default: SurvivalDefault, before: Margins = NO_MARGINS
) -> Margins:
    """Compute by workload what it can spare beyond its worst loss; see `budget_margins`.

    Of one whose owner's word cannot be read nothing may be spared. One of which nothing is asked
    is left out.
    """
    known = before.by_key
    by_key: dict[str, tuple[Guarded, Margin]] = {}
    for work in pool.workloads:
        hit = known.get(work.key)
        if hit is not None and hit[0] is work:
            by_key[work.key] = hit
            continue
        need = need_of(work, default)
        if work.healthy_by_node and (need.most or work.problem):
            by_key[work.key] = (work, _margin(work, need, pool.name))
    return Margins(by_key=by_key)


def _margins(facts: Iterable[tuple[Guarded, Need]], pool: str, before: Margins) -> Margins:
    by_key: dict[str, tuple[Guarded, Margin]] = {}
    for fact, need in facts:
        if not fact.healthy_by_node:
            continue
        hit = before.by_key.get(fact.key)
        if hit is None or hit[0] is not fact:
            hit = (fact, _margin(fact, need, pool))
        by_key[fact.key] = hit
    return Margins(by_key=by_key)


def _margin(fact: Guarded, need: Need, pool: str) -> Margin:
    """Take the loss that leaves least.

    Pods of a wave that is under way, whoever moves it, may all still land in what is lost.
    """
    healthy = fact.healthy
    zones: dict[str, int] = {}
    # Where nothing is on Spot yet, what comes may all be lost together.
    left, loss, zone = healthy - need.most, "", ""
    worst: Offering | None = None
    for share in fact.spot_by_offering:
        offering, n_lost = share.offering, share.n_pods - share.n_leaving
        zones[offering.zone] = zones.get(offering.zone, 0) + n_lost
        if healthy - need.after_offering - n_lost < left or worst is None:
            left, worst = min(left, healthy - need.after_offering - n_lost), offering
    if worst is not None:
        loss, zone = str(worst), worst.zone
    for name, n_lost in zones.items():
        if healthy - need.after_zone - n_lost < left:
            left, loss, zone = healthy - need.after_zone - n_lost, f"zone {name}", name
    above_floor = healthy - need.on_demand - sum(zones.values())
    if need.on_demand and zones and above_floor < left:
        left, loss, zone = above_floor, ALL_SPOT, ""
    left -= fact.n_leaving
    room = shared_room(left, fact.pools, pool)
    if isinstance(fact, WorkloadFact) and fact.problem:
        room = min(room, 0)
    # Where something is to spare beyond the worst, nothing breaks.
    breaks = () if left >= 0 else tuple(loss.what for loss in _breaking(fact, need))
    most = [*sorted([n for _, n in fact.healthy_by_node], reverse=True), 0]
    slack = healthy - need.after_offering - most[0]
    return Margin(
        of=fact.key,
        loss=loss,
        zone=zone,
        pods=left,
        room=room,
        floor_room=shared_room(above_floor - fact.n_leaving, fact.pools, pool)
        if need.on_demand
        else None,
        breaks=breaks,
        slack_one_pods=slack,
        slack_two_pods=slack - most[1],
        need=need,
    )


def shared_room(pods: int, pools: Sequence[str], pool: str) -> int:
    """Share what can be spared among the pools where its pods run, the first by name first.

    Pools decide without knowing of each other, maybe in the same cycle, so none may use up what
    another was promised.
    """
    if pods < 0 or pool not in pools:
        return pods
    each, rest = divmod(pods, len(pools))
    return each + (pools.index(pool) < rest)


PodsOn: TypeAlias = Mapping[str, Sequence[tuple[str, int]]]
"""By node, the Ready pods of each workload or budget there."""


def pods_on(facts: Iterable[Guarded], names: Set[str]) -> dict[str, list[tuple[str, int]]]:
    """Return for each of these nodes how many Ready pods of each workload or budget run there."""
    on_node: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
    for fact in facts:
        key = fact.key
        for name, count in fact.healthy_by_node:
            if name in on_node:
                on_node[name].append((key, count))
    return on_node


def pick_safe(order: Sequence[str], on_node: PodsOn, margins: Margins, most: int) -> list[str]:
    """Pick the nodes, in this order, that may become Spot together before a loss breaks something.

    The pods of a moved node are taken to land in whatever loss hits most, the most careful reading
    of where a provisioner may put them: the loss then takes them too. A node with a pod of one that
    has no room is left out, and the others go on.

    Args:
        order: names of on-demand nodes in the order in which they would be moved.
        on_node: what `pods_on` says of them.
        margins: the margins of their pool.
        most: how many to pick.
    """
    moved: Counter[str] = Counter()
    picked: list[str] = []
    for name in order[:MAX_LOOKED_AT]:
        if len(picked) >= most:
            break
        pods = [(key, n) for key, n in on_node.get(name, ()) if key in margins.by_key]
        if all(moved[key] + n <= margins.by_key[key][1].room for key, n in pods):
            moved.update(dict(pods))
            picked.append(name)
    return picked


def n_above_floors(order: Sequence[str], on_node: PodsOn, margins: Margins) -> int | None:
    """Count the nodes that may become Spot together before a workload's floor is touched.

    None where no workload of the pool has a floor.
    """
    floors = {
        key: (fact, replace(margin, room=margin.floor_room))
        for key, (fact, margin) in margins.by_key.items()
        if margin.floor_room is not None
    }
    return n_safe(order, on_node, Margins(by_key=floors)) if floors else None


def n_safe(order: Sequence[str], on_node: PodsOn, margins: Margins) -> int:
    """Count the nodes, from the first on, that may become Spot together; see `pick_safe`."""
    return next((n for n in range(len(order), 0, -1) if _fits(order[:n], on_node, margins)), 0)


def _fits(names: Sequence[str], on_node: PodsOn, margins: Margins) -> bool:
    return len(pick_safe(names, on_node, margins, len(names))) == len(names)


def relieving_nodes(pool: PoolFacts, margins: Margins) -> frozenset[str]:
    """Return the Spot nodes whose leaving makes a loss that leaves too few pods hurt less."""
    places: dict[str, set[str]] = {}
    for fact, margin in margins.by_key.values():
        for name, _ in fact.healthy_by_node if margin.breaks else ():
            places.setdefault(name, set()).update(margin.breaks)
    return frozenset(
        node.name
        for node in pool.nodes
        if (lost := places.get(node.name))
        and not lost.isdisjoint((str(node.offering), f"zone {node.offering.zone}", ALL_SPOT))
    )
