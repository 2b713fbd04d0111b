"""Where simulated runs get their models: the composition root of evaluation and backtest.

Comes in: what is to be run, as data that can be sent to another process. Goes out: results. Opens
the model bundle, which the simulator itself may not know. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from spotvortex.core.domain.types import Predictor
from spotvortex.evaluation import backtest_world, offline_bound, protocol, worlds
from spotvortex.evaluation.protocol import Protocol
from spotvortex.evaluation.run import run
from spotvortex.model import forecaster as bundles
from spotvortex.ports.model import Forecaster
from spotvortex.results.accounting import DayTotals, NameResult, RunResult, named
from spotvortex.results.timeline import RunAccount
from spotvortex.sim.runtime.forecasters import ScriptedForecaster

CLOUD: Final = "aws"

QUICK_SEEDS: Final = 5
QUICK_MIX: Final = "steady"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One policy in one world.

    Attributes:
        family: the family of worlds.
        mix: the mix of workloads.
        seed: the world's seed.
        policy: the policy's name.
        variant: the change of the world, "" where it is as the protocol says.
        protocol_path: the file of the protocol.
        model_dir: the folder of the model bundle.
        traces: the file or folder of recorded series, None where the family replays none.
    """

    family: str
    mix: str
    seed: int
    policy: str
    variant: str
    protocol_path: Path
    model_dir: Path
    traces: Path | None = None

    @property
    def key(self) -> str:
        """The name of the spec among all specs of an evaluation."""
        return key_of(self)


