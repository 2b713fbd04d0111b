"""A model that knows how much capacity there will be: the ablation with oracle scores.

Comes in: the counts of a world, to their end. Goes out: a `Forecaster` whose scores come true. It
tells what better scores alone could bring with the same rules and gates; nobody can run it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.core.domain.types import Offering, Predictor
from spotvortex.core.scoring.features import Matrix, OfferingContext
from spotvortex.errors import ModelContractError
from spotvortex.sim.market.counts import CapacityCounts

CAPACITY_S: Final = 3600.0
RUNTIME_S: Final = 7200.0
"""What the two scores are about: losses within 60 and within 120 minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleForecaster:
    """Scores by what will be lost: implements `ports.Forecaster`.

    A score is the share of the nodes that the market has now that will be gone at some time within
    the horizon: the probability that one of them, drawn at random, is lost. An offering that has
    none cannot be launched, and scores 1.

    Attributes:
        counts: nodes that the market has of each offering, over time.
        families: the instance families that are held.
        digest: by what name the model is recorded.
        has_policy: whether there is a policy network; there is none.
        decides: who gives the scores that are decided on; it does.
    """

    counts: Mapping[Offering, CapacityCounts]
    families: tuple[str, ...]
    digest: str = "foresight"
    has_policy: bool = False
    decides: Predictor = Predictor.GRAPH

    @property
    def scope(self) -> Scope:
        """The families that are held."""
        return Scope(self.families)

    def tensor(self, contexts: Sequence[OfferingContext], at: float) -> Matrix:
        """Return both scores of this moment, one row an offering; 1 where nothing is known."""
        rows = [self._scores(context.offering, at) for context in contexts]
        return np.array(rows, dtype=np.float32).reshape(len(rows), 2)

    def _scores(self, offering: Offering, at: float) -> tuple[float, float]:
        counts = self.counts.get(offering)
        now = counts.at(at) if counts is not None else 0
        if counts is None or now == 0:
            return 1.0, 1.0
        lost = [1.0 - counts.least(at, at + ahead_s) / now for ahead_s in (CAPACITY_S, RUNTIME_S)]
        return lost[0], lost[1]

    def in_range(self, tensor: Matrix) -> NDArray[np.bool_]:
        """Return that everything is."""
        return np.ones(len(tensor), dtype=np.bool_)

    def score(self, tensor: Matrix) -> Matrix:
        """Return the scores as they are."""
        return tensor

    def q_values(self, states: Matrix) -> Matrix:
        """Refuse: there is no policy network.

        Raises:
            ModelContractError: always.
        """
        raise ModelContractError(f"there is no policy network for {len(states)} states")
