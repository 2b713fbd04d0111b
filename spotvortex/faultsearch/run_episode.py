"""Plays one episode: the daemon's own tasks, in virtual time, in a small bad world.

Comes in: an `Episode`. Goes out: an `EpisodeOutcome`: breaches, checks, and the digest of every
decision record. The same episode gives the same outcome, byte for byte. May not judge: `invariants`
does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

from spotvortex.faultsearch.episode import CALM_S, QUIET_S, START_AT, Episode, scenario_of
from spotvortex.faultsearch.invariants import InvariantChecker
from spotvortex.faultsearch.judged import Breach, EpisodeBounds
from spotvortex.sim.cluster.scenario import STEP_S
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.runtime.coordination import CoordinationObjects
from spotvortex.sim.runtime.crashing_tasks import brittle
from spotvortex.sim.runtime.external_actors import ExternalActors
from spotvortex.sim.runtime.faults import FaultKind, Schedule
from spotvortex.sim.runtime.forecasters import ScriptedForecaster
from spotvortex.sim.runtime.journal import EpisodeJournal
from spotvortex.sim.runtime.replica import Replica, SharedWorld
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop
from spotvortex.sim.runtime.world import World

MODEL: Final = frozenset({FaultKind.MODEL_FAILS, FaultKind.MODEL_NAN})
_DEATH: Final = frozenset({FaultKind.DEATH})


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeOutcome:
    """What became of an episode.

    Attributes:
        seed: the episode's seed.
        digest: SHA-256 of its decision records, hexadecimal; "" where the controller crashed.
        breaches: the promises that were broken.
        checks: how often each promise was checked, by its number.
        calls: requests that reached the server, by kind.
        faults: faults of the episode, by kind.
        seconds: simulated time.
        n_records: decision records.
        n_deaths: deaths and restarts of processes.
        n_lost: Spot nodes that were taken.
    """

    seed: int
    digest: str
    breaches: tuple[Breach, ...]
    checks: Counter[int]
    calls: Counter[str]
    faults: Counter[str]
    seconds: float
    n_records: int
    n_deaths: int
    n_lost: int


def play(episode: Episode, until: int | None = None) -> EpisodeOutcome:
    """Play an episode to its end.

    Args:
        episode: what to play.
        until: the number of a promise whose first breach ends it; its decisions are then recorded
            in outline, which gives another digest.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        if any(f.kind is FaultKind.TASK_CRASH for f in episode.faults):
            runner.get_loop().set_task_factory(brittle)
        return runner.run(_Play(episode, runner.get_loop(), until).run())


class _Play:
    """One episode on a loop."""

    def __init__(
        self, episode: Episode, loop: asyncio.AbstractEventLoop, until: int | None
    ) -> None:
        self._episode, self._until = episode, until
        scenario = scenario_of(episode)
        self._clock = SimClock(START_AT, loop)
        market = SimulatedMarket(seed=episode.seed, start_at=START_AT)
        self._world = World(
            scenario=scenario, seed=episode.seed, clock=self._clock, market=market, captures=True
        )
        self._shelf = CoordinationObjects()
        self._records = EpisodeJournal(in_outline=until is not None)
        self._observer = InvariantChecker(
            cluster=self._world.cluster,
            record=self._shelf,
            bounds=_bounds(episode),
            clock=self._clock.now,
            zero_at=START_AT,
            groups=scenario.groups,
        )
        self._schedule = Schedule(episode.faults)
        self._people = ExternalActors(
            world=self._world,
            shelf=self._shelf,
            schedule=self._schedule,
            chance=stream(episode.seed, "people"),
            clock=self._clock.now,
            zero_at=START_AT,
        )
        self._ended = asyncio.Event()
        place = SharedWorld(
            world=self._world,
            shelf=self._shelf,
            market=market,
            forecaster=ScriptedForecaster(script=episode.script, start_at=START_AT),
            schedule=self._schedule,
            witness=self._observer,
            clock=self._clock.now,
            zero_at=START_AT,
            capacity=self._observer.capacity,
        )
        self._processes = self._replicas(place)

    def _replicas(self, place: SharedWorld) -> list[Replica]:
        """Make the processes that share the world."""
        episode = self._episode
        return [
            Replica(
                place=place,
                number=number,
                limits=episode.limits,
                tick_s=episode.tick_s,
                lag_s=episode.lag_s,
                chance=stream(episode.seed, "process", number),
                journal_of=self._records.chain,
                hears_notices=episode.hears_notices,
            )
            for number in range(episode.n_processes)
        ]

    async def run(self) -> EpisodeOutcome:
        """Let time pass until the episode is over, and judge what is left."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(p.run(self._ended)) for p in self._processes]
            while not self._is_over():
                await asyncio.sleep(STEP_S)
                self._world.step()
                self._observer.look()
                self._people.act()
                if self._schedule.due(self._now_s(), _DEATH):
                    self._observer.all_dead = True
                    for task in tasks:
                        task.cancel()
            self._ended.set()
        self._observer.conclude()
        self._judge_model()
        return self._outcome()

    def _now_s(self) -> float:
        return self._clock.now() - START_AT

    def _is_over(self) -> bool:
        """Tell whether it has been calm for long enough, or nothing of the controller is left.

        Or the promise that it is played for is broken.
        """
        if any(breach.promise == self._until for breach in self._observer.breaches):
            return True
        calm_s = self._now_s() - self._episode.busy_s
        if calm_s < CALM_S:
            return False
        return calm_s >= QUIET_S or self._observer.is_clear()

    def _judge_model(self) -> None:
        """Where the model alone failed and all else was well, nothing may have left Spot."""
        faults, limits = self._episode.faults, self._episode.limits
        calm = all(score < limits.medium_risk for _, score in self._episode.script)
        alone = bool(faults) and all(f.kind in MODEL for f in faults)
        asked = limits.on_demand_floor_nodes or limits.reduce_unsafe
        asked = asked or any(p.annotations for p in self._episode.pools)
        heard = self._episode.hears_notices
        if alone and calm and not asked and not heard and self._world.tally.n_lost == 0:
            whole_s = self._episode.busy_s + QUIET_S
            mute = (f for f in faults if f.kind is FaultKind.MODEL_FAILS and f.at_s == 0.0)
            self._observer.model_alone(is_mute=any(f.lasts_s >= whole_s for f in mute))

    def _outcome(self) -> EpisodeOutcome:
        return EpisodeOutcome(
            seed=self._episode.seed,
            digest=self._records.sha.hexdigest(),
            breaches=tuple(self._observer.breaches),
            checks=self._observer.checks,
            calls=self._observer.n_calls,
            faults=Counter(fault.kind.value for fault in self._episode.faults),
            seconds=self._now_s(),
            n_records=self._records.n_records,
            n_deaths=sum(p.n_crashes for p in self._processes),
            n_lost=self._world.tally.n_lost,
        )


def _bounds(episode: Episode) -> EpisodeBounds:
    limits = episode.limits
    skews = [abs(f.size) for f in episode.faults if f.kind is FaultKind.CLOCK_SKEW]
    return EpisodeBounds(
        writes=limits.mode.writes,
        settle_s=limits.settle_s,
        max_pool_ratio=limits.max_pool_disruption_ratio,
        max_cluster_ratio=limits.max_cluster_disruption_ratio,
        floor_nodes=limits.on_demand_floor_nodes,
        max_input_age_s=limits.max_input_age_s,
        drain_deadline_s=limits.drain_deadline_s,
        skew_s=max(skews, default=0.0),
        longest_order_s=limits.drain_deadline_s + limits.bind_s + 900.0,
    )
