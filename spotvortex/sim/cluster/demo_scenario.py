"""The demo's cluster: six pools of different character, a calm, a stress, a calm.

Comes in: nothing. Goes out: one `Scenario` of 61 nodes, whose NodePools consolidate as Karpenter's
default has it. Declares only.
"""

from __future__ import annotations

from typing import Final

from spotvortex.core.domain.types import CapacityType, ProvisionerKind
from spotvortex.sim.cluster.scenario import (
    WHEN_UNDERUTILIZED,
    Fleet,
    NodeGroup,
    Scenario,
    Workload,
    WorkloadKind,
)
from spotvortex.sim.market.hazard_supply import CALM, Regime, RegimePhase
from spotvortex.sim.market.instance_types import GIB, MIB
from spotvortex.sim.market.supply import NoticeTiming, Signals

SPOT: Final = CapacityType.SPOT
ON_DEMAND: Final = CapacityType.ON_DEMAND

DEMO_START_AT: Final = 1_785_229_200.0
"""2026-07-28 09:00:00 UTC, a Tuesday."""

FAMINE: Final = Regime(
    name="famine",
    hazard_per_hour=0.5,
    shortages_per_hour=20.0,
    hit_ratio=0.8,
    launch_failure_ratio=0.3,
)
"""Half of the Spot nodes are lost within an hour or two: as bad as recorded series get, and long
enough that a person sees what is done about it."""

_ZONES: Final = ("us-east-1a", "us-east-1b", "us-east-1c")
_GENERAL: Final = ("m6i.xlarge", "m6i.2xlarge", "c6i.xlarge", "c6i.2xlarge")

_GROUPS: Final = (
    NodeGroup(
        name="web",
        pool="web",
        capacity_types=(SPOT, ON_DEMAND),
        instance_types=_GENERAL,
        zones=_ZONES,
        consolidation=WHEN_UNDERUTILIZED,
    ),
    NodeGroup(
        name="api-spot",
        pool="api",
        capacity_types=(SPOT,),
        instance_types=("m6i.xlarge", "c6i.xlarge"),
        zones=_ZONES,
        consolidation=WHEN_UNDERUTILIZED,
        weight=20,
    ),
    NodeGroup(
        name="api-od",
        pool="api",
        capacity_types=(ON_DEMAND,),
        instance_types=("m6i.xlarge", "c6i.xlarge"),
        zones=_ZONES,
        consolidation=WHEN_UNDERUTILIZED,
        weight=10,
    ),
    NodeGroup(
        name="batch",
        pool="batch",
        capacity_types=(SPOT, ON_DEMAND),
        instance_types=("c5.2xlarge", "c6i.2xlarge", "m6i.2xlarge"),
        zones=_ZONES,
        consolidation=WHEN_UNDERUTILIZED,
    ),
    NodeGroup(
        name="stateful",
        pool="stateful",
        capacity_types=(ON_DEMAND,),
        instance_types=("r6i.xlarge", "r6i.2xlarge"),
        zones=_ZONES,
        consolidation=WHEN_UNDERUTILIZED,
    ),
    NodeGroup(
        name="legacy",
        pool="legacy",
        provisioner=ProvisionerKind.MANAGED_NODE_GROUP,
        capacity_types=(ON_DEMAND,),
        instance_types=("m5.xlarge",),
        zones=_ZONES,
    ),
    NodeGroup(
        name="gpu-next",
        pool="gpu-next",
        capacity_types=(SPOT, ON_DEMAND),
        instance_types=("x9g.xlarge",),
        zones=_ZONES,
        consolidation=WHEN_UNDERUTILIZED,
    ),
)

_FLEETS: Final = tuple(
    Fleet(group=group, instance_type=instance_type, capacity_type=capacity_type, count=count)
    for group, instance_type, capacity_type, count in (
        ("web", "m6i.xlarge", SPOT, 5),
        ("web", "c6i.xlarge", SPOT, 4),
        ("web", "m6i.2xlarge", SPOT, 2),
        ("web", "c6i.2xlarge", SPOT, 2),
        ("web", "m6i.xlarge", ON_DEMAND, 4),
        ("web", "c6i.xlarge", ON_DEMAND, 2),
        ("web", "c6i.2xlarge", ON_DEMAND, 1),
        ("api-spot", "m6i.xlarge", SPOT, 3),
        ("api-spot", "c6i.xlarge", SPOT, 3),
        ("api-od", "m6i.xlarge", ON_DEMAND, 4),
        ("api-od", "c6i.xlarge", ON_DEMAND, 2),
        ("batch", "c5.2xlarge", SPOT, 4),
        ("batch", "c6i.2xlarge", SPOT, 5),
        ("batch", "m6i.2xlarge", SPOT, 4),
        ("batch", "c6i.2xlarge", ON_DEMAND, 1),
        ("stateful", "r6i.xlarge", ON_DEMAND, 3),
        ("stateful", "r6i.2xlarge", ON_DEMAND, 3),
        ("legacy", "m5.xlarge", ON_DEMAND, 5),
        ("gpu-next", "x9g.xlarge", SPOT, 3),
        ("gpu-next", "x9g.xlarge", ON_DEMAND, 1),
    )
)


