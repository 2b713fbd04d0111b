"""The daemon's own tasks on a stage, with everything that it writes kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from spotvortex.core.domain.observation import ClusterFacts
from spotvortex.core.domain.types import Mode
from spotvortex.core.drain.calls import Again, Answer, Call
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.pipeline.drains.actuators import Actuators, RecordingActuator
from spotvortex.pipeline.drains.guard import GuardedActuator
from spotvortex.pipeline.drains.write_rate import WriteRate
from spotvortex.pipeline.supervisor import Ports, make_boards, supervise
from spotvortex.ports.cluster import ClusterView
from spotvortex.ports.edges import Edges
from spotvortex.ports.null import NullAnnouncer, NullTelemetry
from spotvortex.ports.writing import ClusterWriter, OwnWrite
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.runtime.forecasters import ScriptedForecaster
from spotvortex.sim.runtime.journal import EpisodeJournal
from spotvortex.sim.runtime.virtual_loop import offload_inline
from tests.contract.stage import Stage
from tests.core.builders import capped

CALM: Final = 0.03
LIMITS: Final = capped(
    mode=Mode.ACTIVE,
    min_confidence=0.0,
    max_pool_disruption_ratio=1.0,
    max_cluster_disruption_ratio=1.0,
    max_wave_nodes=2,
    settle_s=5.0,
    dwell_s=600.0,
    bind_s=300.0,
)


@dataclass
class Recorded:
    """A writer that keeps what was asked and answered, in the order of asking.

    Implements `ClusterWriter`. What has no answer yet stands there as to be tried again.
    """

    writer: ClusterWriter
    writes: list[tuple[Call, Answer]] = field(default_factory=list)

    async def apply(self, call: Call, until: float) -> Answer:
        place = len(self.writes)
        self.writes.append((call, Again("no answer yet")))
        answer = await self.writer.apply(call, until)
        self.writes[place] = call, answer
        return answer

    def own_write(self, uid: str, seen_version: str) -> OwnWrite | None:
        return self.writer.own_write(uid, seen_version)


class OnePool:
    """A view of nothing but one pool: other scenes are on the same control plane."""

    def __init__(self, view: ClusterView, pool: str) -> None:
        self._view, self._pool = view, pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def snapshot(self, now: float) -> ClusterFacts:
        facts = self._view.snapshot(now)
        pools = tuple(pool for pool in facts.pools if pool.name == self._pool)
        return replace(facts, pools=pools, unpooled=())


@asynccontextmanager
async def daemon(stage: Stage, rules: PoolRules) -> AsyncIterator[Recorded]:
    """Run the daemon in a calm market, once it holds the lease."""
    view: ClusterView = OnePool(stage.view, stage.pool)  # type: ignore[assignment]
    authority = await stage.candidate("daemon")
    await stage.until(lambda: authority.standing().leader)
    telemetry, recorded = NullTelemetry(), Recorded(stage.writer)
    start_at = stage.clock.now()
    guarded = GuardedActuator(
        cluster=view,
        writer=recorded,
        authority=authority,
        clock=stage.clock,
        telemetry=telemetry,
        limits=LIMITS,
        rate=WriteRate(per_s=20.0, burst=20.0),
    )
    ports = Ports(
        edges=Edges(
            name="stage",
            cluster=view,
            market=SimulatedMarket(seed=1, start_at=start_at),
            clock=stage.clock,
            offload=offload_inline,
        ),
        forecaster=ScriptedForecaster(script=((0.0, CALM),), start_at=start_at),
        hands=Actuators(
            recording=RecordingActuator(cluster=view, telemetry=telemetry), writing=guarded
        ),
        journal=EpisodeJournal().chain(),
        telemetry=telemetry,
        announcer=NullAnnouncer(),
        authority=authority,
        pool_rules={stage.pool: rules},
    )
    stop = asyncio.Event()
    views = make_boards(ports, LIMITS, 1.0)
    running = asyncio.ensure_future(supervise(ports, views, LIMITS, 1.0, stop))
    try:
        yield recorded
    finally:
        stop.set()
        await running
        await authority.stop()
