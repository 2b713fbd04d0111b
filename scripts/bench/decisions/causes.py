"""Why SpotVortex earns more or less than the best plain Karpenter: the difference, split by cause.

    python -m scripts.bench.decisions.causes [--family tracelike] [--traces FILE] [--days 1]
        [--seeds 0 1 2] [--set max_hedge_ratio=1] [--pods] [--rival B3-10min-10pct]

Comes in: worlds of protocol 1, generated or replayed. Goes out: for each world the difference of
net profit in points of the rival's, as terms that add up: time on on-demand rather than Spot, what
Spot and on-demand nodes cost by offering, nodes paid for at once, moves, interruptions, and demand
that nobody served. Each term is positive where SpotVortex is better. With `--pods` an interruption
of a node without pods costs nothing, as in protocol 2. The last column is what O1, who knows the
future, earns more than that Karpenter. With `--rival` that setting of Karpenter is the rival of all
worlds, and not the best of each in hindsight. The last line is how much the whole may differ by
which worlds were drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from spotvortex.core.domain.limits import Limits
from spotvortex.evaluation import offline_bound, protocol, worlds
from spotvortex.evaluation.protocol import Protocol
from spotvortex.evaluation.run import run
from spotvortex.evaluation.worlds import EvaluationWorld
from spotvortex.model import forecaster as bundles
from spotvortex.results.accounting import (
    Costs,
    DayTotals,
    named,
    net_profit_usd,
    total_cost_usd,
    total_of,
)
from spotvortex.results.timeline import RunAccount
from spotvortex.settings.model import BUNDLED_MODELS

HEAD: Final = (
    "| world | rival | net profit | on-demand time | Spot price | on-demand price | more nodes "
    "| moves | interruptions | unserved | outage minutes | interruptions | moves | share of Spot "
    "| O1 |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


N_RESAMPLES: Final = 4000
LEVEL_PCT: Final = (2.5, 97.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one run paid for.

    Attributes:
        totals: its sums.
        on_demand_usd: what its on-demand nodes cost.
    """

    totals: DayTotals
    on_demand_usd: float

    @classmethod
    def of(cls, account: RunAccount) -> Bill:
        """Add up an account."""
        on_demand = sum(hour.on_demand_usd for hour in account.hours)
        return cls(totals=total_of(account.result.days), on_demand_usd=on_demand)

    @property
    def on_demand_minutes(self) -> float:
        """On-demand node-minutes."""
        return self.totals.node_minutes - self.totals.spot_node_minutes

    @property
    def spot_price(self) -> float:
        """What a Spot node-minute cost, 0 without any."""
        minutes = self.totals.spot_node_minutes
        return (self.totals.node_usd - self.on_demand_usd) / minutes if minutes else 0.0

    @property
    def on_demand_price(self) -> float:
        """What an on-demand node-minute cost, 0 without any."""
        return self.on_demand_usd / self.on_demand_minutes if self.on_demand_minutes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Causes:
    """A difference of net profit by cause, in USD; their sum is the difference.

    Attributes:
        on_demand_time: on-demand node-minutes, at what they cost more than the rival's Spot.
        spot_price: Spot node-minutes, at what they cost more than the rival's.
        on_demand_price: on-demand node-minutes, at what they cost more than the rival's.
        more_nodes: node-minutes of any kind, at the rival's Spot price.
        moves: planned moves.
        interruptions: interruptions.
        unserved: demand that no ready node served.
    """

    on_demand_time: float
    spot_price: float
    on_demand_price: float
    more_nodes: float
    moves: float
    interruptions: float
    unserved: float

    @property
    def terms(self) -> tuple[float, ...]:
        """All of them, in the order of the table."""
        bought = (self.on_demand_time, self.spot_price, self.on_demand_price, self.more_nodes)
        return (*bought, self.moves, self.interruptions, self.unserved)


