"""A network asked beside the model that decides, and compared with it.

Comes in: what is known of each offering, and the scores that were decided on. Goes out: series and
a line of the log, every ten minutes. Nothing is decided by it: it is asked after the assessment has
been handed on, off the loop, and what fails or hangs is counted and dropped. May not change a
score.
"""

from __future__ import annotations

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
    """The challenger of a bundle.

    Attributes:
        challenger: the network.
        model: runs it off the loop, one run at a time.
        telemetry: where the series go.
    """

    challenger: Challenger
    model: BoundedRun
    telemetry: Telemetry
    _contexts: Sequence[OfferingContext] = ()
    _scores: Scores = field(default_factory=dict)
    _at: float = -math.inf
    _asked_at: float = -math.inf

    def note(self, contexts: Sequence[OfferingContext], scores: Scores, at: float) -> None:
        """Take note of what was decided on."""
        self._contexts, self._scores, self._at = contexts, scores, at

    async def ask(self) -> None:
        """Ask the challenger about what was noted last, where it is time to."""
        is_due = self._at - self._asked_at >= EVERY_S
        if not self._contexts or not is_due:
            return
        self._asked_at = self._at
        try:
            rows = await self.model.run(_asked, self.challenger, self._contexts)
        except ModelContractError as error:
            log.warning("challenger.failed", extra={"reason": str(error)})
            self.telemetry.count(CHALLENGER_RUNS, "failed")
            return
        self.telemetry.count(CHALLENGER_RUNS, "done")
        self._compare(rows, self.challenger.name)

    def _compare(self, rows: Matrix, name: str) -> None:
        """Set the capacity scores of both side by side."""
        pairs = [
            (float(row[0]), score.capacity_score)
            for context, row in zip(self._contexts, rows, strict=True)
            if (score := self._scores.get(context.offering)) is not None
            and score.capacity_score is not None
            and np.isfinite(row[0])
        ]
        for challenging, deciding in pairs:
            self.telemetry.measure(CHALLENGER_DIFFERENCE, abs(challenging - deciding))
        if pairs:
            said, decided = np.mean(pairs, axis=0).round(4).tolist()
            fields = {"model": name, "offerings": len(pairs)}
            log.debug("challenger.scored", extra={**fields, "mean": said, "mean_deciding": decided})


def _asked(challenger: Challenger, contexts: Sequence[OfferingContext]) -> Matrix:
    """Build the input and score it; blocking."""
    return challenger.score(challenger.tensor(contexts))
