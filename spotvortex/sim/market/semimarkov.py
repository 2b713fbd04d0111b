"""A generator of capacity: how many nodes of each offering there are, over weeks.

Comes in: a seed, a family of markets, offerings and a span of time. Goes out: counts by offering.
An offering is there in full, in part, or not at all; the hazard of losing it falls with the time
since it came back, that of its recovery with the time since it was gone, and shortages of region
and zone change both. Draws events, not steps. May not know who holds the nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from spotvortex.core.domain.types import Offering
from spotvortex.sim.market import generator_facts as facts
from spotvortex.sim.market.counts import CapacityCounts, compressed
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.market.shortage_clock import ShortageClock, ShortageClocks, TimeSpan, clocks

FULL_COUNT: Final = 20
"""Nodes that are there when an offering is there in full: no more than a cluster would hold, so
that every loss in part can be felt."""

_BURN_IN_S: Final = 7 * 86400.0
"""Drawn and thrown away, so that a span does not begin with everything young."""

_MIN_GAP_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFamily:
    """A kind of market: how often an offering is lost, and how much offerings and times differ.

    Attributes:
        name: the family's name.
        base_per_hour: hazard of a loss beyond 12 hours, per hour; mean over offerings and
            shortages.
        frailty_sigma: spread between offerings, sigma of the logarithm of their hazards.
        pressure_sigma: strength of a shortage, sigma of the logarithm of the hazards.
        recovery_speed: factor on the hazard of an offering coming back.
        age_exponent: power to which the multiples of the hazards by age are taken.
    """

    name: str
    base_per_hour: float
    frailty_sigma: float = facts.FRAILTY_SIGMA
    pressure_sigma: float = facts.PRESSURE_SIGMA
    recovery_speed: float = facts.RECOVERY_SPEED
    age_exponent: float = facts.AGE_EXPONENT


CALM: Final = MarketFamily(name="calm", base_per_hour=facts.BASE_PER_HOUR["calm"])
NORMAL: Final = MarketFamily(name="normal", base_per_hour=facts.BASE_PER_HOUR["normal"])
STRESSED: Final = MarketFamily(name="stressed", base_per_hour=facts.BASE_PER_HOUR["stressed"])
TRACELIKE: Final = MarketFamily(
    name="tracelike",
    base_per_hour=facts.BASE_PER_HOUR["tracelike"],
    frailty_sigma=facts.TRACE_FRAILTY_SIGMA,
)
FAMILIES: Final = {family.name: family for family in (CALM, NORMAL, STRESSED, TRACELIKE)}


def generate(
    *,
    seed: int,
    family: MarketFamily,
    offerings: Iterable[Offering],
    span: TimeSpan,
    full_count: int = FULL_COUNT,
) -> dict[Offering, CapacityCounts]:
    """Draw how many nodes of each offering there are.

    An offering's counts depend on seed, family, offering and span alone, not on which others are
    asked for.

    Args:
        seed: the world's seed.
        family: the kind of market.
        offerings: each gets its own counts; zones of one region have shortages in common.
        span: from when to when; the last number holds beyond it.
        full_count: nodes of an offering that is there in full, at least 1.
    """
    whole = TimeSpan(start_at=span.start_at - _BURN_IN_S, seconds=span.seconds + _BURN_IN_S)
    ordered = sorted(set(offerings))
    found = {}
    for offering, ticking in clocks(seed, ordered, whole, family.pressure_sigma).items():
        course = _Course(seed, family, offering, ticking)
        found[offering] = _cut(*course.walk(whole, full_count), span.start_at)
    return found


class _Course:
    """One offering on its way between full, part and nothing."""

    def __init__(
        self, seed: int, family: MarketFamily, offering: Offering, ticking: ShortageClocks
    ) -> None:
        self._chance = stream(seed, "course", offering)
        frailty, recovery = _levels(stream(seed, "frailty", offering), family)
        power, last = family.age_exponent, facts.RECOVERIES_PER_HOUR[-1]
        base = family.base_per_hour * frailty
        self._losses = [base * x**power for x in facts.LOSS_MULTIPLES]
        self._recoveries = [
            recovery * last * (x / last) ** power for x in facts.RECOVERIES_PER_HOUR
        ]
        self._clocks = ticking

    def walk(self, span: TimeSpan, full: int) -> tuple[list[float], list[int]]:
        """Return times and numbers; starts in full."""
        at, count = span.start_at, full
        times, values = [at], [count]
        while True:  # ends with the span: every event is later than the one before
            at, count = self._next(at, count, full)
            if at >= span.end_at:
                return times, values
            times.append(at)
            values.append(count)

    def _next(self, at: float, count: int, full: int) -> tuple[float, int]:
        """Return when the number changes next, and to what."""
        chance = self._chance
        if count == full:
            due = _due(self._clocks.losses, at, self._losses, chance.expovariate(1.0))
            return due, _fall(chance, full)
        if count == 0:
            due = _due(self._clocks.recoveries, at, self._recoveries, chance.expovariate(1.0))
            return due, _return(chance, full)
        due = at + max(_MIN_GAP_S, chance.expovariate(1.0 / facts.PARTIAL_MEAN_S))
        falls = chance.random() < facts.PARTIAL_FALLS_RATIO
        return due, _fall(chance, count) if falls else full


def _levels(chance: Random, family: MarketFamily) -> tuple[float, float]:
    """Draw an offering's frailty, of mean 1 over offerings, and the speed of its recoveries."""
    mine, other = chance.gauss(0.0, 1.0), chance.gauss(0.0, 1.0)
    sigma, shared = family.frailty_sigma, facts.RECOVERY_CORRELATION
    frailty = math.exp(sigma * mine - sigma * sigma / 2.0)
    both = shared * mine + math.sqrt(1.0 - shared * shared) * other
    return frailty, family.recovery_speed * math.exp(facts.RECOVERY_SIGMA * both)


