"""A model whose scores follow a script.

Comes in: scores by time. Goes out: a `Forecaster` that gives every offering the score of the
moment, at no cost. For episodes that are about what follows from scores, not about the scores; with
a policy network, for what follows from the network alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.features import Matrix, OfferingContext
from spotvortex.errors import ModelContractError


@dataclass(slots=True, kw_only=True)
class ScriptedForecaster:
    """A model whose scores follow a script: implements `ports.Forecaster`.

    Attributes:
        script: the score from each second on, in order of time.
        start_at: the time that the seconds count from, seconds since the epoch.
        digest: by what name the bundle is recorded.
        families: the instance families that it says it knows.
        values: a policy network, as of `q_values`; None where there is none.
    """

    script: Sequence[tuple[float, float]]
    start_at: float
    digest: str = "scripted"
    families: tuple[str, ...] = ("c6i", "m6i")
    values: Callable[[Matrix], Matrix] | None = None

    @property
    def decides(self) -> Predictor:
        """The script decides."""
        return Predictor.GRAPH

    @property
    def has_policy(self) -> bool:
        """Whether there is a policy network."""
        return self.values is not None

    @property
    def scope(self) -> Scope:
        """The families that it says it knows."""
        return Scope(self.families)

    def tensor(self, contexts: Sequence[OfferingContext], at: float) -> Matrix:
        """Return the score of this moment, one row an offering."""
        now_s = at - self.start_at
        score = next((s for since, s in reversed(self.script) if since <= now_s), self.script[0][1])
        return np.full((len(contexts), 1), score, dtype=np.float32)

    def in_range(self, tensor: Matrix) -> NDArray[np.bool_]:
        """Return that everything is."""
        return np.ones(len(tensor), dtype=np.bool_)

    def score(self, tensor: Matrix) -> Matrix:
        """Return both scores."""
        return np.repeat(tensor, 2, axis=1)

    def q_values(self, states: Matrix) -> Matrix:
        """Value the actions of pools.

        Raises:
            ModelContractError: there is no policy network.
        """
        if self.values is None:
            raise ModelContractError(f"there is no policy network for {len(states)} states")
        return self.values(states)
