"""A simulated cluster made from a snapshot of a real one.

Comes in: a snapshot, the offerings that have prices, and the world's step. Goes out: a `Scenario`
with the same pools, nodes and workloads. What is not in a snapshot is taken at its default, which
the backtest says. May not invent a node or a pod.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.errors import UnknownMachineError
from spotvortex.results.cluster_snapshot import PoolRow, Snapshot, WorkloadRow
from spotvortex.sim.cluster.scenario import (
    WHEN_UNDERUTILIZED,
    Fleet,
    NodeGroup,
    Scenario,
    Workload,
    WorkloadKind,
)
from spotvortex.sim.market.hazard_supply import CALM, RegimePhase
from spotvortex.sim.market.instance_types import instance_type_of

_BOTH = (CapacityType.SPOT, CapacityType.ON_DEMAND)
_KINDS = {kind.value: kind for kind in (WorkloadKind.DEPLOYMENT, WorkloadKind.STATEFUL_SET)}


def scenario_of(
    snapshot: Snapshot, priced: Collection[Offering], start_at: float, step_s: float
) -> Scenario:
    """Return a cluster like the one in a snapshot.

    Args:
        snapshot: of the real one.
        priced: offerings that have a Spot price; a pool buys of these where it may buy anything.
        start_at: seconds since the epoch.
        step_s: seconds of a step of the world.

    Raises:
        UnknownMachineError: a node's instance type cannot be simulated, or nothing that a pool may
            buy has a price.
    """
    return Scenario(
        start_at=start_at,
        groups=tuple(_group(pool, priced) for pool in snapshot.pools if pool.nodes),
        fleets=tuple(fleet for pool in snapshot.pools for fleet in _fleets(pool)),
        workloads=_workloads(snapshot),
        phases=(RegimePhase(starts_s=0.0, regime=CALM),),
        step_s=step_s,
    )


def _group(pool: PoolRow, priced: Collection[Offering]) -> NodeGroup:
    held = {row.offering for row in pool.nodes}
    zones = pool.zones or tuple(sorted({o.zone for o in held}))
    types = pool.instance_types or tuple(sorted({o.instance_type for o in held}))
    known = tuple(t for t in types if any(o.instance_type == t and o.zone in zones for o in priced))
    if not known:
        raise UnknownMachineError(
            f"pool {pool.name}: none of its instance types ({', '.join(types[:5])}) has a price in "
            f"{', '.join(zones)}; give a price file that covers them"
        )
    for instance_type in known:
        instance_type_of(instance_type)
    return NodeGroup(
        name=pool.name,
        pool=pool.name,
        capacity_types=pool.capacity_types or _BOTH,
        instance_types=known,
        zones=zones,
        consolidation=pool.consolidation or WHEN_UNDERUTILIZED,
    )


def _fleets(pool: PoolRow) -> list[Fleet]:
    """Buy the same nodes; a reserved or unknown one counts as on-demand."""
    return [
        Fleet(
            group=pool.name,
            instance_type=row.offering.instance_type,
            capacity_type=row.capacity_type
            if row.capacity_type is CapacityType.SPOT
            else CapacityType.ON_DEMAND,
            count=row.count,
        )
        for row in pool.nodes
    ]


def _workloads(snapshot: Snapshot) -> tuple[Workload, ...]:
    """Return the workloads; one with pods in several pools becomes one of its own in each."""
    rows = [(pool, row) for pool in snapshot.pools if pool.nodes for row in pool.workloads]
    n_pools = Counter((row.namespace, row.kind, row.name) for _, row in rows)
    found = []
    for pool, row in rows:
        workload = _workload(pool, row)
        if n_pools[row.namespace, row.kind, row.name] > 1:
            workload = replace(workload, name=f"{row.name}@{pool.name}")
        found.append(workload)
    return tuple(found)


def _workload(pool: PoolRow, row: WorkloadRow) -> Workload:
    kind = _KINDS.get(row.kind, WorkloadKind.DEPLOYMENT)
    bare = row.kind == "Pod"
    workload = Workload(
        namespace=row.namespace,
        name=row.name,
        kind=WorkloadKind.BARE if bare else kind,
        pool=pool.name,
        replicas=1 if bare else row.replicas,
        cpu_milli=max(1, row.cpu_milli),
        memory_bytes=max(1, row.memory_bytes),
        grace_s=row.grace_s,
        max_unavailable=row.max_unavailable,
        zonal_volume=row.zonal_volume,
        do_not_disrupt=row.do_not_disrupt,
    )
    pinned = row.capacity_type if row.capacity_type in _BOTH else None
    return replace(workload, capacity_type=pinned)
