"""A pause ends by itself, at a stop, or is none."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from spotvortex.aio import Backoff, Nap, Retries, pause, retried
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


def in_virtual_time(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@pytest.mark.parametrize(
    ("stop_at", "ended_at", "lasts_s"), [(100.0, 100.0, 60.0), (7.0, 100.0, 7.0), (9.0, 3.0, 3.0)]
)
def test_a_nap_lasts_its_time_and_never_beyond_the_stop_or_its_end(stop_at, ended_at, lasts_s):
    async def main():
        loop, stop, nap = asyncio.get_running_loop(), asyncio.Event(), Nap()
        nap.end()
        loop.call_later(stop_at, stop.set)
        for _ in range(2):
            loop.call_later(ended_at, nap.end)
        await nap.take(stop, 60.0)
        nap.end()
        return loop.time()

    assert in_virtual_time(main) == lasts_s


def test_pauses_double_up_to_their_bound_are_cut_by_up_to_a_half_and_begin_anew():
    backoff, rng = Backoff(0.5, 30.0, Random(3)), Random(3)
    wanted = [min(30.0, 0.5 * 2.0**n) * rng.uniform(0.5, 1.0) for n in range(40)]
    assert [backoff.after_failure() for _ in range(40)] == wanted
    backoff.reset()
    assert 0.25 <= backoff.after_failure() <= 0.5


class Remote:
    """Fails as it is told, one error a request, and then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.asked_at = []

    async def ask(self):
        self.asked_at.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


PATIENT = Retries(
    n_attempts=4,
    within_s=60.0,
    first_s=1.0,
    longest_s=8.0,
    is_worth=lambda error: isinstance(error, OSError),
    asked_s=lambda error: float(error.args[0]) if error.args else 0.0,
)


def ask(remote, **changes):
    return in_virtual_time(lambda: retried(remote.ask, replace(PATIENT, **changes), Random(1)))


def test_a_request_is_sent_again_until_it_is_answered_at_the_second_that_the_pauses_give():
    remote, rng = Remote(OSError(), OSError()), Random(1)
    assert ask(remote) == "answer"
    first = rng.uniform(0.5, 1.0)
    second = first + 2.0 * rng.uniform(0.5, 1.0)
    assert remote.asked_at == pytest.approx([0.0, first, second], abs=1e-5)


def test_the_last_error_is_raised_after_the_last_attempt():
    remote = Remote(*(OSError(0.0, str(n)) for n in range(9)))
    with pytest.raises(OSError, match="3"):
        ask(remote)
    assert len(remote.asked_at) == 4


def test_what_is_not_worth_it_is_not_sent_again():
    remote = Remote(ValueError("no"), OSError())
    with pytest.raises(ValueError, match="no"):
        ask(remote)
    assert len(remote.asked_at) == 1


def test_a_remote_that_asks_to_be_left_alone_is():
    remote = Remote(OSError(20.0))
    assert ask(remote) == "answer"
    assert remote.asked_at == [0.0, 20.0]


@pytest.mark.parametrize(("within_s", "n_asked"), [(20.0, 2), (19.9, 1)])
def test_no_request_begins_after_the_time_for_all_of_them(within_s, n_asked):
    remote = Remote(OSError(20.0), OSError(20.0))
    with pytest.raises(OSError, match="20"):
        ask(remote, within_s=within_s)
    assert len(remote.asked_at) == n_asked
