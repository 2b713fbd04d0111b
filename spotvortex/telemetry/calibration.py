"""Series of live calibration: how good past predictions of losses were.

Comes in: what was judged. Goes out: gauges by model, interruption band and horizon. May not judge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.calibration.live import Calibration
from spotvortex.core.scoring.calibration.rows import rows_of
from spotvortex.telemetry.collectors import LiveGauge

LABELS: Final = ("model", "band", "minutes")


class CalibrationGauges:
    """Shows a calibration; an unknown figure has no series."""

    def __init__(self, gauge: Callable[..., LiveGauge]) -> None:
        self._judged = gauge("predictions_judged", "Predictions judged; they fade.", *LABELS)
        self._brier = gauge(
            "prediction_brier_score", "Mean squared error of the probability of a loss.", *LABELS
        )
        self._ratio = gauge(
            "prediction_observed_ratio", "Losses that came over losses predicted.", *LABELS
        )
        self._drifted = gauge(
            "model_drifted", "1 where past predictions speak against it.", "model"
        )

    def show(self, calibration: Calibration) -> None:
        """Set every series."""
        tallies = {
            (row.model, row.band, str(row.minutes)): row.tally for row in rows_of(calibration)
        }
        self._judged.show({key: tally.n for key, tally in tallies.items()})
        self._brier.show({key: tally.brier for key, tally in tallies.items()})
        self._ratio.show({key: tally.observed_ratio for key, tally in tallies.items()})
        self._drifted.show({(Predictor.GRAPH.value,): float(calibration.drifted)})
