"""The worlds and the policies of the evaluation, as its protocol names them.

Comes in: the protocol, a family, a mix, a seed, a policy's name. Goes out: a `Trial`. A world
depends on family, mix, seed and variant alone, so that every policy meets the same one. May not
look at a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import CapacityType, Mode, Offering, PolicyMode
from spotvortex.errors import TraceError
from spotvortex.evaluation.oracle_forecaster import OracleForecaster
from spotvortex.evaluation.protocol import KarpenterSetting, Protocol, Variant
from spotvortex.evaluation.run import Controller, Trial
from spotvortex.ports.model import Forecaster
from spotvortex.sim.account.billing import DAY_S, pods_per_node
from spotvortex.sim.cluster.demand import Demand
from spotvortex.sim.cluster.scenario import WHEN_UNDERUTILIZED, Fleet, NodeGroup, Scenario, Workload
from spotvortex.sim.market.capacity_trace import Trace, read_trace
from spotvortex.sim.market.count_supply import CountSupply
from spotvortex.sim.market.counts import CapacityCounts
from spotvortex.sim.market.hazard_supply import CALM, RegimePhase
from spotvortex.sim.market.instance_types import GIB
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.market.semimarkov import FAMILIES, MarketFamily, generate
from spotvortex.sim.market.shortage_clock import TimeSpan
from spotvortex.sim.market.supply import NoticeTiming, Signals

START_AT: Final = 1_785_229_200.0
STEP_S: Final = 30.0
TICK_S: Final = 60.0
UNITS: Final = 20
"""Nodes' worth of demand in the one pool of a world."""

POOL: Final = "web"
N_WORKLOADS: Final = 4
TYPES: Final = ("m6i.xlarge", "c6i.xlarge", "m5.xlarge", "r6i.xlarge")
ZONES: Final = ("us-east-1a", "us-east-1b", "us-east-1c")
UNIT: Final = Offering(instance_type="m6i.xlarge", zone=ZONES[0])
CPU_MILLI: Final = 950
MEMORY_BYTES: Final = 3 * GIB // 2

FAMILIES_HELD: Final = tuple(sorted({name.partition(".")[0] for name in TYPES}))
CONSTANT_SCORE: Final = 0.03
"""The score of the ablation without a model: low, so that nothing moves for its sake."""

OURS: Final = "spotvortex"
OURS_CONSTANT: Final = "spotvortex-constant-scores"
OURS_BESIDE: Final = "spotvortex-karpenter-notices"
OURS_ORACLE: Final = "spotvortex-oracle-scores"
OURS_GRAPH: Final = "spotvortex-graph-scores"
OURS_LEARNED: Final = "spotvortex-rl"
B6: Final = "B6"
LEARNED: Final = (B6, OURS_LEARNED)
"""SpotVortex with a policy network: with constant scores, and with the model's."""

_OURS: Final = frozenset({OURS, OURS_CONSTANT, OURS_BESIDE, OURS_ORACLE, OURS_GRAPH, *LEARNED})
B0, B1 = "B0", "B1"
B2_PREFIX, B4_PREFIX = "B2-", "B4-"
_SPOT: Final = CapacityType.SPOT
_ON_DEMAND: Final = CapacityType.ON_DEMAND


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationWorld:
    """Which world: everything that all policies share.

    Attributes:
        family: the family of worlds.
        mix: the mix of workloads.
        seed: the world's seed.
        n_days: days of each run.
        variant: the change of the world.
        traces: recorded series of a family that replays, None of any other.
    """

    family: str
    mix: str
    seed: int
    n_days: int
    variant: Variant
    traces: Path | None = None


def offerings() -> tuple[Offering, ...]:
    """Return what can be bought on Spot."""
    return tuple(Offering(instance_type=t, zone=z) for t in TYPES for z in ZONES)


def policies(protocol: Protocol) -> tuple[str, ...]:
    """Return the names of the policies that can be run with any model, the rivals first.

    Beside them there are `asides`, and `LEARNED`, which need a policy network.
    """
    baselines = protocol.baselines
    return (
        B0,
        B1,
        *(f"{B2_PREFIX}{ratio:g}" for ratio in baselines.b2_spot_ratio),
        *(setting.name for setting in baselines.b3),
        *(f"{B4_PREFIX}{n}" for n in baselines.b4_n_extra),
        OURS_CONSTANT,
        OURS,
    )


