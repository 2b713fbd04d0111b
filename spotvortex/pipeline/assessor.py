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
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from spotvortex.core.decision.economics import entry_economics
from spotvortex.core.decision.learned_policy import state_vector
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import Observation, PoolFacts
from spotvortex.core.domain.types import Offering
from spotvortex.core.drain.orders import in_flight
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.context import cycle_context
from spotvortex.core.pool.input import PoolInput
from spotvortex.core.pool.owner_rules import PoolRules, more_careful
from spotvortex.core.pool.reduction import reduce_summary
from spotvortex.core.pool.summary import PoolSummary, summary_of
from spotvortex.core.scoring import interruption_memory
from spotvortex.core.scoring.features import Matrix, OfferingContext, OfferingScore
from spotvortex.errors import ModelContractError
from spotvortex.pipeline.bounded_run import BoundedRun
from spotvortex.pipeline.channels import ClosedError, Latest
from spotvortex.pipeline.health import Heartbeats
from spotvortex.ports.edges import Offload
from spotvortex.ports.model import Forecaster
from spotvortex.ports.telemetry import Telemetry
from spotvortex.ports.writing import MemoryStore

log = logging.getLogger(__name__)

SAVE_EVERY_S: Final = 60.0
"""Seconds of the observations' time between two savings of the memory."""

RUN_LIMIT_S: Final = 5.0
"""Longest run of the model that is waited for, in seconds; 500 offerings take well under 0.1."""


