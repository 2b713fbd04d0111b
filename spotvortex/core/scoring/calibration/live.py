"""Live calibration: past predictions of losses against what happened.

Comes in: what each predictor said of the offerings held, and later which of them were lost or left.
Goes out: by predictor, interruption band and horizon how many predictions were judged, what they
added up to, what was lost and how far off they were; and whether the graph has drifted. What was
said counts once it is known whether it came true: an offering that left without a loss, and a time
that nobody saw, tell nothing. May not score, nor know why anything was lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from spotvortex.core.domain.types import Offering, Predictor

HORIZONS_MINUTES: Final = (60, 120)
"""What the two scores speak of: `capacity_score`, `runtime_score`."""

JUDGED_AFTER_S: Final = 60.0 * HORIZONS_MINUTES[-1]

DECAY_HOURS: Final = 168.0
"""Time constant with which judged predictions are forgotten: a week."""

MAX_ROUND: Final = 200
"""Offerings that one round of predictions is kept of; of more, others each time."""

MAX_PENDING: Final = 2800
"""Predictions that wait at once: a round every ten minutes for the longest horizon."""

MIN_JUDGED: Final = 600.0
MIN_LOST: Final = 30.0
"""Evidence without which no graph has drifted: a hundred hours of one offering, and five losses,
each of which some six predictions of the hour before it are about."""

WORSE_RATIO: Final = 1.10
FAR_RATIO: Final = 3.0
BETTER_RATIO: Final = 1.02
NEAR_RATIO: Final = 2.0
"""A graph drifts where it is worse than the first two, and is back where better than the last."""


class TallyKey(NamedTuple):
    """What one tally is of.

    Attributes:
        predictor: whose predictions.
        band: the offerings' band of Spot Advisor as an index, None where it is not stated.
        minutes: the horizon.
    """

    predictor: Predictor
    band: int | None
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationTally:
    """Predictions that were judged, as sums that fade.

    Attributes:
        n: predictions.
        predicted: sum of the probabilities.
        lost: how many came true.
        squared: sum of the squared errors.
        squared_memory: the same of what the interruption memory said at the same times.
    """

    n: float = 0.0
    predicted: float = 0.0
    lost: float = 0.0
    squared: float = 0.0
    squared_memory: float = 0.0

    @property
    def brier(self) -> float | None:
        """Mean squared error of the probability, None before the first one."""
        return self.squared / self.n if self.n > 0.0 else None

    @property
    def observed_ratio(self) -> float | None:
        """What was lost over what was predicted, None where nothing was."""
        return self.lost / self.predicted if self.predicted > 0.0 else None

    def plus(self, other: CalibrationTally) -> CalibrationTally:
        """Return the sums of both."""
        return CalibrationTally(
            n=self.n + other.n,
            predicted=self.predicted + other.predicted,
            lost=self.lost + other.lost,
            squared=self.squared + other.squared,
            squared_memory=self.squared_memory + other.squared_memory,
        )

    def times(self, kept: float) -> CalibrationTally:
        """Return what is left of the sums."""
        return CalibrationTally(
            n=self.n * kept,
            predicted=self.predicted * kept,
            lost=self.lost * kept,
            squared=self.squared * kept,
            squared_memory=self.squared_memory * kept,
        )


NOTHING_JUDGED: Final = CalibrationTally()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What was said of one offering at one time.

    Attributes:
        at: the time, seconds since the epoch.
        offering: the offering; it was held.
        band: its band of Spot Advisor as an index, None where it is not stated.
        said: by predictor, the probability of a loss within 60 and within 120 minutes.
        lost_at: when it was first lost since, None where it was not.
        left_at: when it was first not held any more, None where it always was.
    """

    at: float
    offering: Offering
    band: int | None
    said: Mapping[Predictor, tuple[float, float]]
    lost_at: float | None = None
    left_at: float | None = None

    def outcome(self, minutes: int) -> bool | None:
        """Tell whether it was lost within a horizon; None where nobody can know."""
        end = self.at + 60.0 * minutes
        if self.lost_at is not None and self.lost_at <= end:
            return True
        return None if self.left_at is not None and self.left_at < end else False


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """All that is kept of predictions.

    Attributes:
        tallies: predictions that were judged.
        at: wall time up to which they have faded, minus infinity before the first.
        pending: predictions whose time is not over; they live as long as the process.
        drifted: the graph has drifted, and has not come back.
    """

    tallies: Mapping[TallyKey, CalibrationTally] = field(default_factory=dict)
    at: float = -math.inf
    pending: tuple[Prediction, ...] = ()
    drifted: bool = False

    def pooled(self, predictor: Predictor, minutes: int) -> CalibrationTally:
        """Return the tally of a predictor at a horizon, all bands together."""
        found = NOTHING_JUDGED
        for key, tally in self.tallies.items():
            if key.predictor is predictor and key.minutes == minutes:
                found = found.plus(tally)
        return found


