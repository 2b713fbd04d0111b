"""Print the digest of a simulated afternoon: one process, one PYTHONHASHSEED."""

import asyncio
import hashlib
import sys

from spotvortex.sim.cluster.demo_scenario import demo
from spotvortex.sim.market.prices import SimulatedMarket
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop
from spotvortex.sim.runtime.world import World


async def digest(seed, hours):
    """Hash every snapshot and quote, one a simulated minute."""
    scenario = demo()
    clock = SimClock(scenario.start_at, asyncio.get_running_loop())
    market = SimulatedMarket(seed=seed, start_at=scenario.start_at)
    world = World(scenario=scenario, seed=seed, clock=clock, market=market)
    stop = asyncio.Event()
    hashed = hashlib.sha256()
    async with asyncio.TaskGroup() as group:
        group.create_task(world.run(stop))
        for _ in range(int(hours * 60)):
            await asyncio.sleep(60.0)
            facts = world.snapshot(clock.now())
            offerings = [node.offering for pool in facts.pools for node in pool.nodes]
            quotes = market.facts(offerings, clock.now()).quotes
            prices = [(str(o), q.spot_usd_per_hour) for o, q in quotes.items()]
            hashed.update(repr((facts, prices)).encode())
        stop.set()
    return hashed.hexdigest(), world.tally.n_lost


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        print(*runner.run(digest(int(sys.argv[1]), float(sys.argv[2]))))