def asides(protocol: Protocol) -> tuple[str, ...]:
    """Return the names of the policies that run in the unchanged worlds, and not in variants.

    Karpenter that awaits a replacement before it evicts; SpotVortex where Karpenter handles the
    notices; SpotVortex with scores that come true; SpotVortex with the scores of the bundle's
    graph, whoever decides by default.
    """
    return (*(s.name for s in protocol.baselines.b3_lazy), OURS_BESIDE, OURS_ORACLE, OURS_GRAPH)


def trial_of(
    world: EvaluationWorld, policy: str, protocol: Protocol, forecaster: Callable[[str], Forecaster]
) -> Trial:
    """Make the trial of one policy in one world.

    Args:
        world: which world.
        policy: a name out of `policies`.
        protocol: the settings that the name stands for.
        forecaster: gives the model of a policy of SpotVortex by its name.

    Raises:
        TraceError: the world replays a trace that cannot be read, or is too short.
    """
    counts, setting = counts_of(world), setting_of(policy, protocol)
    spare = int(policy.removeprefix(B4_PREFIX)) if policy.startswith(B4_PREFIX) else 0
    workloads, spare_pods = _workloads(policy, spare)
    controller = None
    if policy in _OURS:
        knows = policy == OURS_ORACLE
        controller = Controller(
            forecaster=_foresight(counts) if knows else forecaster(policy),
            limits=limits_of(STEP_S, is_learned=policy in LEARNED),
            tick_s=TICK_S,
            hears_notices=policy != OURS_BESIDE,
        )
    return Trial(
        scenario=_scenario(world, setting, capacity_types_of(policy), workloads),
        market=SimulatedMarket(seed=world.seed, start_at=START_AT),
        supply=CountSupply(seed=world.seed, counts=counts, announced=_announced(world.variant)),
        seed=world.seed,
        n_days=world.n_days,
        unit_of={POOL: UNIT},
        demand=Demand(world.mix, world.seed),
        spare_pods=spare_pods,
        controller=controller,
    )


def _foresight(counts: Mapping[Offering, CapacityCounts]) -> OracleForecaster:
    return OracleForecaster(counts=counts, families=FAMILIES_HELD)


def limits_of(step_s: float, *, is_learned: bool = False) -> Limits:
    """Everything as the settings have it by default, in the mode that acts."""
    usual = replace(Limits(), mode=Mode.ACTIVE, max_input_age_s=2.0 * step_s)
    return replace(usual, policy_mode=PolicyMode.RL) if is_learned else usual


def setting_of(policy: str, protocol: Protocol) -> KarpenterSetting:
    """Return Karpenter's settings under a policy: its own, or those of the first B3."""
    baselines = protocol.baselines
    named = {setting.name: setting for setting in (*baselines.b3, *baselines.b3_lazy)}
    return named.get(policy, baselines.b3[0])


def capacity_types_of(policy: str) -> tuple[CapacityType, ...]:
    """Return what the provisioner may buy under a policy, preferred first."""
    if policy == B0:
        return (_ON_DEMAND,)
    return (_SPOT,) if policy == B1 else (_SPOT, _ON_DEMAND)


def _workloads(policy: str, n_extra_nodes: int) -> tuple[tuple[Workload, ...], dict[str, int]]:
    """Return the workloads, and how many pods of each are spare."""
    plain = [_workload(f"app-{number}", None) for number in range(N_WORKLOADS)]
    if policy.startswith(B2_PREFIX):
        ratio = float(policy.removeprefix(B2_PREFIX))
        return tuple(part for w in plain for part in _split(w, ratio)), {}
    n_extra = n_extra_nodes * pods_per_node(UNIT.instance_type, plain[0]) // N_WORKLOADS
    wide = [replace(w, replicas=w.replicas + n_extra) for w in plain]
    return tuple(wide), {w.key: n_extra for w in wide if n_extra}


