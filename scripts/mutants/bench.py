"""Try mutants in a copy of the tree, each against the tests that reach its line.

Comes in: the tests, and mutants one by one. Goes out: whether a test noticed. One run with coverage
says which tests reach which line, and how long each takes. Each run is a fork of this process,
which has imported what others have made and nothing of the tree; compiled files stay in the copy,
so that a mutant costs the compiling of one module and the importing of what its tests need. A run
is the same each time: the examples of properties follow from the tests, and `hash` has a fixed
seed where the process was started with one. May not write to the tree itself.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from coverage import CoverageData

from scripts.mutants.changes import ROOT, Mutant

N_FIRST: Final = 20
"""Tests of a first run, the quickest: most mutants end there."""

SPARE_S: Final = 8.0
SLOWER: Final = 4.0
"""A test may take this many times as long as the slowest of its run took when the lines were
mapped, and some seconds more; then the mutant is killed, since the test would wait for what does
not come. The same bounds the whole run, for what cannot be interrupted."""

MAP_S: Final = 1800.0
MEMORY_BYTES: Final = 6 * 2**30
"""What a run may map; a mutant that fills the memory is killed."""

PREPARED: Final = (
    "aiobotocore.session",
    "aiohttp",
    "hypothesis.strategies",
    "kubernetes_asyncio",
    "moto.server",
    "msgspec",
    "numpy",
    "onnxruntime",
    "opentelemetry.sdk.trace",
    "pydantic_settings",
    "pytest_asyncio",
    "rich",
    "typer",
)

_LOG = "run.log"


class Bench:
    """A copy of the tree in which mutants are tried, and which tests reach which line there."""

    def __init__(self, folder: Path, tests: Sequence[str], selection: str) -> None:
        self._tree, self._log = folder / "tree", folder / _LOG
        self._tests, self._selection = list(tests), selection
        skipped = shutil.ignore_patterns(".git", ".venv", "*.pyc", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, self._tree, ignore=skipped)
        self._reached: dict[tuple[str, int], list[str]] = {}
        self._seconds: dict[str, float] = {}
        for module in PREPARED:
            importlib.import_module(module)
        gc.freeze()

    def map_lines(self, packages: Sequence[str]) -> None:
        """Run the tests once with coverage, and keep which of them reach each line.

        Raises:
            SystemExit: a test fails without any mutant.
        """
        arguments = [*self._tests, "--cov-context=test", "--cov-report=", "--durations=0"]
        arguments += ["--durations-min=0", *(f"--cov={package}" for package in packages)]
        if self._selection:
            arguments += ["-m", self._selection]
        code = self._run(arguments, MAP_S)
        printed = self._log.read_text(encoding="utf-8", errors="replace")
        if code:
            raise SystemExit(f"without a mutant:\n{printed[-3000:]}")
        for name, seconds in durations(printed):
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        self._reached = _contexts(self._tree)

    def reaching(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach the mutant's line, the quickest first."""
        path = mutant.path
        names = self._reached.get((path, mutant.line)) or self._reached.get((path, mutant.start))
        if names is not None and "" in names:
            # Run when it is imported: whoever reaches the module may notice, or else anybody.
            names = [name for (at, _), some in self._reached.items() if at == path for name in some]
            names = names if any(names) else list(self._seconds)
        return sorted({name for name in names or () if name}, key=self._cost)

    def _cost(self, name: str) -> tuple[float, str]:
        return self._seconds.get(name, 0.0), name

    def kills(self, mutant: Mutant, tests: Sequence[str]) -> bool:
        """Tell whether one of some tests fails with the mutant, or does not end."""
        target = self._tree / mutant.path
        before, times = target.read_bytes(), target.stat()
        target.write_text(mutant.source, encoding="utf-8")
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns + 10**10))
        try:
            some = (tests[:N_FIRST], tests[N_FIRST:])
            return any(self._fails(part) for part in some if part)
        finally:
            target.write_bytes(before)
            os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _fails(self, tests: Sequence[str]) -> bool:
        took_s = [self._seconds.get(name, 0.0) for name in tests]
        one_s, all_s = (SPARE_S + SLOWER * seconds for seconds in (max(took_s), sum(took_s)))
        return self._run([*tests, "-x", f"--timeout={one_s:.0f}"], one_s + all_s) != 0

    def _run(self, arguments: Sequence[str], limit_s: float) -> int:
        """Run tests in a fork; return pytest's exit code, or minus a signal's number."""
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _be_pytest(self._tree, self._log, arguments, compiles="--cov-context=test" in arguments)
        until = time.monotonic() + limit_s
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
                ended = os.waitpid(child, 0)
                break
            time.sleep(0.02)
        return os.waitstatus_to_exitcode(ended[1])


def _be_pytest(tree: Path, log: Path, arguments: Sequence[str], *, compiles: bool) -> None:
    """Be pytest in the copied tree, and end. The mutants of a module leave nothing compiled."""
    code: int = pytest.ExitCode.INTERNAL_ERROR
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        with log.open("wb") as printed:
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
        os.chdir(tree)
        os.environ |= {"CI": "true", "PYTHONPATH": str(tree)}
        sys.dont_write_bytecode = not compiles
        if not compiles:
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.path[:] = [str(tree), *(entry for entry in sys.path if Path(entry).resolve() != ROOT)]
        for name in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
            del sys.modules[name]
        options = ["-q", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = pytest.main([*options, *arguments])
    finally:
        sys.stdout.flush()
        os._exit(int(code))


def durations(printed: str) -> Iterator[tuple[str, float]]:
    """Yield the seconds of each phase of each test out of what `--durations` prints."""
    for line in printed.splitlines():
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[1] in ("setup", "call") and words[0].endswith("s"):
            yield words[2], float(words[0][:-1])


def _contexts(tree: Path) -> dict[tuple[str, int], list[str]]:
    """Return the tests that reach each line; "" stands for what runs when a module is imported."""
    data = CoverageData(str(tree / ".coverage"))
    data.read()
    reached = {}
    for file in data.measured_files():
        path = Path(file).relative_to(tree).as_posix()
        for line, contexts in data.contexts_by_lineno(file).items():
            reached[path, line] = sorted({context.rpartition("|")[0] for context in contexts})
    return reached
