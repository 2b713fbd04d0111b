"""What extra room at notices brings and costs: the evaluation's worlds, with it and without.

    python -m scripts.bench.decisions.hedge --seeds 2 --boot 2 scripted
    python -m scripts.bench.decisions.hedge --seeds 3 --hazard 10 stressed calm

Comes in: families of worlds; `scripted` loses three of the 20 nodes every 15 minutes, with the
usual notice, whatever they are, and is the one to compare by. In the others losses are drawn for
the offerings that are held, so that two runs of one world do not lose the same. Goes out: for each
bound of the ratio the nodes' cost, what was not served, outage minutes and losses, a line a run and
a sum a family. `--boot` makes launches slow, `--hazard` losses frequent, `--fail` is the share of
launches that fail where losses are scripted, `--minutes` the price of an interruption, by which
extras pay or do not. Scores are constant: nothing leaves Spot for them.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from spotvortex.core.domain.types import Offering
from spotvortex.evaluation import composition, protocol, worlds
from spotvortex.evaluation.run import Trial, run
from spotvortex.results.accounting import DayTotals, RunResult
from spotvortex.settings.model import BUNDLED_MODELS
from spotvortex.sim.market.supply import NOTICE_S, Interruption

SCRIPTED = "scripted"
EVERY_S = 900.0
FIRST_S = 5400.0
"""Seconds until the first loss: by then the pool has come to Spot."""

N_LOST = 3

SUMMED = (
    "node_usd",
    "unserved_od_usd",
    "outage_minutes",
    "unserved_node_minutes",
    "n_interrupted",
    "node_minutes",
)


@dataclass(slots=True)
class ScriptedSupply:
    """A market that takes so many nodes at set times, and refuses a share of the launches."""

    chance: Random
    fail_ratio: float
    _left: int = 0
    _next_at: float = field(default=worlds.START_AT + FIRST_S)

    def advance(self, at: float, _seconds: float) -> None:
        """Begin the next losses when they are due."""
        if at >= self._next_at:
            self._next_at += EVERY_S
            self._left = N_LOST

    def launch_fails(self, _offering: Offering, _n_held: int, _at: float) -> bool:
        """Tell whether a launch fails."""
        return self.chance.random() < self.fail_ratio

    def strikes(
        self, _offering: Offering, ages_s: Sequence[float], at: float, _seconds: float
    ) -> list[Interruption]:
        """Return who is struck: the first nodes that are asked about."""
        n = min(self._left, len(ages_s))
        self._left -= n
        return [Interruption(index=index, leaves_at=at + NOTICE_S) for index in range(n)]

    def warns(self, _offering: Offering, _at: float, _seconds: float) -> bool:
        """Recommend nothing."""
        return False

    def tightness(self, _offering: Offering) -> float:
        """Return the same for all."""
        return 1.0


def main() -> None:
    """Run every world under every bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="+")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--boot", type=float, default=1.0)
    parser.add_argument("--hazard", type=float, default=1.0)
    parser.add_argument("--fail", type=float, default=0.05)
    parser.add_argument("--minutes", type=float, default=240.0)
    parser.add_argument("--bounds", type=float, nargs="+", default=[0.0, 1.0])
    asked = parser.parse_args()
    print(f"{asked}")
    for family in asked.families:
        sums: dict[float, list[dict[str, float]]] = {bound: [] for bound in asked.bounds}
        for seed in range(asked.seeds):
            for bound in asked.bounds:
                started = time.perf_counter()
                figures = dict(_figures(_trial(family, seed, bound, asked)))
                sums[bound].append(figures)
                took = time.perf_counter() - started
                print(f"  {family} {seed}, {bound:g}: {_told(figures)}  ({took:.0f} s)", flush=True)
        for bound, runs in sums.items():
            whole = {name: sum(run[name] for run in runs) for name in SUMMED}
            print(f"{family}, all seeds, at most {bound:g}: {_told(whole)}", flush=True)


def _trial(family: str, seed: int, bound: float, asked: argparse.Namespace) -> Trial:
    of = protocol.load()
    is_scripted = family == SCRIPTED
    world = worlds.EvaluationWorld(
        family="calm" if is_scripted else family,
        mix=composition.QUICK_MIX,
        seed=seed,
        n_days=asked.days,
        variant=replace(of.variants[0], boot_factor=asked.boot, hazard_factor=asked.hazard),
    )
    made = worlds.trial_of(world, worlds.OURS_CONSTANT, of, composition.models_of(BUNDLED_MODELS))
    assert made.controller is not None
    limits = replace(
        made.controller.limits, max_hedge_ratio=bound, interruption_minutes=asked.minutes
    )
    made = replace(made, controller=replace(made.controller, limits=limits))
    return replace(made, supply=ScriptedSupply(Random(seed), asked.fail)) if is_scripted else made


def _figures(trial: Trial) -> Iterator[tuple[str, float]]:
    account = run(trial, _unnamed)
    for name in SUMMED:
        yield name, sum(getattr(day, name) for day in account.result.days)


def _unnamed(days: tuple[DayTotals, ...], digest: str) -> RunResult:
    return RunResult(family="", mix="", seed=0, policy="", days=days, digest=digest, variant="")


def _told(figures: dict[str, float]) -> str:
    lost = max(1.0, figures["n_interrupted"])
    outage, unserved = figures["outage_minutes"], figures["unserved_node_minutes"]
    return (
        f"{figures['node_usd']:.2f} USD, outage {outage:.1f} min ({outage / lost:.3f} a loss), not "
        f"served {unserved:.1f} node-min ({unserved / lost:.3f} a loss) and "
        f"{figures['unserved_od_usd']:.3f} USD, {figures['n_interrupted']:.0f} lost, "
        f"{figures['node_minutes']:.0f} node-min"
    )


if __name__ == "__main__":
    main()
