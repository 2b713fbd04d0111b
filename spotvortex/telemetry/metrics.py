"""Every series that the daemon exposes: name, unit, help and a closed set of labels.

Comes in: the messages of the pipeline, and what the journal recorded. Goes out: the text
exposition. All series live in a registry of their own. Gauges of a pool, an offering or an input go
when it goes; an unknown figure has no series, never a zero. May not use names of pods or nodes as
labels.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, assert_never, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics_text

from spotvortex.core.decision.messages import Decision, Plan
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.observation import Observation
from spotvortex.core.domain.types import (
    CapacityType,
    GateName,
    Mode,
    Outcome,
    PolicyMode,
    ProposalReason,
    ProposalSource,
)
from spotvortex.core.drain.messages import DrainResult
from spotvortex.core.ledger.sums import PoolSums
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.cost import PoolCost, cost_of
from spotvortex.core.record.record import shown_risk
from spotvortex.ports.edges import Traffic
from spotvortex.ports.series import COUNTED, MEASURED, Counted, Measured
from spotvortex.ports.writing import NoticeTraffic
from spotvortex.telemetry.calibration import CalibrationGauges
from spotvortex.telemetry.collectors import (
    LiveGauge,
    NoticeSeries,
    SavingsSeries,
    TrafficSeries,
    WithoutCreated,
    own_registry,
)
from spotvortex.telemetry.standing import StandingGauges
from spotvortex.telemetry.tracing import trace_id_of

MAX_FAMILIES: Final = 50
"""Instance families that get a label value of their own; the rest count as "other"."""

# Seconds. Scoring and reducing take 1 ms for a few offerings and 0.1 s for hundreds; a model that
# needs seconds must still show.
_INFERENCE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# A whole cycle: a few ms in a small cluster; one that takes longer than its tick is too slow.
_CYCLE_S: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# A snapshot costs what has changed: nothing most of the time, everything the first time.
_OBSERVE_BUCKETS: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

_POLICIES: Final = tuple(ProposalSource(mode) for mode in PolicyMode)


class Metrics:
    """The registry with all series. `mode` separates what shadow only says from what was done."""

    def __init__(self, *, version: str, mode: Mode) -> None:
        self.registry = own_registry()
        self._version = version
        self._mode = mode.value
        self._families: set[str] = set()
        self._counted = {s: self._counter(s.name, s.text, *s.labels) for s in COUNTED}
        self._measured = {
            s: self._histogram(s.name, s.text, s.buckets, *s.labels) for s in MEASURED
        }
        self._declare_pools()
        self._declare_decisions()
        self._declare_policies()
        self._declare_machinery()
        self._build.show({(version, ""): 1.0})

    def _declare_pools(self) -> None:
        gauge = self._gauge
        self._standing = StandingGauges(gauge)
        self._capacity = gauge("capacity_score", "Mean P(launch fails or loss in 60 min).", "pool")
        self._runtime = gauge("runtime_score", "Mean P(interruption within 120 min).", "pool")
        self._confidence = gauge("confidence", "Confidence in the scores, 0..1.", "pool")
        self._current = gauge("spot_ratio_current", "Spot nodes / nodes of the pool.", "pool")
        self._target = gauge("spot_ratio_target", "Where the policy wants the ratio.", "pool")
        self._breaking = gauge(
            "unsafe_workloads", "Workloads of which one loss would take too much.", "pool"
        )
        self._paid_for = gauge("committed_nodes", "On-demand nodes paid for already.", "pool")
        self._recovery_risk = gauge(
            "recovery_risk", "How likely a loss is not made good in time, 0..1.", "pool"
        )
        self._hedge = gauge("hedge_ratio", "Most extra room at notices / what is lost.", "pool")
        self._safe_ratio = gauge(
            "safe_spot_ratio", "Spot share that the safety vector would allow, 0..1.", "pool"
        )
        self._cost = gauge(
            "cost_usd_per_hour", "Cost of the nodes, in USD per hour.", "pool", "capacity_type"
        )
        self._all_on_demand = gauge(
            "all_on_demand_usd_per_hour", "Cost of the same nodes, all on-demand.", "pool"
        )
        self._nodes = gauge("nodes", "Nodes by capacity type.", "pool", "capacity_type")
        self._savings = gauge(
            "potential_savings_hourly_usd", "Projected savings in USD per hour.", "pool"
        )
        self._spot_price = gauge(
            "spot_price_usd", "Spot price in USD per hour.", "instance_type", "zone"
        )
        self._on_demand_price = gauge(
            "ondemand_price_usd", "On-demand price in USD per hour.", "instance_type"
        )

    def _declare_decisions(self) -> None:
        counter = self._counter
        self._actions = counter("action_taken", "Recorded decisions.", "mode", "action")
        self._shifts = counter("shifted_nodes", "Nodes moved from Spot to Spot.", "mode", "reason")
        self._blocked = counter("guardrail_blocked", "Refusals in records.", "mode", "guardrail")
        self._unsupported = counter(
            "unsupported_instance_family", "Recorded decisions on such families.", "family"
        )
        self._records = counter("records", "Decisions recorded.")
        self._unchanged = counter("decisions_unchanged", "Decisions not worth recording.")
        self._write_errors = counter("journal_write_errors", "Records lost for a write error.")
        self._drains = counter("drains", "Drains by how they ended.", "mode", "end")
        self._not_evaluated = self._gauge(
            "guardrail_not_evaluated", "Pools in which the gate had no input.", "guardrail"
        )
        self._verdicts = counter(
            "gate_verdicts", "Answers of the gates, each cycle.", "mode", "gate", "outcome"
        )
        for gate in GateName:
            for outcome in Outcome:
                # From 0 on, so that the first answer shows in a rate.
                self._verdicts.labels(self._mode, gate, outcome.value)

    def _declare_policies(self) -> None:
        counter = self._counter
        self._sources = counter(
            "decision_source", "Recorded proposals.", "mode", "source", "action"
        )
        self._others = counter(
            "shadow_action_recommended", "Proposals that did not count.", "source", "action"
        )
        self._agreement = counter(
            "shadow_action_agreement", "Whether both policies agreed.", "agreement"
        )
        self._differences = counter(
            "shadow_action_delta",
            "What both policies proposed where they disagreed.",
            "deterministic_action",
            "rl_action",
        )
        self._savings_delta = self._gauge(
            "shadow_projected_savings_delta_hourly_usd",
            "What the proposal that did not count would save more, in USD per hour.",
            "pool",
        )

    def _declare_machinery(self) -> None:
        self._build = self._gauge("build_info", "Version and model digest.", "version", "model")
        self._calibrated = CalibrationGauges(self._gauge)
        self._input_age = self._gauge("input_age_seconds", "Age of an input.", "input")
        self._input_ok = self._gauge("input_ok", "1 where an input can be had.", "input")
        self._input_state = self._gauge("input_state", "1 for its state.", "input", "state")
        self._cycles = self._counter("cycles", "Cycles that made a plan.")
        self._inference = self._histogram(
            "inference_latency_seconds",
            "Time to score and reduce an observation.",
            _INFERENCE_BUCKETS,
        )
        self._reconcile = self._histogram(
            "reconcile_loop_duration_seconds", "From observation to plan.", _CYCLE_S
        )
        self._observe = self._histogram(
            "observe_duration_seconds", "Time to make an observation.", _OBSERVE_BUCKETS
        )

    def _gauge(self, name: str, text: str, *labels: str) -> LiveGauge:
        return LiveGauge(Gauge(f"spotvortex_{name}", text, labels, registry=self.registry))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"spotvortex_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"spotvortex_{name}", text, labels, registry=self.registry, buckets=buckets
        )

    def follow(self, traffic: Callable[[], Traffic]) -> None:
        """Show the counts that an edge keeps itself."""
        self.registry.register(TrafficSeries(traffic))

    def follow_notices(self, traffic: Callable[[], NoticeTraffic]) -> None:
        """Show the counts that a source of notices keeps itself."""
        self.registry.register(NoticeSeries(traffic))

    def follow_ledger(self, totals: Callable[[], Mapping[str, PoolSums]]) -> None:
        """Show what a ledger has counted by pool."""
        self.registry.register(SavingsSeries(totals))

    def exposition(self, *, open_metrics: bool = False) -> bytes:
        """Return every series as Prometheus text, or as OpenMetrics, which has exemplars."""
        found = WithoutCreated(self.registry)
        if open_metrics:
            text: bytes = open_metrics_text(cast(CollectorRegistry, found))  # type: ignore[no-untyped-call]
            return text
        return generate_latest(found)

    def count(self, series: Counted, *labels: str, n: int = 1) -> None:
        """Count what a task counts by itself."""
        counter = self._counted[series]
        (counter.labels(*labels) if series.labels else counter).inc(n)

    def measure(self, series: Measured, value: float, *labels: str) -> None:
        """Take note of a value that a task measures by itself."""
        histogram = self._measured[series]
        (histogram.labels(*labels) if series.labels else histogram).observe(value)

    def seen(self, message: Observation | Assessment | DrainResult) -> None:
        """Show what a message of the pipeline tells."""
        match message:
            case Observation():
                self.observed(message)
            case Assessment():
                self.assessed(message)
            case DrainResult():
                self.drained(message)
            case _ as never:
                assert_never(never)

    def observed(self, observation: Observation) -> None:
        """Show prices and inputs."""
        self._observe.observe(observation.seconds, _exemplar(observation))
        quotes = observation.market.quotes.values()
        self._spot_price.show(
            {(q.offering.instance_type, q.offering.zone): q.spot_usd_per_hour for q in quotes}
        )
        self._on_demand_price.show(
            {
                (q.offering.instance_type,): q.on_demand_usd_per_hour
                for q in quotes
                if q.on_demand_usd_per_hour is not None
            }
        )
        inputs = observation.inputs
        self._input_age.show({(i.name,): i.age_s for i in inputs})
        self._input_ok.show({(i.name,): float(i.state is InputState.OK) for i in inputs})
        self._input_state.show({(i.name, i.state.value): 1.0 for i in inputs})

    def assessed(self, assessment: Assessment) -> None:
        """Show the model in use and how long it took."""
        self._inference.observe(assessment.seconds, _exemplar(assessment.observation))
        self._build.show({(self._version, assessment.model_digest[:12]): 1.0})
        self._calibrated.show(assessment.calibration)

    def planned(self, plan: Plan, seconds: float) -> None:
        """Show the state of every pool of a plan; of two replicas only the one that leads does."""
        self._cycles.inc()
        self._reconcile.observe(seconds, _exemplar(plan.observation))
        speaks = self._standing.show(plan, Mode(self._mode))
        shown = plan.decisions if speaks else ()
        self._show_pools(shown)
        self._judged(plan.decisions)
        self._compared([d for d in shown if _has_second_opinion(d)])

    def _show_pools(self, decisions: Sequence[Decision]) -> None:
        pools = {(d.pool,): d for d in decisions}
        risks = {key: shown_risk(d.input) for key, d in pools.items()}
        self._capacity.show({key: risk.capacity for key, risk in risks.items()})
        self._runtime.show({key: risk.runtime for key, risk in risks.items()})
        self._confidence.show({key: d.input.confidence for key, d in pools.items()})
        self._current.show({key: d.current_ratio for key, d in pools.items()})
        self._target.show({key: d.target_ratio for key, d in pools.items()})
        vectors = {key: v for key, d in pools.items() if (v := d.input.vector) is not None}
        self._breaking.show({key: float(d.input.safety.n_breaking) for key, d in pools.items()})
        covers = {key: d.input.commitments for key, d in pools.items()}
        self._paid_for.show({k: c.n_covered if c.is_stated else None for k, c in covers.items()})
        self._recovery_risk.show({k: v.recovery_risk for k, v in vectors.items()})
        self._safe_ratio.show({k: v.safe_spot_ratio for k, v in vectors.items()})
        self._hedge.show({key: d.hedge_ratio for key, d in pools.items()})
        self._savings.show({key: d.savings_usd_per_hour for key, d in pools.items()})
        self._nodes.show(_nodes(decisions))
        costs = {key: cost_of(d.input) for key, d in pools.items()}
        self._cost.show(_costs(costs))
        self._all_on_demand.show(
            {key: c.all_on_demand_usd_per_hour for key, c in costs.items() if c.n_priced}
        )

    def _judged(self, decisions: Iterable[Decision]) -> None:
        """Count what every gate answered."""
        answers = Tally((d.mode, v.gate, v.outcome) for d in decisions for v in d.verdicts)
        silent: Tally[tuple[str, ...]] = Tally()
        for (mode, gate, outcome), n in answers.items():
            self._verdicts.labels(mode.value, gate, outcome.value).inc(n)
            if outcome is Outcome.NOT_EVALUATED:
                silent[gate,] += n
        self._not_evaluated.show(silent)

    def _compared(self, decisions: Sequence[Decision]) -> None:
        """Count how far the policy that decides and the other one agree."""
        self._savings_delta.show({(d.pool,): d.other_savings_delta_usd_per_hour for d in decisions})
        for decision in decisions:
            other = decision.other
            self._others.labels(other.source, other.action.value).inc()
            self._agreement.labels("same" if decision.agreed else "different").inc()
            if not decision.agreed:
                actions = {p.source: p.action for p in (decision.proposal, other)}
                self._differences.labels(*(actions[name].value for name in _POLICIES)).inc()

    def recorded(self, decision: Decision) -> None:
        """Count a decision that the journal keeps."""
        mode, action = decision.mode.value, decision.action.value
        self._records.inc()
        self._actions.labels(mode, action).inc()
        if decision.proposal.is_shift:
            self._shifts.labels(mode, decision.proposal.reason.value).inc(decision.n_nodes)
        self._sources.labels(mode, _source(decision), decision.proposal.action.value).inc()
        for gate in decision.refused_by:
            self._blocked.labels(mode, gate).inc()
        for family in decision.input.unsupported:
            self._unsupported.labels(self._family(family)).inc()

    def _family(self, family: str) -> str:
        if len(self._families) < MAX_FAMILIES:
            self._families.add(family)
        return family if family in self._families else "other"

    def unchanged(self, n: int) -> None:
        """Count decisions that are not worth a record."""
        self._unchanged.inc(n)

    def lost(self, n: int) -> None:
        """Count records that could not be written."""
        self._write_errors.inc(n)

    def drained(self, result: DrainResult) -> None:
        """Count a drain's end."""
        self._drains.labels(result.order.mode.value, result.told_as).inc()


