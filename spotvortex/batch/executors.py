"""Where simulated runs are worked on: processes of this machine, or a dask cluster.

Comes in: a number of workers, or the address of a dask scheduler. Goes out: an executor in the
sense of `concurrent.futures`, open for as long as the context is. The only room that knows dask,
which is an optional extra. May not know what the work is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import Final

from spotvortex.code_digest import simulator_version
from spotvortex.errors import SettingsError

CONNECT_S: Final = 10.0


@contextmanager
def local_executor(n_workers: int) -> Iterator[Executor]:
    """Open processes of this machine, each started afresh, so that no state is shared.

    They end with this process, also where it is killed.
    """
    with ProcessPoolExecutor(
        max_workers=n_workers, mp_context=get_context("spawn"), initializer=_end_with_parent
    ) as executor:
        yield executor


def _end_with_parent() -> None:
    """Let this worker end once its parent has.

    A worker holds both ends of the queue that it reads, so nothing else tells it.
    """
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    Thread(target=watch, name="parent", daemon=True).start()


_WITH_PORT: Final = re.compile(r"((tcp|tls|ucx|ws|wss)://)?[^/]+:\d+/?")


@contextmanager
def dask_executor(address: str, connect_s: float = CONNECT_S) -> Iterator[Executor]:
    """Open the cluster of a dask scheduler, as in `tcp://10.0.0.5:8786`.

    Its workers need this same version of the package. A scheduler has `connect_s` to answer.

    Raises:
        SettingsError: dask is not installed, no scheduler answers, or a worker has other code.
    """
    try:
        from distributed import Client  # noqa: PLC0415 -- an optional extra
    except ImportError as error:
        raise SettingsError(
            "--dask needs an extra that is not installed: pip install 'spotvortex[dask]'"
        ) from error
    if not _WITH_PORT.fullmatch(address):
        # Of such a one a client is half made, and waits for 20 s when it is taken away.
        raise SettingsError(
            f"--dask {address}: is no address with a port; give the scheduler's, as in tcp://10.0.0.5:8786"
        )
    try:
        client = Client(address, timeout=connect_s, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"--dask {address}: no scheduler answers ({error}); start one with `dask scheduler`"
        ) from error
    with client:
        require_same_code(address, client.run(simulator_version, on_error="return"))
        yield client.get_executor(pure=False)


def require_same_code(address: str, versions: dict[str, object]) -> None:
    """Refuse workers that would not give this code's results.

    Args:
        address: the scheduler's.
        versions: what each worker said its code was, or why it could not.

    Raises:
        SettingsError: one of them has other code.
    """
    for worker, version in sorted(versions.items()):
        if version != simulator_version():
            raise SettingsError(
                f"--dask {address}: worker {worker} has {version!r} instead of"
                f" {simulator_version()!r}; install the same version there"
            )
