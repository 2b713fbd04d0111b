"""The core path of one decision, without any input or output: milliseconds a pool, and a batch.

Usage: python -m scripts.bench.cluster.core_path

200 pools of 25 nodes with 38 budgets each, processor time of one core. Then the shipped bundle on
500 offerings, wall time.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from scripts.bench.machine import machine
from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.inputs import InputHealth, InputState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.observation import (
    ClusterFacts,
    NodeFact,
    NodeLoad,
    Observation,
    PdbFact,
    PoolFacts,
)
from spotvortex.core.domain.types import CapacityType, Offering, ProvisionerKind
from spotvortex.core.domain.workloads import SpotShare, WorkloadFact
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.context import cycle_context
from spotvortex.core.pool.reduction import reduce_summary
from spotvortex.core.pool.summary import summary_of
from spotvortex.core.record.record import record_of
from spotvortex.core.record.replay import replay
from spotvortex.core.scoring.features import OfferingScore
from spotvortex.model import forecaster
from spotvortex.settings.model import BUNDLED_MODELS

N_POOLS, N_NODES, N_PDBS = 200, 25, 38
OFFERINGS = [
    Offering(instance_type=kind, zone=zone)
    for kind in ("m5.xlarge", "c5.xlarge", "m6i.xlarge", "r5.xlarge")
    for zone in ("us-east-1a", "us-east-1b", "us-east-1c")
]
Result = TypeVar("Result")


def pool(number: int) -> PoolFacts:
    """Build one pool of which seven in ten nodes are Spot."""
    name = f"pool-{number}"
    load = NodeLoad(n_pods=30, n_workload_pods=30, cpu_milli=3000, workload_cpu_milli=3000)
    nodes = tuple(
        NodeFact(
            name=f"{name}-{i}",
            uid=f"uid-{name}-{i}",
            pool=name,
            provisioner=ProvisionerKind.KARPENTER,
            offering=OFFERINGS[i % len(OFFERINGS)],
            capacity_type=CapacityType.SPOT if i % 10 < 7 else CapacityType.ON_DEMAND,
            created_at=1.0,
            allocatable_cpu_milli=4000,
            load=load,
        )
        for i in range(N_NODES)
    )
    pdbs = tuple(
        PdbFact(
            namespace="ns",
            name=f"budget-{number}-{k}",
            workload=f"ns/Deployment/app-{number}-{k}",
            desired_healthy=10,
            disruptions_allowed=1,
            healthy_by_node=tuple((f"{name}-{(i + k) % N_NODES}", 1) for i in range(20)),
            spot_by_offering=on_spot(nodes, {(i + k) % N_NODES for i in range(20)}),
            pools=(name,),
        )
        for k in range(N_PDBS)
    )
    workloads = tuple(
        WorkloadFact(
            namespace="ns",
            kind="Deployment",
            name=f"app-{number}-{k}",
            n_replicas=20,
            healthy_by_node=pdb.healthy_by_node,
            spot_by_offering=pdb.spot_by_offering,
            pools=(name,),
        )
        for k, pdb in enumerate(pdbs)
    )
    return PoolFacts(
        name=name,
        provisioner=ProvisionerKind.KARPENTER,
        nodes=nodes,
        pdbs=pdbs,
        workloads=workloads,
    )


def on_spot(nodes: tuple[NodeFact, ...], places: set[int]) -> tuple[SpotShare, ...]:
    """Sum one pod on each of these nodes by Spot offering."""
    spot = CapacityType.SPOT
    counts = Counter(nodes[i].offering for i in places if nodes[i].capacity_type is spot)
    return tuple(SpotShare(offering=o, n_nodes=n, n_pods=n) for o, n in sorted(counts.items()))


def observation() -> Observation:
    """Build one instant of a cluster in good order."""
    names = ("nodes", "pods", "pdbs")
    inputs = tuple(InputHealth(name=n, state=InputState.OK, age_s=1.0) for n in names)
    quotes = {
        o: SpotQuote(
            offering=o,
            spot_usd_per_hour=0.05,
            on_demand_usd_per_hour=0.17,
            history_usd_per_hour=(0.05,) * 200,
            age_s=100.0,
        )
        for o in OFFERINGS
    }
    pools = tuple(pool(number) for number in range(N_POOLS))
    return Observation(
        cycle=1,
        at=1e9,
        cluster=ClusterFacts(pools=pools, inputs=inputs),
        market=MarketFacts(quotes=quotes),
    )


def timed(what: str, work: Callable[[], Result]) -> Result:
    """Run three times, print the best in milliseconds a pool, return the last result."""
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        result = work()
        best = min(best, time.process_time() - started)
    print(f"  {what:<34} {best / N_POOLS * 1e3:8.3f} ms a pool")
    return result


def main() -> None:
    """Measure and print."""
    print(machine())
    seen = observation()
    scores = {
        o: OfferingScore(
            offering=o, capacity_score=0.01, runtime_score=0.02, in_scope=True, n_history=200
        )
        for o in OFFERINGS
    }
    sight, facts = cycle_context(seen, scores, Limits(max_input_age_s=60.0)), seen.cluster.pools
    shapes = timed("shape (new facts)", lambda: [summary_of(p) for p in facts])
    inputs = timed("reduce", lambda: tuple(reduce_summary(shape, sight) for shape in shapes))
    assessment = Assessment(observation=seen, pools=inputs, model_digest="digest")
    _, plan = timed("decide", lambda: reconcile(ControllerState(), assessment, Limits()))
    lines = timed(
        "record with nearest flip", lambda: [record_of(d, "", "1") for d in plan.decisions]
    )
    timed("replay", lambda: [replay(record.line) for record in lines])
    network = forecaster.load(BUNDLED_MODELS, "aws")
    batch = np.tile(np.float32([5.0, 0.01]), (500, 1))
    started = time.perf_counter()
    for _ in range(20):
        network.score(batch)
    print(f"  shipped bundle, 500 offerings {(time.perf_counter() - started) / 20 * 1e3:12.3f} ms")


if __name__ == "__main__":
    main()
