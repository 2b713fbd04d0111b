"""The embedded default: the demo's world behind the ports of the daemon.

Comes in: a seed. Goes out: `Edges` that live on the running, paced loop. May not be told apart from
a real cluster by the tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from spotvortex.ports.edges import Edges
from spotvortex.sim.cluster.demo_scenario import demo
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.runtime.virtual_loop import PacedLoop, SimClock, offload_inline
from spotvortex.sim.runtime.world import World


@asynccontextmanager
async def simulated_edges(seed: int) -> AsyncIterator[Edges]:
    """Open the demo's cluster and market on the running loop."""
    loop = asyncio.get_running_loop()
    scenario = demo()
    clock = SimClock(scenario.start_at, loop)
    market = SimulatedMarket(seed=seed, start_at=scenario.start_at)
    world = World(scenario=scenario, seed=seed, clock=clock, market=market)
    speed = loop.speed if isinstance(loop, PacedLoop) else 1.0
    yield Edges(
        name=f"a simulated cluster, {speed:g} times real speed",
        cluster=world,
        market=market,
        clock=clock,
        offload=offload_inline,
        background=[("world", world.run)],
        time_scale=speed,
    )
