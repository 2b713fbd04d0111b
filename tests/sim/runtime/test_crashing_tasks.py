"""Tasks that fail at exactly the await they are told to."""

import asyncio

import pytest

from spotvortex.sim.runtime.crashing_tasks import InjectedError, brittle, counted
from spotvortex.sim.runtime.virtual_loop import VirtualLoop


def played(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.get_loop().set_task_factory(brittle)
        return runner.run(main())


class Fuse:
    """Counts awaits, and fails at the n-th."""

    def __init__(self, at):
        self.at = at
        self.n = 0

    def __call__(self):
        self.n += 1
        if self.n == self.at:
            raise InjectedError(f"at await {self.n}")


@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_task_fails_at_exactly_the_await_it_is_told_to(at):
    passed = []

    async def work():
        for number in range(1, 6):
            await asyncio.sleep(1.0)
            passed.append(number)

    async def main():
        task = asyncio.get_running_loop().create_task(work(), context=counted(Fuse(at)))
        with pytest.raises(InjectedError, match=f"at await {at}"):
            await task

    played(main)
    assert passed == list(range(1, at))


def test_tasks_of_a_task_are_counted_too_and_all_of_them_end():
    ended = []

    async def child(name):
        try:
            await asyncio.sleep(10.0)
        finally:
            ended.append(name)

    async def parent():
        async with asyncio.TaskGroup() as group:
            group.create_task(child("first"))
            group.create_task(child("second"))

    async def main():
        with pytest.raises(ExceptionGroup) as failed:
            await asyncio.get_running_loop().create_task(parent(), context=counted(Fuse(3)))
        assert failed.group_contains(InjectedError)

    played(main)
    assert sorted(ended) == ["first", "second"]


def test_a_task_may_clean_up_and_even_go_on_after_it_was_made_to_fail():
    async def work():
        try:
            await asyncio.sleep(1.0)
        except InjectedError:
            await asyncio.sleep(2.0)
            return asyncio.get_running_loop().time()

    async def main():
        return await asyncio.get_running_loop().create_task(work(), context=counted(Fuse(1)))

    assert played(main) == 2.0


def test_tasks_of_others_are_not_counted():
    fuse = Fuse(1)

    async def work():
        await asyncio.sleep(1.0)
        return "done"

    async def main():
        counted(fuse)
        return await asyncio.get_running_loop().create_task(work())

    assert played(main) == "done"
    assert fuse.n == 0


def test_a_task_that_is_cancelled_before_its_first_step_leaves_no_warning():
    async def main():
        event = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = loop.create_task(event.wait(), context=counted(Fuse(0)))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    played(main)


def test_results_and_errors_are_the_coroutines_own():
    async def fails():
        await asyncio.sleep(0.0)
        raise ZeroDivisionError

    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ZeroDivisionError):
            await loop.create_task(fails(), context=counted(Fuse(0)))

    played(main)
