"""One episode of the fault search as plain data, drawn from a seed.

Comes in: a seed. Goes out: an `Episode`: a small cluster, what its market and model go through,
what the controller is told, and what goes wrong. Data only, so that a failing episode can be made
smaller and kept. May not run anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Mode, PolicyMode
from spotvortex.faultsearch.pools import (
    OF_AWS,
    ON_DEMAND,
    SPOT,
    TYPES,
    PoolSpec,
    autoscaled,
    draw_pools,
    groups_of,
    scaled,
    shared,
    side_of,
    with_sides,
    worded,
)
from spotvortex.sim.cluster.scenario import (
    TERMINATE_S,
    Fleet,
    Scenario,
    Workload,
    WorkloadKind,
)
from spotvortex.sim.market.hazard_supply import CALM, STRESS, Regime, RegimePhase
from spotvortex.sim.market.instance_types import GIB, instance_type_of
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.runtime.faults import Fault, FaultKind

START_AT: Final = 1_785_229_200.0
"""2026-07-28 09:00:00 UTC."""

MAX_NODES: Final = 12
MAX_TICKS: Final = 60

CALM_S: Final = 900.0
"""Seconds of calm that every episode ends with: long enough to return to Spot."""

QUIET_S: Final = 2400.0
"""Seconds of calm in which everything has to have settled, or expired."""

SOON_S: Final = 150.0
"""Seconds after a change of the score in which a wave that follows from it is under way."""

OFTEN: Final = (
    FaultKind.KILL_BEFORE,
    FaultKind.KILL_AFTER,
    FaultKind.TASK_CRASH,
    FaultKind.FREEZE_SOFT,
) * 2
"""Kinds that are drawn three times as often: a later process has to finish what is under way."""

_OF_GROUPS: Final = (FaultKind.GROUP_RESIZED, FaultKind.GROUPS_STARVED)
_APART: Final = frozenset(
    {FaultKind.DEATH, FaultKind.LEASE_STUCK, FaultKind.FREEZE_LEAVE, *_OF_GROUPS}
)
"""Kinds that are drawn on their own."""

MODEL_ALONE_IN: Final = 15

LEFT_IN: Final = 0.5
"""Share of the episodes with a soft freeze in which it is an uninstall's instead."""

LEASE_LOST_IN: Final = 0.25
"""Share of the episodes of two processes in which one loses its lease while requests are slow."""

_HARSH: Final = replace(STRESS, hazard_per_hour=0.5, shortages_per_hour=20.0, hit_ratio=0.8)
_CALM_SCORE, _MEDIUM, _HIGH, _EMERGENCY = 0.03, 0.45, 0.70, 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """All that one run is a function of.

    Attributes:
        seed: the seed of everything that is drawn.
        n_ticks: decisions before the calm at the end.
        tick_s: seconds between two decisions.
        pools: the pools.
        workloads: the pods.
        regime: the market's state until the calm.
        script: the model's score from each second on, in order of time.
        limits: bounds and thresholds of the decisions.
        faults: what goes wrong.
        n_processes: replicas of the controller.
        lag_s: how far their watches are behind, in seconds.
        hears_notices: the controller handles interruptions, and not the provisioner.
        terminate_s: seconds for which an emptied node is still there.
    """

    seed: int
    n_ticks: int
    tick_s: float
    pools: tuple[PoolSpec, ...]
    workloads: tuple[Workload, ...]
    regime: Regime
    script: tuple[tuple[float, float], ...]
    limits: Limits
    faults: tuple[Fault, ...] = ()
    n_processes: int = 1
    lag_s: float = 0.3
    hears_notices: bool = False
    terminate_s: float = TERMINATE_S

    @property
    def busy_s(self) -> float:
        """Seconds in which things go wrong."""
        return self.n_ticks * self.tick_s

    @property
    def n_nodes(self) -> int:
        """Nodes at the start."""
        return sum(pool.n_spot + pool.n_on_demand for pool in self.pools)

    def __str__(self) -> str:
        pools = ", ".join(f"{p.name} {p.n_spot}+{p.n_on_demand}" for p in self.pools)
        head = f"seed {self.seed}: {self.n_ticks} ticks of {self.tick_s:g} s, {pools}"
        return "\n".join([head, *(f"  {fault}" for fault in self.faults)])


