"""Shortages that offerings have in common, as clocks that run faster or slower.

Comes in: a seed, offerings and a span of time. Goes out: for each offering a clock in which its
losses, and one in which its recoveries, come at an even rate: in a shortage the first runs faster
and the second slower. May not know what is lost or recovers.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.types import Offering
from spotvortex.sim.market.generator_facts import (
    FAMILY_SHARE,
    PRESSURE_HOURS,
    REGION_SHARE,
    ZONE_SHARE,
)
from spotvortex.sim.market.random_streams import stream

STEP_S: Final = 1800.0
"""Grid of a shortage: short against the hours for which it persists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpan:
    """A span of simulated time.

    Attributes:
        start_at: its start, seconds since the epoch.
        seconds: its length.
    """

    start_at: float
    seconds: float

    @property
    def end_at(self) -> float:
        """Its end, seconds since the epoch."""
        return self.start_at + self.seconds


class ShortageClock:
    """A clock whose speed changes every `STEP_S`; it stands still outside its span."""

    def __init__(self, start_at: float, speeds: Sequence[float]) -> None:
        """Start the clock at 0.

        Args:
            start_at: when it starts, seconds since the epoch.
            speeds: its hours in an hour, in each step.
        """
        self._start_at = start_at
        hours = STEP_S / 3600.0
        self._readings = list(accumulate((speed * hours for speed in speeds), initial=0.0))

    def reading(self, at: float) -> float:
        """Return the clock's hours at a time."""
        place = min(max((at - self._start_at) / STEP_S, 0.0), len(self._readings) - 1.0)
        step = min(int(place), len(self._readings) - 2)
        before, after = self._readings[step], self._readings[step + 1]
        return before + (place - step) * (after - before)

    def when(self, reading: float) -> float:
        """Return the time at which the clock shows so many hours, infinity where it never does."""
        step = bisect_left(self._readings, reading)
        if step >= len(self._readings):
            return math.inf
        if step == 0:
            return self._start_at
        before, after = self._readings[step - 1], self._readings[step]
        return self._start_at + STEP_S * (step - 1 + (reading - before) / (after - before))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortageClocks:
    """The two clocks of an offering."""

    losses: ShortageClock
    recoveries: ShortageClock


def clocks(
    seed: int, offerings: Iterable[Offering], span: TimeSpan, sigma: float
) -> dict[Offering, ShortageClocks]:
    """Draw the shortages of a span.

    Args:
        seed: the world's seed.
        offerings: each gets the shortages of its family, region and zone, and some of its own.
        span: from when to when.
        sigma: strength, of the logarithm of the speeds; their means over time are 1.
    """
    n_steps = math.ceil(span.seconds / STEP_S) + 1
    waves: dict[str, list[float]] = {}
    found = {}
    for offering in offerings:
        sums = [0.0] * n_steps
        for name, share in _shares(offering).items():
            if name not in waves:
                waves[name] = _wave(seed, name, n_steps)
            weight = sigma * math.sqrt(share)
            sums = [x + weight * y for x, y in zip(sums, waves[name], strict=True)]
        found[offering] = ShortageClocks(
            losses=ShortageClock(span.start_at, [math.exp(x - sigma * sigma / 2.0) for x in sums]),
            recoveries=ShortageClock(
                span.start_at, [math.exp(-x - sigma * sigma / 2.0) for x in sums]
            ),
        )
    return found


def _shares(offering: Offering) -> dict[str, float]:
    """Return the shortages that act on an offering, each with its share of the variance."""
    region = region_of(offering.zone) or "region"
    return {
        f"{offering.family} {region}": FAMILY_SHARE,
        region: REGION_SHARE,
        offering.zone: ZONE_SHARE,
        str(offering): 1.0 - FAMILY_SHARE - REGION_SHARE - ZONE_SHARE,
    }


def _wave(seed: int, name: str, n_steps: int) -> list[float]:
    """Draw an Ornstein-Uhlenbeck process of mean 0 and variance 1 on the grid."""
    chance = stream(seed, "pressure", name)
    kept = math.exp(-STEP_S / 3600.0 / PRESSURE_HOURS)
    shaken = math.sqrt(1.0 - kept * kept)
    value = chance.gauss(0.0, 1.0)
    values = []
    for _ in range(n_steps):
        values.append(value)
        value = kept * value + shaken * chance.gauss(0.0, 1.0)
    return values
