"""What happens to running control planes when this process ends.

A normal end, an exception and Ctrl-C pass through the context managers; what
they miss is stopped here, at exit and on SIGTERM. A SIGKILL leaves the servers
to the kernel (tether.py) and the folder to the next start (process.py).
"""

import atexit
import os
import signal
import threading
from types import FrameType
from typing import Protocol


class Stoppable(Protocol):
    """A running control plane."""

    def stop(self, *, gently: bool = True) -> None:
        """Stop every server and remove every file."""


_live: set[Stoppable] = set()
_owner_pid = 0


def register(running: Stoppable) -> None:
    """Remember something that has to be stopped before this process ends."""
    global _owner_pid  # noqa: PLW0603 - one owner a process
    _live.add(running)
    if _owner_pid == os.getpid():
        return
    _owner_pid = os.getpid()
    atexit.register(stop_all)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def unregister(stopped: Stoppable) -> None:
    """Forget something that was stopped."""
    _live.discard(stopped)


def stop_all() -> None:
    """Stop everything at once, without asking; a forked child leaves its parent's things alone."""
    if _owner_pid != os.getpid():
        return
    for running in list(_live):
        running.stop(gently=False)


def _on_sigterm(number: int, _frame: FrameType | None) -> None:
    try:
        stop_all()
    finally:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
