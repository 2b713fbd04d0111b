"""Which loss hits each workload most, and what would let more of it run on Spot.

Comes in: the workloads and pools of a cluster, and what must stay where nobody says it. Goes out: a
row a workload and a row a pool, each with the exact change. May not decide anything: what a loss
may take is said by `core.pool.survival.zone_loss`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.labels import MIN_AVAILABLE_AFTER_LOSS, ON_DEMAND_FLOOR
from spotvortex.core.domain.observation import ClusterFacts, PoolFacts
from spotvortex.core.domain.workloads import Need, SurvivalDefault, WorkloadFact, need_of
from spotvortex.core.pool.survival.zone_loss import Loss, Margin, workload_margins, worst_loss
from spotvortex.report.assess.change import ANNOTATED, Change, ChangeKind

MAX_REPLICAS: Final = 1000
"""Replicas up to which a number that would do is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalRow:
    """One workload and the loss that hits it most.

    Attributes:
        workload: `namespace/Kind/name`.
        pools: the pools where its pods are.
        n_replicas: pods that live, Ready or not.
        healthy: Ready pods.
        n_on_spot: Ready pods on Spot.
        loss: the loss that hits it most, an offering or `zone us-east-1a`; "" without Spot.
        healthy_left: Ready pods after that loss.
        needed: pods that must stay then.
        said: the word that counts, "" where the default does.
        said_by: whose word it is, "" likewise.
        survives: what must stay is left after that loss; false of a single replica on Spot.
        spare_pods: pods that may still go to Spot, never negative; None where nothing is asked.
        change: what would let one more pod of it go to Spot, or let it survive where it is a single
            replica or on Spot altogether; "" where nothing stands against it.
        step: the same by its parts, None likewise.
    """

    workload: str
    pools: tuple[str, ...]
    n_replicas: int
    healthy: int
    n_on_spot: int
    loss: str
    healthy_left: int
    needed: int
    said: str
    said_by: str
    survives: bool
    spare_pods: int | None
    change: str
    step: Change | None = None

    @property
    def is_single(self) -> bool:
        """Tell whether it cannot survive by construction."""
        return self.n_replicas <= 1

    @property
    def short(self) -> int:
        """Pods that are missing after the loss, negative where some are to spare."""
        return self.needed - self.healthy_left


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolHold:
    """What stands most against more Spot in one pool.

    Attributes:
        pool: the pool.
        workload: the workload that can spare least there.
        loss: the loss that hits it most, "" where no pod of it is on Spot.
        spare_pods: pods of it that may still go to Spot, never negative.
        n_holding: workloads of the pool that can spare no pod.
        change: what would let one more pod of it go, "" where one may.
        step: the same by its parts, None likewise.
    """

    pool: str
    workload: str
    loss: str
    spare_pods: int
    n_holding: int
    change: str
    step: Change | None = None


def workload_rows(cluster: ClusterFacts, default: SurvivalDefault) -> tuple[SurvivalRow, ...]:
    """Return a row for each workload, those that miss most after a loss first."""
    margins = {
        key: margin
        for pool in cluster.pools
        for key, (_, margin) in workload_margins(pool, default).by_key.items()
    }
    zones = _zones_by_pool(cluster.pools)
    rows = [
        _row(work, need_of(work, default), margins.get(work.key), default, _n_zones(work, zones))
        for work in cluster.workloads
    ]
    return tuple(sorted(rows, key=lambda r: (r.survives, -r.short, -r.n_on_spot, r.workload)))


def pool_holds(cluster: ClusterFacts, default: SurvivalDefault) -> tuple[PoolHold, ...]:
    """Return for each pool with anything to lose what stands most against more Spot there."""
    zones = _zones_by_pool(cluster.pools)
    found = []
    for pool in cluster.pools:
        judged = workload_margins(pool, default).by_key.values()
        rows = [(w, m) for w, m in judged if isinstance(w, WorkloadFact)]
        if not rows:
            continue
        work, margin = min(rows, key=lambda row: (row[1].room, row[1].pods, row[1].of))
        step = change_of(work, margin, default, _n_zones(work, zones))
        hold = PoolHold(
            pool=pool.name,
            workload=work.key,
            loss=margin.loss,
            spare_pods=max(0, margin.room),
            n_holding=sum(1 for _, m in rows if m.room <= 0),
            change=step.text if step else "",
            step=step,
        )
        found.append(hold)
    return tuple(found)


def _zones_by_pool(pools: Iterable[PoolFacts]) -> dict[str, set[str]]:
    return {
        pool.name: {node.offering.zone for node in pool.nodes}.union(
            *(group.zones for group in pool.node_groups)
        )
        for pool in pools
    }


def _n_zones(work: WorkloadFact, zones: Mapping[str, set[str]]) -> int:
    return len(set().union(*(zones.get(pool, set()) for pool in work.pools)))


