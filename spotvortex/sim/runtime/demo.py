"""The embedded default: the demo's world behind the ports of the daemon, and its twin beside it.

Comes in: a seed and the mode. Goes out: `Edges` that live on the running, paced loop; in a mode
that writes, with a way to change the simulated cluster. The twin is the same world, of the same
seed, that its provisioner has for itself. May not be told apart from a real cluster by the tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import zip_longest
from typing import Final

from spotvortex.aio import pause
from spotvortex.core.domain.observation import WriteAuthority
from spotvortex.core.domain.types import Freeze, Mode
from spotvortex.core.drain.calls import Answer, Call
from spotvortex.ports.edges import Edges
from spotvortex.ports.null import NullStateStore
from spotvortex.ports.writing import OwnWrite, Writing
from spotvortex.results.course import ALONE
from spotvortex.sim.account.course import Course
from spotvortex.sim.cluster.demo_scenario import DEMO_START_AT, demo
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.runtime.virtual_loop import PacedLoop, SimClock, offload_inline
from spotvortex.sim.runtime.world import World

OURS: Final = "SpotVortex"
"""The name of the world that the daemon moves, beside `ALONE`."""

ANSWER_S: Final = 0.1
"""Time that the simulated API server takes for a request, in simulated seconds."""

ALWAYS_S: Final = 3600.0
"""A write may take so long: nobody else can come to lead, in simulated seconds."""


log = logging.getLogger(__name__)


@asynccontextmanager
async def simulated_edges(seed: int, mode: Mode) -> AsyncIterator[Edges]:
    """Open the demo's cluster and market on the running loop."""
    loop = asyncio.get_running_loop()
    clock = SimClock(DEMO_START_AT, loop)
    market, ours = _world(seed, clock, OURS)
    _, alone = _world(seed, clock, ALONE)
    world = ours.world
    speed = loop.speed if isinstance(loop, PacedLoop) else 1.0
    yield Edges(
        name=f"a simulated cluster, {speed:g} times real speed",
        cluster=world,
        market=market,
        clock=clock,
        offload=offload_inline,
        background=[
            ("world", world.run),
            ("twin", alone.world.run),
            ("story", partial(_tell_story, clock)),
        ],
        courses={OURS: ours.course.point, ALONE: alone.course.point},
        time_scale=speed,
        writing=_writing(world) if mode.writes else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    """A world, and how it fares."""

    world: World
    course: Course


async def _tell_story(clock: SimClock, stop: asyncio.Event) -> None:
    """Say in the log when the market changes, and what it will be next."""
    phases = demo().phases
    for phase, then in zip_longest(phases, phases[1:]):
        await pause(stop, DEMO_START_AT + phase.starts_s - clock.now())
        if stop.is_set():
            return
        fields = {"market": phase.regime.name}
        if then is not None:
            at = datetime.fromtimestamp(DEMO_START_AT + then.starts_s, UTC)
            fields |= {"next": then.regime.name, "at": f"{at:%H:%M}"}
        log.info("sim.story", extra=fields)
    await stop.wait()


def _world(seed: int, clock: SimClock, name: str) -> tuple[SimulatedMarket, _Followed]:
    """Make the demo's world with a market of its own, and follow it by a name."""
    scenario = demo()
    market = SimulatedMarket(seed=seed, start_at=scenario.start_at)
    world = World(scenario=scenario, seed=seed, clock=clock, market=market)
    course = Course(cluster=world.cluster, market=market, at=scenario.start_at)
    world.ledger, world.name = course, name
    return market, _Followed(world=world, course=course)


def _writing(world: World) -> Writing:
    return Writing(
        writer=WorldWriter(world=world), authority=SoleAuthority(), state=NullStateStore()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldWriter:
    """Changes the simulated cluster: implements `ports.writing.ClusterWriter`.

    Attributes:
        world: the cluster.
    """

    world: World

    async def apply(self, call: Call, until: float) -> Answer:  # noqa: ARG002 - nobody else leads
        """Carry a call out after the time of a request."""
        await asyncio.sleep(ANSWER_S)
        return self.world.apply(call)

    def own_write(self, uid: str, seen_version: str) -> OwnWrite | None:  # noqa: ARG002
        """Return nothing: the view of this world is never behind a write."""
        return None


class SoleAuthority:
    """The one process of a simulated cluster: implements `ports.writing.Authority`."""

    def standing(self) -> WriteAuthority:
        """Return that it leads, and that nobody has frozen it."""
        return WriteAuthority(leader=True, freeze=Freeze.NONE, own_node="")

    def writes_until(self) -> float:
        """Return a loop time that is always ahead."""
        return asyncio.get_running_loop().time() + ALWAYS_S