def scenario_of(episode: Episode) -> Scenario:
    """Return the cluster of an episode."""
    fleets = []
    for pool in episode.pools:
        for capacity_type, n in ((SPOT, pool.n_spot), (ON_DEMAND, pool.n_on_demand)):
            kinds = TYPES[:2]
            for k, kind in enumerate(kinds):
                count = (n + len(kinds) - 1 - k) // len(kinds)
                if count:
                    fleets.append(
                        Fleet(
                            group=side_of(pool, capacity_type),
                            instance_type=kind,
                            capacity_type=capacity_type,
                            count=count,
                        )
                    )
    return Scenario(
        start_at=START_AT,
        groups=tuple(g for pool in episode.pools for g in groups_of(pool, episode.terminate_s)),
        fleets=tuple(fleets),
        workloads=episode.workloads,
        phases=(
            RegimePhase(starts_s=0.0, regime=episode.regime),
            RegimePhase(starts_s=episode.busy_s, regime=CALM),
        ),
        hears_notices=episode.hears_notices,
    )


def draw(seed: int) -> Episode:
    """Draw an episode: at most `MAX_NODES` nodes and `MAX_TICKS` ticks, up to five faults.

    With two processes, two more faults may cost one of them its lease; nodes may be lost beside an
    uninstall. One in `MODEL_ALONE_IN` is calm but for the model, which fails all the time.
    """
    drawn = _drawn(seed)
    return drawn if seed % MODEL_ALONE_IN else _with_the_model_alone(drawn)


def _with_the_model_alone(episode: Episode) -> Episode:
    kind = FaultKind.MODEL_FAILS if episode.seed % 2 else FaultKind.MODEL_NAN
    return replace(
        episode,
        pools=tuple(replace(pool, annotations=()) for pool in episode.pools),
        regime=replace(CALM, hazard_per_hour=0.0),
        script=((0.0, _CALM_SCORE),),
        limits=replace(
            episode.limits, mode=Mode.ACTIVE, on_demand_floor_nodes=0, reduce_unsafe=False
        ),
        faults=(Fault(kind=kind, at_s=0.0, lasts_s=episode.busy_s + QUIET_S),),
        n_processes=1,
        hears_notices=False,
    )


def _drawn(seed: int) -> Episode:
    chance = stream(seed, "episode")
    pools = with_sides(stream(seed, "sides"), draw_pools(chance, MAX_NODES))
    pools = autoscaled(stream(seed, "autoscaled"), pools)
    pools = scaled(stream(seed, "scaled"), pools)
    tick_s = chance.choice((10.0, 20.0, 30.0))
    n_ticks = chance.randint(30, MAX_TICKS)
    busy_s = n_ticks * tick_s
    n_processes = chance.choice((1, 2))
    script = _script(chance, busy_s)
    turns_s = [at_s for at_s, _ in script[:-1]]
    faults = _faults(chance, turns_s, busy_s, n_processes)
    faults = _with_an_uninstall(stream(seed, "leave"), busy_s, faults)
    if any(pool.shape in OF_AWS for pool in pools):
        faults = _with_groups(stream(seed, "groups"), turns_s, busy_s, faults)
    if n_processes > 1:
        faults = _with_a_lost_lease(stream(seed, "lease"), turns_s, busy_s, faults)
    return Episode(
        seed=seed,
        n_ticks=n_ticks,
        tick_s=tick_s,
        pools=pools,
        workloads=worded(
            stream(seed, "words"),
            shared(
                stream(seed, "shared"), tuple(w for pool in pools for w in _workloads(chance, pool))
            ),
        ),
        regime=chance.choice((CALM, CALM, STRESS, _HARSH)),
        script=script,
        limits=_with_safety(stream(seed, "safety"), _limits(chance)),
        faults=faults,
        n_processes=n_processes,
        lag_s=chance.choice((0.05, 0.3, 1.0, 3.0)),
        hears_notices=chance.random() < 0.4,
    )


