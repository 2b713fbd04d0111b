"""The world of a backtest: recorded prices, recorded or drawn capacity, a cluster.

Comes in: files, and choices. Goes out: a `Trial` for each policy of the same world. May not judge,
nor fill a gap in a record: a file that does not cover what is asked is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from spotvortex.core.domain.cloud.instance_types import vcpus_of
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.errors import PriceFileError, SnapshotFileError, in_words
from spotvortex.evaluation import worlds
from spotvortex.evaluation.protocol import Protocol
from spotvortex.evaluation.run import Controller, Trial
from spotvortex.market.price_file import read_price_file
from spotvortex.ports.model import Forecaster
from spotvortex.results import cluster_snapshot as snapshots
from spotvortex.results.cluster_snapshot import (
    NodesRow,
    PoolRow,
    Snapshot,
    SnapshotError,
    WorkloadRow,
)
from spotvortex.sim.account.billing import DAY_S
from spotvortex.sim.cluster.demand import Demand
from spotvortex.sim.cluster.from_snapshot import scenario_of
from spotvortex.sim.cluster.scenario import Scenario, WorkloadKind
from spotvortex.sim.market.capacity_trace import read_counts_csv
from spotvortex.sim.market.count_supply import CountSupply
from spotvortex.sim.market.counts import CapacityCounts
from spotvortex.sim.market.instance_types import instance_type_of
from spotvortex.sim.market.replay_prices import ReplayMarket
from spotvortex.sim.market.semimarkov import FAMILIES, generate
from spotvortex.sim.market.shortage_clock import TimeSpan

STEP_S: Final = 30.0
MAX_OWN_TYPES: Final = 4
"""Instance types of the cluster that stands in for a snapshot."""

_GENERAL: Final = ("m", "c", "r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The files of a backtest.

    Attributes:
        prices: recorded prices.
        snapshot: a cluster; None takes the evaluation's own.
        counts: a capacity trace; None draws capacity.
    """

    prices: Path
    snapshot: Path | None = None
    counts: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestChoice:
    """What is chosen beside the files.

    Attributes:
        family: the market family that capacity is drawn from.
        seed: the seed of everything that is drawn.
        n_days: days of each run; 0 means as many as the prices cover.
    """

    family: str
    seed: int
    n_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWorld:
    """What all policies of a backtest share.

    Attributes:
        name: the name of the price file, without its ending.
        seed: the seed of everything that is drawn.
        n_days: days of each run.
        market: the recorded prices.
        counts: nodes that the market has of each offering over time, recorded or drawn.
        scenario: the cluster at its start.
        family: the market family that capacity is drawn from.
    """

    name: str
    seed: int
    n_days: int
    market: ReplayMarket
    counts: Mapping[Offering, CapacityCounts]
    scenario: Scenario
    family: str


def open_world(sources: Sources, choice: BacktestChoice) -> OpenWorld:
    """Read all files.

    Raises:
        PriceFileError: the prices cannot be read, or cover too little.
        SnapshotFileError: the snapshot cannot be read.
        TraceError: the capacity trace cannot be read.
        UnknownMachineError: an instance type cannot be simulated.
    """
    market = ReplayMarket(read_price_file(sources.prices), source=sources.prices.name)
    start_at, n_days = _days(market, sources.prices, choice.n_days)
    taken = _own(market) if sources.snapshot is None else _read(sources.snapshot)
    scenario = scenario_of(taken, market.offerings, start_at, STEP_S)
    span = TimeSpan(start_at=start_at, seconds=(n_days + 1) * DAY_S)
    if sources.counts is not None:
        counts: Mapping[Offering, CapacityCounts] = read_counts_csv(sources.counts)
    else:
        counts = generate(
            seed=choice.seed,
            family=FAMILIES[choice.family],
            offerings=_buyable(scenario),
            span=span,
            full_count=max(20, sum(f.count for f in scenario.fleets)),
        )
    return OpenWorld(
        name=sources.prices.stem,
        seed=choice.seed,
        n_days=n_days,
        market=market,
        counts=counts,
        scenario=scenario,
        family=choice.family if sources.counts is None else sources.counts.stem,
    )


def begins_at(prices: Path) -> float:
    """Return when a backtest over recorded prices begins, seconds since the epoch.

    Raises:
        PriceFileError: the prices cannot be read, or cover too little.
    """
    market = ReplayMarket(read_price_file(prices), source=prices.name)
    return _days(market, prices, 0)[0]


