"""One cycle of assessments: (memory, observation, scores, rules) -> (memory', assessment).

Comes in: an observation with what was remembered before it, then the scores of its offerings. Goes
out: the memory for the next cycle and an `Assessment`, each pool reduced to what its decision
reads. The same input gives the same output. May not run the model: who does is given `contexts`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace

from spotvortex.core.domain.cloud.signals import signals_about
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import Observation, PoolFacts
from spotvortex.core.domain.workloads import SurvivalDefault
from spotvortex.core.drain.hedge import NO_LAUNCHES, LaunchSpread, LaunchTimes, spread_of
from spotvortex.core.drain.hedge import learned as launches_learned
from spotvortex.core.drain.messages import InFlight
from spotvortex.core.drain.orders import in_flight
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.commitments.coverage import NOTHING_COVERED, Covered, covered_at
from spotvortex.core.pool.context import cycle_context
from spotvortex.core.pool.input import PoolInput
from spotvortex.core.pool.offerings import usable_in
from spotvortex.core.pool.owner_rules import PoolRules, with_settings
from spotvortex.core.pool.reduction import reduce_summary
from spotvortex.core.pool.summary import PoolSummary, summary_of
from spotvortex.core.pool.usage import usage_of
from spotvortex.core.scoring import interruption_memory, signals
from spotvortex.core.scoring.features import OfferingContext
from spotvortex.core.scoring.scores import Scores
from spotvortex.core.scoring.signals import RecommendationEnd, Recommendations, told_lost


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentMemory:
    """What lives from cycle to cycle.

    Attributes:
        interruptions: what the cluster's own losses say of each offering.
        signals: the rebalance recommendations that count.
        ended: those that the last observation has ended, with what followed.
        summaries: each pool's last summary, which only saves work.
        covered: what commitments covered at the last look, likewise.
        launches: by pool, how long nodes took that the controller has asked for.
    """

    interruptions: interruption_memory.Memory = interruption_memory.EMPTY_MEMORY
    signals: Recommendations = field(default_factory=dict)
    ended: tuple[RecommendationEnd, ...] = ()
    summaries: Mapping[str, PoolSummary] = field(default_factory=dict)
    covered: Covered = NOTHING_COVERED
    launches: Mapping[str, LaunchTimes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentRules:
    """What does not change while the daemon runs.

    Attributes:
        limits: the bounds of decisions.
        by_pool: what settings say of single pools.
        model_digest: names the bundle that scores.
    """

    limits: Limits
    by_pool: Mapping[str, PoolRules] = field(default_factory=dict)
    model_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unscored:
    """An observation taken into the memory, with what a model has to be asked.

    Attributes:
        observation: what was seen.
        memory: what is remembered, this observation included.
        in_flight: the orders that the cluster shows; their journals are read once a cycle, here.
        contexts: one entry an offering, in the offerings' order.
    """

    observation: Observation
    memory: AssessmentMemory
    in_flight: InFlight
    contexts: tuple[OfferingContext, ...]


Steps = Generator[str, None, tuple[AssessmentMemory, Assessment]]


def remember(memory: AssessmentMemory, observation: Observation) -> Unscored:
    """Take an observation into the memory, and tell what there is to score."""
    cluster, at = observation.cluster, observation.at
    flying = in_flight(cluster)
    told = flying.interrupted | told_lost(observation, memory.interruptions.interrupted)
    learned = interruption_memory.update(
        memory.interruptions, cluster, at, told, observation.market.launches
    )
    lost = (loss.node for loss in learned.lost)
    current, ended = signals.update(memory.signals, observation, lost)
    contexts = (
        interruption_memory.context(learned, offering, observation.market, at)
        for offering in usable_in(cluster)
    )
    return Unscored(
        observation=observation,
        memory=replace(
            memory,
            interruptions=learned,
            signals=current,
            ended=ended,
            launches=launches_learned(memory.launches, cluster),
        ),
        in_flight=flying,
        contexts=tuple(contexts),
    )


def assess_steps(unscored: Unscored, scores: Scores, rules: AssessmentRules) -> Steps:
    """Reduce every pool, pausing after each so that a loop can breathe."""
    observation, flying = unscored.observation, unscored.in_flight
    warned = signals.raised(scores, unscored.memory.signals, rules.limits.rebalance_risk_factor)
    covered = covered_at(observation, unscored.memory.covered)
    context = cycle_context(observation, warned, rules.limits, flying.uids, covered.coverage)
    context = replace(context, known={c.offering: c for c in unscored.contexts})
    summaries: dict[str, PoolSummary] = {}
    pools: list[PoolInput] = []
    for facts in sorted(observation.cluster.pools, key=lambda p: p.name):
        summary = _summary(facts, unscored.memory.summaries.get(facts.name), rules.limits.survival)
        summaries[facts.name] = summary
        found = reduce_summary(summary, context)
        pools.append(told(found, summary, observation, unscored.memory, rules.by_pool))
        yield facts.name
    assessment = Assessment(
        observation=observation,
        pools=tuple(pools),
        in_flight=flying,
        model_digest=rules.model_digest,
        calibration=unscored.memory.interruptions.calibration,
    )
    return replace(unscored.memory, summaries=summaries, covered=covered), assessment


def told(
    found: PoolInput,
    summary: PoolSummary,
    observation: Observation,
    memory: AssessmentMemory,
    by_pool: Mapping[str, PoolRules],
) -> PoolInput:
    """Add what is known of a pool beside prices and scores.

    What its nodes use, what AWS says of it, how its launches went, and what settings say of it; of
    two rules the more careful one counts.
    """
    offerings = (row.offering for row in found.offerings)
    return replace(
        found,
        usage=usage_of(summary.nodes, observation.usage),
        signals=signals_about(offerings, observation.market.signals, observation.at),
        launches=_launches(found, memory),
        rules=with_settings(found.rules, found.pool, by_pool),
    )


def _launches(pool: PoolInput, memory: AssessmentMemory) -> LaunchSpread:
    """Return what is known of the launches of a pool: how long they took, and how many failed."""
    known = memory.interruptions.offerings
    rows = (*pool.offerings, *pool.others)
    seen = [known[row.offering] for row in rows if row.offering in known]
    times = memory.launches.get(pool.pool, NO_LAUNCHES)
    return spread_of(times, sum(s.launches for s in seen), sum(s.refusals for s in seen))


def _summary(facts: PoolFacts, known: PoolSummary | None, default: SurvivalDefault) -> PoolSummary:
    """Return the last summary while the facts are the same object, else a new one."""
    same = known is not None and known.facts is facts
    return known if known is not None and same else summary_of(facts, known, default)
