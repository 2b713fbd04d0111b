"""The pools of an episode: how many nodes they begin with, and by which groups they are served.

Comes in: chances. Goes out: `PoolSpec`s, and the node groups and reach of workloads that follow. A
pool is one mixed NodePool, a pair of NodePools, a pair of groups that Cluster Autoscaler grows, or
that the controller itself grows by AWS, or one of groups whose nodes no driver moves.
Data only; may not run anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Final

from spotvortex.core.domain.types import CapacityType, ProvisionerKind
from spotvortex.sim.cluster.scenario import (
    UNNEEDED_S,
    WHEN_EMPTY,
    WHEN_UNDERUTILIZED,
    NodeGroup,
    Workload,
)

ZONES: Final = ("us-east-1a", "us-east-1b", "us-east-1c")
TYPES: Final = ("m6i.xlarge", "c6i.xlarge", "m6i.2xlarge", "c6i.2xlarge")
SPOT: Final = CapacityType.SPOT
ON_DEMAND: Final = CapacityType.ON_DEMAND

PAIRS_IN: Final = 0.25
"""Share of the pools that are pairs of NodePools."""

AUTOSCALED_IN: Final = {"pair": 0.4, "node-groups": 0.6}
"""Share of those pools that Cluster Autoscaler grows instead, so that they are moved by pods."""

SCALED_IN: Final = {"mixed": 0.08, "pair": 0.2, "autoscaled": 0.3, "node-groups": 0.3}
"""Share of the pools of each shape that the controller grows by AWS instead."""

ROOM_TO_GROW: Final = 2
"""Nodes that such a group may have beyond those of its whole pool at the start."""

GROUPS_IN: Final = 0.4
"""Share of the second pools that are node groups without a driver."""

SHARED_IN: Final = 0.3
"""Share of the workloads that may run in the other pool as well."""


class PoolShape(StrEnum):
    """By which groups a pool is served."""

    MIXED = "mixed"
    PAIR = "pair"
    NODE_GROUPS = "node-groups"
    AUTOSCALED = "autoscaled"
    SCALED = "scaled"
    MANAGED = "managed"


OF_AWS: Final = (PoolShape.SCALED, PoolShape.MANAGED)
"""Auto Scaling groups, known by labels, and EKS managed node groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """One pool: its nodes at the start and its provisioner's settings.

    Attributes:
        name: the pool's name.
        n_spot: Spot nodes at the start.
        n_on_demand: on-demand nodes at the start.
        consolidation: Karpenter's `consolidationPolicy`.
        consolidate_after_s: Karpenter's `consolidateAfter`, in seconds.
        annotations: the owner's rules on the NodePool, name and value.
        shape: by which groups it is served.
        spot_weight: weight of the Spot side of a pair; the other one's is 5.
        unneeded_s: seconds after which Cluster Autoscaler removes a node that nobody needs.
    """

    name: str
    n_spot: int
    n_on_demand: int
    consolidation: str
    consolidate_after_s: float
    annotations: tuple[tuple[str, str], ...] = ()
    shape: PoolShape = PoolShape.MIXED
    spot_weight: int = 10
    unneeded_s: float = UNNEEDED_S


def side_of(pool: PoolSpec, capacity_type: CapacityType) -> str:
    """Return the name of the group that has a pool's nodes of one kind."""
    if pool.shape is PoolShape.MIXED:
        return pool.name
    return f"{pool.name}-spot" if capacity_type is SPOT else f"{pool.name}-od"


def groups_of(pool: PoolSpec, terminate_s: float) -> tuple[NodeGroup, ...]:
    """Return the groups that serve a pool."""
    mixed = NodeGroup(
        name=pool.name,
        pool=pool.name,
        capacity_types=(SPOT, ON_DEMAND),
        instance_types=TYPES,
        zones=ZONES,
        consolidation=pool.consolidation,
        consolidate_after_s=pool.consolidate_after_s,
        annotations=pool.annotations,
        terminate_s=terminate_s,
    )
    if pool.shape is PoolShape.MIXED:
        return (mixed,)
    sides = tuple(
        replace(mixed, name=side_of(pool, kind), capacity_types=(kind,), weight=weight)
        for kind, weight in ((SPOT, pool.spot_weight), (ON_DEMAND, 5))
    )
    if pool.shape is PoolShape.PAIR:
        return sides
    sides = tuple(replace(side, annotations=(), weight=0) for side in sides)
    if pool.shape is PoolShape.AUTOSCALED:
        made_by, after_s = ProvisionerKind.CLUSTER_AUTOSCALER, pool.unneeded_s
        return tuple(replace(side, provisioner=made_by, unneeded_s=after_s) for side in sides)
    sides = tuple(replace(s, provisioner=ProvisionerKind.MANAGED_NODE_GROUP) for s in sides)
    if pool.shape not in OF_AWS:
        return sides
    largest, labelled = pool.n_spot + pool.n_on_demand + ROOM_TO_GROW, pool.shape is OF_AWS[0]
    return tuple(replace(side, largest=largest, labelled=labelled) for side in sides)


