"""The word `simulate`: the fault search as a person types it.

Comes in: how many episodes, from which seed, or the file of one that was kept. Goes out: what was
found, in words or as JSON, failing episodes made small and kept as files, and an exit code: 1 where
a promise was broken. May not judge an episode.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from spotvortex.batch.executors import local_executor
from spotvortex.errors import EpisodeError, in_words
from spotvortex.faultsearch.episode import Episode, draw
from spotvortex.faultsearch.run_episode import EpisodeOutcome
from spotvortex.faultsearch.search import Findings, outcome_of, search
from spotvortex.faultsearch.shrink import from_text, shrink, to_text

Advance: TypeAlias = Callable[[int, int, str], None]
"""Is told how many episodes of how many are played, and in words what else is going on."""

MAX_SHRUNK: Final = 5
"""Failing episodes that are made smaller and shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failing episode at its smallest, with what became of it. `kept` is its file, or none."""

    smallest: Episode
    outcome: EpisodeOutcome
    kept: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the command answers."""

    findings: Findings
    failures: tuple[Failure, ...]

    @property
    def exit_code(self) -> int:
        """0 where every promise was kept."""
        return 1 if self.findings.n_breaches else 0

    def in_words(self) -> Iterator[str]:
        """Yield the lines that a person reads."""
        for failure in self.failures:
            yield f"the smallest episode like it: {failure.smallest}"
            yield from (f"  {breach}" for breach in failure.outcome.breaches)
            yield to_text(failure.smallest)
            if failure.kept is not None:
                yield f"kept in {failure.kept}"
        yield from self.findings.in_words()

    def render(self) -> str:
        """Return the same as JSON."""
        document = self.findings.as_json()
        return json.dumps({**document, "smallest": list(map(_as_json, self.failures))}, indent=1)


def _as_json(failure: Failure) -> dict[str, object]:
    return {
        "seed": failure.outcome.seed,
        "breaches": [str(breach) for breach in failure.outcome.breaches],
        "kept": None if failure.kept is None else str(failure.kept),
        "episode": json.loads(to_text(failure.smallest)),
    }


def play_seeds(seeds: range, n_workers: int, keep: Path | None, advance: Advance) -> Result:
    """Play the episodes of some seeds, and make the failing ones small.

    Args:
        seeds: which.
        n_workers: processes that play; with one they are played in this one.
        keep: a folder for failing episodes, made where there is none.
        advance: shows how far it has come.

    Raises:
        EpisodeError: a failing episode cannot be kept.
    """
    with _silence():
        found = _search(seeds, n_workers, advance)
        failures = []
        for seed, breach in sorted(found.failing, key=lambda one: one[0])[:MAX_SHRUNK]:
            advance(len(seeds), len(seeds), f"making seed {seed} smaller")
            played = partial(outcome_of, until=breach.promise)
            smallest = shrink(draw(seed), breach.promise, played)
            kept = None if keep is None else _keep(smallest, keep)
            failures.append(Failure(smallest=smallest, outcome=outcome_of(smallest), kept=kept))
    return Result(findings=found, failures=tuple(failures))


def _search(seeds: range, n_workers: int, advance: Advance) -> Findings:
    def each(found: Findings) -> None:
        words = f"{found.n_breaches} breaches" if found.n_breaches else ""
        advance(found.n_episodes, len(seeds), words)

    if n_workers == 1:
        return search(seeds, None, each)
    with local_executor(n_workers) as executor:
        return search(seeds, executor, each)


def play_file(path: Path) -> Result:
    """Play an episode that was kept.

    Raises:
        EpisodeError: the file cannot be read, or holds no episode.
    """
    try:
        episode = from_text(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise EpisodeError(f"{path} cannot be read: {in_words(error)}") from error
    except EpisodeError as error:
        raise EpisodeError(f"{path}: {error}") from error
    found = Findings()
    with _silence():
        outcome = outcome_of(episode)
    found.add(outcome)
    failures = (Failure(smallest=episode, outcome=outcome, kept=path),) if outcome.breaches else ()
    return Result(findings=found, failures=failures)


def _keep(episode: Episode, folder: Path) -> Path:
    path = folder / f"seed-{episode.seed}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(to_text(episode) + "\n", encoding="utf-8")
    except OSError as error:
        raise EpisodeError(f"{path} cannot be written: {in_words(error)}") from error
    return path


@contextmanager
def _silence() -> Iterator[None]:
    """Drop the log of the controllers: what they suffer is meant, and is counted."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
