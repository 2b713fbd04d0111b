"""A file that is read again when it changes; the last good reading counts.

Comes in: a path and a way to read it. Goes out: what was read, and why the newest state of the file
could not be. The file is looked at every few seconds, off the loop, by what it is (inode, times,
size) and not by its name: a ConfigMap that is mounted changes by a link that leads elsewhere. May
not know what is in a file.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from spotvortex.aio import pause
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.errors import SpotVortexError
from spotvortex.ports.cluster import WallClock

LOOK_S: Final = 5.0
"""Seconds between two looks; a kubelet itself takes up to a minute to bring a ConfigMap."""

log = logging.getLogger(__name__)
Value = TypeVar("Value")
_Stamp = tuple[int, int, int, int, int]


class WatchedFile(Generic[Value]):
    """What a file says, as of its last state that could be read.

    Attributes:
        path: where it is.
        value: what was read, None where it never could be.
        trouble: why its present state cannot be read, "" where it can.
        is_there: a file is at that path now, whether it can be read or not.
    """

    def __init__(
        self, path: Path, read: Callable[[Path], Value], name: InputName, clock: WallClock
    ) -> None:
        """Begin with nothing read; `read` raises a `SpotVortexError` that says the fix."""
        self.path = path
        self.value: Value | None = None
        self.trouble = ""
        self.is_there = False
        self._read, self._name, self._clock = read, name, clock
        self._unread, self._read_again = f"{name}.unread", f"{name}.read_again"
        self._stamp: _Stamp | None = None
        self._is_known = False
        self._confirmed_at = -math.inf

    def look(self) -> None:
        """Read the file if it is not what it was at the last look; blocks as long as that takes."""
        stamp = _stamp_of(self.path)
        if not self._is_known or stamp != self._stamp:
            # Before it is read: what changes meanwhile is another state, and read at the next look.
            self._is_known, self._stamp, self.is_there = True, stamp, stamp is not None
            self._take()
        if not self.trouble:
            self._confirmed_at = self._clock.now()

    def _take(self) -> None:
        again = self.value is not None or bool(self.trouble)
        try:
            self.value = self._read(self.path)
        except SpotVortexError as error:
            self.trouble = str(error)
            if self.is_there or self.value is not None:
                kept = "the state before counts" if self.value is not None else "nothing counts"
                log.warning(self._unread, extra={"error": self.trouble, "kept": kept})
            return
        self.trouble = ""
        if again:
            log.info(self._read_again, extra={"file": str(self.path)})

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop."""
        while not stop.is_set():
            await asyncio.to_thread(self.look)
            await pause(stop, LOOK_S)

    def health(self, now: float) -> InputHealth | None:
        """Say how far what was read may be trusted, None where there never was a file."""
        if self.value is None and not self.is_there:
            return None
        state, detail = InputState.OK, ""
        if self.trouble and self.value is None:
            state, detail = InputState.ABSENT, self.trouble
        elif self.trouble:
            state, detail = InputState.STALE, f"{self.trouble} What it said before counts."
        age_s = now - self._confirmed_at
        return InputHealth(name=self._name, state=state, age_s=age_s, required=False, detail=detail)


def _stamp_of(path: Path) -> _Stamp | None:
    """Return what tells one state of a file from another, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
