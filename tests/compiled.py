"""Each worker compiles its own share of the tests first, so that no file is compiled by all.

Comes in: a run of all tests over workers. Goes out: bytecode beside the files, which the other
workers read. pytest rewrites every assertion as it compiles a test; done by four workers at once in
the same order, that is four times the work of a fresh checkout. May not hide a file that fails:
whoever collects it meets the same error.
"""

import contextlib
import importlib
import os
from pathlib import Path

import pytest


def share(files: list[Path], worker: str, n_workers: int) -> list[Path]:
    """Return the files that one worker compiles: every n-th, from its own number on."""
    return files[int(worker.removeprefix("gw")) % n_workers :: n_workers]


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import the worker's share before anything is collected."""
    config = session.config
    worker, n_workers = os.environ.get("PYTEST_XDIST_WORKER", ""), _n_workers()
    if n_workers < 2 or config.args != config.getini("testpaths"):
        return
    files = sorted(config.rootpath.glob("tests/**/test_*.py"))
    for path in share(files, worker, n_workers):
        name = ".".join(path.relative_to(config.rootpath).with_suffix("").parts)
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(name)


def _n_workers() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))