NO_CALIBRATION: Final = Calibration()


def noted(calibration: Calibration, predictions: Iterable[Prediction]) -> Calibration:
    """Take one round of predictions in; beyond the bound the newest are left out."""
    pending = (*calibration.pending, *predictions)[:MAX_PENDING]
    return replace(calibration, pending=pending)


def followed(
    calibration: Calibration, now: float, lost: Set[Offering], held: Set[Offering]
) -> Calibration:
    """Take in what has happened since the last observation, and judge what is due.

    Args:
        calibration: what was kept before.
        now: wall time.
        lost: offerings of which a node is known to have been lost since.
        held: offerings that are held now.
    """
    if not calibration.pending:
        return calibration
    seen = tuple(_seen(one, now, lost, held) for one in calibration.pending)
    due = [one for one in seen if now - one.at >= JUDGED_AFTER_S]
    if not due:
        return replace(calibration, pending=seen)
    tallies = dict(_faded(calibration, now).tallies)
    for one in due:
        for key, tally in _judged(one):
            tallies[key] = tallies.get(key, NOTHING_JUDGED).plus(tally)
    left = tuple(one for one in seen if now - one.at < JUDGED_AFTER_S)
    judged = replace(calibration, tallies=tallies, at=now, pending=left)
    return replace(judged, drifted=has_drifted(judged))


def interrupted(calibration: Calibration) -> Calibration:
    """Forget what is pending: for a while nobody saw what happened."""
    return replace(calibration, pending=()) if calibration.pending else calibration


def joined(calibration: Calibration, before: Calibration, now: float) -> Calibration:
    """Add what was judged before this process began."""
    one, other = _faded(calibration, now), _faded(before, now)
    tallies = dict(one.tallies)
    for key, tally in other.tallies.items():
        tallies[key] = tallies.get(key, NOTHING_JUDGED).plus(tally)
    at = max(one.at, other.at)
    whole = replace(one, tallies=tallies, at=at, drifted=one.drifted or other.drifted)
    return replace(whole, drifted=has_drifted(whole))


def has_drifted(calibration: Calibration) -> bool:
    """Tell whether the graph's predictions are not to be decided on.

    At either horizon, over all bands, with at least `MIN_JUDGED` predictions judged and `MIN_LOST`
    lost or predicted to be: its squared error is more than `WORSE_RATIO` of the memory's at the
    same times, or what was lost is beyond `FAR_RATIO` of what it predicted, either way, and its
    error is above the memory's too. Once drifted, it is back when its error is at most
    `BETTER_RATIO` of the memory's and what was lost within `NEAR_RATIO` at both.
    """
    worse, far = WORSE_RATIO, FAR_RATIO
    if calibration.drifted:
        worse, far = BETTER_RATIO, NEAR_RATIO
    pooled = (calibration.pooled(Predictor.GRAPH, minutes) for minutes in HORIZONS_MINUTES)
    return any(_is_off(tally, worse, far, both=not calibration.drifted) for tally in pooled)


def _is_off(tally: CalibrationTally, worse: float, far: float, *, both: bool) -> bool:
    if tally.n < MIN_JUDGED or max(tally.lost, tally.predicted) < MIN_LOST:
        return False
    if tally.squared > worse * tally.squared_memory:
        return True
    off = not tally.predicted / far <= tally.lost <= tally.predicted * far
    return off and (tally.squared > tally.squared_memory or not both)


def _seen(one: Prediction, now: float, lost: Set[Offering], held: Set[Offering]) -> Prediction:
    if one.lost_at is None and one.offering in lost:
        one = replace(one, lost_at=now)
    if one.left_at is None and one.offering not in held:
        one = replace(one, left_at=now)
    return one


def _judged(one: Prediction) -> Iterable[tuple[TallyKey, CalibrationTally]]:
    memory = one.said.get(Predictor.MEMORY)
    for place, minutes in enumerate(HORIZONS_MINUTES):
        outcome = one.outcome(minutes)
        if outcome is None or memory is None:
            continue
        for predictor, said in one.said.items():
            yield (
                TallyKey(predictor, one.band, minutes),
                CalibrationTally(
                    n=1.0,
                    predicted=said[place],
                    lost=float(outcome),
                    squared=(said[place] - outcome) ** 2,
                    squared_memory=(memory[place] - outcome) ** 2,
                ),
            )


def _faded(calibration: Calibration, now: float) -> Calibration:
    hours = max(0.0, now - calibration.at) / 3600.0
    kept = math.exp(-hours / DECAY_HOURS)
    tallies = {key: tally.times(kept) for key, tally in calibration.tallies.items()}
    return replace(calibration, tallies=tallies, at=max(now, calibration.at))
