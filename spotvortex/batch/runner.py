"""Many independent runs, worked on by any executor, their results kept as they come.

Comes in: specs that can be pickled, each with a key of its own, and the function that makes a
result of one. Goes out: results in a file, and what became of the rest. A spec whose key is in the
file is not worked on again; one that fails is reported and costs no other. Distribution is the
executor's: see `executors`. May not know what a spec means.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from spotvortex.batch.results_file import ResultsFile
from spotvortex.core.record.codec import CodecError

MAX_ERROR: Final = 4000
"""Most characters of a failure's account; its last ones are kept."""


class KeyedSpec(Protocol):
    """What says all about one run; a module-level frozen dataclass, so that it can be pickled."""

    @property
    def key(self) -> str:
        """Its name, unlike that of any other spec."""


AnySpec = TypeVar("AnySpec", bound=KeyedSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailure:
    """A spec that has no result, and why.

    Attributes:
        key: the spec.
        reason: why, in one line.
        account: why, in full, as a traceback; at most `MAX_ERROR` characters.
    """

    key: str
    reason: str
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """How far a batch has come.

    Attributes:
        n_ended: specs that have ended.
        n_total: specs to work on.
        key: the spec that has just ended.
        failure: why it has no result, None where it has one.
    """

    n_ended: int
    n_total: int
    key: str
    failure: RunFailure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTally:
    """What became of the specs.

    Attributes:
        n_done: specs worked on now.
        n_skipped: specs whose result was there before.
        failures: specs that failed.
    """

    n_done: int
    n_skipped: int
    failures: tuple[RunFailure, ...]


def run_specs(
    specs: Sequence[AnySpec],
    work: Callable[[AnySpec], object],
    executor: Executor,
    results: ResultsFile,
    progress: Callable[[RunProgress], None],
) -> RunTally:
    """Work on every spec that has no result yet, and write each result as it comes.

    Args:
        specs: what is to be run.
        work: a function of a module, so that it can be pickled; returns a dataclass of the core.
        executor: where it is run.
        results: where results go; what is in there is skipped.
        progress: is told of every spec that has ended, on this thread.

    Raises:
        ValueError: two specs have one key.
    """
    if len({spec.key for spec in specs}) < len(specs):
        raise ValueError("two specs have one key")
    left = [spec for spec in specs if spec.key not in results.keys]
    futures = {_submitted(executor, work, spec): spec.key for spec in left}
    failures: list[RunFailure] = []
    try:
        for n_ended, future in enumerate(as_completed(futures), 1):
            key = futures[future]
            failure = _kept(future, key, results)
            failures += [failure] if failure else []
            progress(RunProgress(n_ended=n_ended, n_total=len(left), key=key, failure=failure))
    finally:
        for future in futures:
            future.cancel()
    return RunTally(
        n_done=len(left) - len(failures),
        n_skipped=len(specs) - len(left),
        failures=tuple(sorted(failures, key=lambda f: f.key)),
    )


def _submitted(
    executor: Executor, work: Callable[[AnySpec], object], spec: AnySpec
) -> Future[object]:
    """Hand a spec over; an executor that has broken meanwhile fails this one like the others."""
    try:
        return executor.submit(work, spec)
    except BrokenExecutor as error:
        failed: Future[object] = Future()
        failed.set_exception(error)
        return failed


def _kept(future: Future[object], key: str, results: ResultsFile) -> RunFailure | None:
    if future.cancelled():
        return RunFailure(key=key, reason="cancelled", account="")
    error = future.exception()
    if error is None:
        try:
            results.append(key, future.result())
        except CodecError as unfit:
            error = unfit
        else:
            return None
    account = "".join(traceback.format_exception(error))[-MAX_ERROR:]
    words = str(error).partition("\n")[0]
    return RunFailure(key=key, reason=f"{type(error).__name__}: {words}", account=account)
