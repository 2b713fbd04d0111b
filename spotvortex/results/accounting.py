"""What a simulated run amounts to, in money and in minutes.

Comes in: the sums of each day of a run. Goes out: its total cost and net profit at any set of cost
constants, and how it compares with another run of the same world. Costs of moves, interruptions and
unserved demand are kept as on-demand money a minute, so that other constants need no new run. May
not run anything. A figure that has no meaning is None, never zero.

The formulas are those of the evaluation protocol (`spotvortex/evaluation/protocol.json`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import reduce
from typing import Final

"""Characters of a line that is read at most: a year of days is about 200,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The constants that turn a run into money. None of them is seen by a policy as a result.

    Attributes:
        v: what an on-demand dollar's worth of served demand is worth, in dollars.
        cm: what a planned move costs, in minutes of the node's on-demand price.
        ci: what an interruption costs, in minutes of the node's on-demand price.
    """

    v: float
    cm: float
    ci: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotals:
    """The sums of one day, or of several.

    Attributes:
        day: which day it is; where a recorded series is replayed, the day of the series.
        node_usd: money for nodes, whoever uses them.
        demanded_od_usd: what all demanded node-minutes would cost on-demand.
        unserved_od_usd: the same of those that no ready node served.
        all_on_demand_usd: money for nodes in the same world without Spot (B0).
        moved_od_usd_per_minute: on-demand price a minute, summed over planned moves of a node.
        interrupted_od_usd_per_minute: the same, summed over interruptions; where a world weighs
            them, each times its weight.
        n_moved: planned moves of a node.
        n_interrupted: nodes taken away by the provider.
        n_launch_failures: launches that were answered with a lack of capacity.
        outage_minutes: minutes in which a workload had fewer ready pods than its demand less what
            its PodDisruptionBudget allows, summed over workloads.
        unserved_node_minutes: demand that no ready node served.
        node_minutes: nodes that were paid for.
        spot_node_minutes: those of them on Spot.
    """

    day: int
    node_usd: float
    demanded_od_usd: float
    unserved_od_usd: float
    all_on_demand_usd: float
    moved_od_usd_per_minute: float
    interrupted_od_usd_per_minute: float
    n_moved: int
    n_interrupted: int
    n_launch_failures: int
    outage_minutes: float
    unserved_node_minutes: float
    node_minutes: float
    spot_node_minutes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One policy in one world.

    Attributes:
        family: the family of worlds, as `stressed`.
        mix: the mix of workloads.
        seed: the world's seed; the same world for every policy.
        policy: the policy's name, with its setting.
        days: the sums of each day, in order.
        digest: the digest of the run's event log.
        variant: what was changed in the world for a sensitivity, "" for nothing.
    """

    family: str
    mix: str
    seed: int
    policy: str
    days: tuple[DayTotals, ...]
    digest: str
    variant: str = ""

    @property
    def world(self) -> tuple[str, str, int, str]:
        """What runs have in common that are compared with each other."""
        return self.family, self.mix, self.seed, self.variant


NameResult = Callable[[Iterable[DayTotals], str], RunResult]
"""Makes a result of the days of a run and the digest of its log."""


def named(family: str, mix: str, seed: int, policy: str, variant: str = "") -> NameResult:
    """Return what names the result of one policy in one world; the words are `RunResult`'s."""

    def name(days: Iterable[DayTotals], digest: str) -> RunResult:
        return RunResult(
            family=family,
            mix=mix,
            seed=seed,
            policy=policy,
            days=tuple(days),
            digest=digest,
            variant=variant,
        )

    return name


_SUMMED: Final = tuple(f.name for f in fields(DayTotals) if f.name != "day")


def total_of(days: Iterable[DayTotals]) -> DayTotals:
    """Add days up; the sum carries the first one's number.

    Raises:
        ValueError: there is no day.
    """
    kept = tuple(days)
    if not kept:
        raise ValueError("a run without days has no total")
    return reduce(_plus, kept)


def _plus(one: DayTotals, other: DayTotals) -> DayTotals:
    sums = {name: getattr(one, name) + getattr(other, name) for name in _SUMMED}
    return DayTotals(day=one.day, **sums)


def total_cost_usd(totals: DayTotals, costs: Costs) -> float:
    """Return T = nodes + cm x moved + ci x interrupted + v x unserved."""
    return (
        totals.node_usd
        + costs.cm * totals.moved_od_usd_per_minute
        + costs.ci * totals.interrupted_od_usd_per_minute
        + costs.v * totals.unserved_od_usd
    )


def net_profit_usd(totals: DayTotals, costs: Costs) -> float:
    """Return N = v x demanded - T."""
    return costs.v * totals.demanded_od_usd - total_cost_usd(totals, costs)


def is_void(rival: DayTotals, costs: Costs, below_ratio: float) -> bool:
    """Tell whether the rival's net profit is too near zero, or below it, to be divided by.

    Args:
        rival: the baseline's sums.
        costs: the constants.
        below_ratio: the smallest net profit, as a share of the cost of all on-demand.
    """
    return net_profit_usd(rival, costs) < below_ratio * rival.all_on_demand_usd


def net_profit_improvement_pct(
    policy: DayTotals, rival: DayTotals, costs: Costs, below_ratio: float = 0.1
) -> float | None:
    """Return 100 (N_policy - N_rival) / |N_rival|, None where the ratio is void."""
    base = net_profit_usd(rival, costs)
    if is_void(rival, costs, below_ratio) or base == 0.0:
        return None
    return 100.0 * (net_profit_usd(policy, costs) - base) / abs(base)


def gain_points(policy: DayTotals, rival: DayTotals, costs: Costs) -> float | None:
    """Return 100 (T_rival - T_policy) / T_B0, in points of the cost of all on-demand."""
    if rival.all_on_demand_usd <= 0.0:
        return None
    gain = total_cost_usd(rival, costs) - total_cost_usd(policy, costs)
    return 100.0 * gain / rival.all_on_demand_usd


def outage_delta_minutes(policy: DayTotals, rival: DayTotals) -> float:
    """Return the policy's outage minutes less the rival's; more than 0 is worse."""
    return policy.outage_minutes - rival.outage_minutes


def regret_closed_ratio(
    policy: DayTotals, rival: DayTotals, bound: DayTotals, costs: Costs
) -> float | None:
    """Return (T_rival - T_policy) / (T_rival - T_bound), None where nothing is left to gain."""
    headroom = total_cost_usd(rival, costs) - total_cost_usd(bound, costs)
    if headroom <= 0.0:
        return None
    return (total_cost_usd(rival, costs) - total_cost_usd(policy, costs)) / headroom


def savings_ratio(totals: DayTotals) -> float | None:
    """Return the share of the node money of all on-demand that was saved, None without any."""
    if totals.all_on_demand_usd <= 0.0:
        return None
    return 1.0 - totals.node_usd / totals.all_on_demand_usd


def spot_ratio(totals: DayTotals) -> float | None:
    """Return the share of paid node-minutes on Spot, None where no node was paid for."""
    return totals.spot_node_minutes / totals.node_minutes if totals.node_minutes > 0.0 else None