def _workloads(chance: Random, pool: PoolSpec) -> list[Workload]:
    """Fill about three fifths of a pool: services, sometimes a store, a singleton, a bare pod."""
    room_milli = 0.6 * (pool.n_spot + pool.n_on_demand) * instance_type_of(TYPES[0]).cpu_milli
    found: list[Workload] = []
    while room_milli > 0.0 and len(found) < 6:
        workload = _workload(chance, pool.name, len(found))
        found.append(workload)
        room_milli -= workload.replicas * workload.cpu_milli
    return found


def _workload(chance: Random, pool: str, number: int) -> Workload:
    kind = chance.choice(
        (WorkloadKind.DEPLOYMENT,) * 6 + (WorkloadKind.STATEFUL_SET, WorkloadKind.BARE)
    )
    replicas = 1 if kind is WorkloadKind.BARE else chance.choice((1, 2, 3, 4, 6))
    budget = None if kind is WorkloadKind.BARE else chance.choice((None, 1, 1, 2))
    return Workload(
        namespace=pool,
        name=f"app-{number}",
        kind=kind,
        pool=pool,
        replicas=replicas,
        cpu_milli=chance.choice((300, 600, 1000)),
        memory_bytes=GIB,
        grace_s=chance.choice((5.0, 30.0, 90.0)),
        max_unavailable=budget,
        zonal_volume=kind is WorkloadKind.STATEFUL_SET,
        do_not_disrupt=chance.random() < 0.05,
    )


def _script(chance: Random, busy_s: float) -> tuple[tuple[float, float], ...]:
    """Let the score go up and down; in the end it is calm."""
    at, found = 0.0, []
    while at < busy_s:
        found.append((at, chance.choice((_CALM_SCORE, _CALM_SCORE, _MEDIUM, _HIGH, _EMERGENCY))))
        at += chance.uniform(120.0, 900.0)
    return (*found, (busy_s, _CALM_SCORE))


def _limits(chance: Random) -> Limits:
    modes = (Mode.ACTIVE,) * 8 + (Mode.CANARY, Mode.SHADOW, Mode.ADVISE)
    return Limits(
        mode=chance.choice(modes),
        policy_mode=PolicyMode.DETERMINISTIC,
        emergency_risk=0.90,
        emergency_runtime_risk=0.80,
        high_risk=0.60,
        medium_risk=0.35,
        settle_s=chance.choice((60.0, 300.0, 600.0)),
        dwell_s=chance.choice((120.0, 600.0)),
        max_pool_disruption_ratio=chance.choice((0.1, 0.34, 0.5)),
        max_cluster_disruption_ratio=chance.choice((0.1, 0.34, 0.5)),
        max_wave_nodes=chance.choice((1, 2, 20)),
        on_demand_floor_nodes=chance.choice((0, 0, 1, 2)),
        drain_deadline_s=chance.choice((300.0, 900.0)),
        bind_s=chance.choice((120.0, 300.0)),
        min_confidence=0.0,
        leftover_s=chance.choice((600, 1800)),
        shift=True,
        evacuate=True,
        max_hedge_ratio=1.0,
    )


def _with_safety(chance: Random, limits: Limits) -> Limits:
    """Let some controllers leave Spot for safety, some heed budgets there, and some ask for extras.

    Extra room is asked for where an outage is dear enough to pay for it.
    """
    return replace(
        limits,
        reduce_unsafe=chance.random() < 0.3,
        budgets_bind=chance.random() < 0.15,
        interruption_minutes=chance.choice((15.0, 240.0)),
    )


_SIZES: Final[dict[FaultKind, Callable[[Random], float]]] = {
    FaultKind.API_ERRORS: lambda c: c.choice((0.2, 0.5, 1.0)),
    FaultKind.THROTTLED: lambda c: c.choice((0.2, 0.5, 1.0)),
    FaultKind.ANSWERS_LOST: lambda c: c.choice((0.2, 0.5, 1.0)),
    FaultKind.SLOW: lambda c: c.choice((1.0, 8.0)),
    FaultKind.WATCH_LAG: lambda c: c.choice((3.0, 10.0, 18.0)),
    FaultKind.CLOCK_SKEW: lambda c: c.choice((-600.0, -30.0, 30.0, 600.0)),
    FaultKind.TASK_CRASH: lambda c: float(c.randint(1, 300)),
    FaultKind.KILL_BEFORE: lambda c: float(c.randint(1, 12)),
    FaultKind.KILL_AFTER: lambda c: float(c.randint(1, 12)),
    FaultKind.LATE_WRITE: lambda c: c.choice((5.0, 16.0, 30.0)),
    FaultKind.NOTICE_STORM: lambda c: float(c.choice((20, 200))),
    FaultKind.INTERRUPTION: lambda c: float(c.randint(1, 4)),
    FaultKind.PERSON_CORDON: lambda c: float(c.randint(1, 2)),
    FaultKind.NODE_DELETED: lambda c: float(c.randint(1, 2)),
    FaultKind.SCALED: lambda c: c.choice((0.5, 1.5)),
}


