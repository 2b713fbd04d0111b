"""The memory and a bundle's graph, each to be asked beside the other.

Comes in: what is known of each offering. Goes out: the probabilities that it would have given. May
not decide anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.features import Matrix, OfferingContext
from spotvortex.core.scoring.interruption_memory import remembered_score
from spotvortex.ports.model import Forecaster


class GraphBeside:
    """A bundle's graph: implements `ports.Challenger`."""

    predictor = Predictor.GRAPH

    def __init__(self, bundle: Forecaster, name: str) -> None:
        self.name = name
        self._bundle = bundle

    def tensor(self, contexts: Sequence[OfferingContext], at: float) -> Matrix:
        """Build the graph's input; NaN where a value is unknown."""
        return self._bundle.tensor(contexts, at)

    def score(self, tensor: Matrix) -> Matrix:
        """Return what the graph gives, `float32[n, 2]`, NaN where it abstains."""
        return self._bundle.score(tensor)


class MemoryBeside:
    """The interruption memory: implements `ports.Challenger`."""

    predictor = Predictor.MEMORY
    name = "interruption memory"

    def tensor(
        self,
        contexts: Sequence[OfferingContext],
        at: float,  # noqa: ARG002 - as the port
    ) -> Matrix:
        """Return the memory's scores, `float32[n, 2]`: it needs no input but the contexts."""
        found = [remembered_score(context) for context in contexts]
        rows = [(one.capacity_score, one.runtime_score) for one in found]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), 2)

    def score(self, tensor: Matrix) -> Matrix:
        """Return them as they are."""
        return tensor
