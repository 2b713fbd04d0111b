"""The risk model of the v1 contract: a window of prices, read by a network with two heads.

Comes in: a v1 bundle. Goes out: a risk model. The contract names no training range, so a window is
in range where it is finite. May not read the cluster or the market.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.scoring.features import Matrix, OfferingContext
from spotvortex.core.scoring.price_window import COLUMNS, N_STEPS, Windows, windows, windows_of
from spotvortex.errors import ModelContractError
from spotvortex.model.artifacts import Bundle
from spotvortex.model.manifest import HORIZON_MINUTES, V1_RISK_GRAPH
from spotvortex.model.onnx import Network
from spotvortex.model.window_behaviour import PROBE_AT, degenerate_reason

INPUT_NAME: Final = "input"

LEAD_STEP: Final = 6
"""The step of a head with lead times that answers for 60 minutes, in steps of ten."""


class WindowModel:
    """A network that reads one window of prices an offering."""

    tail = (N_STEPS, len(COLUMNS))

    def __init__(self, bundle: Bundle) -> None:
        self._network = Network(
            bundle.graphs[V1_RISK_GRAPH],
            source=INPUT_NAME,
            tail=self.tail,
            outputs=dict.fromkeys(HORIZON_MINUTES),
        )
        self._probe()

    def tensor(self, contexts: Sequence[OfferingContext], at: float) -> Windows:
        """Build `float32[n, 12, 10]`; a window is NaN where a price is unknown."""
        return windows(contexts, at)

    def in_range(self, tensor: Windows) -> NDArray[np.bool_]:
        """Tell which windows are finite."""
        return np.asarray(np.isfinite(tensor).all(axis=(1, 2)))

    def run(self, rows: Windows) -> Matrix:
        """Score at least one finite window as the network gives it, `float32[n, 2]`."""
        return np.stack([self._head(array) for array in self._network.run(rows)], axis=1)

    def degenerate_reason(self) -> str:
        """Say why the scores must not be used, or ""."""
        return degenerate_reason(self.run)

    def _head(self, array: Matrix) -> Matrix:
        """Reduce a head to one figure a row: the middle column, of the 60-minute step."""
        if array.ndim > 3 or 0 in array.shape:
            raise ModelContractError(
                f"{self._network.name}: a score has shape {list(array.shape)}, expected [batch], "
                "[batch, quantiles] or [batch, lead times, quantiles]. Export it again."
            )
        if array.ndim == 3:
            array = array[:, min(LEAD_STEP, array.shape[1] - 1)]
        return array[:, array.shape[1] // 2] if array.ndim == 2 else array

    def _probe(self) -> None:
        """Run the contract's own probe, twice at once where the batch is open."""
        probe = windows_of(np.full((2, N_STEPS), 0.31), np.full(2, 0.97), PROBE_AT)
        if not np.isfinite(self.run(probe)).all():
            raise ModelContractError(
                f"{self._network.name}: a score of the probe window is not finite. Build the "
                "bundle again, or go back to the one before."
            )