def _due(clock: ShortageClock, since: float, per_hour: Sequence[float], needed: float) -> float:
    """Return when a hazard by age has added up to what is needed, infinity where it never does.

    Args:
        clock: in whose hours the hazards are meant.
        since: when the age was 0, seconds since the epoch.
        per_hour: one hazard an age class.
        needed: drawn from the exponential distribution of mean 1.
    """
    reading = clock.reading(since)
    for rate, edge in zip(per_hour, (*facts.AGE_EDGES_HOURS, math.inf), strict=True):
        until = clock.reading(since + 3600.0 * edge)
        if rate * (until - reading) >= needed:
            return max(since + _MIN_GAP_S, clock.when(reading + needed / rate))
        needed -= rate * (until - reading)
        reading = until
    return math.inf


def _fall(chance: Random, count: int) -> int:
    """Draw what is left of a number that falls."""
    return 0 if chance.random() < facts.TOTAL_LOSS_RATIO or count < 2 else _part(chance, count)


def _return(chance: Random, full: int) -> int:
    """Draw how many are there when an offering comes back; never none."""
    in_part = full > 1 and chance.random() < facts.PARTIAL_RETURN_RATIO
    return _part(chance, full) if in_part else full


def _part(chance: Random, count: int) -> int:
    """Draw a number above 0 and below another, which is at least 2."""
    drawn = round(count * chance.uniform(*facts.SURVIVOR_RATIOS))
    return min(max(drawn, 1), count - 1)


def _cut(times: list[float], values: list[int], start_at: float) -> CapacityCounts:
    """Return the part from a time on."""
    before = [value for at, value in zip(times, values, strict=True) if at <= start_at]
    later = [k for k, at in enumerate(times) if at > start_at]
    return compressed(
        [start_at, *(times[k] for k in later)], [before[-1], *(values[k] for k in later)]
    )
