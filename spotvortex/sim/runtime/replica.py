"""One process of the daemon in a simulated world: it starts, works, dies, and starts again.

Comes in: a world, what lies in the cluster, and a schedule of faults. Goes out: the daemon's own
tasks, run unchanged against ports that fail as the schedule says. What dies with a process dies
here: what it remembered, its leadership, and every request that had not reached the server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from spotvortex.aio import pause
from spotvortex.core.domain.limits import Limits
from spotvortex.core.drain.calls import Answer, Call
from spotvortex.kube.write.scaling.provisioner import ScalingProvisioner
from spotvortex.pipeline.drains.actuators import Actuators, RecordingActuator
from spotvortex.pipeline.drains.guard import GuardedActuator
from spotvortex.pipeline.drains.write_rate import WriteRate
from spotvortex.pipeline.supervisor import Ports, TaskEndedError, make_boards, supervise
from spotvortex.ports.edges import Edges
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.market import Market
from spotvortex.ports.model import Forecaster
from spotvortex.ports.null import NullAnnouncer, NullNotices, NullTelemetry
from spotvortex.ports.telemetry import Journal
from spotvortex.ports.writing import OwnWrite
from spotvortex.sim.cluster.api_server import NAMESPACE, ReadsFirst, Seen, plan_on
from spotvortex.sim.cluster.watch import Watch
from spotvortex.sim.runtime.coordination import (
    POLL_S,
    CoordinationObjects,
    Leadership,
    MemoryPort,
    QueueReader,
    StateAccess,
    StatePort,
)
from spotvortex.sim.runtime.crashing_tasks import InjectedError, counted
from spotvortex.sim.runtime.faults import Fault, FaultKind, Schedule
from spotvortex.sim.runtime.faulty_ports import (
    FaultyForecaster,
    FaultyMarket,
    FaultyWriter,
    SkewedClock,
)
from spotvortex.sim.runtime.group_way import GroupWay, GroupWitness
from spotvortex.sim.runtime.virtual_loop import offload_inline
from spotvortex.sim.runtime.world import World

log = logging.getLogger(__name__)

RESTART_S: Final = 7.0
"""Seconds from a process's death to its next start."""

_DYING: Final = frozenset({FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER})
_LATE: Final = frozenset({FaultKind.LATE_WRITE})
_CRASH: Final = frozenset({FaultKind.TASK_CRASH})


class Witness(Protocol):
    """Who watches what reaches the server."""

    def asked(self, process: Replica, call: Call, checked_at: float) -> None:
        """Take note of a request that the server is about to carry out."""
        ...

    def answered(self, process: Replica, call: Call, answer: Answer) -> None:
        """Take note of what the server did."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedWorld:
    """What the processes of one episode share.

    Attributes:
        world: the cluster and its market's hidden side.
        shelf: the lease, freeze, state and notices, kept beside the cluster.
        market: the prices.
        forecaster: the model.
        schedule: the faults of the episode.
        witness: who watches what reaches the server.
        clock: wall time, seconds since the epoch.
        zero_at: the episode's start, seconds since the epoch.
        capacity: who watches what is written to scaling groups; without it nobody drives them.
    """

    world: World
    shelf: CoordinationObjects
    market: Market
    forecaster: Forecaster
    schedule: Schedule
    witness: Witness
    clock: Callable[[], float]
    zero_at: float
    capacity: GroupWitness | None = None

    def elapsed(self) -> float:
        """Return seconds since the episode's start."""
        return self.clock() - self.zero_at


