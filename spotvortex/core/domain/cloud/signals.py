"""What AWS says of an offering's capacity: placement scores, and the interruption bands of Advisor.

Comes in: rows made by a market. Goes out: the same rows, and by how much they scale what is thought
of an offering before the cluster has seen anything of it. The cluster's own losses outweigh that
within a day of node-hours. What nobody states scales nothing. May not judge an offering by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.types import Offering, short

BANDS: Final = ("<5%", "5-10%", "10-15%", "15-20%", ">20%")
"""Share of instances interrupted in the month before, as Spot Advisor publishes it, by index."""

MANY: Final = 50
"""Instances that the second placement score is about; the first is about one."""

_MONTHLY: Final = (0.025, 0.075, 0.125, 0.175, 0.30)
"""The middle of each band; of the open one, which holds a third of all types, a guess."""

_TYPICAL: Final = 0.10
"""The share that scales nothing."""

BAND_WEIGHT: Final = 0.5
"""Exponent of a band's hazard over the typical one. A half, since bands last badly: between 2024
and 2025 their rank correlation was 0.27, and only of the worst did 62 % stay where they were."""

FRESH_DAYS: Final = 45.0
STALE_DAYS: Final = 365.0
"""Up to the first age bands count in full, then less and less, from the second on not at all."""

POOR_SCORE: Final = 1
FAIR_SCORE: Final = 2
"""Of a request for one type, as these are, the score "will always be low" (EC2 API Reference,
GetSpotPlacementScores): archives of such requests know 1 to 3, and 3 is the best (SpotLake,
IISWC'22)."""

POOR_MULTIPLE: Final = 2.0
FAIR_MULTIPLE: Final = 1.5
"""By how much a placement score of 1, or of 2, raises what is thought. Chosen, and fitted on
nothing. A good one lowers nothing: it is of the moment of a launch."""

SCORE_MAX_AGE_S: Final = 6 * 3600.0
"""Age above which a placement score scales nothing."""

LEAST_MULTIPLE: Final = 0.25
MOST_MULTIPLE: Final = 4.0
DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Placement scores of one offering, 1 (unlikely) to 10 (likely to be fulfilled).

    Each is asked about alone, and then 3 is the best that is given.

    Attributes:
        for_one: for one instance, None where it is not known.
        for_many: for `MANY` instances, None likewise.
        at: wall time of the answers.
    """

    for_one: int | None
    for_many: int | None
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisorBands:
    """The bands of Spot Advisor for Linux.

    Attributes:
        at: the date of the file as wall time, None where it has none; then the bands scale nothing.
        by_region: by region and instance type the index of the band in `BANDS`.
    """

    at: float | None = None
    by_region: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def band_of(self, offering: Offering) -> int | None:
        """Return the band of an offering's type in its region, None where it is not listed."""
        return self.by_region.get(region_of(offering.zone), {}).get(offering.instance_type)


NO_BANDS: Final = AdvisorBands()


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSignals:
    """What AWS says of capacity.

    Attributes:
        bands: those of Spot Advisor.
        placement: placement scores by offering.
    """

    bands: AdvisorBands = NO_BANDS
    placement: Mapping[Offering, Placement] = field(default_factory=dict)


NO_SIGNALS: Final = MarketSignals()


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingSignal:
    """What was said of one offering when a decision was made.

    Attributes:
        offering: the instance type and zone.
        band: its band of Spot Advisor as an index from 0 (calmest) to 4, None where not listed.
        placement_one: its placement score for one instance, 1 to 10, None where not known.
        placement_many: the same for 50 instances.
        prior_multiple: by how much both scale the hazard that is assumed before anything was seen;
            1 where nothing that is fresh enough says anything.
    """

    offering: Offering
    band: int | None = None
    placement_one: int | None = None
    placement_many: int | None = None
    prior_multiple: float = 1.0


def signals_about(
    offerings: Iterable[Offering], signals: MarketSignals, at: float
) -> tuple[OfferingSignal, ...]:
    """Return what is said of offerings, in their order; of which nothing is said are left out."""
    if signals is NO_SIGNALS:
        return ()
    found = (_signal(offering, signals, at) for offering in offerings)
    return tuple(signal for signal in found if signal is not None)


def _signal(offering: Offering, signals: MarketSignals, at: float) -> OfferingSignal | None:
    band, placement = signals.bands.band_of(offering), signals.placement.get(offering)
    if band is None and placement is None:
        return None
    return OfferingSignal(
        offering=offering,
        band=band,
        placement_one=placement.for_one if placement else None,
        placement_many=placement.for_many if placement else None,
        prior_multiple=prior_multiple(offering, signals, at),
    )


def prior_multiple(offering: Offering, signals: MarketSignals, at: float) -> float:
    """Return by how much the hazard assumed of an offering is scaled, 1 where nothing is stated."""
    band = signals.bands.band_of(offering)
    by_band = 1.0 if band is None else _multiple_of_band(band, signals.bands.at, at)
    product = by_band * _multiple_of_placement(signals.placement.get(offering), at)
    return short(min(MOST_MULTIPLE, max(LEAST_MULTIPLE, product)))


def _multiple_of_band(band: int, dated: float | None, at: float) -> float:
    if dated is None or not 0 <= band < len(_MONTHLY):
        return 1.0
    days = (at - dated) / DAY_S
    fresh = min(1.0, max(0.0, (STALE_DAYS - days) / (STALE_DAYS - FRESH_DAYS)))
    ratio = math.log1p(-_MONTHLY[band]) / math.log1p(-_TYPICAL)
    return float(ratio ** (BAND_WEIGHT * fresh))


def _multiple_of_placement(placement: Placement | None, at: float) -> float:
    if placement is None or at - placement.at > SCORE_MAX_AGE_S:
        return 1.0
    score = placement.for_one if placement.for_many is None else placement.for_many
    if score is None or score > FAIR_SCORE:
        return 1.0
    return POOR_MULTIPLE if score <= POOR_SCORE else FAIR_MULTIPLE