def key_of(run: RunSpec | RunResult) -> str:
    """Return the name of a run, the same for its spec and its result."""
    return "/".join((run.family, run.mix, str(run.seed), run.variant, run.policy))


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of an evaluation is run.

    Attributes:
        n_seeds: seeds of each family and mix.
        mixes: the mixes of workloads.
        policies: the policies, by name.
        with_variants: the changed worlds are run too.
    """

    n_seeds: int
    mixes: tuple[str, ...]
    policies: tuple[str, ...]
    with_variants: bool


def quick(of: Protocol) -> Extent:
    """Return the smallest extent that gives a verdict: five seeds, one mix, SpotVortex and B3."""
    return Extent(
        n_seeds=QUICK_SEEDS,
        mixes=(QUICK_MIX,),
        policies=(of.bound, *(s.name for s in of.baselines.b3), worlds.OURS),
        with_variants=False,
    )


def whole(of: Protocol, model_dir: Path, *, with_variants: bool) -> Extent:
    """Return all that the protocol names and that this bundle can run.

    Raises:
        ModelContractError: the bundle cannot be loaded.
    """
    learned = worlds.LEARNED if bundle(model_dir).has_policy else ()
    return Extent(
        n_seeds=of.n_seeds,
        mixes=of.mixes,
        policies=(of.bound, *worlds.policies(of), *worlds.asides(of), *learned),
        with_variants=with_variants,
    )


def specs_of(
    of: Protocol, extent: Extent, protocol_path: Path, model_dir: Path, traces: Path | None
) -> list[RunSpec]:
    """List the runs of an extent; a family that replays is left out where there is no trace.

    A policy out of `asides` runs in the worlds as the protocol has them, not in variants.
    """
    variants = of.variants if extent.with_variants else of.variants[:1]
    asides = worlds.asides(of)
    return [
        RunSpec(
            family=family.name,
            mix=mix,
            seed=seed,
            policy=policy,
            variant=variant.name,
            protocol_path=protocol_path,
            model_dir=model_dir,
            traces=traces if family.replays else None,
        )
        for variant in variants
        for family in of.families
        if traces is not None or not family.replays
        for mix in extent.mixes
        for seed in range(extent.n_seeds)
        for policy in extent.policies
        if variant.hazard_factor == 1.0 or not family.replays
        if not variant.name or policy not in asides
    ]


def work(spec: RunSpec) -> RunResult:
    """Run one spec: a function of a module, so that it can be sent to another process."""
    of = _protocol(spec.protocol_path)
    variant = next(v for v in of.variants if v.name == spec.variant)
    world = worlds.EvaluationWorld(
        family=spec.family,
        mix=spec.mix,
        seed=spec.seed,
        n_days=of.n_days,
        variant=variant,
        traces=spec.traces,
    )
    all_on_demand = _all_on_demand(world, spec.protocol_path)
    if spec.policy == of.bound:
        days = offline_bound.days_of(world, of.costs)
        digest = ""
    else:
        models = models_of(spec.model_dir)
        account = run(worlds.trial_of(world, spec.policy, of, models), _named(spec))
        days, digest = account.result.days, account.result.digest
    costed = tuple(
        replace(day, all_on_demand_usd=usd, demanded_od_usd=demanded)
        for day, (usd, demanded) in zip(days, all_on_demand, strict=True)
    )
    return _named(spec)(costed, digest)


def _named(spec: RunSpec) -> NameResult:
    return named(spec.family, spec.mix, spec.seed, spec.policy, spec.variant)


@lru_cache(maxsize=4)
def _protocol(path: Path) -> Protocol:
    return protocol.load(path)


@lru_cache(maxsize=64)
def _all_on_demand(world: worlds.EvaluationWorld, path: Path) -> tuple[tuple[float, float], ...]:
    """Return by day what the world costs without Spot, and what was demanded: baseline B0."""
    spec = RunSpec(
        family=world.family,
        mix=world.mix,
        seed=world.seed,
        policy=worlds.B0,
        variant=world.variant.name,
        protocol_path=path,
        model_dir=Path(),
    )
    trial = worlds.trial_of(world, worlds.B0, _protocol(path), _no_model)
    days = run(trial, _named(spec)).result.days
    return tuple((day.node_usd, day.demanded_od_usd) for day in days)


def _no_model(policy: str) -> Forecaster:
    raise AssertionError(f"{policy} has no model")


def models_of(model_dir: Path) -> Callable[[str], Forecaster]:
    """Return what gives SpotVortex its models: the bundle, or one score for everything."""

    def model(policy: str) -> Forecaster:
        if policy not in (worlds.OURS_CONSTANT, worlds.B6):
            return bundle(model_dir, graph_decides=policy == worlds.OURS_GRAPH)
        return ScriptedForecaster(
            script=((0.0, worlds.CONSTANT_SCORE),),
            start_at=worlds.START_AT,
            families=worlds.FAMILIES_HELD,
            values=bundle(model_dir).q_values if policy == worlds.B6 else None,
        )

    return model


@lru_cache(maxsize=4)
def bundle(model_dir: Path, *, graph_decides: bool = False) -> Forecaster:
    """Open a model bundle, once a process; its graph decides where that is asked for."""
    opened = bundles.load(model_dir, CLOUD)
    if graph_decides:
        opened.decides = Predictor.GRAPH
    return opened


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestSpec:
    """One world with recorded prices.

    Attributes:
        prices: the file of recorded prices.
        snapshot: a cluster; None takes the evaluation's own, on the instance types that the prices
            have.
        counts: a capacity trace; None draws capacity of `family` from the seed.
        family: the market family that capacity is drawn from.
        seed: the seed of everything that is drawn.
        n_days: days of each run; 0 means as many as the prices cover.
        tick_s: seconds between two decisions of SpotVortex.
        model_dir: the folder of the model bundle.
        records: where the decision records of SpotVortex go, None for nowhere.
    """

    prices: Path
    snapshot: Path | None = None
    counts: Path | None = None
    family: str = "normal"
    seed: int = 0
    n_days: int = 0
    tick_s: float = 600.0
    model_dir: Path
    records: Path | None = None


def of_one_world(of: Protocol) -> tuple[str, ...]:
    """Return the policies of a backtest: those that leave the workloads as they are."""
    split = (worlds.B2_PREFIX, worlds.B4_PREFIX)
    return tuple(p for p in worlds.policies(of) if not p.startswith(split))


def side_by_side(of: Protocol) -> tuple[str, ...]:
    """Return what a backtest shows unless told otherwise: Karpenter alone, and SpotVortex."""
    return (of.baselines.b3[0].name, worlds.OURS)


def backtest(
    spec: BacktestSpec, policies: Sequence[str], each: Callable[[str], None]
) -> tuple[RunAccount, ...]:
    """Run policies in one world, one after the other; the first is all on-demand.

    Args:
        spec: the world.
        policies: names out of `worlds.policies`, without those that split workloads.
        each: is told of every policy before it runs.

    Raises:
        PriceFileError: the prices cannot be read.
        SnapshotFileError: the snapshot cannot be read.
        TraceError: the capacity trace cannot be read.
        UnknownMachineError: an instance type cannot be simulated.
    """
    of = protocol.load()
    world = backtest_world.open_world(
        backtest_world.Sources(prices=spec.prices, snapshot=spec.snapshot, counts=spec.counts),
        backtest_world.BacktestChoice(family=spec.family, seed=spec.seed, n_days=spec.n_days),
    )
    accounts: list[RunAccount] = []
    for policy in dict.fromkeys((worlds.B0, *policies)):
        each(policy)
        trial = backtest_world.trial_of(world, policy, of, models_of(spec.model_dir), spec.tick_s)
        opening = spec.records.open("wb") if spec.records and policy == worlds.OURS else None
        with opening or nullcontext() as sink:
            accounts.append(run(trial, named(world.family, world.name, world.seed, policy), sink))
    first = accounts[0].result.days
    return tuple(replace(a, result=_against(a.result, first)) for a in accounts)


def _against(result: RunResult, all_on_demand: tuple[DayTotals, ...]) -> RunResult:
    """Add what the same world costs without Spot."""
    days = tuple(
        replace(day, all_on_demand_usd=other.node_usd)
        for day, other in zip(result.days, all_on_demand, strict=True)
    )
    return replace(result, days=days)
