"""Live calibration by row: each band of a predictor and horizon, and all of them together.

Comes in: what was judged. Goes out: rows, as metrics and pages show them. May not judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.cloud.signals import BANDS
from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.calibration.live import (
    HORIZONS_MINUTES,
    Calibration,
    CalibrationTally,
    TallyKey,
)

ALL_BANDS: Final = "all"
UNSTATED: Final = "unstated"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow:
    """Predictions of one model for one class of offerings at one horizon.

    Attributes:
        model: `memory`, `graph` or `network`.
        band: the offerings' interruption band of Spot Advisor, `unstated` where nobody states one,
            `all` for all of them together.
        minutes: the horizon.
        tally: what was judged.
    """

    model: str
    band: str
    minutes: int
    tally: CalibrationTally


def rows_of(calibration: Calibration) -> Iterator[CalibrationRow]:
    """Return every row of which anything was judged: by model, horizon and band."""
    for predictor in Predictor:
        for minutes in HORIZONS_MINUTES:
            for band in (None, *range(len(BANDS))):
                tally = calibration.tallies.get(TallyKey(predictor, band, minutes))
                if tally is not None:
                    word = UNSTATED if band is None else BANDS[band]
                    yield _row(predictor, word, minutes, tally)
            pooled = calibration.pooled(predictor, minutes)
            if pooled.n:
                yield _row(predictor, ALL_BANDS, minutes, pooled)


def _row(predictor: Predictor, band: str, minutes: int, tally: CalibrationTally) -> CalibrationRow:
    return CalibrationRow(model=predictor.value, band=band, minutes=minutes, tally=tally)
