"""Scores of all offerings: by the interruption memory, or by a model that is asked off the loop.

Comes in: what is known of each offering, or reduced pools. Goes out: a score for every offering,
and the policy network's q-values. Where the memory decides, no model is asked on the way. Where a
model does, one that fails or hangs gives no scores, and without scores nothing moves. A thread
cannot be ended from outside: a late run goes on by itself, its result is dropped, and no second one
is started beside it. May not remember anything from cycle to cycle.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from spotvortex.core.decision.learned_policy import states_of, valued
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import Observation
from spotvortex.core.domain.types import Fallback, Offering, Predictor
from spotvortex.core.pool.assess import (
    AssessmentMemory,
    AssessmentRules,
    assess_steps,
    remember,
)
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.input import PoolInput
from spotvortex.core.scoring.features import Matrix, OfferingContext, OfferingScore
from spotvortex.core.scoring.scores import Scores, no_scores, remembered_scores, scores_of
from spotvortex.errors import ModelContractError
from spotvortex.pipeline.bounded_run import RUN_LIMIT_S, BoundedRun
from spotvortex.pipeline.challenge import Challenge
from spotvortex.ports.edges import Offload
from spotvortex.ports.model import Forecaster

log = logging.getLogger(__name__)

BREATH_EVERY: Final = 100
"""Offerings that the memory scores without a breath for the loop, in about 4 ms."""


@dataclass(slots=True, kw_only=True)
class Scorer:
    """Asks one bundle, one run at a time.

    Attributes:
        forecaster: the bundle.
        offload: runs a blocking function off the loop.
        run_limit_s: longest run that is waited for, in seconds.
        challenge: what asks whoever is asked beside, None where nobody is.
    """

    forecaster: Forecaster
    offload: Offload[Matrix]
    run_limit_s: float = RUN_LIMIT_S
    challenge: Challenge | None = None
    _model: BoundedRun = field(init=False)

    def __post_init__(self) -> None:
        self._model = BoundedRun(offload=self.offload, limit_s=self.run_limit_s)

    async def assess(
        self, memory: AssessmentMemory, observation: Observation, rules: AssessmentRules
    ) -> tuple[AssessmentMemory, Assessment]:
        """Score one observation and reduce it, with a breath for the loop after each pool."""
        unscored = remember(memory, observation)
        await asyncio.sleep(0)
        drifted = unscored.memory.interruptions.calibration.drifted
        scores = await self.scores(unscored.contexts, observation.at, drifted=drifted)
        if self.challenge is not None:
            self.challenge.note(unscored.contexts, scores, observation)
        steps = assess_steps(unscored, scores, rules)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                learned, assessment = end.value
                break
            await asyncio.sleep(0)
        pools = await self.valued(assessment.pools, rules.limits)
        return learned, replace(assessment, pools=pools)

    async def scores(
        self, contexts: Sequence[OfferingContext], at: float, *, drifted: bool = False
    ) -> Scores:
        """Score every offering that is in the bundle's scope; the others have no score.

        Args:
            contexts: every offering of the cluster.
            at: now, seconds since the epoch.
            drifted: past predictions say that the graph is not to be decided on.
        """
        if self.forecaster.decides is Predictor.MEMORY:
            return await self._remembered(contexts, Fallback.NONE)
        if drifted:
            return await self._remembered(contexts, Fallback.DRIFTED)
        asked = [c for c in contexts if self.forecaster.scope.covers(c.offering.instance_type)]
        tensor = self.forecaster.tensor(asked, at)
        try:
            rows = await self._model.run(self.forecaster.score, tensor)
        except ModelContractError as error:
            log.warning("inference.failed", extra={"reason": str(error), "rows": len(asked)})
            return no_scores(contexts, asked)
        return scores_of(contexts, asked, rows, self.forecaster.in_range(tensor).tolist())

    async def _remembered(self, contexts: Sequence[OfferingContext], fallback: Fallback) -> Scores:
        """Score by the memory alone, with a breath for the loop now and then."""
        found: dict[Offering, OfferingScore] = {}
        for begin in range(0, len(contexts), BREATH_EVERY):
            part = contexts[begin : begin + BREATH_EVERY]
            found.update(remembered_scores(part, self.forecaster.scope, fallback))
            await asyncio.sleep(0)
        return found

    async def valued(self, pools: tuple[PoolInput, ...], limits: Limits) -> tuple[PoolInput, ...]:
        """Add the policy network's q-values, where the bundle has one and it can be run."""
        if not self.forecaster.has_policy or not pools:
            return pools
        states = np.asarray(states_of(pools, limits), dtype=np.float32)
        try:
            rows = await self._model.run(self.forecaster.q_values, states)
        except ModelContractError as error:
            log.warning("inference.policy_failed", extra={"reason": str(error)})
            return pools
        return valued(pools, rows.tolist())
