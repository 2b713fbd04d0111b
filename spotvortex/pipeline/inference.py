"""The second task: scores.

Comes in: an `Observation`. Goes out: an `Assessment` with a score for every offering. Keeps the
interruption memory, which is one of the model's inputs. The model runs through `offload`, off the
loop; if it fails, there are no scores, and without scores nothing moves.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spotvortex.core import risk
from spotvortex.core.features import Matrix, OfferingContext, OfferingScore, build_matrix
from spotvortex.core.messages import Assessment
from spotvortex.core.observation import Observation
from spotvortex.core.types import Offering
from spotvortex.errors import ModelContractError
from spotvortex.pipeline.channels import ClosedError, Latest
from spotvortex.pipeline.collector import offerings_of
from spotvortex.pipeline.heartbeats import Heartbeats
from spotvortex.ports import Forecaster, Offload, Telemetry

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Inference:
    """Scores each observation. `memory` is the only thing that lives from cycle to cycle."""

    forecaster: Forecaster
    offload: Offload[Matrix]
    telemetry: Telemetry
    heartbeats: Heartbeats
    memory: risk.Memory = field(default=risk.EMPTY_MEMORY)

    async def run(self, source: Latest[Observation], out: Latest[Assessment]) -> None:
        """Score until the source is closed, then close the channel."""
        try:
            while True:
                observation = await source.get()
                with self.heartbeats.at_work("inference"):
                    replaced = out.put(await self.assess(observation))
                if replaced:
                    self.telemetry.replaced(out.name, replaced)
        except ClosedError:
            return
        finally:
            out.close()

    async def assess(self, observation: Observation) -> Assessment:
        """Score one observation."""
        started = asyncio.get_running_loop().time()
        now = observation.at
        self.memory = risk.update(self.memory, observation.cluster, now)
        offerings = offerings_of(observation.cluster)
        contexts = [risk.context(self.memory, o, observation.market, now) for o in offerings]
        with self.telemetry.span("assess", observation.traceparent, {"offerings": len(contexts)}):
            scores = await self._score(contexts)
        assessment = Assessment(
            observation=observation,
            scores=scores,
            model_digest=self.forecaster.digest,
            seconds=asyncio.get_running_loop().time() - started,
        )
        self.telemetry.assessed(assessment)
        return assessment

    async def _score(self, contexts: Sequence[OfferingContext]) -> Mapping[Offering, OfferingScore]:
        in_scope = [c for c in contexts if self.forecaster.scope.covers(c.offering.instance_type)]
        features = build_matrix(self.forecaster.feature_names, in_scope)
        try:
            rows = await self.offload(self.forecaster.score, features)
        except ModelContractError as error:
            log.warning("inference.failed", extra={"reason": str(error), "rows": len(in_scope)})
            rows = np.full((len(in_scope), 2), np.nan, dtype=np.float32)
        scored = {
            c.offering: self._in_scope(c, values, row)
            for c, values, row in zip(in_scope, features, rows, strict=True)
        }
        return {c.offering: scored.get(c.offering, out_of_scope(c)) for c in contexts}

    def _in_scope(self, context: OfferingContext, values: Matrix, row: Matrix) -> OfferingScore:
        ranges = self.forecaster.feature_ranges
        names = self.forecaster.feature_names
        return OfferingScore(
            offering=context.offering,
            capacity_score=_finite(row[0]),
            runtime_score=_finite(row[1]),
            in_scope=True,
            n_history=len(context.quote.history_usd_per_hour),
            in_range=all(
                _is_within(value, *ranges[name])
                for name, value in zip(names, values.tolist(), strict=True)
            ),
        )


def out_of_scope(context: OfferingContext) -> OfferingScore:
    """Build the score of an offering that the model knows nothing of."""
    return OfferingScore(
        offering=context.offering,
        capacity_score=None,
        runtime_score=None,
        in_scope=False,
        n_history=len(context.quote.history_usd_per_hour),
    )


def _is_within(value: float, low: float, high: float) -> bool:
    """Compare as float32, which the value was, so that both ends are included."""
    return float(np.float32(low)) <= value <= float(np.float32(high))


def _finite(value: float) -> float | None:
    """Six decimals are more than a probability here is worth, and they keep records short."""
    return round(float(value), 6) if math.isfinite(value) else None
