"""The risk model of the v2 contract: features by name, with their training ranges.

Comes in: a v2 manifest and its network. Goes out: a risk model that builds its rows by name. May
not read the cluster or the market.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.scoring.features import Matrix, OfferingContext, build_matrix
from spotvortex.errors import ModelContractError
from spotvortex.model.artifacts import Bundle
from spotvortex.model.behaviour import degenerate_reason, is_probability, sweep
from spotvortex.model.manifest import HORIZON_MINUTES, ManifestV2
from spotvortex.model.onnx import Network

INPUT_NAME: Final = "features"


class FeatureModel:
    """A network that reads one row of named features an offering."""

    def __init__(self, manifest: ManifestV2, bundle: Bundle) -> None:
        self._features = manifest.features
        self._names = tuple(f.name for f in manifest.features)
        self._low = np.array([f.low for f in manifest.features], dtype=np.float32)
        self._high = np.array([f.high for f in manifest.features], dtype=np.float32)
        self.tail = (len(self._names),)
        by_name = {score.name: score.output for score in manifest.scores}
        self._network = Network(
            bundle.graphs[manifest.graph],
            source=INPUT_NAME,
            tail=self.tail,
            outputs=dict.fromkeys((by_name[name] for name in HORIZON_MINUTES), ()),
        )
        self._probe()

    def tensor(self, contexts: Sequence[OfferingContext], _at: float) -> Matrix:
        """Build `float32[n, n_features]`; NaN where a value is unknown."""
        return build_matrix(self._names, contexts)

    def in_range(self, tensor: Matrix) -> NDArray[np.bool_]:
        """Tell which rows lie within the training range, both ends included."""
        return np.asarray(((self._low <= tensor) & (tensor <= self._high)).all(axis=1))

    def run(self, rows: Matrix) -> Matrix:
        """Score at least one finite row as the network gives it, `float32[n, 2]`."""
        return np.stack(self._network.run(rows), axis=1)

    def degenerate_reason(self) -> str:
        """Say why the scores must not be used, or ""."""
        return degenerate_reason(self._features, self.run)

    def _probe(self) -> None:
        for column in range(len(self._names)):
            if not is_probability(self.run(sweep(self._features, column))).all():
                raise ModelContractError(
                    f"{self._network.name}: a score within the training range is not finite or not "
                    "in 0..1. Build the bundle again, or go back to the one before."
                )
