"""A stage in the simulator: virtual time, a market without events, no faults."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import NodeFact, WriteAuthority
from spotvortex.core.domain.types import CapacityType, Freeze, Offering
from spotvortex.core.drain.calls import Answer, Call
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.sim.cluster.scenario import STEP_S, NodeGroup, Scenario, Workload
from spotvortex.sim.cluster.watch import Watch
from spotvortex.sim.market.instance_types import GIB
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.market.supply import Interruption
from spotvortex.sim.runtime.coordination import CoordinationObjects, Leadership
from spotvortex.sim.runtime.faults import Schedule
from spotvortex.sim.runtime.faulty_ports import FaultyWriter
from spotvortex.sim.runtime.forecasters import ScriptedForecaster
from spotvortex.sim.runtime.journal import EpisodeJournal
from spotvortex.sim.runtime.replica import Replica, SharedWorld
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop
from spotvortex.sim.runtime.world import World
from tests.contract.stage import SPOT, TYPE, ZONES, Body, Load, Pod, Pool, node_of, truth

START_AT: Final = 1_785_229_200.0
LAG_S: Final = 0.3
STALE_AFTER_S: Final = 20.0
PATIENCE_S: Final = 3600.0
WHILE_S: Final = 600.0
POOL: Final = "web"
ELSE: Final = "else"
SHOP: Final = "shop"


class Plenty:
    """A market that is never short and takes nobody: implements `sim.market.supply.Supply`."""

    def advance(self, *_: object) -> None:
        """Do nothing."""

    def launch_fails(self, *_: object) -> bool:
        return False

    def strikes(self, *_: object) -> list[Interruption]:
        return []

    def warns(self, *_: object) -> bool:
        return False

    def tightness(self, *_: object) -> float:
        return 1.0


class Unwatched:
    """A witness that has nothing to say: implements `sim.runtime.replica.Witness`."""

    def asked(self, *_: object) -> None:
        """Do nothing."""

    def answered(self, *_: object) -> None:
        """Do nothing."""


@dataclass
class SimCandidate:
    """A process's leadership, and the task that asks for it."""

    leadership: Leadership
    clock: Callable[[], float]
    cut_at: float | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def cut_for_s(self) -> float:
        return 0.0 if self.cut_at is None else max(1e-6, self.clock() - self.cut_at)

    def standing(self) -> WriteAuthority:
        return self.leadership.standing()

    def writes_until(self) -> float:
        return self.leadership.writes_until()

    async def stop(self) -> None:
        self.stopping.set()
        await self._ended()

    async def kill(self) -> None:
        self.leadership.valid_until = -math.inf
        if self.task is not None:
            self.task.cancel()
        await self._ended()

    async def _ended(self) -> None:
        if self.task is not None:
            with suppress(asyncio.CancelledError):
                await self.task

    def cut(self) -> None:
        self.cut_at = self.clock()

    def heal(self) -> None:
        self.cut_at = None