@dataclass(slots=True, kw_only=True)
class Assessor:
    """Scores each observation. `memory` is the only thing that lives from cycle to cycle.

    It is saved to `store`, where there is one, once a minute and at the end.
    """

    forecaster: Forecaster
    offload: Offload[Matrix]
    telemetry: Telemetry
    heartbeats: Heartbeats
    store: MemoryStore | None = None
    limits: Limits = field(default_factory=Limits)
    pool_rules: Mapping[str, PoolRules] = field(default_factory=dict)
    memory: interruption_memory.Memory = field(default=interruption_memory.EMPTY_MEMORY)
    run_limit_s: float = RUN_LIMIT_S
    _saved_at: float = -math.inf
    _shapes: Mapping[str, PoolSummary] = field(default_factory=dict)
    _model: BoundedRun = field(init=False)

    def __post_init__(self) -> None:
        self._model = BoundedRun(offload=self.offload, limit_s=self.run_limit_s)

    async def run(self, source: Latest[Observation], out: Latest[Assessment]) -> None:
        """Score until the source is closed, then close the channel."""
        if self.store is not None:
            self.memory = self.store.load()
        try:
            while True:
                observation = await source.get()
                with self.heartbeats.at_work("inference"):
                    replaced = out.put(await self.assess(observation))
                    await self._save(every_s=SAVE_EVERY_S)
                if replaced:
                    self.telemetry.replaced(out.name, replaced)
        except ClosedError:
            await self._save(every_s=0.0)
        finally:
            out.close()

    async def _save(self, every_s: float) -> None:
        if self.store is None or self.memory.at - self._saved_at < every_s:
            return
        self._saved_at = self.memory.at
        await self.offload(self.store.save, self.memory)

    async def assess(self, observation: Observation) -> Assessment:
        """Score one observation and reduce it, pool by pool."""
        started = asyncio.get_running_loop().time()
        now = observation.at
        self.memory = interruption_memory.update(self.memory, observation.cluster, now)
        offerings = observation.cluster.offerings
        contexts = [
            interruption_memory.context(self.memory, o, observation.market, now) for o in offerings
        ]
        with self.telemetry.span("assess", observation.traceparent, {"offerings": len(contexts)}):
            scores = await self._score(contexts, now)
        flying = in_flight(observation.cluster)
        assessment = Assessment(
            observation=observation,
            pools=await self._valued(await self._reduce(observation, scores, flying.uids)),
            in_flight=flying,
            model_digest=self.forecaster.digest,
            seconds=asyncio.get_running_loop().time() - started,
        )
        self.telemetry.assessed(assessment)
        return assessment

    async def _reduce(
        self,
        observation: Observation,
        scores: Mapping[Offering, OfferingScore],
        in_flight_uids: frozenset[str],
    ) -> tuple[PoolInput, ...]:
        """Reduce every pool, with a breath for the loop after each."""
        sight = cycle_context(observation, scores, self.limits.max_input_age_s, in_flight_uids)
        shapes: dict[str, PoolSummary] = {}
        pools: list[PoolInput] = []
        for facts in sorted(observation.cluster.pools, key=lambda p: p.name):
            shape = shapes[facts.name] = self._shape(facts)
            pools.append(self._ruled(reduce_summary(shape, sight)))
            await asyncio.sleep(0)
        self._shapes = shapes
        return tuple(pools)

    def _ruled(self, pool: PoolInput) -> PoolInput:
        """Add what settings say of this pool; of two rules the more careful one counts."""
        said = self.pool_rules.get(pool.pool)
        return pool if said is None else replace(pool, rules=more_careful(pool.rules, said))

    def _shape(self, facts: PoolFacts) -> PoolSummary:
        """Return the last shape while the facts are the same object, else a new one."""
        known = self._shapes.get(facts.name)
        return known if known is not None and known.facts is facts else summary_of(facts, known)

    async def _valued(self, pools: tuple[PoolInput, ...]) -> tuple[PoolInput, ...]:
        """Add the policy network's q-values, where the bundle has one and it can be run."""
        if not self.forecaster.has_policy or not pools:
            return pools
        economics = (entry_economics(pool, self.limits) for pool in pools)
        states = [state_vector(p, e) for p, e in zip(pools, economics, strict=True)]
        try:
            rows = await self._model.run(
                self.forecaster.q_values, np.asarray(states, dtype=np.float32)
            )
        except ModelContractError as error:
            log.warning("inference.policy_failed", extra={"reason": str(error)})
            return pools
        return tuple(
            replace(pool, q_values=tuple(round(float(value), 6) for value in row))
            for pool, row in zip(pools, rows, strict=True)
        )

    async def _score(
        self, contexts: Sequence[OfferingContext], at: float
    ) -> Mapping[Offering, OfferingScore]:
        in_scope = [c for c in contexts if self.forecaster.scope.covers(c.offering.instance_type)]
        tensor = self.forecaster.tensor(in_scope, at)
        try:
            rows = await self._model.run(self.forecaster.score, tensor)
        except ModelContractError as error:
            log.warning("inference.failed", extra={"reason": str(error), "rows": len(in_scope)})
            return {c.offering: unscored(c, in_scope=c in in_scope) for c in contexts}
        inside = self.forecaster.in_range(tensor).tolist()
        scored = {
            c.offering: model_score(c, row, in_range=known)
            for c, row, known in zip(in_scope, rows, inside, strict=True)
        }
        return {c.offering: scored.get(c.offering) or unscored(c, in_scope=False) for c in contexts}


def model_score(context: OfferingContext, row: Matrix, *, in_range: bool) -> OfferingScore:
    """Build a score from the model's row, `float32[2]`; the memory answers where it abstains."""
    if not np.isfinite(row).all():
        return interruption_memory.remembered_score(context)
    return OfferingScore(
        offering=context.offering,
        capacity_score=float(row[0]),
        runtime_score=float(row[1]),
        in_scope=True,
        n_history=len(context.quote.history_usd_per_hour),
        in_range=in_range,
    )


def unscored(context: OfferingContext, *, in_scope: bool) -> OfferingScore:
    """Build the entry of an offering without a score, which nothing moves on."""
    return OfferingScore(
        offering=context.offering,
        capacity_score=None,
        runtime_score=None,
        in_scope=in_scope,
        n_history=len(context.quote.history_usd_per_hour),
    )