def draw_pools(chance: Random, max_nodes: int) -> tuple[PoolSpec, ...]:
    """Draw one pool or two, of at most so many nodes in all."""
    left, found = max_nodes, []
    for name in ("web", "batch")[: chance.choice((1, 1, 2))]:
        n_spot = chance.randint(2, min(8, left - 1))
        n_on_demand = chance.randint(0, min(4, left - n_spot))
        left -= n_spot + n_on_demand
        annotations = []
        if chance.random() < 0.3:
            ratio = chance.choice(("0.5", "0.7"))
            annotations.append(("spotvortex.io/max-spot-ratio", ratio))
        if chance.random() < 0.2:
            annotations.append(("spotvortex.io/on-demand-floor", str(chance.randint(1, 2))))
        found.append(
            PoolSpec(
                name=name,
                n_spot=n_spot,
                n_on_demand=n_on_demand,
                consolidation=chance.choice((WHEN_EMPTY, WHEN_UNDERUTILIZED, WHEN_UNDERUTILIZED)),
                consolidate_after_s=chance.choice((0.0, 30.0, 300.0)),
                annotations=tuple(annotations),
            )
        )
        if left < 3:
            break
    return tuple(found)


def with_sides(chance: Random, pools: tuple[PoolSpec, ...]) -> tuple[PoolSpec, ...]:
    """Make pairs of some pools, and node groups of some second ones."""
    found = []
    for number, pool in enumerate(pools):
        shape, weight = PoolShape.MIXED, chance.choice((1, 10))
        if number and chance.random() < GROUPS_IN:
            shape = PoolShape.NODE_GROUPS
        elif chance.random() < PAIRS_IN:
            shape = PoolShape.PAIR
        found.append(replace(pool, shape=shape, spot_weight=weight))
    return tuple(found)


def autoscaled(chance: Random, pools: tuple[PoolSpec, ...]) -> tuple[PoolSpec, ...]:
    """Let Cluster Autoscaler grow some of the pools that have two groups."""
    return tuple(
        replace(
            pool,
            shape=PoolShape.AUTOSCALED,
            annotations=(),
            unneeded_s=chance.choice((30.0, 120.0, UNNEEDED_S)),
        )
        if chance.random() < AUTOSCALED_IN.get(pool.shape, 0.0)
        else pool
        for pool in pools
    )


def scaled(chance: Random, pools: tuple[PoolSpec, ...]) -> tuple[PoolSpec, ...]:
    """Let the controller itself grow some of the pools by AWS."""
    return tuple(
        replace(pool, shape=chance.choice(OF_AWS), annotations=())
        if chance.random() < SCALED_IN[pool.shape]
        else pool
        for pool in pools
    )


WORDED_IN: Final = 0.3
"""Share of the workloads of which the owner says what must stay after a loss."""

WORDS: Final = ("0", "1", "25%", "75%", "100%", "most of it")


def worded(chance: Random, workloads: tuple[Workload, ...]) -> tuple[Workload, ...]:
    """Let some owners say what must stay after a loss, one in six so that nobody can read it."""
    return tuple(
        replace(w, min_available_after_loss=chance.choice(WORDS))
        if chance.random() < WORDED_IN
        else w
        for w in workloads
    )


def shared(chance: Random, workloads: tuple[Workload, ...]) -> tuple[Workload, ...]:
    """Let some workloads run in the pools of the others as well."""
    pools = {workload.pool for workload in workloads}
    return tuple(
        replace(w, other_pools=tuple(sorted(pools - {w.pool})))
        if chance.random() < SHARED_IN
        else w
        for w in workloads
    )
