"""A memory learned from what was measured before the controller was there.

Comes in: how many Spot nodes were held by offering, when offerings fell, and when interruptions
were counted, on a regular grid. Goes out: the memory of a controller that had watched, as far as
that can be told. Counts of interruptions name no offering, and falls are no losses by themselves:
so each counted interruption is divided among the held offerings that fell beside it, and what fell
beside none is a launch that failed. May not make a loss of anything else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.interruption_memory import (
    DECAY_HOURS,
    Memory,
    OfferingMemory,
    memory_of,
    stepped,
)
from spotvortex.core.scoring.node_ends import Gap

SURE: Final = 0.5
"""Share of one interruption from which an offering's last loss counts as seen."""


YOUNG_S: Final = 12 * 3600.0
"""Age, since it is held and since its last loss, below which the hazard of an offering falls: there
every step counts by itself."""

MOST_AT_ONCE: Final = 12
"""Steps that are taken as one where nothing happens: an hour of those of five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityHistory:
    """What was measured, on a grid.

    Attributes:
        start: wall time of the first step.
        step_s: seconds between two steps.
        n_steps: how many there are.
        seen: by step, whether anything was measured; without it nothing is learned of it.
        held: by offering, Spot nodes at each step.
        falls: by step, the offerings that fell since the step before.
        interrupted: by step, Spot nodes whose interruption was counted since the step before.
    """

    start: float
    step_s: float
    n_steps: int
    seen: Sequence[bool]
    held: Mapping[Offering, Sequence[float]]
    falls: Mapping[int, frozenset[Offering]] = field(default_factory=dict)
    interrupted: Mapping[int, float] = field(default_factory=dict)

    def at(self, step: int) -> float:
        """Return the wall time of a step."""
        return self.start + step * self.step_s

    def n_held(self, offering: Offering, step: int) -> float:
        """Return how many nodes of an offering were held at a step."""
        counts = self.held.get(offering, ())
        return counts[step] if 0 <= step < len(counts) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributed:
    """What the falls of a history stand for.

    Attributes:
        lost: by offering and step, nodes lost there; parts of one where several offerings fell.
        refused: by offering, the steps in which a launch failed.
        n_unplaced: counted interruptions beside which no held offering fell.
    """

    lost: Mapping[Offering, Mapping[int, float]]
    refused: Mapping[Offering, Sequence[int]]
    n_unplaced: float = 0.0


def attributed(history: CapacityHistory) -> Attributed:
    """Divide each counted interruption among the held offerings that fell within a step of it."""
    left = {step: set(fell) for step, fell in history.falls.items()}
    lost: dict[Offering, dict[int, float]] = {}
    n_unplaced = 0.0
    for step, n in sorted(history.interrupted.items()):
        near = [
            (at, offering)
            for at in (step, step - 1, step + 1)
            for offering in sorted(left.get(at, ()))
            if history.n_held(offering, step - 1) > 0.0 or history.n_held(offering, step) > 0.0
        ]
        n_unplaced += 0.0 if near else n
        for at, offering in near:
            left[at].discard(offering)
            part = min(n / len(near), max(1.0, history.n_held(offering, step - 1)))
            steps = lost.setdefault(offering, {})
            steps[step] = steps.get(step, 0.0) + part
    refused: dict[Offering, list[int]] = {}
    for step in sorted(left):
        for offering in sorted(left[step]):
            refused.setdefault(offering, []).append(step)
    return Attributed(lost=lost, refused=refused, n_unplaced=n_unplaced)


def remembered(history: CapacityHistory) -> Memory:
    """Return what a controller that had watched would remember at the history's end."""
    told = attributed(history)
    held = {o for o, counts in history.held.items() if any(counts)}
    offerings = {
        offering: _lived(history, offering, told.lost.get(offering, {}))
        for offering in sorted(held)
    }
    end = history.at(history.n_steps - 1)
    for offering, steps in told.refused.items():
        known = offerings.get(offering, OfferingMemory(updated_at=end))
        offerings[offering] = _refused(known, (history.at(step) for step in steps), end)
    return memory_of(offerings, {})


def _lived(
    history: CapacityHistory, offering: Offering, lost: Mapping[int, float]
) -> OfferingMemory:
    """Go through the steps in which one offering was held; what lies between only decays."""
    known = OfferingMemory(updated_at=history.start)
    since, step = None, 1
    while step < history.n_steps:
        before, now = history.n_held(offering, step - 1), history.n_held(offering, step)
        is_old = _is_old(since, known.last_loss_at, history.at(step))
        n_steps = _calm_steps(history, offering, step, lost) if is_old else 1
        last, step = step + n_steps - 1, step + n_steps
        if not before and not now and last not in lost:
            continue
        if not (history.seen[last] and history.seen[last - 1]):
            since = None
            continue
        if now and since is None:
            since = history.at(last)
        n_lost = lost.get(last, 0.0)
        seen = Gap(
            start=history.at(last - n_steps),
            hours=n_steps * history.step_s / 3600.0,
            n_before=max(before, now if not before else 0.0, n_lost),
            n_lost=n_lost,
            has_survivors=now > 0.0,
            n_now=now,
            oldest=since if now else None,
        )
        known = _surely(known, stepped(known, seen, history.at(last)), n_lost)
        since = since if now else None
    return known


def _surely(before: OfferingMemory, after: OfferingMemory, n_lost: float) -> OfferingMemory:
    """Leave the last loss as it was, where less than half of one is taken for this offering's."""
    if not 0.0 < n_lost < SURE:
        return after
    return replace(after, last_loss_at=before.last_loss_at, left_survivors=before.left_survivors)


def _is_old(since: float | None, last_loss_at: float | None, now: float) -> bool:
    lost_at = -math.inf if last_loss_at is None else last_loss_at
    return since is not None and now - max(since, lost_at) >= YOUNG_S


def _calm_steps(
    history: CapacityHistory, offering: Offering, step: int, lost: Mapping[int, float]
) -> int:
    """Return how many steps from one on may be taken as one, since nothing happens in them."""
    n_held = history.n_held(offering, step - 1)
    last = min(step + MOST_AT_ONCE, history.n_steps)
    for other in range(step, last):
        calm = history.seen[other] and history.n_held(offering, other) == n_held
        if other in lost or not calm:
            return max(1, other - step)
    return last - step


def _refused(known: OfferingMemory, times: Iterable[float], end: float) -> OfferingMemory:
    ages_hours = [(end - at) / 3600.0 for at in times]
    n = math.fsum(math.exp(-age / DECAY_HOURS) for age in ages_hours)
    return replace(known, refusals=n, last_refused_at=end - 3600.0 * min(ages_hours))