def _exemplar(observation: Observation) -> dict[str, str] | None:
    """Name the trace of a cycle, where one is kept."""
    trace_id = trace_id_of(observation.traceparent)
    return {"trace_id": trace_id} if trace_id else None


def _nodes(decisions: Iterable[Decision]) -> dict[tuple[str, ...], float | None]:
    series: dict[tuple[str, ...], float | None] = {}
    for decision in decisions:
        data = decision.input
        series[decision.pool, CapacityType.SPOT.value] = data.n_spot
        series[decision.pool, CapacityType.ON_DEMAND.value] = data.n_on_demand
        series[decision.pool, CapacityType.RESERVED.value] = data.n_reserved
        series[decision.pool, CapacityType.UNKNOWN.value] = data.n_unknown
    return series


def _costs(costs: Mapping[tuple[str], PoolCost]) -> dict[tuple[str, ...], float | None]:
    """Return the cost of each pool by capacity type; none where no price is known."""
    series: dict[tuple[str, ...], float | None] = {}
    for (pool,), cost in costs.items():
        if cost.n_priced:
            series[pool, CapacityType.SPOT.value] = cost.spot_usd_per_hour
            series[pool, CapacityType.ON_DEMAND.value] = cost.on_demand_usd_per_hour
    return series


def _source(decision: Decision) -> str:
    proposal = decision.proposal
    return (
        proposal.reason if proposal.reason is ProposalReason.UNSUPPORTED_FAMILY else proposal.source
    )


def _has_second_opinion(decision: Decision) -> bool:
    """Tell whether both policies proposed something; a bundle may have no learned one."""
    both = decision.proposal, decision.other
    return {p.source for p in both} == set(_POLICIES) and ProposalReason.NO_Q_VALUES not in {
        p.reason for p in both
    }