def causes_of(ours: Bill, rival: Bill, costs: Costs) -> Causes:
    """Split what a run earns more than another one of the same world."""
    one, other = ours.totals, rival.totals
    on_demand_price = rival.on_demand_price or ours.on_demand_price
    later = ours.on_demand_minutes - rival.on_demand_minutes
    moved = one.moved_od_usd_per_minute - other.moved_od_usd_per_minute
    interrupted = one.interrupted_od_usd_per_minute - other.interrupted_od_usd_per_minute
    return Causes(
        on_demand_time=-later * (on_demand_price - rival.spot_price),
        spot_price=-one.spot_node_minutes * (ours.spot_price - rival.spot_price),
        on_demand_price=-ours.on_demand_minutes * (ours.on_demand_price - on_demand_price),
        more_nodes=-(one.node_minutes - other.node_minutes) * rival.spot_price,
        moves=-costs.cm * moved,
        interruptions=-costs.ci * interrupted,
        unserved=-costs.v * (one.unserved_od_usd - other.unserved_od_usd),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How worlds are played.

    Attributes:
        of: the protocol.
        limits: SpotVortex's.
        by_pods: an interruption of a node without pods costs nothing.
    """

    of: Protocol
    limits: Limits
    by_pods: bool


def played(world: EvaluationWorld, policy: str, stage: Stage) -> Bill:
    """Play one policy in one world."""
    trial = worlds.trial_of(world, policy, stage.of, lambda _: bundles.load(BUNDLED_MODELS, "aws"))
    if trial.controller is not None:
        trial = replace(trial, controller=replace(trial.controller, limits=stage.limits))
    if stage.by_pods:
        each = {workload.key: 1.0 for workload in trial.scenario.workloads}
        trial = replace(trial, outage_minutes=each)
    return Bill.of(run(trial, named(world.family, world.mix, world.seed, policy)))


def headroom_usd(world: EvaluationWorld, rival: Bill, costs: Costs) -> float:
    """Return what O1 costs less than a rival."""
    bound = total_of(offline_bound.days_of(world, costs))
    return total_cost_usd(rival.totals, costs) - total_cost_usd(bound, costs)


def row(name: str, pair: tuple[Bill, Bill], costs: Costs, headroom: float, rival: str = "") -> str:
    """Return one line of the table, its terms in percent of the rival's net profit."""
    ours, other = pair
    base = abs(net_profit_usd(other.totals, costs)) / 100.0
    found = causes_of(ours, other, costs)
    terms = [usd / base for usd in found.terms]
    one, two = ours.totals, other.totals
    share = (t.spot_node_minutes / t.node_minutes for t in (one, two))
    cells = [
        name,
        rival,
        *(f"{term:+.2f}" for term in (sum(terms), *terms)),
        f"{one.outage_minutes:.0f} / {two.outage_minutes:.0f}",
        f"{one.n_interrupted} / {two.n_interrupted}",
        f"{one.n_moved} / {two.n_moved}",
        " / ".join(f"{ratio:.3f}" for ratio in share),
        f"{headroom / base:+.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def summed(bills: Sequence[Bill]) -> Bill:
    """Add bills up."""
    totals = total_of(bill.totals for bill in bills)
    return Bill(totals=totals, on_demand_usd=sum(bill.on_demand_usd for bill in bills))


def interval_pct(ours: Sequence[Bill], rivals: Sequence[Bill], costs: Costs) -> tuple[float, float]:
    """Return within which percents the whole difference lies, by a bootstrap over worlds.

    Percentile interval of 95 %; Efron and Tibshirani (1993), chapter 13.
    """
    base = np.asarray([net_profit_usd(bill.totals, costs) for bill in rivals])
    gain = np.asarray([net_profit_usd(bill.totals, costs) for bill in ours]) - base
    drawn = np.random.default_rng(1).integers(0, len(base), (N_RESAMPLES, len(base)))
    low, high = np.percentile(100.0 * gain[drawn].sum(1) / np.abs(base[drawn].sum(1)), LEVEL_PCT)
    return float(low), float(high)


def table(
    place: Sequence[EvaluationWorld], rivals: Sequence[str], stage: Stage, costs: Costs
) -> None:
    """Play every world and print each line as soon as it is known, then all of them."""
    print(HEAD, flush=True)
    ours, best, headroom = list[Bill](), list[Bill](), 0.0
    for world in place:
        bills = {name: played(world, name, stage) for name in rivals}
        name = max(bills, key=lambda name: net_profit_usd(bills[name].totals, costs))
        best.append(bills[name])
        ours.append(played(world, worlds.OURS, stage))
        left = headroom_usd(world, best[-1], costs)
        headroom += left
        print(
            row(f"{world.family} {world.seed}", (ours[-1], best[-1]), costs, left, name), flush=True
        )
    print(row("all", (summed(ours), summed(best)), costs, headroom))
    low, high = interval_pct(ours, best, costs)
    print(f"\nnet profit of all: {low:+.2f} to {high:+.2f} %, by which of {len(place)} are drawn")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--family", default="tracelike", help="generated worlds of this family")
    parser.add_argument("--traces", type=Path, help="a capacity trace in CSV, replayed instead")
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=15.0, help="price of an interruption")
    parser.add_argument(
        "--pods", action="store_true", help="nodes without pods are lost for nothing"
    )
    parser.add_argument("--set", action="append", default=[], metavar="LIMIT=NUMBER")
    of = protocol.load()
    names = tuple(setting.name for setting in of.baselines.b3)
    parser.add_argument("--rival", choices=names, help="this setting of Karpenter alone")
    asked = parser.parse_args()
    changed: dict[str, Any] = {k: float(v) for k, v in (one.split("=") for one in asked.set)}
    usual = worlds.limits_of(worlds.STEP_S)
    place = [
        EvaluationWorld(
            family="replay" if asked.traces else asked.family,
            mix=of.mixes[0],
            seed=seed,
            n_days=asked.days,
            variant=of.variants[0],
            traces=asked.traces,
        )
        for seed in asked.seeds
    ]
    limits = replace(usual, interruption_minutes=asked.minutes, **changed)
    stage = Stage(of=of, limits=limits, by_pods=asked.pods)
    rivals = (asked.rival,) if asked.rival else names
    table(place, rivals, stage, replace(of.costs, ci=asked.minutes))


if __name__ == "__main__":
    main()
