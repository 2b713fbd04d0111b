"""How much Spot there is: regimes, zones that run short, and the hazard of every node.

Comes in: a seed, a timetable of regimes, and time. Goes out: the hazard of a node, and whether a
launch fails. What it draws depends on seed and time alone, never on the cluster: every policy
meets the same shortages. The controller sees none of it but through its own losses.

Levels, after published Spot traces (SkyPilot, NSDI 2024; r5.16xlarge us-east-1, April 2023) and
AWS Spot Advisor bands: calm 1e-4 losses an hour, stressed 3e-2, and 0.2 to 1.3 in an offering that
runs short; the hazard falls with the time since the capacity came back, by 6 to 48 times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from spotvortex.core.catalog import vcpus_of
from spotvortex.core.types import Offering
from spotvortex.sim.chance import stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """A state of the market.

    `hazard_per_hour` is that of a node held for 3 to 12 hours; a zone runs short
    `shortages_per_hour` times, and then each of its offerings with `hit_ratio`; a launch that
    nothing else speaks against fails with `launch_failure_ratio`.
    """

    name: str
    hazard_per_hour: float
    shortages_per_hour: float
    hit_ratio: float
    launch_failure_ratio: float


CALM: Final = Regime(
    name="calm",
    hazard_per_hour=1e-4,
    shortages_per_hour=0.0,
    hit_ratio=0.0,
    launch_failure_ratio=0.001,
)
STRESS: Final = Regime(
    name="stress",
    hazard_per_hour=3e-2,
    shortages_per_hour=5.0,
    hit_ratio=0.7,
    launch_failure_ratio=0.02,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A regime that holds from `starts_s` seconds after the start until the next phase."""

    starts_s: float
    regime: Regime


_AGE_FACTORS: Final = ((0.5, 8.0), (1.0, 4.0), (3.0, 2.0), (12.0, 1.0), (math.inf, 0.4))
"""Relative hazard up to an age in hours: 21, 11, 5, 2.3, 0.8 % in ten minutes in the nine-zone
p3.2xlarge trace of February 2023, rounded and set to 1 for 3 to 12 hours."""

_SHORTAGE_HAZARD_PER_HOUR: Final = 1.3
_SHORTAGE_MEDIAN_S: Final = 1500.0
_SHORTAGE_SIGMA: Final = 0.6
_TIER_SIGMA: Final = 0.5


class Capacity:
    """The Spot market's hidden side."""

    def __init__(
        self,
        *,
        seed: int,
        phases: tuple[Phase, ...],
        offerings: Iterable[Offering],
        start_at: float,
    ) -> None:
        """Open with no shortage.

        Args:
            seed: the world's seed.
            phases: in the order of their start; the first starts at 0.
            offerings: all that can be bought.
            start_at: start of the simulation, seconds since the epoch.
        """
        self._chance = stream(seed, "capacity")
        self._launches = stream(seed, "launch")
        self._phases = phases
        self._start_at = start_at
        self._by_zone: dict[str, list[Offering]] = {}
        for offering in sorted(set(offerings)):
            self._by_zone.setdefault(offering.zone, []).append(offering)
        self._tiers = {o: _tier(seed, o) for zone in self._by_zone.values() for o in zone}
        self._short_until: dict[Offering, float] = {}
        self.n_shortages = 0

    def regime(self, at: float) -> Regime:
        """Return the regime that holds at a time."""
        elapsed = at - self._start_at
        begun = [phase for phase in self._phases if phase.starts_s <= elapsed]
        return (begun or self._phases)[-1 if begun else 0].regime

    def advance(self, at: float, seconds: float) -> None:
        """Let zones run short in the step that ends at a time."""
        regime = self.regime(at)
        for zone in sorted(self._by_zone):
            chance_of_one = regime.shortages_per_hour / len(self._by_zone) * seconds / 3600.0
            if self._chance.random() < chance_of_one:
                self._run_short(zone, at, regime)

    def is_short(self, offering: Offering, at: float) -> bool:
        """Tell whether an offering has nothing to give now."""
        return self._short_until.get(offering, -math.inf) > at

    def hazard_per_hour(self, offering: Offering, age_s: float, at: float) -> float:
        """Return the hazard of a Spot node of this offering and age."""
        level = self.regime(at).hazard_per_hour * self._tiers[offering] * _age_factor(age_s)
        return level + (_SHORTAGE_HAZARD_PER_HOUR if self.is_short(offering, at) else 0.0)

    def tightness(self, offering: Offering) -> float:
        """Return how risky an offering is among its like, about 1: AWS knows it, we do not."""
        return self._tiers[offering]

    def launch_fails(self, offering: Offering, at: float) -> bool:
        """Draw whether a Spot launch is answered with InsufficientInstanceCapacity."""
        failed = self._launches.random() < self.regime(at).launch_failure_ratio
        return failed or self.is_short(offering, at)

    def _run_short(self, zone: str, at: float, regime: Regime) -> None:
        seconds = _SHORTAGE_MEDIAN_S * math.exp(self._chance.gauss(0.0, _SHORTAGE_SIGMA))
        for offering in self._by_zone[zone]:
            if self._chance.random() < regime.hit_ratio:
                until = self._short_until.get(offering, -math.inf)
                self._short_until[offering] = max(until, at + seconds)
        self.n_shortages += 1


def _age_factor(age_s: float) -> float:
    hours = age_s / 3600.0
    return next(factor for limit, factor in _AGE_FACTORS if hours < limit)


def _tier(seed: int, offering: Offering) -> float:
    """Draw the risk of an offering: larger is riskier, and price tells nothing about it."""
    drawn = math.exp(stream(seed, "tier", offering).gauss(0.0, _TIER_SIGMA))
    return drawn * math.pow(max(vcpus_of(offering.instance_type), 1.0) / 4.0, 0.3)
