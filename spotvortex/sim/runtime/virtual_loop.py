"""Event loops with a clock of their own, so that the daemon's code runs in simulated time.

Comes in: the coroutines that the daemon runs too. Goes out: loops for
`asyncio.Runner(loop_factory=...)`, the wall clock that goes with them, and the `offload` that runs
a blocking function in place. May not know what is simulated.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

Result = TypeVar("Result")

Ready = list[tuple[selectors.SelectorKey, int]]

_DIGITS: Final = 6
"""Virtual time is kept in whole microseconds, so that sums of waits come out exact."""
_TURNS_UNASKED: Final = 64
"""Turns of a loop that awaits nothing outside itself, of which one asks the system."""


class DeadlockError(RuntimeError):
    """Nothing is ready, no timer is left and no I/O is awaited: time would stand still."""


TURN_S: Final = 2.0
"""Most simulated seconds that pass while the loop works between two waits. A simulated cluster
takes steps of 5 s, one a turn, so that it keeps up however slow each of them is."""


class _PacedClock:
    """Simulated seconds, which stand still where work would take more than `TURN_S` of them.

    A machine that is too slow for the speed then plays more slowly, instead of showing a cluster
    whose every figure is too old to decide on.
    """

    def __init__(self, speed: float, real: Callable[[], float]) -> None:
        self._speed, self._real = speed, real
        self._real_at, self._at = real(), 0.0

    def now(self, waited_s: float = 0.0) -> float:
        """Return simulated seconds since the start."""
        passed_s = (self._real() - self._real_at) * self._speed
        return self._at + min(passed_s, waited_s + TURN_S)

    def turn(self, waited_s: float) -> None:
        """Begin to count a stretch of work, or of waiting, anew."""
        self._at, self._real_at = self.now(waited_s), self._real()


class _PacedSelector(selectors.DefaultSelector):
    """Waits `speed` times shorter than asked; what is ready is returned at once as ever."""

    def __init__(self, speed: float, real: Callable[[], float]) -> None:
        super().__init__()
        self.speed = speed
        self.clock = _PacedClock(speed, real)

    def select(self, timeout: float | None = None) -> Ready:
        self.clock.turn(0.0)
        ready = super().select(None if timeout is None else timeout / self.speed)
        self.clock.turn(math.inf if timeout is None else timeout)
        return ready


class PacedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock starts at 0 and runs `speed` times as fast as real time, or as it can.

    Sockets and signals are served at once. Every time-out is in simulated seconds, also those of
    servers and clients: multiply by `speed` (above 0) what is meant to be real.
    """

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._paced = _PacedSelector(speed, super().time)
        super().__init__(self._paced)

    def time(self) -> float:
        """Return simulated seconds since the loop was made."""
        return self._paced.clock.now()


class _VirtualSelector(selectors.DefaultSelector):
    """Advances a clock by the time that it was asked to wait, and returns at once.

    Where nothing but the loop's own wake-up socket is registered, it asks the system only now and
    then: a signal is all that could come, and asking takes longer than a turn of the loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.n_idle = 0
        self._n_turns = 0

    def _unasked(self, timeout: float | None) -> bool:
        self._n_turns += 1
        alone = len(self.get_map()) <= self.n_idle
        return alone and timeout is not None and self._n_turns % _TURNS_UNASKED != 0

    def select(self, timeout: float | None = None) -> Ready:
        ready: Ready = [] if self._unasked(timeout) else super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is not None:
            # At least one tick: whoever waits out the rest of a tick must see time go on.
            self.now = round(self.now + max(timeout, 10.0**-_DIGITS), _DIGITS)
            return ready
        if len(self.get_map()) > self.n_idle:
            return super().select(None)
        message = f"deadlock at {self.now:.6f} s: nothing is ready and no timer is left"
        raise DeadlockError(message)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that advances its clock, from 0, instead of waiting.

    The same coroutines with the same seeds run in the same order each time. Threads would break
    that, so an executor is refused. I/O is served, but a timer never waits for it.
    """

    _clock_resolution: float

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)
        # The loop has registered its own wake-up socket by now: that one awaits nothing.
        self._virtual.n_idle = len(self._virtual.get_map())
        # IMPORTANT: a timer is due within one resolution. The platform's nanosecond is lost in a
        # float after some 100 days, and the loop would then spin on a timer that never falls due.
        self._clock_resolution = 10.0**-_DIGITS

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._virtual.now

    def run_in_executor(
        self, _executor: object, func: Callable[..., object], *_args: object
    ) -> NoReturn:
        """Refuse: what a thread does takes no virtual time and comes in no fixed order.

        Raises:
            RuntimeError: always.
        """
        message = f"no threads in virtual time: {getattr(func, '__name__', func)}"
        raise RuntimeError(message)


class SimClock:
    """The time of day in a simulation: a start plus the loop's time.

    Args:
        start_at: seconds since the epoch, UTC, when the loop's clock stands at 0.
        loop: a paced or virtual loop.
    """

    def __init__(self, start_at: float, loop: AbstractEventLoop) -> None:
        self._start_at = start_at
        self._loop = loop

    def now(self) -> float:
        """Return seconds since the epoch, UTC."""
        return self._start_at + self._loop.time()


async def offload_inline(function: Callable[..., Result], *args: object) -> Result:
    """Run a blocking function in place: the simulator's `offload`."""
    return function(*args)
