"""A pause ends by itself, at a stop, or is none."""

import asyncio

import pytest

from spotvortex.aio import pause
from spotvortex.sim.runtime.virtual_loop import VirtualLoop


@pytest.mark.parametrize(
    ("seconds", "stop_after_s", "lasts_s"),
    [(60.0, 100.0, 60.0), (60.0, 7.0, 7.0), (0.0, 100.0, 0.0), (-1.0, 100.0, 0.0)],
)
def test_a_pause_lasts_its_time_and_never_beyond_the_stop(seconds, stop_after_s, lasts_s):
    async def main():
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.call_later(stop_after_s, stop.set)
        await pause(stop, seconds)
        return loop.time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == lasts_s


def test_after_a_stop_there_is_no_pause():
    async def main():
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        stop.set()
        await pause(stop, 60.0)
        return loop.time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 0.0
