"""Models asked beside what decides, and compared with it.

Comes in: what is known of each offering, and the scores that were decided on. Goes out: series and
a line of the log, every ten minutes. Nothing is decided by it: they are asked after the assessment
has been handed on, off the loop and side by side, and what fails or hangs is counted and dropped.
May not change a score.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

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
    """Whoever is asked beside what decides.

    Attributes:
        asked: the challengers, each with what runs it off the loop, one run at a time.
        telemetry: where the series go.
    """

    asked: Sequence[tuple[Challenger, BoundedRun]]
    telemetry: Telemetry
    _contexts: Sequence[OfferingContext] = ()
    _scores: Scores = field(default_factory=dict)
    _at: float = -math.inf
    _asked_at: float = -math.inf

    def note(self, contexts: Sequence[OfferingContext], scores: Scores, at: float) -> None:
        """Take note of what was decided on."""
        self._contexts, self._scores, self._at = contexts, scores, at

    async def ask(self) -> None:
        """Ask all challengers about what was noted last, where it is time to."""
        is_due = self._at - self._asked_at >= EVERY_S
        if not self._contexts or not is_due:
            return
        self._asked_at = self._at
        async with asyncio.TaskGroup() as group:
            for challenger, model in self.asked:
                group.create_task(self._ask(challenger, model))

    async def _ask(self, challenger: Challenger, model: BoundedRun) -> None:
        """Ask one of them."""
        try:
            rows = await model.run(_said, challenger, self._contexts, self._at)
        except ModelContractError as error:
            log.warning("challenger.failed", extra={"model": challenger.name, "reason": str(error)})
            self.telemetry.count(CHALLENGER_RUNS, challenger.predictor, "failed")
            return
        self.telemetry.count(CHALLENGER_RUNS, challenger.predictor, "done")
        self._compare(rows, challenger)

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
