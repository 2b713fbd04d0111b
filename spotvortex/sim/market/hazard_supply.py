"""How much Spot there is: regimes, zones that run short, and the hazard of every node.

Comes in: a seed, a timetable of regimes, and time. Goes out: a `Supply`: the hazard of a node, who
is struck, and whether a launch fails. Shortages depend on seed and time alone, never on the
cluster: every policy meets the same ones. The controller sees none of it but through its losses.

Levels, after published Spot traces (SkyPilot, NSDI 2024; r5.16xlarge us-east-1, April 2023) and
AWS Spot Advisor bands: calm 1e-4 losses an hour, stressed 3e-2, and 0.2 to 1.3 in an offering that
runs short; the hazard falls with the time since the capacity came back, by 6 to 48 times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.cloud.instance_types import vcpus_of
from spotvortex.core.domain.types import Offering
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.market.supply import ANNOUNCED, Interruption, PoissonEvents, Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """A state of the market.

    Attributes:
        name: the regime's name.
        hazard_per_hour: losses an hour of a node held for 3 to 12 hours.
        shortages_per_hour: how often a zone runs short, per hour.
        hit_ratio: chance that an offering of a zone that runs short does so too, 0..1.
        launch_failure_ratio: chance that a launch fails although nothing else speaks against it,
            0..1.
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
class RegimePhase:
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


class HazardSupply:
    """The Spot market's hidden side, by hazards: implements `Supply`.

    A recommendation comes when an offering begins to run short, as nothing is known ahead here.
    """

    def __init__(
        self,
        *,
        seed: int,
        phases: tuple[RegimePhase, ...],
        offerings: Iterable[Offering],
        start_at: float,
        announced: Signals = ANNOUNCED,
    ) -> None:
        """Open with no shortage.

        Args:
            seed: the world's seed.
            phases: in the order of their start; the first starts at 0.
            offerings: all that can be bought.
            start_at: start of the simulation, seconds since the epoch.
            announced: how losses are announced.
        """
        self._seed = seed
        self._announced = announced
        self._chance = stream(seed, "capacity")
        self._phases = phases
        self._start_at = start_at
        self._by_zone: dict[str, list[Offering]] = {}
        for offering in sorted(set(offerings)):
            self._by_zone.setdefault(offering.zone, []).append(offering)
        self._tiers = {o: _tier(seed, o) for zone in self._by_zone.values() for o in zone}
        self._short_until: dict[Offering, float] = {}
        self._short_since: dict[Offering, float] = {}
        self._marks: dict[tuple[Offering, int], PoissonEvents] = {}
        self._false: dict[Offering, PoissonEvents] = {}
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
        """Return how risky an offering is among its like, about 1: AWS knows it, nobody else."""
        return self._tiers[offering]

    def launch_fails(self, offering: Offering, n_held: int, at: float) -> bool:
        """Tell whether a Spot launch is answered with InsufficientInstanceCapacity."""
        drawn = stream(self._seed, "launch", offering, n_held, at).random()
        return drawn < self.regime(at).launch_failure_ratio or self.is_short(offering, at)

    def strikes(
        self, offering: Offering, ages_s: Sequence[float], at: float, seconds: float
    ) -> list[Interruption]:
        """Return who is struck in the step. See `Supply.strikes`.

        Each place in `ages_s` has marks of its own, as many as the highest hazard asks for; a mark
        strikes with the ratio of the node's hazard to that (thinning of a Poisson process).
        """
        ceiling = self._ceiling_per_hour(offering)
        found = []
        for index, age_s in enumerate(ages_s):
            drawn = self._marks_of(offering, index, ceiling).between(at - seconds, at)
            if drawn and min(drawn) * ceiling < self.hazard_per_hour(offering, age_s, at):
                chance = stream(self._seed, "notice", offering, index, at)
                leaves_at = at + self._announced.notices.lead_s(chance)
                found.append(Interruption(index=index, leaves_at=leaves_at))
        return found

    def warns(self, offering: Offering, at: float, seconds: float) -> bool:
        """Tell whether a rebalance recommendation comes in the step. See `Supply.warns`."""
        signal = self._announced.signal
        began_at = self._short_since.get(offering, -math.inf)
        if at - seconds < began_at <= at:
            drawn = stream(self._seed, "rebalance", offering, began_at).random()
            if drawn < signal.sensitivity_ratio:
                return True
        if offering not in self._false:
            chance = stream(self._seed, "false-alarm", offering)
            self._false[offering] = PoissonEvents(
                chance, signal.false_per_day / 24.0, self._start_at
            )
        return bool(self._false[offering].between(at - seconds, at))

    def _ceiling_per_hour(self, offering: Offering) -> float:
        """Return a hazard that no node of an offering ever exceeds."""
        level = max(phase.regime.hazard_per_hour for phase in self._phases)
        return level * self._tiers[offering] * _AGE_FACTORS[0][1] + _SHORTAGE_HAZARD_PER_HOUR

    def _marks_of(self, offering: Offering, index: int, per_hour: float) -> PoissonEvents:
        marks = self._marks.get((offering, index))
        if marks is None:
            chance = stream(self._seed, "strike", offering, index)
            marks = self._marks[offering, index] = PoissonEvents(chance, per_hour, self._start_at)
        return marks

    def _run_short(self, zone: str, at: float, regime: Regime) -> None:
        seconds = _SHORTAGE_MEDIAN_S * math.exp(self._chance.gauss(0.0, _SHORTAGE_SIGMA))
        for offering in self._by_zone[zone]:
            if self._chance.random() < regime.hit_ratio:
                until = self._short_until.get(offering, -math.inf)
                if until < at:
                    self._short_since[offering] = at
                self._short_until[offering] = max(until, at + seconds)
        self.n_shortages += 1


def _age_factor(age_s: float) -> float:
    hours = age_s / 3600.0
    return next(factor for limit, factor in _AGE_FACTORS if hours < limit)


def _tier(seed: int, offering: Offering) -> float:
    """Draw the risk of an offering: larger is riskier, and price tells nothing about it."""
    drawn = math.exp(stream(seed, "tier", offering).gauss(0.0, _TIER_SIGMA))
    return drawn * math.pow(max(vcpus_of(offering.instance_type), 1.0) / 4.0, 0.3)
