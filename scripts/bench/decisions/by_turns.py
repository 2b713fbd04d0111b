"""What two checkouts take for the same work, by turns, and whether they decide the same.

Usage: python -m scripts.bench.decisions.by_turns BEFORE AFTER [--pairs N] [--episodes N]
Each pair plays the same episodes of the fault search in one checkout and in the other, then a day
of a backtest of 20 pools likewise. Times are of the processor; on a machine that does other work
too, the least of a few pairs tells most. It ends with 1 where digests differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scripts.bench.machine import machine

FIRST_SEED: Final = 900_001

TIMED: Final = """
import json, sys, tempfile, time
from pathlib import Path
began = time.process_time()
{work}
print(json.dumps({{"s": time.process_time() - began, "digest": str(digest)}}))
"""
"""The work says what came of it in `digest`, or sets `began` anew once it is ready."""

EPISODES: Final = """
import logging
from spotvortex.faultsearch.search import search
logging.disable(logging.CRITICAL)
began = time.process_time()
digest = search(range({first}, {first} + {n})).digest
"""

BACKTEST: Final = """
import contextlib, io
from scripts.bench.decisions.evaluation import backtest_s
began, told = time.process_time(), io.StringIO()
with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(told):
    backtest_s(Path(name))
digest = json.loads(told.getvalue())["digests"]
"""


def timed(checkout: Path, work: str) -> tuple[float, str]:
    """Return the processor seconds that some work takes in a checkout, and its digest."""
    ran = subprocess.run(
        [sys.executable, "-c", TIMED.format(work=work)],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(ran.stdout.splitlines()[-1])
    return found["s"], found["digest"]


def compared(name: str, work: str, checkouts: tuple[Path, Path], n_pairs: int) -> Iterator[bool]:
    """Print the times of each pair and the ratio of the least; yield whether digests agree."""
    pairs = []
    for _ in range(n_pairs):
        (before_s, before), (after_s, after) = (timed(one, work) for one in checkouts)
        pairs.append((before_s, after_s))
        yield before == after
    least = [min(times) for times in zip(*pairs, strict=True)]
    rounded = [[round(s, 2) for s in pair] for pair in pairs]
    ratio = round(least[1] / least[0], 2)
    print(json.dumps({"work": name, "pairs_s": rounded, "ratio_of_least": ratio}), flush=True)


def main() -> None:
    """Compare both and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=20)
    options = parser.parse_args()
    print(json.dumps({"machine": machine()}))
    checkouts = options.before.resolve(), options.after.resolve()
    episodes = EPISODES.format(first=FIRST_SEED, n=options.episodes)
    same = [
        *compared(f"{options.episodes} episodes", episodes, checkouts, options.pairs),
        *compared("a day of 20 pools", BACKTEST, checkouts, options.pairs),
    ]
    print(json.dumps({"same_digests": all(same)}))
    sys.exit(not all(same))


if __name__ == "__main__":
    main()
