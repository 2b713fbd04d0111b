"""One world under one policy, for days, with its accounts.

Comes in: a world's making and whether the controller takes part, with its model and limits. Goes
out: a `RunAccount`. With the controller, the daemon's own tasks run in virtual time, as in an
episode, only that nothing goes wrong but the market. May not know what policies there are.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final

from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Offering
from spotvortex.core.drain.calls import Answer, Call
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.model import Forecaster
from spotvortex.results.accounting import DayTotals, RunResult
from spotvortex.results.timeline import RunAccount
from spotvortex.sim.account.billing import DAY_S, Billing
from spotvortex.sim.cluster.demand import Demand
from spotvortex.sim.cluster.scenario import Scenario
from spotvortex.sim.market.prices import PricedMarket
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.market.supply import Supply
from spotvortex.sim.runtime.coordination import CoordinationObjects
from spotvortex.sim.runtime.external_actors import ExternalActors
from spotvortex.sim.runtime.faults import Schedule
from spotvortex.sim.runtime.journal import EpisodeJournal
from spotvortex.sim.runtime.replica import Replica, SharedWorld
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop
from spotvortex.sim.runtime.world import World

DEMAND_EVERY_S: Final = 300.0

TIMING: Final = LeaseTiming(renew_s=10.0, write_answer_s=3.0)
"""Nobody fights for the lease here, so it is renewed as rarely as it may be."""

LAG_S: Final = 0.5
"""How far the controller's watches are behind; a busy API server's are less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The daemon as it takes part in a run.

    Attributes:
        forecaster: its model.
        limits: bounds and thresholds of its decisions.
        tick_s: seconds between two decisions.
        hears_notices: it handles interruptions; else the provisioner does.
    """

    forecaster: Forecaster
    limits: Limits
    tick_s: float
    hears_notices: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """All that one run is a function of.

    Attributes:
        scenario: the cluster at its start.
        market: the prices.
        supply: the Spot market's hidden side.
        seed: the seed of everything else that is drawn.
        n_days: days of the run.
        unit_of: by pool, the offering in whose nodes demand is counted.
        demand: how many pods are wanted over time.
        spare_pods: by workload, pods that are kept beyond the demand.
        controller: the daemon, None where the provisioner is alone.
        outage_minutes: by workload, what an interruption costs it; None where each counts once.
        growth_grace_s: for so long pods that a workload has grown by are not missed in outages.
    """

    scenario: Scenario
    market: PricedMarket
    supply: Supply
    seed: int
    n_days: int
    unit_of: dict[str, Offering]
    demand: Demand
    spare_pods: dict[str, int] = field(default_factory=dict)
    controller: Controller | None = None
    outage_minutes: Mapping[str, float] | None = None
    growth_grace_s: float = 0.0


class NullWitness:
    """Watches nothing: the witness of a run in which nothing is judged."""

    def asked(self, process: Replica, call: Call, checked_at: float) -> None:
        """Drop it."""

    def answered(self, process: Replica, call: Call, answer: Answer) -> None:
        """Drop it."""


def run(
    trial: Trial,
    name: Callable[[tuple[DayTotals, ...], str], RunResult],
    records: BinaryIO | None = None,
) -> RunAccount:
    """Run a trial to its end.

    Args:
        trial: what to run.
        name: makes the result of the days' sums and the digest of the decisions.
        records: where the controller's decision records are written, for `explain` and `replay`.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        ran = _Run(trial, runner.get_loop(), records)
        runner.run(ran.go())
    ledger = ran.ledger
    result = name(tuple(ledger.days), ran.digest())
    return RunAccount(result=result, hours=tuple(ledger.hours), events=tuple(ledger.events))


class _Run:
    """One trial on a loop."""

    def __init__(
        self, trial: Trial, loop: asyncio.AbstractEventLoop, records: BinaryIO | None
    ) -> None:
        self._trial = trial
        controller = trial.controller
        hears_notices = controller is not None and controller.hears_notices
        scenario = replace(trial.scenario, hears_notices=hears_notices)
        self._since = scenario.start_at
        self._clock = SimClock(self._since, loop)
        self._world = World(
            scenario=scenario,
            seed=trial.seed,
            clock=self._clock,
            market=trial.market,
            supply=trial.supply,
            captures=trial.controller is not None,
        )
        self.ledger = Billing(
            cluster=self._world.cluster,
            prices=trial.market,
            since=self._since,
            unit_of=trial.unit_of,
            spare=trial.spare_pods,
            outage_minutes=trial.outage_minutes,
            growth_grace_s=trial.growth_grace_s,
        )
        self._world.ledger = self.ledger
        self._records = EpisodeJournal(sink=records, in_outline=records is None)
        self._shelf = CoordinationObjects()
        self._ended = asyncio.Event()

    def digest(self) -> str:
        """Return the digest of the decisions and of the accounts."""
        figures = repr([self.ledger.days, self.ledger.events]).encode()
        return hashlib.sha256(self._records.sha.digest() + figures).hexdigest()

    async def go(self) -> None:
        """Let the days pass."""
        async with asyncio.TaskGroup() as group:
            if self._trial.controller is not None:
                group.create_task(self._process(self._trial.controller).run(self._ended))
            await self._pass_time()
            self._ended.set()

    async def _pass_time(self) -> None:
        demand, replicas = self._trial.demand, dict[str, int]()
        for key, workload in self._world.cluster.workloads.items():
            replicas[key] = workload.replicas - self._trial.spare_pods.get(key, 0)
        people = self._people()
        next_demand_at = self._since
        while self._world.at < self._since + self._trial.n_days * DAY_S:
            if self._trial.controller is not None:
                await asyncio.sleep(self._world.step_s)
            self._world.step()
            self.ledger.n_launch_failures += self._world.take_failures()
            people.act()
            if self._world.at >= next_demand_at:
                next_demand_at += DEMAND_EVERY_S
                for key, n in replicas.items():
                    wanted = demand.replicas(key, n, self._world.at - self._since)
                    self._world.want(key, wanted + self._trial.spare_pods.get(key, 0))

    def _people(self) -> ExternalActors:
        return ExternalActors(
            world=self._world,
            shelf=self._shelf,
            schedule=Schedule(()),
            chance=stream(self._trial.seed, "people"),
            clock=self._clock.now,
            zero_at=self._since,
        )

    def _process(self, controller: Controller) -> Replica:
        place = SharedWorld(
            world=self._world,
            shelf=self._shelf,
            market=self._trial.market,
            forecaster=controller.forecaster,
            schedule=Schedule(()),
            witness=NullWitness(),
            clock=self._clock.now,
            zero_at=self._since,
        )
        return Replica(
            place=place,
            number=0,
            limits=controller.limits,
            tick_s=controller.tick_s,
            lag_s=LAG_S,
            chance=stream(self._trial.seed, "process", 0),
            journal_of=self._records.chain,
            hears_notices=controller.hears_notices,
            timing=TIMING,
            poll_s=self._world.step_s / 3.0,
        )
