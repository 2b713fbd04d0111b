"""Change the code at random and see whether a test notices.

Comes in: packages, the tests that have to notice, how many mutants, a seed. Goes out: how many of
them were killed, and each that was not, with its line; the exit code is 1 where fewer were killed
than `--at-least` asks. Mutants that cannot change behaviour stand in
`scripts/mutants_equivalent.txt` with the reason and do not count; a key there stands for each
such change of the line. Nothing is written to the tree itself.

    python -m scripts.mutants spotvortex/core --tests tests/core --n 300 --seed 1
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from scripts.mutants.bench import Bench
from scripts.mutants.changes import ROOT, Mutant, draw

EQUIVALENT: Final = ROOT / "scripts" / "mutants_equivalent.txt"


def equivalent() -> dict[str, str]:
    """Return the reasons of mutants that change no behaviour, by key."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    parts = (line.rpartition(" # ") for line in lines if not line.startswith("#"))
    return {key.strip(): reason for key, _, reason in parts if key}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.mutants", description=__doc__)
    parser.add_argument("packages", nargs="+", help="folders below the root")
    parser.add_argument("--tests", nargs="+", required=True, help="what has to notice")
    parser.add_argument("--select", default="", help="a marker expression")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", dest="first", type=int, default=1, help="first number to try")
    parser.add_argument("--to", dest="last", type=int, help="last number to try")
    parser.add_argument("--only", nargs="+", default=(), help="try keys that contain such a text")
    parser.add_argument("--at-least", type=float, default=0.0, help="ratio that must be killed")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[tuple[int, Mutant]]:
    """Return the mutants to try, with their numbers in the draw."""
    drawn = enumerate(draw(options.packages, options.n, options.seed), 1)
    return [
        (number, mutant)
        for number, mutant in drawn
        if options.first <= number <= (options.last or options.n)
        and (not options.only or any(text in mutant.key for text in options.only))
    ]


def _survivors(bench: Bench, mutants: list[tuple[int, Mutant]]) -> list[Mutant]:
    """Return the mutants that no test notices, and print each as it is found."""
    known, survivors = equivalent(), []
    for number, mutant in mutants:
        tests = bench.reaching(mutant)
        if bench.kills(mutant, tests):
            continue
        survivors.append(mutant)
        about = "is equivalent" if mutant.key in known else f"survived {len(tests)} tests"
        print(f"{number} {about}, line {mutant.line}\n  {mutant.key}", flush=True)
    return survivors


def main() -> int:
    """Try and print."""
    options = _options()
    started = time.monotonic()
    mutants = _chosen(options)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options.tests, options.select)
        bench.map_lines(options.packages)
        print(f"lines mapped in {time.monotonic() - started:.0f} s", flush=True)
        survivors = _survivors(bench, mutants)
    known = equivalent()
    n_equivalent = sum(mutant.key in known for mutant in survivors)
    n_counted = len(mutants) - n_equivalent
    n_killed = len(mutants) - len(survivors)
    ratio = n_killed / n_counted if n_counted else 1.0
    passed_s = time.monotonic() - started
    print(
        f"{n_killed} of {n_counted} killed ({ratio:.1%}), "
        f"{n_equivalent} equivalent, {passed_s:.0f} s"
    )
    return 1 if ratio < options.at_least else 0


if __name__ == "__main__":
    if "PYTHONHASHSEED" not in os.environ:
        os.execve(
            sys.executable,
            [sys.executable, "-m", "scripts.mutants", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
