"""Server processes that are tied to us, and the folders they write to.

A `Server` is started through tether.py, so that it ends when this process does,
however that happens. Folders carry our process id and start time: what dead
runs left is removed at the next start.
"""

import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

TETHER = Path(__file__).with_name("tether.py")
PREFIX = "spotvortex-controlplane-"
LOG_TAIL_BYTES = 4000


class ControlPlaneError(RuntimeError):
    """A part of the control plane did not start or did not answer in time."""


class Server:
    """One process of ours: started in the background, its output in a log file."""

    def __init__(self, name: str, command: list[str], *, log: Path, env: dict[str, str]) -> None:
        self.name = name
        self.log = log
        parent = str(os.getpid())
        tethered = [sys.executable, "-I", "-S", str(TETHER), parent, *command]
        with log.open("ab") as output:
            # A session of its own: Ctrl-C in a terminal reaches us alone, and we stop in order.
            self._process: subprocess.Popen[bytes] = _spawn(
                lambda: subprocess.Popen(
                    tethered,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=env,
                    cwd=log.parent,
                )
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def running(self) -> bool:
        """Say whether the process still runs."""
        return self._process.poll() is None

    def check(self) -> None:
        """Raise `ControlPlaneError` with the end of the log when the process has ended."""
        if not self.running():
            raise ControlPlaneError(
                f"{self.name} ended with code {self._process.returncode}:\n{self.log_tail()}"
            )

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")

    def stop(self, deadline_s: float) -> None:
        """Ask the process to end and wait for it; kill it after the deadline."""
        if self.running():
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the process and wait until it is gone."""
        if self.running():
            self._process.kill()
        self._process.wait(30)


class _Spawner:
    """A thread that lives as long as this process and starts all its servers.

    The kernel ties a child to the *thread* that forked it. Were servers started by whichever
    thread asks (a pool of an event loop, say), they would be killed when that thread ends.
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="spawner", daemon=True).start()

    def _work(self) -> None:
        while True:  # ends with the process
            self._orders.get()()

    def call(self, make: Callable[[], Any]) -> Any:
        """Run `make` on the thread and return what it returns."""
        answer: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def order() -> None:
            try:
                answer.put((make(), None))
            except OSError as error:
                answer.put((None, error))

        self._orders.put(order)
        made, error = answer.get(timeout=30)
        if error is not None:
            raise error
        return made


_spawners: dict[int, _Spawner] = {}


def _spawn(make: Callable[[], Any]) -> Any:
    # Keyed by process id: a forked child has no such thread and needs one of its own.
    pid = os.getpid()
    if pid not in _spawners:
        _spawners[pid] = _Spawner()
    return _spawners[pid].call(make)


def make_folder() -> Path:
    """Return a new folder for one run; remove those of runs that are dead."""
    base = Path(tempfile.gettempdir())
    for leftover in base.glob(f"{PREFIX}*"):
        if _is_dead(leftover):
            shutil.rmtree(leftover, ignore_errors=True)
    pid = os.getpid()
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{pid}-{_started(pid)}-", dir=base))


def remove_folder(folder: Path) -> None:
    """Remove the folder of a run whose servers are gone."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        # A process that dies may write its last file while the folder is being emptied.
        time.sleep(0.2)
        shutil.rmtree(folder)


def _is_dead(folder: Path) -> bool:
    try:
        if folder.stat().st_uid != os.getuid():
            return False
        pid, started = folder.name.removeprefix(PREFIX).split("-")[:2]
        return _started(int(pid)) != int(started)
    except (OSError, ValueError):
        return False


def _started(pid: int) -> int:
    try:
        return int(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return -1
