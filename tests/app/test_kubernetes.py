"""What runs beside the tasks ends in order."""

import asyncio

import pytest

from spotvortex.app.kubernetes import within
from spotvortex.sim.runtime.virtual_loop import VirtualLoop


def run_virtual(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def backgrounds(ends, *, fails=False):
    async def outer(stop):
        await stop.wait()
        ends.append("outer")

    async def inner(stop):
        await stop.wait()
        await asyncio.sleep(0.01)  # the last thing that it writes
        ends.append("inner")
        if fails:
            raise ValueError("lost")

    return within(outer, inner)


def test_the_outer_one_stops_once_the_inner_one_has_ended():
    ends = []

    async def run():
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(backgrounds(ends)(stop))
            await asyncio.sleep(0)
            stop.set()

    run_virtual(run())
    assert ends == ["inner", "outer"]


def test_an_inner_one_that_fails_is_not_hidden():
    async def run():
        stop = asyncio.Event()
        stop.set()
        await backgrounds([], fails=True)(stop)

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(run())
    assert isinstance(caught.value.exceptions[0], ValueError)
