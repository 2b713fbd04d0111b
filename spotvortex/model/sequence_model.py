"""The challenger of a v2 bundle: a network that reads a trajectory of each offering.

Comes in: what the manifest says of it, and its network. Goes out: probabilities beside those of the
what decides, or NaN where it abstains. A column may be NaN: what is unknown is unknown to the
network too. One that answers constants, or runs far the wrong way, is degenerate and abstains. May
not decide anything, nor read the cluster or the market.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.types import Offering, Predictor
from spotvortex.core.scoring.features import Matrix, OfferingContext
from spotvortex.core.scoring.trajectory import COLUMNS, N_STEPS, trajectories
from spotvortex.errors import ModelContractError
from spotvortex.model.artifacts import Bundle
from spotvortex.model.behaviour import SPREAD_FLOOR, is_probability
from spotvortex.model.manifest import HORIZON_MINUTES, ChallengerEntry
from spotvortex.model.onnx import Network

TOLERANCE: Final = 0.02
"""How far a score may run the wrong way: what training leaves over."""

PROBE: Final = OfferingContext(
    offering=Offering(instance_type="m6i.xlarge", zone="us-east-1a"),
    quote=SpotQuote(offering=Offering(instance_type="m6i.xlarge", zone="us-east-1a")),
    hours_since_loss=6.0,
    hazard_per_hour=0.05,
    held_hours=6.0,
    level_per_hour=0.02,
    exposure_hours=48.0,
)
"""An offering like many, around which a network is tried."""

_LEVELS: Final = tuple(float(x) for x in np.geomspace(1e-5, 3.0, 16))
_AGES: Final = tuple(float(x) for x in np.geomspace(0.05, 500.0, 16))


class SequenceModel:
    """A network that reads one trajectory an offering."""

    tail = (N_STEPS, len(COLUMNS))
    predictor = Predictor.NETWORK

    def __init__(self, challenger: ChallengerEntry, bundle: Bundle) -> None:
        by_name = {score.name: score.output for score in challenger.scores}
        self.name = challenger.name
        self._network = Network(
            bundle.graphs[challenger.graph],
            source=challenger.input,
            tail=self.tail,
            outputs=dict.fromkeys((by_name[name] for name in HORIZON_MINUTES), ()),
        )
        if not is_probability(self.run(trajectories([PROBE]))).all():
            raise ModelContractError(
                f"{self._network.name}: a score of the probe is not finite or not in 0..1. Build "
                "the bundle again, or go back to the one before."
            )
        self.degenerate_reason = self._degenerate_reason()

    def tensor(
        self,
        contexts: Sequence[OfferingContext],
        at: float,  # noqa: ARG002 - as the port
    ) -> Matrix:
        """Build `float32[n, 24, 16]`; NaN where a value is unknown."""
        return trajectories(contexts)

    def score(self, tensor: Matrix) -> Matrix:
        """Score trajectories; `float32[n, 2]`, NaN where the network abstains."""
        scores = np.full((len(tensor), len(HORIZON_MINUTES)), np.nan, dtype=np.float32)
        if len(tensor) and not self.degenerate_reason:
            scores = self.run(tensor)
            scores[~is_probability(scores).all(axis=1)] = np.nan
        return scores

    def run(self, rows: Matrix) -> Matrix:
        """Score at least one trajectory as the network gives it, `float32[n, 2]`."""
        return np.stack(self._network.run(rows), axis=1)

    def _degenerate_reason(self) -> str:
        levels = [replace(PROBE, level_per_hour=x, hazard_per_hour=x) for x in _LEVELS]
        ages = [replace(PROBE, hours_since_loss=x, held_hours=x) for x in _AGES]
        for wrong, words, contexts, sign in (
            ("falls", "the level rises", levels, 1.0),
            ("rises", "the time since the last loss grows", ages, -1.0),
        ):
            scores = sign * self.run(trajectories(contexts))
            if not np.isfinite(scores).all():
                return "a score of a plausible trajectory is not finite"
            fall = float((np.maximum.accumulate(scores, axis=0) - scores).max())
            if fall > TOLERANCE:
                return f"a score {wrong} by {fall:.4f} where {words}"
            spread = float(np.ptp(scores, axis=0).min())
            if spread < SPREAD_FLOOR:
                return f"a score spreads by {spread:.4f} only, at least {SPREAD_FLOOR} is needed"
        return ""
