"""Whether two checkouts decide and play the same, whatever their modules are called.

Each checkout runs `simulate --episodes 300 --seed 1`, a backtest of 10 days, and a replay of the
first 1,000 decision records that the first checkout's backtest wrote. Printed are a digest of each
answer, less the digest of the code; the exit code is 1 where two differ.

    python -m scripts.same_behaviour BEFORE AFTER [--episodes N]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.bench.decisions.backtest import cluster as cluster_of
from spotvortex.results.cluster_snapshot import to_text
from tests.sim.recordings import write_prices

N_DAYS = 10
N_RECORDS = 1_000
N_POOLS = 5
"""Pools of the backtest: each is recorded at least hourly, so that there are 1,000 records."""

_CODE = re.compile(r"\d+\.\d+\.\d+\+[0-9a-f]{12}")
_CHAIN = ("code", "previous", "digest")


def spotvortex(checkout: Path, *arguments: str) -> str:
    """Run a command of a checkout in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "spotvortex", *arguments],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{checkout}: {' '.join(arguments)}\n{done.stderr}")
    return done.stdout


def digest(text: str) -> str:
    """Return a digest of an answer, whatever code gave it."""
    return hashlib.sha256(_CODE.sub("CODE", text).encode()).hexdigest()[:16]


def records_of(path: Path, n: int) -> list[str]:
    """Return the first records of a log, less the code and what chains them."""
    lines = path.read_text().splitlines()[:n]
    if len(lines) < n:
        raise SystemExit(f"{path}: {len(lines)} records, {n} are wanted")
    kept = []
    for line in lines:
        document = json.loads(line)
        kept.append(json.dumps({k: document[k] for k in document if k not in _CHAIN}))
    return kept


def figures(checkout: Path, folder: Path, log: Path, n_episodes: int) -> dict[str, str]:
    """Run everything in one checkout and return its digests by name."""
    own = folder / f"own-{len(list(folder.iterdir()))}.jsonl"
    prices, cluster = str(folder / "prices.jsonl"), str(folder / "cluster.json")
    played = spotvortex(
        checkout, "simulate", f"--episodes={n_episodes}", "--seed=1", "--output=json"
    )
    wanted = ("backtest", "--prices", prices, "--cluster", cluster, f"--days={N_DAYS}")
    tested = spotvortex(checkout, *wanted, "--decisions", str(own), "--output=json")
    if not log.exists():
        log.write_text("\n".join(own.read_text().splitlines()[:N_RECORDS]) + "\n")
    replayed = spotvortex(checkout, "replay", str(log)).splitlines()[:-1]
    return {
        "simulate": digest(played),
        "backtest": digest(tested),
        "records": digest("\n".join(records_of(own, N_RECORDS))),
        "replay": digest("\n".join(replayed)),
        "replayed": "; ".join(replayed),
    }


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkouts", nargs="+", type=Path)
    parser.add_argument("--episodes", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_prices(folder / "prices.jsonl", N_DAYS + 2)
        (folder / "cluster.json").write_text(to_text(cluster_of(N_POOLS)))
        log = folder / "log-of-the-first.jsonl"
        found = [
            figures(checkout.resolve(), folder, log, options.episodes)
            for checkout in options.checkouts
        ]
    for what in found[0]:
        answers = [each[what] for each in found]
        print(f"{what:<10} {'same' if len(set(answers)) == 1 else 'DIFFERENT'}  {answers}")
    return 1 if any(each != found[0] for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
