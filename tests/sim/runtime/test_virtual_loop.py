"""Simulated time: exact, ordered, honest about a standstill; and paced time with real sockets."""

import asyncio
import signal
import time
from functools import partial

import pytest

from spotvortex.sim.runtime.virtual_loop import (
    TURN_S,
    DeadlockError,
    PacedLoop,
    SimClock,
    VirtualLoop,
    offload_inline,
)


def run_virtual(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def run_paced(main, speed=60.0):
    with asyncio.Runner(loop_factory=partial(PacedLoop, speed)) as runner:
        return runner.run(main)


def test_virtual_sleep_takes_its_seconds_exactly_and_no_real_time():
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        for seconds in (0.1, 0.2, 60.0, 86400.0 * 200, 0.3):
            await asyncio.sleep(seconds)
            seen.append(loop.time())
        return seen

    begin = time.perf_counter()
    seen = run_virtual(main())
    assert seen == [0.1, 0.3, 60.3, 17_280_060.3, 17_280_060.6]
    assert time.perf_counter() - begin < 10.0


def test_paced_time_goes_no_further_than_its_bound_while_the_loop_is_at_work():
    """A machine that is too slow plays more slowly, so that nothing it shows is too old."""

    async def main():
        loop = asyncio.get_running_loop()
        begun = loop.time()
        stolen_until = time.perf_counter() + 0.1
        while time.perf_counter() < stolen_until:
            during = loop.time()
        await asyncio.sleep(0)
        after = loop.time()
        await asyncio.sleep(100.0)
        return during - begun, after - begun, loop.time() - begun

    during, after, slept = run_paced(main(), speed=1000.0)
    assert during <= TURN_S
    assert after <= 2 * TURN_S
    assert 100.0 <= slept <= 100.0 + 6 * TURN_S


def test_paced_time_goes_on_while_the_loop_waits_for_somebody_else():
    async def main():
        loop = asyncio.get_running_loop()
        begun = loop.time()
        loop.call_soon_threadsafe(lambda: None)
        await asyncio.to_thread(time.sleep, 0.1)
        return loop.time() - begun

    assert run_paced(main(), speed=1000.0) >= 90.0


def test_virtual_timer_after_a_year_still_falls_due():
    async def main():
        await asyncio.sleep(3.2e7)
        for _ in range(10):
            await asyncio.sleep(1e-9)
            await asyncio.sleep(5.0)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(3.2e7 + 50.0, abs=1e-3)


def test_virtual_loop_wakes_whoever_waits_for_an_epoch_time_between_ticks():
    async def main():
        clock = SimClock(1.785e9 + 1 / 3, asyncio.get_running_loop())
        due = clock.now() + 10 / 7
        n_waits = 0
        while clock.now() < due:
            await asyncio.sleep(due - clock.now())
            n_waits += 1
        return n_waits

    assert run_virtual(main()) <= 3


def test_virtual_loop_names_a_deadlock():
    async def main():
        await asyncio.sleep(7.0)
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match=r"7\.000000 s"):
        run_virtual(main())


def test_virtual_timeout_cancels_at_the_exact_second():
    async def main():
        loop = asyncio.get_running_loop()
        cancelled_at = []

        async def stubborn():
            try:
                await asyncio.sleep(1000.0)
            except asyncio.CancelledError:
                cancelled_at.append(loop.time())
                raise

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30.0):
                await stubborn()
        return cancelled_at

    assert run_virtual(main()) == [30.0]


def test_virtual_tasks_run_in_the_same_order_each_time():
    async def main():
        order = []

        async def worker(name, period):
            for _ in range(20):
                await asyncio.sleep(period)
                order.append((asyncio.get_running_loop().time(), name))

        async with asyncio.TaskGroup() as group:
            for name, period in (("a", 3.0), ("b", 2.0), ("c", 3.0), ("d", 1.5)):
                group.create_task(worker(name, period))
        return order

    first = run_virtual(main())
    assert first == run_virtual(main())
    assert [at for at, _ in first] == sorted(at for at, _ in first)


def test_virtual_loop_refuses_threads_and_offload_runs_in_place():
    async def main():
        with pytest.raises(RuntimeError, match="no threads"):
            await asyncio.to_thread(sum, (1, 2))
        return await offload_inline(sum, (1, 2))

    assert run_virtual(main()) == 3


def test_virtual_loop_waits_for_a_socket_when_there_is_no_timer():
    assert run_virtual(echo_once()) == b"hello\n"


async def echo_once():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line


def test_paced_loop_sleeps_a_minute_in_a_second_and_serves_sockets_meanwhile():
    async def main():
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(60.0))
            answer = await echo_once()
            answered = time.perf_counter() - begin
        return answer, answered, time.perf_counter() - begin

    answer, answered, slept = run_paced(main())
    assert answer == b"hello\n"
    assert answered < slept
    assert 0.95 <= slept < 10.0


def test_paced_loop_hears_a_signal_at_once():
    async def main():
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, stop.set)
        loop.call_later(6.0, signal.raise_signal, signal.SIGUSR1)
        async with asyncio.timeout(600.0):
            await stop.wait()
        return loop.time()

    assert 6.0 <= run_paced(main()) < 60.0


def test_clock_tells_the_start_plus_the_loops_time():
    async def main():
        clock = SimClock(1000.0, asyncio.get_running_loop())
        await asyncio.sleep(2.5)
        return clock.now()

    assert run_virtual(main()) == 1002.5