def _workload(name: str, capacity_type: CapacityType | None) -> Workload:
    replicas = UNITS * 4 // N_WORKLOADS
    return Workload(
        namespace=POOL,
        name=name,
        pool=POOL,
        replicas=replicas,
        cpu_milli=CPU_MILLI,
        memory_bytes=MEMORY_BYTES,
        grace_s=30.0,
        max_unavailable=max(1, replicas // 10),
        capacity_type=capacity_type,
    )


def _split(workload: Workload, spot_ratio: float) -> tuple[Workload, Workload]:
    """Pin a share of a workload to on-demand; the rest may be on Spot, and falls back."""
    n_spot = round(workload.replicas * spot_ratio)
    return (
        replace(workload, name=f"{workload.name}-any", replicas=n_spot),
        replace(
            workload,
            name=f"{workload.name}-od",
            replicas=workload.replicas - n_spot,
            capacity_type=_ON_DEMAND,
        ),
    )


def _scenario(
    world: EvaluationWorld,
    setting: KarpenterSetting,
    capacity_types: tuple[CapacityType, ...],
    workloads: tuple[Workload, ...],
) -> Scenario:
    group = NodeGroup(
        name=POOL,
        pool=POOL,
        capacity_types=capacity_types,
        instance_types=TYPES,
        zones=ZONES,
        consolidation=WHEN_UNDERUTILIZED,
        consolidate_after_s=setting.consolidate_after_s,
        disruption_ratio=setting.disruption_budget_ratio,
        evicts_at_notice=setting.evicts_at_notice,
    )
    first = Fleet(group=POOL, instance_type=TYPES[0], capacity_type=_ON_DEMAND, count=UNITS)
    return Scenario(
        start_at=START_AT,
        groups=(group,),
        fleets=() if capacity_types == (_SPOT,) else (first,),
        workloads=workloads,
        phases=(RegimePhase(starts_s=0.0, regime=CALM),),
        step_s=STEP_S,
        boot_factor=world.variant.boot_factor,
    )


def _announced(variant: Variant) -> Signals:
    return Signals(notices=NoticeTiming(flawed_ratio=variant.notice_loss_ratio))


def counts_of(world: EvaluationWorld) -> Mapping[Offering, CapacityCounts]:
    """Return how much of each offering there is: replayed, or generated."""
    span = TimeSpan(start_at=START_AT, seconds=(world.n_days + 1) * DAY_S)
    if world.traces is not None:
        return _replayed(world, world.traces, span)
    family = FAMILIES[world.family]
    return generate(
        seed=world.seed,
        family=_scaled(family, world.variant.hazard_factor),
        offerings=offerings(),
        span=span,
        full_count=UNITS,
    )


def _scaled(family: MarketFamily, factor: float) -> MarketFamily:
    return replace(family, base_per_hour=family.base_per_hour * factor)


def _replayed(
    world: EvaluationWorld, path: Path, span: TimeSpan
) -> Mapping[Offering, CapacityCounts]:
    """Lay recorded counts over the offerings; each seed begins on another day of the record.

    Raises:
        TraceError: the record is shorter than the run.
    """
    trace = read_long_trace(path, world.n_days)
    recorded = list(trace.counts.values())
    chance = stream(world.seed, "replay")
    n_starts = int((trace.end_at - trace.start_at) // DAY_S) - world.n_days + 1
    begin = trace.start_at + chance.randrange(n_starts) * DAY_S
    shift = span.start_at - begin
    chosen = [recorded[k % len(recorded)] for k in range(len(offerings()))]
    chance.shuffle(chosen)
    return {o: _shifted(c, shift) for o, c in zip(offerings(), chosen, strict=True)}


def read_long_trace(path: Path, n_days: int) -> Trace:
    """Read a capacity trace that covers a run.

    Raises:
        TraceError: it cannot be read, or is too short.
    """
    trace = read_trace(path)
    n_there = int((trace.end_at - trace.start_at) // DAY_S)
    if n_there < n_days:
        raise TraceError(
            f"{path.name}: holds {n_there} whole days, and a run takes {n_days}; give a longer "
            "trace, or run fewer days."
        )
    return trace


def _shifted(counts: CapacityCounts, seconds: float) -> CapacityCounts:
    return CapacityCounts(times=tuple(t + seconds for t in counts.times), values=counts.values)
