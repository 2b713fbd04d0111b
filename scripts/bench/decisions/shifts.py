"""What moves from Spot to Spot are worth: with and without shifts, with and without evacuation.

Prints a table: net profit of SpotVortex against the best plain Karpenter (B3) in the same worlds,
at several prices of an interruption, with outage minutes, interruptions, moves and the share of
Spot. Each policy is told the price by which it is judged. Worlds are generated, or replay a trace.

    python -m scripts.bench.decisions.shifts [--family tracelike] [--traces FILE] [--days 1]
        [--seeds 1]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from spotvortex.core.domain.limits import Limits
from spotvortex.evaluation import protocol, worlds
from spotvortex.evaluation.protocol import Protocol
from spotvortex.evaluation.run import run
from spotvortex.evaluation.worlds import EvaluationWorld
from spotvortex.model import forecaster as bundles
from spotvortex.ports.model import Forecaster
from spotvortex.results.accounting import Costs, DayTotals, named, net_profit_usd, total_of
from spotvortex.settings.model import BUNDLED_MODELS

VARIANTS: Final[Mapping[str, tuple[bool, bool]]] = {
    "neither": (False, False),
    "shift alone": (True, False),
    "evacuation alone": (False, True),
    "both": (True, True),
}
"""By name, whether nodes shift for price and risk, and whether survivors are evacuated."""

HEAD: Final = (
    "| an interruption | | net profit, USD | against best B3 | outage minutes | interruptions "
    "| moves | share of Spot |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worlds:
    """Which worlds are played.

    Attributes:
        of: the protocol, whose costs and rivals count.
        family: the family of generated worlds; "replay" with a trace.
        traces: a capacity trace to replay, None to generate.
        n_days: days of each.
        n_seeds: how many.
    """

    of: Protocol
    family: str
    traces: Path | None
    n_days: int
    n_seeds: int

    def each(self) -> Iterator[EvaluationWorld]:
        """Yield one world a seed."""
        for seed in range(self.n_seeds):
            yield EvaluationWorld(
                family=self.family,
                mix=self.of.mixes[0],
                seed=seed,
                n_days=self.n_days,
                variant=self.of.variants[0],
                traces=self.traces,
            )


@cache
def _bundle() -> Forecaster:
    return bundles.load(BUNDLED_MODELS, "aws")


def played(place: Worlds, policy: str, limits: Limits | None = None) -> DayTotals:
    """Play one policy in all worlds, and add it up."""
    days: list[DayTotals] = []
    for world in place.each():
        trial = worlds.trial_of(world, policy, place.of, lambda _: _bundle())
        if limits is not None and trial.controller is not None:
            trial = replace(trial, controller=replace(trial.controller, limits=limits))
        days += run(trial, named(world.family, world.mix, world.seed, policy)).result.days
    return total_of(days)


def row(minutes: float, name: str, found: DayTotals, costs: Costs, best_usd: float) -> str:
    """Return one line of the table."""
    net_usd = net_profit_usd(found, costs)
    against = f"{100.0 * (net_usd - best_usd) / abs(best_usd):+.2f} %"
    cells = (
        f"{minutes:g} min",
        name,
        f"{net_usd:.2f}",
        "" if net_usd == best_usd else against,
        f"{found.outage_minutes:.0f}",
        f"{found.n_interrupted}",
        f"{found.n_moved}",
        f"{found.spot_node_minutes / found.node_minutes:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def table(place: Worlds, minutes: list[float], names: list[str]) -> None:
    """Play everything and print each line as soon as it is known."""
    rivals = {s.name: played(place, s.name) for s in place.of.baselines.b3}
    usual = worlds.limits_of(worlds.STEP_S)
    print(HEAD, flush=True)
    for price in minutes:
        costs = replace(place.of.costs, ci=price)
        best = max(rivals, key=lambda name: net_profit_usd(rivals[name], costs))
        best_usd = net_profit_usd(rivals[best], costs)
        print(row(price, best, rivals[best], costs, best_usd), flush=True)
        for name in names:
            shift, evacuate = VARIANTS[name]
            limits = replace(usual, interruption_minutes=price, shift=shift, evacuate=evacuate)
            found = played(place, worlds.OURS, limits)
            print(row(price, name, found, costs, best_usd), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="tracelike", help="generated worlds of this family")
    parser.add_argument("--traces", type=Path, help="a capacity trace in CSV, replayed instead")
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, nargs="+", default=[15.0, 60.0, 240.0])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    asked = parser.parse_args()
    place = Worlds(
        of=protocol.load(),
        family="replay" if asked.traces else asked.family,
        traces=asked.traces,
        n_days=asked.days,
        n_seeds=asked.seeds,
    )
    table(place, asked.minutes, asked.variants)


if __name__ == "__main__":
    main()