def _faults(
    chance: Random, turns_s: list[float], busy_s: float, n_processes: int
) -> tuple[Fault, ...]:
    kinds = [kind for kind in FaultKind if kind not in _APART] + list(OFTEN)
    found = [
        Fault(
            kind=kind,
            at_s=_when(chance, turns_s, busy_s),
            lasts_s=math.floor(chance.uniform(20.0, 400.0)),
            size=_SIZES[kind](chance) if kind in _SIZES else 0.0,
            who=chance.randrange(n_processes),
        )
        for kind in chance.choices(kinds, k=chance.randint(0, 5))
    ]
    if chance.random() < 0.08:
        found.append(Fault(kind=FaultKind.DEATH, at_s=_when(chance, turns_s, busy_s)))
    return tuple(sorted(found, key=lambda f: (f.at_s, f.kind)))


def _with_an_uninstall(
    chance: Random, busy_s: float, faults: tuple[Fault, ...]
) -> tuple[Fault, ...]:
    """Let some of those who freeze the controller want to be rid of it, while nodes are lost."""
    soft = [fault for fault in faults if fault.kind is FaultKind.FREEZE_SOFT]
    if not soft or chance.random() >= LEFT_IN:
        return faults
    left = replace(soft[0], kind=FaultKind.FREEZE_LEAVE)
    at_s = min(busy_s, left.at_s + math.floor(chance.uniform(0.0, left.lasts_s)))
    lost = Fault(kind=FaultKind.INTERRUPTION, at_s=at_s, size=2.0)
    others = [fault for fault in faults if fault is not soft[0]]
    return tuple(sorted((*others, left, lost), key=lambda f: (f.at_s, f.kind)))


def _with_groups(
    chance: Random, turns_s: list[float], busy_s: float, faults: tuple[Fault, ...]
) -> tuple[Fault, ...]:
    """Let people set sizes, and the cloud be short, while a wave is under way."""
    found = [
        Fault(
            kind=kind,
            at_s=_when(chance, turns_s, busy_s),
            lasts_s=math.floor(chance.uniform(60.0, 400.0)),
            size=float(chance.choice((-1, 1))),
        )
        for kind in _OF_GROUPS
        if chance.random() < 0.4
    ]
    return tuple(sorted((*faults, *found), key=lambda f: (f.at_s, f.kind)))


def _with_a_lost_lease(
    chance: Random, turns_s: list[float], busy_s: float, faults: tuple[Fault, ...]
) -> tuple[Fault, ...]:
    """Let a slow server cost a process its lease, in some episodes, while it moves nodes."""
    if chance.random() >= LEASE_LOST_IN:
        return faults
    soon_s = chance.choice(turns_s) + chance.uniform(0.0, SOON_S)
    at_s = float(math.floor(min(busy_s, soon_s)))
    lasts_s, who = math.floor(chance.uniform(20.0, 60.0)), chance.randrange(2)
    stuck = Fault(kind=FaultKind.LEASE_STUCK, at_s=at_s, lasts_s=lasts_s, who=who)
    slow = replace(stuck, kind=FaultKind.SLOW, size=8.0)
    return tuple(sorted((*faults, stuck, slow), key=lambda f: (f.at_s, f.kind)))


def _when(chance: Random, turns_s: list[float], busy_s: float) -> float:
    """Draw when a fault begins: every other time soon after the score has changed.

    That is when nodes move, so that most of what can be broken is under way.
    """
    at_s = chance.uniform(0.0, busy_s)
    if chance.random() < 0.5:
        at_s = min(busy_s, chance.choice(turns_s) + chance.uniform(0.0, SOON_S))
    return float(math.floor(at_s))
