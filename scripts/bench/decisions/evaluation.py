"""What an evaluation and a backtest take: the whole of protocol 1, and a day of 20 pools.

Usage: python -m scripts.bench.decisions.evaluation [--days N] [--seed N]
Each policy of protocol 1 is run for a few days in one world of each family; from its processor time
a day follows what all runs of the protocol without variants take, and how long that is on two
cores. Then a day of a backtest of 20 pools, ours and all on-demand. The digests tell whether two
checkouts decide the same. Times are of the processor: who else works on the machine matters less,
but not nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from scripts.bench.decisions.backtest import cluster
from scripts.bench.machine import machine
from spotvortex.evaluation import composition, protocol, worlds
from spotvortex.evaluation.protocol import Protocol
from spotvortex.results.cluster_snapshot import to_text
from spotvortex.settings.model import BUNDLED_MODELS
from tests.sim.recordings import write_prices

MIX: Final = "bursty"
N_POOLS: Final = 20
CORES: Final = 2
OF_ONE_COST: Final = ("B2-", "B3-", "B4-", "B3-lazy-")
"""Settings of one baseline take as long as each other: the first stands for all of them."""


def stand_in(policy: str, known: dict[str, float]) -> str | None:
    """Return a policy that has been measured already and takes as long, None where none has."""
    prefix = next((p for p in reversed(OF_ONE_COST) if policy.startswith(p)), None)
    if prefix is None:
        return None
    return next((name for name in known if name.startswith(prefix)), None)


def measured(of: Protocol, path: Path, seed: int) -> float:
    """Print each policy's time; return the processor seconds of the whole protocol."""
    extent = composition.whole(of, BUNDLED_MODELS, with_variants=False)
    n_worlds = len(of.mixes) * protocol.load().n_seeds
    whole_s, factor = 0.0, protocol.load().n_days / of.n_days
    for family in (f.name for f in of.families if not f.replays):
        known: dict[str, float] = {}
        for policy in extent.policies:
            like = stand_in(policy, known)
            if like is None:
                known[policy] = one_run_s(path, family, policy, seed)
            whole_s += factor * n_worlds * known[like or policy]
    return whole_s


def one_run_s(path: Path, family: str, policy: str, seed: int) -> float:
    """Run one policy in one world, print it, and return its processor seconds."""
    spec = composition.RunSpec(
        family=family,
        mix=MIX,
        seed=seed,
        policy=policy,
        variant="",
        protocol_path=path,
        model_dir=BUNDLED_MODELS,
    )
    composition.work(replace(spec, policy=worlds.B0))  # what all policies of a world share
    began = time.process_time()
    result = composition.work(spec)
    taken_s = time.process_time() - began
    print(json.dumps({"run": spec.key, "s": round(taken_s, 2), "digest": result.digest[:12]}))
    return taken_s


def backtest_s(folder: Path) -> float:
    """Run a day of a backtest of 20 pools, print its digests, and return its processor seconds."""
    write_prices(folder / "prices.jsonl", 3)
    (folder / "cluster.json").write_text(to_text(cluster(N_POOLS)))
    spec = composition.BacktestSpec(
        prices=folder / "prices.jsonl",
        snapshot=folder / "cluster.json",
        n_days=1,
        model_dir=BUNDLED_MODELS,
    )
    began = time.process_time()
    accounts = composition.backtest(spec, (worlds.OURS,), lambda _: None)
    taken_s = time.process_time() - began
    digests = [account.result.digest[:12] for account in accounts]
    print(json.dumps({"run": f"backtest of {N_POOLS} pools", "digests": digests}))
    return taken_s


def main() -> None:
    """Measure both and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=1, help="days of each run")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps({"machine": machine()}))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        document = json.loads(protocol.OWN_PATH.read_text()) | {"n_days": options.days}
        path = folder / "protocol.json"
        path.write_text(json.dumps(document))
        day_s = backtest_s(folder)
        whole_s = measured(protocol.load(path), path, options.seed)
    figures = {
        "day_of_20_pools_s": round(day_s, 1),
        "protocol_1_processor_hours": round(whole_s / 3600.0, 2),
        "protocol_1_minutes_on_two_cores": round(whole_s / 60.0 / CORES, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
