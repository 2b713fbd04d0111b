"""The fault search: many random episodes.

Comes in: seeds. Goes out: a `Findings`: how much was simulated, what went wrong on
purpose, how often each promise was checked, the breaches, and one digest over all decision logs.
Seeds are independent of each other, so any executor may play them. May not judge an episode.
"""

from __future__ import annotations

import hashlib
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

from spotvortex.faultsearch.episode import Episode, draw
from spotvortex.faultsearch.judged import Breach
from spotvortex.faultsearch.run_episode import EpisodeOutcome, play
from spotvortex.pipeline.supervisor import TaskEndedError

CHUNK: Final = 8
"""Episodes that one worker takes at a time."""

CRASHED: Final = 0
"""The promise that a crash of the controller breaks: only a fault may end it."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a search has found.

    Attributes:
        n_episodes: episodes played.
        seconds: simulated time.
        n_records: decision records.
        n_deaths: deaths and restarts of processes.
        faults: faults, by kind.
        checks: how often each promise was checked, by its number.
        calls: requests that reached the server, by kind.
        n_breaches: breaches of promises.
        failing: seeds of the episodes with a breach, each with its first.
        digests: digest of the decision records, by seed.
    """

    n_episodes: int = 0
    seconds: float = 0.0
    n_records: int = 0
    n_deaths: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    checks: Counter[int] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    n_breaches: int = 0
    failing: list[tuple[int, Breach]] = field(default_factory=list)
    digests: dict[int, str] = field(default_factory=dict)

    def add(self, outcome: EpisodeOutcome) -> None:
        """Take the outcome of one more episode."""
        self.n_episodes += 1
        self.seconds += outcome.seconds
        self.n_records += outcome.n_records
        self.n_deaths += outcome.n_deaths
        self.faults.update(outcome.faults)
        self.checks.update(outcome.checks)
        self.calls.update(outcome.calls)
        self.n_breaches += len(outcome.breaches)
        if outcome.breaches:
            self.failing.append((outcome.seed, outcome.breaches[0]))
        self.digests[outcome.seed] = outcome.digest

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all decision logs, by seed."""
        lines = (f"{seed} {self.digests[seed]}\n" for seed in sorted(self.digests))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def in_words(self) -> Iterator[str]:
        """Yield the lines that a person reads."""
        days = self.seconds / 86_400.0
        yield f"{self.n_episodes} episodes, {days:.1f} simulated days, {self.n_records} decisions"
        yield f"{self.n_deaths} deaths and restarts"
        yield "faults: " + ", ".join(f"{k} {n}" for k, n in sorted(self.faults.items()))
        yield "requests: " + ", ".join(f"{k} {n}" for k, n in sorted(self.calls.items()))
        yield "checks by promise: " + ", ".join(f"{k}: {n}" for k, n in sorted(self.checks.items()))
        for seed, breach in sorted(self.failing, key=lambda one: one[0]):
            yield f"seed {seed}: {breach}"
        yield f"{self.n_breaches} breaches"
        yield f"sha256 {self.digest}"

    def as_json(self) -> dict[str, object]:
        """Return every count, to be written as JSON."""
        return {
            "episodes": self.n_episodes,
            "simulated_seconds": round(self.seconds, 3),
            "decisions": self.n_records,
            "deaths": self.n_deaths,
            "faults": dict(sorted(self.faults.items())),
            "requests": dict(sorted(self.calls.items())),
            "checks_by_promise": {str(k): n for k, n in sorted(self.checks.items())},
            "breaches": self.n_breaches,
            "failing": [
                {"seed": seed, "promise": b.promise, "at_s": round(b.at_s, 3), "text": b.text}
                for seed, b in sorted(self.failing, key=lambda one: one[0])
            ],
            "sha256": self.digest,
        }


def outcome_of(episode: Episode, until: int | None = None) -> EpisodeOutcome:
    """Play an episode; a controller that crashes by itself has broken a promise as well.

    See `play` for `until`.
    """
    try:
        return play(episode, until)
    except Exception as error:  # noqa: BLE001 - whatever it is, the search goes on
        inner = _began(error)
        frames = traceback.extract_tb(inner.__traceback__)
        where = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
        text = f"the controller crashed: {inner!r}{where}"
        return EpisodeOutcome(
            seed=episode.seed,
            digest="",
            breaches=(Breach(promise=CRASHED, at_s=0.0, text=text),),
            checks=Counter(),
            calls=Counter(),
            faults=Counter(f.kind.value for f in episode.faults),
            seconds=0.0,
            n_records=0,
            n_deaths=0,
            n_lost=0,
        )


def _began(error: BaseException) -> BaseException:
    """Return the first cause: a task that ended because another one had is none."""
    left, found = [error], []
    while left:
        one = left.pop(0)
        inner = one.exceptions if isinstance(one, BaseExceptionGroup) else (one.__cause__,)
        if inner == (None,):
            found.append(one)
        left += [e for e in inner if e is not None]
    return next((e for e in found if not isinstance(e, TaskEndedError)), found[0])


def play_seed(seed: int) -> EpisodeOutcome:
    """Play the episode of a seed."""
    return outcome_of(draw(seed))


def _play_apart(seed: int) -> EpisodeOutcome:
    """Play the episode of a seed in a worker, whose log nobody reads."""
    logging.disable(logging.CRITICAL)
    return play_seed(seed)


def search(
    seeds: Iterable[int],
    executor: Executor | None = None,
    each: Callable[[Findings], None] | None = None,
) -> Findings:
    """Play the episodes of many seeds.

    Args:
        seeds: which.
        executor: who plays them; None plays them here, one after the other.
        each: called after every episode with what has been found so far.
    """
    found = Findings()
    outcomes = (
        map(play_seed, seeds)
        if executor is None
        else executor.map(_play_apart, seeds, chunksize=CHUNK)
    )
    for outcome in outcomes:
        found.add(outcome)
        if each is not None:
            each(found)
    return found
