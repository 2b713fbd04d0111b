"""The second task: scores.

Comes in: an `Observation`. Goes out: an `Assessment` with a score for every offering. Keeps what is
remembered from cycle to cycle, the interruption memory above all, and saves that. May not judge:
`core.pool.assess` does the work, `Scorer` asks the model.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import Observation
from spotvortex.core.domain.types import Predictor
from spotvortex.core.pool.assess import AssessmentMemory, AssessmentRules
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.core.scoring.calibration import live
from spotvortex.core.scoring.calibration.live import Prediction
from spotvortex.core.scoring.memory_join import joined
from spotvortex.core.scoring.signals import Followed
from spotvortex.pipeline.channels import ClosedError, Latest
from spotvortex.pipeline.health import Heartbeats
from spotvortex.pipeline.scorer import Scorer
from spotvortex.ports.null import NullMemoryStore, NullRecall
from spotvortex.ports.series import (
    CHANNEL_REPLACED,
    LAUNCHES,
    LOSSES,
    RECOMMENDATION_LEAD,
    RECOMMENDATIONS,
    REFUSALS,
)
from spotvortex.ports.telemetry import Telemetry
from spotvortex.ports.writing import MemoryStore, Recall

log = logging.getLogger(__name__)

SAVE_EVERY_S: Final = 60.0
"""Seconds of the observations' time between two savings of the memory."""


MAX_NAMED: Final = 10
"""Offerings that one line of the log names."""


@dataclass(slots=True, kw_only=True)
class Assessor:
    """The task that scores each observation.

    Attributes:
        scorer: asks the model.
        telemetry: where metrics go.
        heartbeats: where the task shows that it lives.
        store: where the memory is saved, once a minute and at the end.
        recall: what was remembered before, where it comes after the start.
        limits: bounds and thresholds of all pools.
        pool_rules: rules of pools that the settings state, by name.
        memory: the only thing that lives from cycle to cycle.
    """

    scorer: Scorer
    telemetry: Telemetry
    heartbeats: Heartbeats
    store: MemoryStore = field(default_factory=NullMemoryStore)
    recall: Recall = field(default_factory=NullRecall)
    limits: Limits = field(default_factory=Limits)
    pool_rules: Mapping[str, PoolRules] = field(default_factory=dict)
    memory: AssessmentMemory = field(default_factory=AssessmentMemory)
    _saved_at: float = -math.inf

    async def run(self, source: Latest[Observation], out: Latest[Assessment]) -> None:
        """Score until the source is closed, then close the channel."""
        self.memory = AssessmentMemory(interruptions=self.store.load())
        try:
            while True:
                observation = await source.get()
                with self.heartbeats.at_work("inference"):
                    replaced = out.put(await self.assess(observation))
                    await self._save(every_s=SAVE_EVERY_S)
                    if self.scorer.challenge is not None:
                        self._note(await self.scorer.challenge.ask())
                if replaced:
                    self.telemetry.count(CHANNEL_REPLACED, out.name, n=replaced)
        except ClosedError:
            await self._save(every_s=0.0)
        finally:
            out.close()

    async def _save(self, every_s: float) -> None:
        learned = self.memory.interruptions
        if not self.recall.is_settled:
            return
        if learned.at - self._saved_at < every_s:
            return
        self._saved_at = learned.at
        await self.scorer.offload(self.store.save, learned)

    def _remember_before(self, at: float) -> None:
        """Join what was remembered before this process began, when it comes."""
        known = self.memory.interruptions
        before = self.recall.recall(known)
        if before is None:
            return
        self.memory = replace(self.memory, interruptions=joined(known, before, at))
        log.info("memory.recalled", extra={"n_offerings": len(before.offerings)})

    def _note(self, predictions: Sequence[Prediction]) -> None:
        """Keep what was predicted until it is known what came of it."""
        known = self.memory.interruptions
        calibration = live.noted(known.calibration, predictions)
        self.memory = replace(self.memory, interruptions=replace(known, calibration=calibration))

    def _tell_drift(self, *, drifted_before: bool) -> None:
        """Say in the log that the graph has drifted, or is back."""
        if self.scorer.forecaster.decides is not Predictor.GRAPH:
            return
        drifted = self.memory.interruptions.calibration.drifted
        if drifted and not drifted_before:
            log.warning("model.drifted", extra={"stands_in": Predictor.MEMORY.value})
        elif drifted_before and not drifted:
            log.info("model.recovered")

    def _tell_losses(self) -> None:
        for loss in self.memory.interruptions.lost:
            self.telemetry.count(LOSSES, loss.evidence.value)
            fields = {"node": loss.node, "offering": str(loss.offering)}
            log.info("loss.learned", extra={**fields, "evidence": loss.evidence})
        launched, refused = self.memory.interruptions.launched, self.memory.interruptions.refused
        if launched:
            self.telemetry.count(LAUNCHES, n=launched)
        if refused:
            self.telemetry.count(REFUSALS, n=len(refused))
            named = " ".join(map(str, refused[:MAX_NAMED]))
            log.info("launch_failures.learned", extra={"n": len(refused), "offerings": named})

    def _tell_signals(self) -> None:
        for end in self.memory.ended:
            self.telemetry.count(RECOMMENDATIONS, end.followed.value)
            if end.followed is Followed.LOSS:
                self.telemetry.measure(RECOMMENDATION_LEAD, end.after_s)
            fields = {"node": end.signal.node, "offering": str(end.signal.offering)}
            what = {"followed": end.followed, "after_s": round(end.after_s, 1)}
            log.info("rebalance.followed", extra={**fields, **what})

    async def assess(self, observation: Observation) -> Assessment:
        """Score one observation and reduce it, pool by pool."""
        started = asyncio.get_running_loop().time()
        self._remember_before(observation.at)
        rules = AssessmentRules(
            limits=self.limits,
            by_pool=self.pool_rules,
            model_digest=self.scorer.forecaster.digest,
        )
        attributes = {"offerings": len(observation.cluster.offerings)}
        drifted_before = self.memory.interruptions.calibration.drifted
        with self.telemetry.span("assess", observation.traceparent, attributes):
            self.memory, assessed = await self.scorer.assess(self.memory, observation, rules)
        self._tell_losses()
        self._tell_signals()
        self._tell_drift(drifted_before=drifted_before)
        seconds = asyncio.get_running_loop().time() - started
        assessment = replace(assessed, seconds=seconds)
        self.telemetry.seen(assessment)
        return assessment