def _days(market: ReplayMarket, path: Path, wanted: int) -> tuple[float, int]:
    """Return when the run begins, a whole day after the first record, and how many days it has."""
    if not market.offerings:
        raise PriceFileError(f"{path.name}: there is no Spot price in it; give one with a history")
    first, last = market.span()
    start_at = first + DAY_S
    n_days = int((last - start_at) // DAY_S)
    if n_days < max(1, wanted):
        raise PriceFileError(
            f"{path.name}: its Spot prices cover {max(0, n_days)} whole days after the first day, "
            f"which only teaches; {max(1, wanted)} at least {'are' if wanted > 1 else 'is'} wanted"
        )
    return start_at, wanted or n_days


def _read(path: Path) -> Snapshot:
    try:
        return snapshots.from_text(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotFileError(f"{path}: cannot be read ({in_words(error)})") from error
    except SnapshotError as error:
        raise SnapshotFileError(f"{path.name}: {error}") from error


def _own(market: ReplayMarket) -> Snapshot:
    """Return one pool of the evaluation's size on instance types that have prices.

    Raises:
        PriceFileError: no general type of one size is priced in a zone.
    """
    sized = [o for o in market.offerings if o.family[:1] in _GENERAL and _size(o) == 4.0]
    types = tuple(sorted({o.instance_type for o in sized}))[:MAX_OWN_TYPES]
    zones = tuple(sorted({o.zone for o in sized if o.instance_type in types}))
    if not types:
        raise PriceFileError(
            "no general instance type with 4 vCPU (m, c, r families) has a price; give --cluster"
        )
    replicas = worlds.UNITS * 4 // worlds.N_WORKLOADS
    rows = tuple(
        WorkloadRow(
            namespace="web",
            name=f"app-{number}",
            kind="Deployment",
            replicas=replicas,
            cpu_milli=worlds.CPU_MILLI,
            memory_bytes=worlds.MEMORY_BYTES,
            grace_s=30.0,
            max_unavailable=max(1, replicas // 10),
        )
        for number in range(worlds.N_WORKLOADS)
    )
    offering = Offering(instance_type=types[0], zone=zones[0])
    nodes = NodesRow(offering=offering, capacity_type=CapacityType.ON_DEMAND, count=worlds.UNITS)
    pool = PoolRow(name="web", nodes=(nodes,), workloads=rows, instance_types=types, zones=zones)
    return Snapshot(at=0.0, pools=(pool,))


def _size(offering: Offering) -> float:
    return vcpus_of(offering.instance_type)


def _buyable(scenario: Scenario) -> list[Offering]:
    return sorted(
        {
            Offering(instance_type=instance_type, zone=zone)
            for group in scenario.groups
            for instance_type in group.instance_types
            for zone in group.zones
        }
    )


def trial_of(
    world: OpenWorld,
    policy: str,
    protocol: Protocol,
    models: Callable[[str], Forecaster],
    tick_s: float,
) -> Trial:
    """Make the trial of one policy.

    Args:
        world: what all policies share.
        policy: all on-demand, all Spot, a setting of Karpenter alone, or one of SpotVortex.
        protocol: the settings that the names stand for.
        models: gives the model of a policy of SpotVortex.
        tick_s: seconds between two decisions of SpotVortex.
    """
    setting = worlds.setting_of(policy, protocol)
    types = worlds.capacity_types_of(policy)
    pure = policy in (worlds.B0, worlds.B1)
    groups = tuple(
        replace(
            group,
            capacity_types=types if pure else group.capacity_types,
            consolidate_after_s=setting.consolidate_after_s,
            disruption_ratio=setting.disruption_budget_ratio,
        )
        for group in world.scenario.groups
    )
    fleets = tuple(replace(f, capacity_type=types[0]) if pure else f for f in world.scenario.fleets)
    unpinned = tuple(
        replace(w, capacity_type=None) if pure else w for w in world.scenario.workloads
    )
    controller = None
    if policy in (worlds.OURS, worlds.OURS_CONSTANT):
        limits = worlds.limits_of(STEP_S)
        controller = Controller(forecaster=models(policy), limits=limits, tick_s=tick_s)
    scenario = replace(world.scenario, groups=groups, fleets=fleets, workloads=unpinned)
    return Trial(
        scenario=scenario,
        market=world.market,
        supply=CountSupply(seed=world.seed, counts=world.counts),
        seed=world.seed,
        n_days=world.n_days,
        unit_of=_units(scenario),
        demand=Demand("steady", world.seed),
        controller=controller,
    )


def _units(scenario: Scenario) -> dict[str, Offering]:
    """Return by pool the offering in whose nodes demand is counted: that of its first fleet."""
    zones = {group.name: group.zones[0] for group in scenario.groups}
    first: dict[str, Offering] = {}
    for fleet in scenario.fleets:
        offering = Offering(instance_type=fleet.instance_type, zone=zones[fleet.group])
        first.setdefault(fleet.group, offering)
    serving = {w.pool for w in scenario.workloads if w.kind is not WorkloadKind.BARE}
    for pool in serving:
        instance_type_of(first[pool].instance_type)
    return first