class SimStage:
    """Implements `Stage` by a `World` that steps along with a virtual loop."""

    lease_s = LeaseTiming().lease_s

    def __init__(self, pool: Pool, *, buys: bool) -> None:
        self.pool = POOL
        self.clock = SimClock(START_AT, asyncio.get_running_loop())
        market = SimulatedMarket(seed=1, start_at=START_AT)
        scenario = Scenario(
            start_at=START_AT,
            groups=(*_groups(pool, buys=buys), _foreign()),
            fleets=(),
            workloads=(),
            phases=(),
            hears_notices=False,
        )
        self.world = World(
            scenario=scenario,
            seed=1,
            clock=self.clock,
            market=market,
            supply=Plenty(),
            captures=True,
        )
        self.sides = tuple(group.name for group in scenario.groups if group.pool == POOL)
        self.foreign = ELSE
        self._groups = {group.name: group for group in scenario.groups}
        self._cluster = self.world.cluster
        self._shelf = CoordinationObjects()
        self._never_ready: set[str] = set()
        self.candidates: list[SimCandidate] = []
        self.watch = Watch(self.world.frames, self.clock.now, LAG_S, STALE_AFTER_S)
        self.view = self.watch
        self.writer = FaultyWriter(self._process(market))

    async def apply(self, call: Call) -> Answer:
        return await self.writer.apply(call, asyncio.get_running_loop().time() + 60.0)

    def _process(self, market: SimulatedMarket) -> Replica:
        place = SharedWorld(
            world=self.world,
            shelf=self._shelf,
            market=market,
            forecaster=ScriptedForecaster(script=((0.0, 0.0),), start_at=START_AT),
            schedule=Schedule(()),
            witness=Unwatched(),
            clock=self.clock.now,
            zero_at=START_AT,
        )
        process = Replica(
            place=place,
            number=0,
            limits=Limits(),
            tick_s=10.0,
            lag_s=LAG_S,
            chance=Random(1),
            journal_of=EpisodeJournal().chain,
        )
        process.alive = True
        return process

    async def live(self) -> None:
        """Let the world step until the stage is closed."""
        while True:
            await asyncio.sleep(STEP_S)
            self.world.step()
            self._hold_back()
            self._capture()

    def _hold_back(self) -> None:
        for pod in self._cluster.starting.values():
            if pod.workload.name in self._never_ready:
                pod.ready_at = math.inf

    def _capture(self) -> None:
        self.world.frames.capture(self.clock.now())

    # -- what is there ------------------------------------------------------

    async def add_node(
        self, capacity_type: CapacityType = SPOT, zone: str = ZONES[0], group: str = ""
    ) -> NodeFact:
        offering = Offering(instance_type=TYPE, zone=zone)
        at = self.clock.now()
        node = self.world._placement.launch(
            self._groups[group or self.sides[0]], capacity_type, offering, at
        )
        self._cluster.make_ready(node)
        self._capture()
        await self.until(lambda: self.watch.node(node.name))
        return node_of(self, node.name)

    async def add_load(self, load: Load) -> None:
        workload = Workload(
            namespace=SHOP,
            name=load.name,
            pool=self.pool,
            replicas=load.replicas,
            cpu_milli=load.cpu_milli,
            memory_bytes=GIB,
            grace_s=float(load.grace_s),
            max_unavailable=load.max_unavailable,
            capacity_type=load.capacity_type,
            other_pools=(ELSE,) if load.elsewhere else (),
            min_available_after_loss=load.after_loss,
        )
        if not load.starts:
            self._never_ready.add(load.name)
        self._cluster.add_workload(workload, self.clock.now())
        self._capture()

    async def pods(self, load: str) -> tuple[Pod, ...]:
        found = [p for p in self._cluster.pods.values() if p.workload.name == load]
        return tuple(
            Pod(
                namespace=pod.workload.namespace,
                name=pod.name,
                uid=pod.uid,
                node=pod.node,
                ready=pod.ready,
                terminating=pod.terminating,
            )
            for pod in sorted(found, key=lambda p: p.name)
        )

    # -- what others do -----------------------------------------------------

    async def scale(self, load: str, replicas: int) -> None:
        workload = next(w for w in self._cluster.workloads.values() if w.name == load)
        self._cluster.scale(workload, replicas, self.clock.now())
        self._capture()

    async def lose_readiness(self, pod: Pod) -> None:
        self._cluster.lose_readiness(self._cluster.pods[f"{pod.namespace}/{pod.name}"])
        self._capture()

    async def touch(self, node: str) -> None:
        self._cluster.cordon(self._cluster.nodes[node], cordoned=False)
        self._capture()

    async def take_over_cordon(self, node: str) -> None:
        found = self._cluster.nodes[node]
        found.labelled = False
        self._cluster.cordon(found, cordoned=True)
        self._capture()

    async def delete_node(self, node: str) -> None:
        self._cluster.delete_claim(self._cluster.nodes[node])
        self._capture()

    async def allow_own_pods(self, n: int) -> None:
        self.world.server.quota_pods = n

    async def freeze(self, *, frozen: bool) -> None:
        wanted = Freeze.SOFT if frozen else Freeze.NONE
        self._shelf.freezes.append((self.clock.now(), wanted))

    async def candidate(self, name: str) -> SimCandidate:
        made = SimCandidate(
            leadership=Leadership(
                shelf=self._shelf,
                name=name,
                clock=self.clock.now,
                lag_s=lambda: LAG_S,
                cut_for_s=lambda: made.cut_for_s(),  # noqa: PLW0108 - not made yet
                stale_after_s=STALE_AFTER_S,
            ),
            clock=self.clock.now,
        )
        made.task = asyncio.ensure_future(made.leadership.run(made.stopping))
        self.candidates.append(made)
        return made

    # -- the network and time -----------------------------------------------

    def cut(self) -> None:
        self.watch.cut()

    async def heal(self, *, forgotten: bool = False) -> None:  # noqa: ARG002 - as the stage
        self.watch.heal()

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await truth(holds):
                await asyncio.sleep(0.5)

    async def lasts(self, holds: Callable[[], Any]) -> None:
        until = self.clock.now() + WHILE_S
        while self.clock.now() < until:
            assert await truth(holds)
            await asyncio.sleep(0.5)


def _groups(pool: Pool, *, buys: bool) -> tuple[NodeGroup, ...]:
    never = pool.after_s is None
    return tuple(
        NodeGroup(
            name=name,
            pool=POOL,
            capacity_types=kinds,
            instance_types=(TYPE,),
            zones=ZONES,
            weight=weight,
            node_limit=None if buys else 0,
            consolidation="" if never else pool.consolidation,
            consolidate_after_s=float(pool.after_s or 0),
            disruption_ratio=1.0,
        )
        for name, kinds, weight in pool.groups(POOL)
    )


def _foreign() -> NodeGroup:
    return NodeGroup(
        name=ELSE,
        pool=ELSE,
        capacity_types=(SPOT, CapacityType.ON_DEMAND),
        instance_types=(TYPE,),
        zones=ZONES,
        node_limit=0,
        consolidation="",
    )


def simulate(body: Body, pool: Pool | None = None, *, buys: bool = False) -> None:
    """Play a body on a stage of its own.

    Args:
        body: of the test.
        pool: what the provisioner may do.
        buys: whether there is a provisioner at all.
    """

    async def main() -> None:
        stage = SimStage(pool or Pool(), buys=buys)
        living = asyncio.ensure_future(stage.live())
        try:
            await body(stage)
        finally:
            living.cancel()
            await asyncio.wait([living])
            for candidate in stage.candidates:
                await candidate.kill()
        living_error = None if living.cancelled() else living.exception()
        if living_error is not None:
            raise living_error

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
