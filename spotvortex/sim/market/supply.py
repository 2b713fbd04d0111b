"""The hidden side of the Spot market, as the world asks it.

Comes in: an offering, how much of it is held, and the time. Goes out: whether a launch fails, who
is taken and when, rebalance recommendations. What is drawn depends on seed, offering, time and how
much is held, never on the history of the asking, so that every policy meets the same market. May
not know a cluster or a controller.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from spotvortex.core.domain.types import Offering

NOTICE_S: Final = 120.0
"""AWS gives an interruption notice two minutes ahead, at best effort (EC2 user guide)."""

FLAWED_RATIO: Final = 0.05
"""Notices that come late or not at all. Nobody publishes a figure: this one is assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """One node that is taken.

    Attributes:
        index: its place among the nodes asked about.
        leaves_at: when it goes, seconds since the epoch; now where there was no notice at all.
    """

    index: int
    leaves_at: float


class Supply(Protocol):
    """What the world may ask; times are seconds since the epoch, a step ends at `at`."""

    def advance(self, at: float, seconds: float) -> None:
        """Let one step pass: once a step, before anything else is asked."""
        ...

    def launch_fails(self, offering: Offering, n_held: int, at: float) -> bool:
        """Tell whether one more node is refused with InsufficientInstanceCapacity.

        Args:
            offering: of which one more is asked for.
            n_held: Spot nodes of it that the cluster holds and that are not leaving.
            at: now.
        """
        ...

    def strikes(
        self, offering: Offering, ages_s: Sequence[float], at: float, seconds: float
    ) -> list[Interruption]:
        """Return who is struck in the step, by index; call it once a step.

        Args:
            offering: whose nodes are asked about.
            ages_s: the ages of its nodes that are not leaving yet.
            at: the end of the step.
            seconds: its length.
        """
        ...

    def warns(self, offering: Offering, at: float, seconds: float) -> bool:
        """Tell whether a rebalance recommendation, true or false, comes in the step."""
        ...

    def tightness(self, offering: Offering) -> float:
        """Return how risky an offering is among its like, about 1: AWS knows it, nobody else."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeTiming:
    """How far ahead interruption notices come.

    Attributes:
        ahead_s: seconds from a sound notice to the loss.
        flawed_ratio: share of notices that are flawed, 0..1.
        missing_ratio: share of the flawed ones that are missing, 0..1; the others are late.
    """

    ahead_s: float = NOTICE_S
    flawed_ratio: float = FLAWED_RATIO
    missing_ratio: float = 0.5

    def lead_s(self, chance: Random) -> float:
        """Draw the time from a notice to the loss: 0 where the notice is missing."""
        drawn = chance.random()
        if drawn >= self.flawed_ratio:
            return self.ahead_s
        is_late = drawn < self.flawed_ratio * (1.0 - self.missing_ratio)
        return chance.uniform(0.0, self.ahead_s) if is_late else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """How good rebalance recommendations are; without arguments there are none.

    Karpenter's design notes put them 10 to 20 minutes ahead in general; how often they come at all,
    and how often for nothing, nobody has published.

    Attributes:
        sensitivity_ratio: share of losses that a recommendation announces, 0..1.
        false_per_day: recommendations a day of an offering that nothing follows.
        lead_min_s: least time from a recommendation to the loss, in seconds.
        lead_max_s: longest time from a recommendation to the loss, in seconds.
    """

    sensitivity_ratio: float = 0.0
    false_per_day: float = 0.0
    lead_min_s: float = 600.0
    lead_max_s: float = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """How the market tells what is to come."""

    notices: NoticeTiming = field(default_factory=NoticeTiming)
    signal: Signal = field(default_factory=Signal)


ANNOUNCED: Final = Signals()
"""Notices as AWS gives them, with the assumed flaws, and no rebalance recommendations."""


class PoissonEvents:
    """A Poisson process in time, each event with a uniform number; made on demand and kept."""

    def __init__(self, chance: Random, per_hour: float, start_at: float) -> None:
        """Start the process.

        Args:
            chance: a stream that nobody else draws from.
            per_hour: events an hour, 0 for none ever.
            start_at: no event comes before, seconds since the epoch.
        """
        self._chance = chance
        self._per_second = per_hour / 3600.0
        self._times: list[float] = []
        self._uniforms: list[float] = []
        self._known_until = start_at if per_hour > 0.0 else math.inf

    def between(self, after: float, until: float) -> list[float]:
        """Return the uniform numbers of the events in (after, until], in the order of time."""
        while self._known_until <= until:
            self._known_until += self._chance.expovariate(self._per_second)
            self._times.append(self._known_until)
            self._uniforms.append(self._chance.random())
        if not self._times or self._times[-1] <= after:
            return []
        first, last = bisect_right(self._times, after), bisect_right(self._times, until)
        return self._uniforms[first:last]
