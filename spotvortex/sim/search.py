"""The fault search: many random episodes.

Comes in: seeds. Goes out: a `Findings`: how much was simulated, what went wrong on
purpose, how often each promise was checked, the breaches, and one digest over all decision logs.
Seeds are independent of each other, so any executor may play them. May not judge an episode.
"""

from __future__ import annotations

import hashlib
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

from spotvortex.sim.episode import Episode, draw
from spotvortex.sim.observer import Breach
from spotvortex.sim.play import Outcome, play

CHUNK: Final = 8
"""Episodes that one worker takes at a time."""

CRASHED: Final = 0
"""The promise that a crash of the controller breaks: it never ends but by a fault."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a search has found. `failing` holds seeds with their first breach."""

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

    def add(self, outcome: Outcome) -> None:
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


def outcome_of(episode: Episode) -> Outcome:
    """Play an episode; a controller that crashes by itself has broken a promise as well."""
    try:
        return play(episode)
    except Exception as error:  # noqa: BLE001 - whatever it is, the search goes on
        last = traceback.format_exception(error)[-1].strip().splitlines()
        text = f"the controller crashed: {_innermost(error)!r}; {last[-1] if last else ''}"
        return Outcome(
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


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def play_seed(seed: int) -> Outcome:
    """Play the episode of a seed."""
    return outcome_of(draw(seed))


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
        else executor.map(play_seed, seeds, chunksize=CHUNK)
    )
    for outcome in outcomes:
        found.add(outcome)
        if each is not None:
            each(found)
    return found
