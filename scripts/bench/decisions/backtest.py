"""How long a backtest takes, and how that grows with days and pools.

Prints seconds for 10 to 80 days of 5 pools and for 5 to 40 pools of 10 days, the exponents of
growth, and 90 days of 20 pools. One process, recorded prices, ours and one rival.

    python -m scripts.bench.decisions.backtest [--full]
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.evaluation import composition, worlds
from spotvortex.results.cluster_snapshot import NodesRow, PoolRow, Snapshot, WorkloadRow, to_text
from spotvortex.settings.model import BUNDLED_MODELS
from tests.sim.recordings import TYPES, ZONES, write_prices

GIB = 1024**3


def cluster(n_pools: int) -> Snapshot:
    """Return a cluster of pools of five nodes and two services each."""
    return Snapshot(at=0.0, pools=tuple(_pool(f"pool-{number}") for number in range(n_pools)))


def _pool(name: str) -> PoolRow:
    services = tuple(
        WorkloadRow(
            namespace=name,
            name=f"app-{number}",
            kind="Deployment",
            replicas=10,
            cpu_milli=900,
            memory_bytes=GIB,
            grace_s=30.0,
            max_unavailable=1,
        )
        for number in range(2)
    )
    offering = Offering(instance_type=TYPES[0], zone=ZONES[0])
    nodes = NodesRow(offering=offering, capacity_type=CapacityType.ON_DEMAND, count=5)
    return PoolRow(name=name, nodes=(nodes,), workloads=services, instance_types=TYPES, zones=ZONES)


def seconds(folder: Path, n_days: int, n_pools: int) -> float:
    """Run one backtest and return what it took."""
    snapshot = folder / f"cluster-{n_pools}.json"
    snapshot.write_text(to_text(cluster(n_pools)))
    spec = composition.BacktestSpec(
        prices=folder / "prices.jsonl", snapshot=snapshot, n_days=n_days, model_dir=BUNDLED_MODELS
    )
    started = time.perf_counter()
    composition.backtest(spec, (worlds.OURS,), lambda _: None)
    took = time.perf_counter() - started
    print(f"{n_days} days, {n_pools} pools: {took:.1f} s", flush=True)
    return took


def exponent(first: float, last: float, factor: float) -> float:
    """Return the exponent of growth between two runs, `factor` apart in size."""
    return math.log(last / first) / math.log(factor)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="also 90 days of 20 pools")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_prices(folder / "prices.jsonl", 92)
        days = [seconds(folder, n, 5) for n in (10, 20, 40, 80)]
        pools = [seconds(folder, 10, n) for n in (5, 10, 20, 40)]
        by_days, by_pools = exponent(days[0], days[-1], 8.0), exponent(pools[0], pools[-1], 8.0)
        print(f"growth: days^{by_days:.2f}, pools^{by_pools:.2f}")
        if options.full:
            seconds(folder, 90, 20)


if __name__ == "__main__":
    main()
