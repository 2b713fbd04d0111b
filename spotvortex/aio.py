"""Waiting: a pause that a stop cuts short, pauses after failures, and a request that is sent again.

Comes in: seconds, the event of a stop, a request. Goes out: nothing, or the request's answer. The
only module that knows tenacity. Time is the loop's, so that all of it holds in virtual time too.
May not decide what is worth sending again: never a write without a uid or a resourceVersion.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
)
from tenacity.stop import stop_base
from tenacity.wait import wait_base

_MOST_DOUBLINGS: Final = 32
_NO_FUNCTION: Final = AsyncRetrying()

Answer = TypeVar("Answer")


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait for so long, but not beyond the stop; not at all where `seconds` is not positive."""
    if seconds > 0.0:
        await Nap().take(stop, seconds)


class Nap:
    """A pause that whoever has news may end early."""

    def __init__(self) -> None:
        self._timer: asyncio.Timeout | None = None

    async def take(self, stop: asyncio.Event, seconds: float) -> None:
        """Wait for so long, but not beyond the stop, nor beyond `end`."""
        try:
            async with asyncio.timeout(seconds) as self._timer:
                await stop.wait()
        except TimeoutError:
            return
        finally:
            self._timer = None

    def end(self) -> None:
        """Wake who waits now; one that waits later is not concerned."""
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time())


class Backoff(wait_base):
    """The pauses after failures in a row: doubling up to a bound, each cut by up to a half.

    It is one of tenacity's waits, and can be asked by whoever has a loop of their own. The jitter
    keeps clients that failed together from coming back together.
    """

    def __init__(self, first_s: float, longest_s: float, rng: Random) -> None:
        self._doubling = wait_exponential(multiplier=first_s, max=longest_s)
        self._rng = rng
        self._n_failures = 0

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the pause after the attempt that has just failed, in seconds."""
        return self._doubling(retry_state) * self._rng.uniform(0.5, 1.0)

    def after_failure(self) -> float:
        """Return the pause after one more failure, in seconds."""
        self._n_failures = min(self._n_failures + 1, _MOST_DOUBLINGS)
        state = RetryCallState(_NO_FUNCTION, None, (), {})
        state.attempt_number = self._n_failures
        return self(state)

    def reset(self) -> None:
        """Begin anew after a success."""
        self._n_failures = 0


def _nothing(_: BaseException) -> float:
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """When a request to one remote is sent again.

    Attributes:
        n_attempts: most requests, the first one included.
        within_s: no request begins later than this after the first, in seconds.
        first_s: longest pause after the first failure, in seconds; it doubles with each.
        longest_s: bound of that.
        is_worth: whether the same request may have another answer, by the error.
        asked_s: how long the remote asks to be left alone, by the error, in seconds.
    """

    n_attempts: int
    within_s: float
    first_s: float
    longest_s: float
    is_worth: Callable[[BaseException], bool]
    asked_s: Callable[[BaseException], float] = _nothing


class _BeginBy(stop_base):
    """Stops where the next request would begin too late; tenacity's own looks at the real clock."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def __call__(self, retry_state: RetryCallState) -> bool:
        now = asyncio.get_running_loop().time()
        return now + retry_state.upcoming_sleep > self._deadline


async def retried(
    request: Callable[[], Awaitable[Answer]], retries: Retries, rng: Random
) -> Answer:
    """Send a request until it is answered, or is not worth another try.

    Raises:
        Exception: what the last try raised.
    """
    last = _BeginBy(asyncio.get_running_loop().time() + retries.within_s)
    backoff = Backoff(retries.first_s, retries.longest_s, rng)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        return max(backoff(state), 0.0 if error is None else retries.asked_s(error))

    sending = AsyncRetrying(
        sleep=asyncio.sleep,
        wait=wait,
        stop=stop_after_attempt(retries.n_attempts) | last,
        retry=retry_if_exception(retries.is_worth),
        reraise=True,
    )
    return await sending(request)
