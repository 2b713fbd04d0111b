"""Models asked beside what decides, and compared with it.

Comes in: what is known of each offering, and the scores that were decided on. Goes out: series, a
line of the log, and predictions to be judged later, every ten minutes. Nothing is decided by it:
they are asked after the assessment has been handed on, off the loop and side by side, and what
fails or hangs is counted and dropped. May not change a score.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from spotvortex.core.domain.cloud.signals import NO_BANDS, AdvisorBands
from spotvortex.core.domain.observation import Observation
from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.calibration.live import MAX_ROUND, Prediction
from spotvortex.core.scoring.features import Matrix, OfferingContext
from spotvortex.core.scoring.scores import Scores
from spotvortex.errors import ModelContractError
from spotvortex.pipeline.bounded_run import BoundedRun
from spotvortex.ports.model import Challenger
from spotvortex.ports.series import CHALLENGER_DIFFERENCE, CHALLENGER_RUNS
from spotvortex.ports.telemetry import Telemetry

log = logging.getLogger(__name__)

EVERY_S: Final = 600.0
"""Seconds of the observations' time between two comparisons."""


@dataclass(slots=True, kw_only=True)
class Challenge:
    """Whoever says how likely a loss is, asked side by side: what decides, and what does not.

    Attributes:
        asked: the predictors, each with what runs it off the loop, one run at a time.
        decides: whose scores are decided on; the others are compared with them.
        telemetry: where the series go.
    """

    asked: Sequence[tuple[Challenger, BoundedRun]]
    decides: Predictor
    telemetry: Telemetry
    _contexts: Sequence[OfferingContext] = ()
    _scores: Scores = field(default_factory=dict)
    _bands: AdvisorBands = NO_BANDS
    _at: float = -math.inf
    _asked_at: float = -math.inf
    _n_rounds: int = 0

    def note(
        self, contexts: Sequence[OfferingContext], scores: Scores, observation: Observation
    ) -> None:
        """Take note of what was decided on."""
        self._contexts, self._scores, self._at = contexts, scores, observation.at
        self._bands = observation.market.signals.bands

    async def ask(self) -> tuple[Prediction, ...]:
        """Ask all of them about what was noted last, where it is time to.

        Returns:
            What each said of the offerings that are held, to be judged later.
        """
        is_due = self._at - self._asked_at >= EVERY_S
        if not self._contexts or not is_due:
            return ()
        self._asked_at = self._at
        self._n_rounds += 1
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._ask(challenger, model)) for challenger, model in self.asked
            ]
        asked = zip((c.predictor for c, _ in self.asked), tasks, strict=True)
        rows = {who: task.result() for who, task in asked}
        return tuple(self._predictions({who: found for who, found in rows.items() if len(found)}))

    def _predictions(self, rows: Mapping[Predictor, Matrix]) -> Iterator[Prediction]:
        """Put together what was said of each offering held; of too many, others each time."""
        held = [place for place, c in enumerate(self._contexts) if c.held_hours > 0.0]
        every = -(-len(held) // MAX_ROUND) or 1
        for place in held[self._n_rounds % every :: every]:
            offering = self._contexts[place].offering
            said = {
                who: (float(found[place, 0]), float(found[place, 1]))
                for who, found in rows.items()
                if np.isfinite(found[place]).all()
            }
            band = self._bands.band_of(offering)
            yield Prediction(at=self._at, offering=offering, band=band, said=said)

    async def _ask(self, challenger: Challenger, model: BoundedRun) -> Matrix:
        """Ask one of them; no rows where it cannot be run."""
        try:
            rows = await model.run(_said, challenger, self._contexts, self._at)
        except ModelContractError as error:
            log.warning("challenger.failed", extra={"model": challenger.name, "reason": str(error)})
            self.telemetry.count(CHALLENGER_RUNS, challenger.predictor, "failed")
            return np.empty((0, 2), dtype=np.float32)
        self.telemetry.count(CHALLENGER_RUNS, challenger.predictor, "done")
        if challenger.predictor is not self.decides:
            self._compare(rows, challenger)
        return rows

    def _compare(self, rows: Matrix, challenger: Challenger) -> None:
        """Set the capacity scores of both side by side."""
        pairs = [
            (float(row[0]), score.capacity_score)
            for context, row in zip(self._contexts, rows, strict=True)
            if (score := self._scores.get(context.offering)) is not None
            and score.capacity_score is not None
            and np.isfinite(row[0])
        ]
        for challenging, deciding in pairs:
            difference = abs(challenging - deciding)
            self.telemetry.measure(CHALLENGER_DIFFERENCE, difference, challenger.predictor)
        if pairs:
            said, decided = np.mean(pairs, axis=0).round(4).tolist()
            fields = {"model": challenger.name, "offerings": len(pairs)}
            log.debug("challenger.scored", extra={**fields, "mean": said, "mean_deciding": decided})


def _said(challenger: Challenger, contexts: Sequence[OfferingContext], at: float) -> Matrix:
    """Build the input and score it; blocking."""
    return challenger.score(challenger.tensor(contexts, at))