@dataclass(slots=True, kw_only=True)
class Replica:
    """One replica of the controller.

    Attributes:
        place: what it shares with the other replicas.
        number: what tells it from the others.
        limits: bounds and thresholds of its decisions.
        tick_s: seconds between two decisions.
        lag_s: how far its watches are behind, in seconds.
        chance: what draws its delays and failures.
        journal_of: makes the journal of one life.
        writes_per_s: most requests a second that change the cluster.
        hears_notices: it handles interruptions, and not the provisioner.
        timing: how its lease is kept.
        poll_s: seconds between two looks into the queue of notices.
        n_lives: how often it has started.
        n_crashes: how often a life has ended before the episode did.
        alive: it runs now.
        watch: its view of the cluster in this life.
        leadership: its part in the lease in this life.
    """

    place: SharedWorld
    number: int
    limits: Limits
    tick_s: float
    lag_s: float
    chance: Random
    journal_of: Callable[[], Journal]
    writes_per_s: float = 20.0
    hears_notices: bool = False
    timing: LeaseTiming = field(default_factory=LeaseTiming)
    poll_s: float = POLL_S
    n_lives: int = 0
    n_crashes: int = 0
    alive: bool = False
    watch: Watch = field(init=False)
    leadership: Leadership = field(init=False)
    _task: asyncio.Task[None] | None = None
    _dying: Fault | None = None
    _n_writes: int = 0
    _n_awaits: int | None = None
    _was_hit: bool = False

    @property
    def name(self) -> str:
        """Its identity in the lease."""
        return f"replica-{self.number}"

    @property
    def cut_for_s(self) -> float:
        """For how long it has been cut off."""
        fault = self.fault(FaultKind.PARTITION)
        return 0.0 if fault is None else self.place.elapsed() - fault.at_s

    def blind_s(self, at: float) -> float:
        """Return for how long it had seen nothing at a time, 0 where it saw."""
        now_s = at - self.place.zero_at
        kinds = (FaultKind.PARTITION, FaultKind.WATCH_CUT)
        found = (self.place.schedule.at_work(kind, now_s, self.number) for kind in kinds)
        return max((now_s - fault.at_s for fault in found if fault is not None), default=0.0)

    @property
    def lag_now_s(self) -> float:
        """How far its watches are behind."""
        return self.watch.lag_s

    def fault(self, kind: FaultKind) -> Fault | None:
        """Return a lasting fault that is at work on it."""
        return self.place.schedule.at_work(kind, self.place.elapsed(), self.number)

    async def run(self, ended: asyncio.Event) -> None:
        """Live again and again until the episode has ended."""
        while not ended.is_set():
            await self._live(ended)
            if not ended.is_set():
                self.n_crashes += 1
                await pause(ended, RESTART_S)

    async def _live(self, ended: asyncio.Event) -> None:
        """One life: the daemon from its start to its end, whatever that is."""
        self.n_lives += 1
        self.alive, self._was_hit = True, False
        try:
            async with asyncio.TaskGroup() as group:
                context = counted(self.awaits)
                self._task = group.create_task(self._daemon(ended), context=context)
        except* (InjectedError, TaskEndedError) as ended_by:
            # Others end in order once one has failed; that alone is the schedule's doing.
            if not self._was_hit:
                raise AssertionError("a task ended by itself") from ended_by
            log.debug("sim.task_failed", extra={"replica": self.name})
        finally:
            self.alive = False

    async def _daemon(self, stop: asyncio.Event) -> None:
        ports = self._ports()
        views = make_boards(ports, self.limits, self.tick_s)
        await supervise(ports, views, self.limits, self.tick_s, stop)

    def kill(self) -> None:
        """End it at once: nothing that it still does reaches anything."""
        self.alive = False
        if self._task is not None:
            self._task.cancel()

    def _ports(self) -> Ports:
        place, telemetry = self.place, NullTelemetry()
        self.watch = Watch(place.world.frames, place.clock, self.lag_s, self.limits.max_input_age_s)
        if self.blind_s(place.clock()) > 0.0:
            self.watch.cut()
        self.leadership = Leadership(
            shelf=place.shelf,
            name=self.name,
            clock=place.clock,
            lag_s=lambda: self.watch.lag_s,
            cut_for_s=lambda: self.cut_for_s,
            stale_after_s=self.limits.max_input_age_s,
            timing=self.timing,
            is_stuck=lambda: self.fault(FaultKind.LEASE_STUCK) is not None,
        )
        leads = self._leads
        state = StateAccess(
            shelf=place.shelf, clock=place.clock, is_cut=lambda: self.cut_for_s > 0.0, leads=leads
        )
        clock = SkewedClock(self)
        edges = Edges(
            name=self.name,
            cluster=self.watch,
            market=FaultyMarket(place.market, self),
            clock=clock,
            offload=offload_inline,
            background=[("lease", self._lease), ("weather", self._weather)],
        )
        return Ports(
            edges=edges,
            forecaster=FaultyForecaster(place.forecaster, self),
            hands=Actuators(
                recording=RecordingActuator(cluster=self.watch, telemetry=telemetry),
                writing=self._guarded(clock, telemetry),
            ),
            journal=self.journal_of(),
            telemetry=telemetry,
            announcer=NullAnnouncer(),
            store=MemoryPort(state),
            state=StatePort(state),
            authority=self.leadership,
            notices=self._queue(),
        )

    def _guarded(self, clock: SkewedClock, telemetry: NullTelemetry) -> GuardedActuator:
        return GuardedActuator(
            cluster=self.watch,
            writer=FaultyWriter(self, self.timing, self._groups()),
            authority=self.leadership,
            clock=clock,
            telemetry=telemetry,
            limits=self.limits,
            rate=WriteRate(per_s=self.writes_per_s, burst=self.writes_per_s),
        )

    def _groups(self) -> ScalingProvisioner | None:
        """Return the product's own driver of scaling groups, where there are any."""
        world, witness = self.place.world, self.place.capacity
        if not world.cluster.desired or witness is None:
            return None
        way = GroupWay(process=self, cloud=world.scaling, witness=witness)
        return ScalingProvisioner(client=way, timing=self.timing, namespace=NAMESPACE, service=way)

    def _queue(self) -> QueueReader | NullNotices:
        if not self.hears_notices:
            return NullNotices()
        return QueueReader(shelf=self.place.shelf, may_read=self._leads, poll_s=self.poll_s)

    def _leads(self) -> bool:
        return self.leadership.standing().leader

    async def _lease(self, stop: asyncio.Event) -> None:
        await self.leadership.run(stop)

    async def _weather(self, stop: asyncio.Event) -> None:
        """Cut and heal the watch, and let a task fail, as the schedule says."""
        if self.place.schedule.is_clear:
            await stop.wait()
        while not stop.is_set():
            if self.blind_s(self.place.clock()) > 0.0:
                self.watch.cut()
            else:
                self.watch.heal()
            lag = self.fault(FaultKind.WATCH_LAG)
            self.watch.lag_s = self.lag_s if lag is None else lag.size
            for fault in self._mine(_CRASH):
                self._n_awaits = round(fault.size)
            await pause(stop, 1.0)

    def _mine(self, kinds: frozenset[FaultKind]) -> list[Fault]:
        return self.place.schedule.due(self.place.elapsed(), kinds, self.number)

    def awaits(self) -> None:
        """Count one await of a task.

        Raises:
            InjectedError: the schedule lets this one fail.
        """
        if self._n_awaits is not None:
            self._n_awaits -= 1
            if self._n_awaits < 0:
                self._n_awaits, self._was_hit = None, True
                raise InjectedError("a task failed, as the schedule says")

    def dies_at(self, kind: FaultKind) -> bool:
        """Count a write, and tell whether the process dies at it."""
        for fault in self._mine(_DYING):
            self._dying, self._n_writes = fault, 0
        if self._dying is None or self._dying.kind is not kind:
            return False
        self._n_writes += 1
        if self._n_writes < max(1, round(self._dying.size)):
            return False
        self._dying = None
        return True

    def late_s(self) -> float:
        """Return for how long this write is held up on its way."""
        return max((fault.size for fault in self._mine(_LATE)), default=0.0)

    def now(self) -> float:
        """Return the true time, seconds since the epoch."""
        return self.place.clock()

    def read_at_server(self, call: ReadsFirst) -> Answer | Seen:
        """Let the server answer the request of a call that only reads."""
        return self.place.world.server.read(call)

    def at_server(self, call: Call, seen: Seen | None, checked_at: float) -> Answer:
        """Let the server carry out a call on what it has read, before witnesses."""
        self.place.witness.asked(self, call, checked_at)
        answer = self.place.world.apply(call, seen)
        self.place.witness.answered(self, call, answer)
        return answer

    def told_of(self, call: Call, checked_at: float) -> None:
        """Let the witnesses know of a call that a driver is about to make requests of."""
        self.place.witness.asked(self, call, checked_at)

    def own_mark(self, name: str, uid: str) -> OwnWrite | None:
        """Return what a write has just left on a node, None where it is gone."""
        node = self.place.world.cluster.nodes.get(name)
        if node is None or node.uid != uid:
            return None
        return OwnWrite(
            resource_version=node.version, cordoned=node.cordoned, plan_id=plan_on(node)
        )
