"""Live calibration as lines of text.

Comes in: what was judged. Goes out: a line a tally, and one where the graph has drifted; and the
same read back. What is pending is not kept. May not judge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from spotvortex.core.domain.cloud.signals import BANDS
from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.calibration.live import (
    HORIZONS_MINUTES,
    NO_CALIBRATION,
    Calibration,
    CalibrationTally,
    TallyKey,
)

MARK: Final = "calibration"
"""First word of each line; no instance type is called so."""

DRIFTED: Final = f"{MARK} drifted"
COLUMNS: Final = ("n", "predicted", "lost", "squared", "squared_memory")
MAX_LINES: Final = len(Predictor) * (len(BANDS) + 1) * len(HORIZONS_MINUTES) + 1


def to_lines(calibration: Calibration) -> list[str]:
    """Write what was judged: predictor, band, minutes, the sums, and up to when they have faded."""
    order = sorted(calibration.tallies.items(), key=lambda item: _words(item[0]))
    rows = [
        " ".join([MARK, *_words(key), *(repr(getattr(tally, c)) for c in COLUMNS), repr(at)])
        for at in (calibration.at,)
        for key, tally in order
    ]
    return [*rows, DRIFTED] if calibration.drifted else rows


def from_lines(lines: Sequence[str]) -> Calibration:
    """Read it back.

    Raises:
        ValueError: a line cannot be read.
    """
    rows = [line for line in lines if line != DRIFTED]
    if len(rows) >= MAX_LINES:
        raise ValueError(f"more than {MAX_LINES} lines of calibration")
    if not rows:
        return NO_CALIBRATION
    found = [_row(line.split(" ")) for line in rows]
    return Calibration(
        tallies={key: tally for key, tally, _ in found},
        at=max(at for _, _, at in found),
        drifted=len(rows) < len(lines),
    )


def _words(key: TallyKey) -> tuple[str, str, str]:
    return key.predictor.value, "-" if key.band is None else str(key.band), str(key.minutes)


def _row(cells: Sequence[str]) -> tuple[TallyKey, CalibrationTally, float]:
    _, predictor, band, minutes, *figures = cells
    values = [float(figure) for figure in figures]
    if len(values) != len(COLUMNS) + 1 or not all(0.0 <= v < math.inf for v in values):
        raise ValueError(
            f"{len(COLUMNS) + 1} figures that are finite and not negative are expected"
        )
    key = TallyKey(Predictor(predictor), None if band == "-" else int(band), int(minutes))
    if key.minutes not in HORIZONS_MINUTES or key.band not in (None, *range(len(BANDS))):
        raise ValueError(f"no band {band} or no horizon {minutes}")
    return key, CalibrationTally(**dict(zip(COLUMNS, values, strict=False))), values[-1]
