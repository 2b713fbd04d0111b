"""What extra room at notices is worth by what an outage costs: with none, and as many as pay.

    python -m scripts.bench.decisions.extras [--family tracelike] [--traces FILE] [--seeds 0]
        [--minutes 15 60 240] [--variants none paying]
        [--bound 0.3]

Comes in: worlds of protocol 1, generated or replayed, a day each. Goes out: for each price of an
interruption the best plain Karpenter (B3), and SpotVortex under each variant beside it, by two
accounts. By the loss: an interruption costs its price for each struck node that has pods, whether
they are missed or not, as in protocol 2; by that account no extra can save anything but what is
not served. By the minute: the same money, spread over the node-minutes that B3 did not serve, so
that B3's bill is the same by both, and whoever misses less pays less.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from scripts.bench.decisions.causes import Bill, Stage, played
from spotvortex.evaluation import protocol, worlds
from spotvortex.evaluation.worlds import EvaluationWorld
from spotvortex.results.accounting import Costs, DayTotals, net_profit_usd

VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "none": {"max_hedge_ratio": 0.0},
    "paying": {},
}
"""By name, what each changes of the limits; the bound of the ratio is the command's."""

HEAD: Final = (
    "| world | an interruption | | by the loss | by the minute | outage minutes | not served, "
    "node-min | interruptions | moves | share of Spot | node-min |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """The best plain Karpenter of a world, and what an interruption costs there.

    Attributes:
        name: its setting.
        totals: its sums.
        costs: the account.
    """

    name: str
    totals: DayTotals
    costs: Costs

    @property
    def minute_price(self) -> float:
        """What a node-minute that is not served costs, in minutes of the on-demand price."""
        paid = self.costs.ci * self.totals.interrupted_od_usd_per_minute
        missed = self.totals.unserved_od_usd
        return paid / missed if missed else 0.0

    def by_loss(self, found: DayTotals) -> float:
        """Return a net profit over the rival's, in percent, as protocol 2 counts."""
        own = net_profit_usd(self.totals, self.costs)
        return 100.0 * (net_profit_usd(found, self.costs) - own) / abs(own)

    def by_minute(self, found: DayTotals) -> float:
        """Return the same where what is not served is paid for instead of losses."""
        costs = replace(self.costs, ci=0.0)
        own = net_profit_usd(self.totals, self.costs)
        paid = self.minute_price * found.unserved_od_usd
        return 100.0 * (net_profit_usd(found, costs) - paid - own) / abs(own)


def row(world: str, name: str, found: DayTotals, rival: Rival) -> str:
    """Return one line of the table."""
    cells = (
        world,
        f"{rival.costs.ci:g} min",
        name,
        f"{rival.by_loss(found):+.2f} %",
        f"{rival.by_minute(found):+.2f} %",
        f"{found.outage_minutes:.1f}",
        f"{found.unserved_node_minutes:.1f}",
        f"{found.n_interrupted}",
        f"{found.n_moved}",
        f"{found.spot_node_minutes / found.node_minutes:.3f}",
        f"{found.node_minutes:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def table(place: Sequence[EvaluationWorld], stage: Stage, asked: argparse.Namespace) -> None:
    """Play every world and print each line as soon as it is known."""
    print(HEAD, flush=True)
    for world in place:
        name = f"{world.family} {world.seed}"
        bills = {s.name: played(world, s.name, stage) for s in stage.of.baselines.b3}
        for minutes in asked.minutes:
            rival = _best(bills, replace(stage.of.costs, ci=minutes))
            print(row(name, rival.name, rival.totals, rival), flush=True)
            for variant in asked.variants:
                changed = {"max_hedge_ratio": asked.bound, **VARIANTS[variant]}
                limits = replace(stage.limits, interruption_minutes=minutes, **changed)
                ours = played(world, worlds.OURS, replace(stage, limits=limits))
                print(row(name, variant, ours.totals, rival), flush=True)


def _best(bills: Mapping[str, Bill], costs: Costs) -> Rival:
    name = max(bills, key=lambda name: net_profit_usd(bills[name].totals, costs))
    return Rival(name=name, totals=bills[name].totals, costs=costs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--family", default="tracelike", help="generated worlds of this family")
    parser.add_argument("--traces", type=Path, help="a capacity trace in CSV, replayed instead")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[15.0, 60.0, 240.0])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--bound", type=float, default=0.3, help="of the ratio of extras")
    asked = parser.parse_args()
    of = protocol.load()
    place = [
        EvaluationWorld(
            family="replay" if asked.traces else asked.family,
            mix=of.mixes[0],
            seed=seed,
            n_days=1,
            variant=of.variants[0],
            traces=asked.traces,
        )
        for seed in asked.seeds
    ]
    table(place, Stage(of=of, limits=worlds.limits_of(worlds.STEP_S), by_pods=True), asked)


if __name__ == "__main__":
    main()