def _half(name: str, replicas: int, cpu_milli: int, memory_mib: int) -> Workload:
    """A web service that keeps half of its pods."""
    return Workload(
        namespace="shop",
        name=name,
        pool="web",
        replicas=replicas,
        cpu_milli=cpu_milli,
        memory_bytes=memory_mib * MIB,
        min_available_ratio=0.5,
    )


def _strict(
    name: str, replicas: int, cpu_milli: int, capacity_type: CapacityType | None = None
) -> Workload:
    """An API service of which one pod at a time may be away."""
    return Workload(
        namespace="api",
        name=name,
        pool="api",
        replicas=replicas,
        cpu_milli=cpu_milli,
        memory_bytes=1 * GIB,
        grace_s=45.0,
        max_unavailable=1,
        capacity_type=capacity_type,
    )


def _worker(name: str, replicas: int, cpu_milli: int, memory_gib: int) -> Workload:
    """A queue worker without a budget."""
    return Workload(
        namespace="batch",
        name=name,
        pool="batch",
        replicas=replicas,
        cpu_milli=cpu_milli,
        memory_bytes=memory_gib * GIB,
        grace_s=60.0,
    )


def _store(name: str, cpu_milli: int, memory_gib: int) -> Workload:
    """A replicated store on zonal volumes."""
    return Workload(
        namespace="data",
        name=name,
        kind=WorkloadKind.STATEFUL_SET,
        pool="stateful",
        replicas=3,
        cpu_milli=cpu_milli,
        memory_bytes=memory_gib * GIB,
        grace_s=120.0,
        max_unavailable=1,
        zonal_volume=True,
        capacity_type=ON_DEMAND,
    )


def _daemon(name: str, cpu_milli: int, memory_mib: int) -> Workload:
    return Workload(
        namespace="kube-system",
        name=name,
        kind=WorkloadKind.DAEMON_SET,
        cpu_milli=cpu_milli,
        memory_bytes=memory_mib * MIB,
    )


_SERVICES: Final = (
    _daemon("aws-node", 25, 64),
    _daemon("kube-proxy", 100, 64),
    _daemon("node-exporter", 50, 64),
    _half("storefront", 18, 1000, 1536),
    _half("catalog", 14, 1000, 1024),
    _half("search", 12, 1500, 2048),
    _half("cart", 14, 500, 768),
    _half("recommendations", 16, 1000, 1536),
    _strict("gateway", 10, 1000),
    _strict("orders", 9, 1000),
    _strict("payments", 6, 1000, ON_DEMAND),
    _strict("identity", 8, 750),
    _strict("pricing", 6, 750),
    _worker("etl-worker", 24, 2000, 3),
    _worker("render", 14, 2000, 3),
    _worker("feature-builder", 10, 1000, 2),
    _store("postgres", 3000, 20),
    _store("kafka", 2000, 12),
    _store("opensearch", 2000, 16),
    _store("redis", 1000, 8),
)

_ODDITIES: Final = (
    Workload(
        namespace="back-office",
        name="intranet",
        pool="legacy",
        cpu_milli=1000,
        memory_bytes=2 * GIB,
    ),
    Workload(
        namespace="back-office",
        name="billing-run",
        pool="legacy",
        cpu_milli=1500,
        memory_bytes=4 * GIB,
        do_not_disrupt=True,
    ),
    Workload(
        namespace="back-office",
        name="importer",
        kind=WorkloadKind.BARE,
        pool="legacy",
        cpu_milli=500,
        memory_bytes=1 * GIB,
    ),
    Workload(
        namespace="back-office",
        name="reports",
        pool="legacy",
        replicas=6,
        cpu_milli=1000,
        memory_bytes=2 * GIB,
    ),
    Workload(
        namespace="kube-system",
        name="coredns",
        pool="legacy",
        replicas=2,
        cpu_milli=100,
        memory_bytes=70 * MIB,
        max_unavailable=1,
    ),
    Workload(
        namespace="search-next",
        name="vector-index",
        pool="gpu-next",
        replicas=4,
        cpu_milli=2500,
        memory_bytes=40 * GIB,
        min_available_ratio=0.5,
    ),
    Workload(
        namespace="search-next",
        name="embedder",
        pool="gpu-next",
        replicas=4,
        cpu_milli=500,
        memory_bytes=8 * GIB,
    ),
)


def demo() -> Scenario:
    """Return the demo: calm for 75 minutes, a famine of Spot for 90, then calm again."""
    return Scenario(
        start_at=DEMO_START_AT,
        groups=_GROUPS,
        fleets=_FLEETS,
        workloads=_SERVICES + _ODDITIES,
        announced=Signals(notices=NoticeTiming(flawed_ratio=0.9)),
        phases=(
            RegimePhase(starts_s=0.0, regime=CALM),
            RegimePhase(starts_s=1.25 * 3600.0, regime=FAMINE),
            RegimePhase(starts_s=2.75 * 3600.0, regime=CALM),
        ),
    )