def _row(
    work: WorkloadFact, need: Need, margin: Margin | None, default: SurvivalDefault, n_zones: int
) -> SurvivalRow:
    loss: Loss | None = worst_loss(work, need)
    left = loss.healthy_left if loss else work.healthy
    needed = loss.needed if loss else need.most
    single = work.n_replicas <= 1
    step = change_of(work, margin, default, n_zones)
    return SurvivalRow(
        workload=work.key,
        pools=work.pools,
        n_replicas=work.n_replicas,
        healthy=work.healthy,
        n_on_spot=_n_on_spot(work),
        loss=loss.what if loss else "",
        healthy_left=left,
        needed=needed,
        said=work.said,
        said_by=work.said_by,
        survives=left >= needed and not (single and loss),
        spare_pods=None if margin is None else max(0, margin.room),
        change=step.text if step else "",
        step=step,
    )


def change_of(
    work: WorkloadFact, margin: Margin | None, default: SurvivalDefault, n_zones: int
) -> Change | None:
    """Say what would let one more pod of a workload go to Spot, None where one may.

    One that is on Spot altogether is to survive a loss as it is.
    The first that suffices: mend the word, wait for pods that are not Ready, lower the floor,
    spread what is on Spot over the zones, ask for less, have more replicas.
    """
    if work.problem:
        return Change(kind=ChangeKind.MEND, words=work.problem)
    if work.n_replicas <= 1 and not work.floor:
        on_spot = bool(work.spot_by_offering)
        return _scaled(work, 2) if on_spot or margin is not None else None
    goal = 1 if _n_on_spot(work) < work.healthy else 0
    if margin is None or margin.pods >= goal:
        return None
    n_unready = work.n_replicas - work.healthy
    if margin.pods + n_unready + work.n_leaving >= goal:
        return _waiting(n_unready, work.n_leaving)
    need = need_of(work, default)
    if work.healthy - _n_on_spot(work) - need.on_demand < goal:
        return _lower_floor(work, goal)
    spread = _spread(work, need, n_zones, goal)
    return spread or _asking_for_less(work, goal) or _more(work, default, goal)


def _n_on_spot(work: WorkloadFact) -> int:
    return sum(share.n_pods for share in work.spot_by_offering)


def _scaled(work: WorkloadFact, n_replicas: int) -> Change:
    return Change(
        kind=ChangeKind.SCALE,
        target=_name(work),
        n_before=work.n_replicas,
        n_replicas=n_replicas,
    )


def _name(work: WorkloadFact) -> str:
    return f"{work.kind} {work.namespace}/{work.name}"


def _waiting(n_unready: int, n_leaving: int) -> Change:
    parts = [f"{n_unready} pods that are not Ready"] if n_unready else []
    parts += [f"{n_leaving} pods on nodes on the move"] if n_leaving else []
    return Change(kind=ChangeKind.WAIT, words=" and ".join(parts))


def _spread(work: WorkloadFact, need: Need, n_zones: int, goal: int) -> Change | None:
    """Say so where the goal is reached once the pods on Spot are spread evenly over the zones."""
    n_on_spot = _n_on_spot(work)
    if n_zones < 2 or not n_on_spot:
        return None
    even = -(-n_on_spot // n_zones)
    if work.healthy - max(need.after_offering, need.after_zone) - even < goal:
        return None
    return Change(kind=ChangeKind.SPREAD, target=_name(work))


def _lower_floor(work: WorkloadFact, goal: int) -> Change:
    least = max(0, work.healthy - _n_on_spot(work) - goal)
    return Change(
        kind=ChangeKind.ANNOTATE,
        target=work.floor_by,
        annotation=ON_DEMAND_FLOOR,
        value=str(least),
    )


def _asking_for_less(work: WorkloadFact, goal: int) -> Change | None:
    """Name the largest word under which one more may go."""
    zones: dict[str, int] = {}
    for share in work.spot_by_offering:
        zone = share.offering.zone
        zones[zone] = zones.get(zone, 0) + share.n_pods - share.n_leaving
    stays = work.healthy - max(zones.values(), default=0) - work.n_leaving - goal
    percent = 100 * stays // work.n_replicas
    if percent < 1:
        return None
    name = _name(work)
    return Change(
        kind=ChangeKind.ANNOTATE,
        target=name if work.kind in ANNOTATED else f"the pods of {name}",
        annotation=MIN_AVAILABLE_AFTER_LOSS,
        value=f"{percent}%",
    )


def _more(work: WorkloadFact, default: SurvivalDefault, goal: int) -> Change:
    """Name the number of replicas from which one more may go, if those that come are on-demand."""
    n_on_spot = _n_on_spot(work)
    for n in range(work.n_replicas + 1, MAX_REPLICAS + 1):
        grown = _grown(work, n)
        need = need_of(grown, default)
        if n - n_on_spot - need.most >= goal:
            return _scaled(work, n)
    return Change(kind=ChangeKind.ASK_FOR_LESS, target=_name(work))


def _grown(work: WorkloadFact, n_replicas: int) -> WorkloadFact:
    return WorkloadFact(
        namespace=work.namespace,
        kind=work.kind,
        name=work.name,
        n_replicas=n_replicas,
        said=work.said,
        said_by=work.said_by,
        floor=work.floor,
        floor_by=work.floor_by,
    )
