"""Every series that we expose: name, unit, help and a closed set of labels.

Comes in: the messages of the road, and what the journal recorded. Goes out: the text exposition.
All series live in a registry of their own. Gauges of a pool, an offering or an input go when it
goes; an unknown figure has no series, never a zero. May not use names of pods or nodes as labels.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from spotvortex.core.calls import Call
from spotvortex.core.messages import Assessment, Decision, DrainResult, Plan
from spotvortex.core.observation import InputState, Observation
from spotvortex.core.record import shown_risk
from spotvortex.core.types import CapacityType, Mode, Outcome

MAX_FAMILIES: Final = 50
"""Instance families that get a label value of their own; the rest count as "other"."""

_INFERENCE_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_CYCLE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Series = Mapping[tuple[str, ...], float | None]
"""Values by label values; None where the figure is not known."""


class LiveGauge:
    """A gauge whose series are exactly those of the last `show`."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: frozenset[tuple[str, ...]] = frozenset()

    def show(self, series: Series) -> None:
        """Set these series and remove all others."""
        known = {labels: value for labels, value in series.items() if value is not None}
        for labels, value in known.items():
            self._gauge.labels(*labels).set(value)
        for labels in self._shown - known.keys():
            self._gauge.remove(*labels)
        self._shown = frozenset(known)


class _WithoutCreated:
    """A registry's families without the `_created` samples, which double the series for nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


class Metrics:
    """The registry with all series. `mode` separates what shadow only says from what was done."""

    def __init__(self, *, version: str, mode: Mode) -> None:
        self.registry = CollectorRegistry()
        self._version = version
        self._mode = mode.value
        self._families: set[str] = set()
        self._declare_pools()
        self._declare_decisions()
        self._declare_machinery()
        self._build.show({(version, ""): 1.0})

    def _declare_pools(self) -> None:
        gauge = self._gauge
        self._capacity = gauge("capacity_score", "Mean P(launch fails or loss in 60 min).", "pool")
        self._runtime = gauge("runtime_score", "Mean P(interruption within 120 min).", "pool")
        self._confidence = gauge("confidence", "Confidence in the scores, 0..1.", "pool")
        self._current = gauge("spot_ratio_current", "Spot nodes / nodes of the pool.", "pool")
        self._target = gauge("spot_ratio_target", "Where the policy wants the ratio.", "pool")
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
        self._blocked = counter(
            "guardrail_blocked", "Refusals in recorded decisions.", "mode", "guardrail"
        )
        self._sources = counter("decision_source", "Recorded proposals.", "source", "action")
        self._unsupported = counter(
            "unsupported_instance_family", "Recorded decisions on such families.", "family"
        )
        self._records = counter("records", "Decisions recorded.")
        self._unchanged = counter("decisions_unchanged", "Decisions not worth recording.")
        self._write_errors = counter("journal_write_errors", "Records lost for a write error.")
        self._drains = counter("drains", "Drains by how they ended.", "mode", "end")
        self._shadow_calls = counter("shadow_calls", "Requests recorded, not sent.", "call")
        self._not_evaluated = self._gauge(
            "guardrail_not_evaluated", "Pools in which the gate had no input.", "guardrail"
        )

    def _declare_machinery(self) -> None:
        self._build = self._gauge("build_info", "Version and model digest.", "version", "model")
        self._input_age = self._gauge("input_age_seconds", "Age of an input.", "input")
        self._input_ok = self._gauge("input_ok", "1 where an input can be had.", "input")
        self._cycles = self._counter("cycles", "Cycles that made a plan.")
        self._replaced = self._counter(
            "channel_replaced", "Messages that a newer one replaced unread.", "channel"
        )
        self._inference = self._histogram(
            "inference_latency_seconds", "Time to score an observation.", _INFERENCE_BUCKETS
        )
        self._reconcile = self._histogram(
            "reconcile_loop_duration_seconds", "From observation to plan.", _CYCLE_BUCKETS
        )
        self._observe = self._histogram(
            "observe_duration_seconds", "Time to make an observation.", _CYCLE_BUCKETS
        )
        self._stall = self._histogram(
            "event_loop_stall_seconds", "Lateness of the event loop.", _CYCLE_BUCKETS
        )

    def _gauge(self, name: str, text: str, *labels: str) -> LiveGauge:
        return LiveGauge(Gauge(f"spotvortex_{name}", text, labels, registry=self.registry))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"spotvortex_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"spotvortex_{name}", text, registry=self.registry, buckets=buckets)

    def exposition(self) -> bytes:
        """Return every series in the Prometheus text format."""
        return generate_latest(_WithoutCreated(self.registry))

    def observed(self, observation: Observation) -> None:
        """Show prices and inputs."""
        self._observe.observe(observation.seconds)
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

    def assessed(self, assessment: Assessment) -> None:
        """Show the model in use and how long it took."""
        self._inference.observe(assessment.seconds)
        self._build.show({(self._version, assessment.model_digest[:12]): 1.0})

    def planned(self, plan: Plan, seconds: float) -> None:
        """Show the state of every pool of a plan."""
        self._cycles.inc()
        self._reconcile.observe(seconds)
        pools = {(d.pool,): d for d in plan.decisions}
        risks = {key: shown_risk(d.input) for key, d in pools.items()}
        self._capacity.show({key: risk.capacity for key, risk in risks.items()})
        self._runtime.show({key: risk.runtime for key, risk in risks.items()})
        self._confidence.show({key: d.input.confidence for key, d in pools.items()})
        self._current.show({key: d.current_ratio for key, d in pools.items()})
        self._target.show({key: d.target_ratio for key, d in pools.items()})
        self._savings.show({key: d.savings_usd_per_hour for key, d in pools.items()})
        self._nodes.show(_nodes(plan.decisions))
        silent = Tally(
            verdict.gate
            for decision in plan.decisions
            for verdict in decision.verdicts
            if verdict.outcome is Outcome.NOT_EVALUATED
        )
        self._not_evaluated.show({(gate,): float(n) for gate, n in silent.items()})

    def recorded(self, decision: Decision) -> None:
        """Count a decision that the journal keeps."""
        mode, action = decision.mode.value, decision.action.value
        self._records.inc()
        self._actions.labels(mode, action).inc()
        self._sources.labels(_source(decision), decision.proposal.action.value).inc()
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
        self._drains.labels(self._mode, result.end.value).inc()

    def would_call(self, call: Call) -> None:
        """Count a request of shadow mode by its kind."""
        self._shadow_calls.labels(type(call).__name__).inc()

    def replaced(self, channel: str, n: int) -> None:
        """Count messages that were replaced unread."""
        self._replaced.labels(channel).inc(n)

    def stalled(self, seconds: float) -> None:
        """Take note of how late the event loop was."""
        self._stall.observe(seconds)


def _nodes(decisions: Iterable[Decision]) -> dict[tuple[str, ...], float | None]:
    series: dict[tuple[str, ...], float | None] = {}
    for decision in decisions:
        data = decision.input
        series[decision.pool, CapacityType.SPOT.value] = data.n_spot
        series[decision.pool, CapacityType.ON_DEMAND.value] = data.n_on_demand
        series[decision.pool, CapacityType.RESERVED.value] = data.n_reserved
        series[decision.pool, CapacityType.UNKNOWN.value] = data.n_unknown
    return series


def _source(decision: Decision) -> str:
    return (
        "unsupported_family"
        if decision.proposal.reason == "unsupported_family"
        else "deterministic"
    )
