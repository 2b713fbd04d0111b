"""What the tasks report about themselves, as metrics and spans.

Comes in: the messages of the pipeline. Goes out: the same to `metrics`, `tracing`,
`trends` and the ledger.
May not decide what is recorded: that is the journal's matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager

from spotvortex.core.decision.messages import Decision, Plan, Verdict
from spotvortex.core.domain.observation import Observation
from spotvortex.core.drain.messages import DrainResult
from spotvortex.core.pool.assessment import Assessment
from spotvortex.ports.series import Counted, Measured
from spotvortex.ports.telemetry import AttributeValue, Span
from spotvortex.telemetry.ledger_book import LedgerBook
from spotvortex.telemetry.metrics import Metrics
from spotvortex.telemetry.tracing import Tracing
from spotvortex.telemetry.trends import Trends


class Hub:
    """Implements `ports.Telemetry`."""

    def __init__(
        self,
        metrics: Metrics,
        tracing: Tracing,
        trends: Trends | None = None,
        book: LedgerBook | None = None,
    ) -> None:
        self._metrics = metrics
        self._trends = trends
        self._book = book
        self._tracing = tracing

    def span(
        self, name: str, parent: str = "", attributes: Mapping[str, AttributeValue] | None = None
    ) -> AbstractContextManager[Span]:
        """Open a span below a traceparent, or a new trace where it is empty."""
        return self._tracing.span(name, parent, attributes)

    def seen(self, message: Observation | Assessment | DrainResult) -> None:
        """Take note of a message of the pipeline."""
        self._metrics.seen(message)
        if self._book is not None and isinstance(message, DrainResult):
            self._book.drained(message)

    def count(self, series: Counted, *labels: str, n: int = 1) -> None:
        """Count something that no message tells."""
        self._metrics.count(series, *labels, n=n)

    def measure(self, series: Measured, value: float, *labels: str) -> None:
        """Take note of one value."""
        self._metrics.measure(series, value, *labels)

    def decided(self, span: Span, decision: Decision) -> None:
        """Tell a decision on its span, with the gates as events."""
        if not self._tracing.on:
            return
        span.describe(_attributes(decision))
        for verdict in decision.verdicts:
            span.event(verdict.gate, _gate_attributes(verdict))

    async def planned(self, plan: Plan, seconds: float) -> None:
        """Take note of a plan: metrics, trends and the ledger, with a breath for the loop."""
        self._metrics.planned(plan, seconds)
        await asyncio.sleep(0)
        if self._trends is not None:
            self._trends.planned(plan)
        if self._book is not None:
            await self._book.planned(plan)

    def close(self) -> None:
        """Send the last spans; blocking for two seconds at most, so called through a thread."""
        self._tracing.close()


def _attributes(decision: Decision) -> dict[str, AttributeValue]:
    return {
        "decision_id": decision.decision_id,
        "pool": decision.pool,
        "mode": decision.mode.value,
        "action": decision.action.value,
        "reason": decision.reason,
        "proposal": decision.proposal.action.value,
        "n_nodes": decision.n_nodes,
        "current_ratio": decision.current_ratio,
        "target_ratio": decision.target_ratio,
        "confidence": decision.input.confidence,
    }


def _gate_attributes(verdict: Verdict) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
    }
    if verdict.limit is not None:
        attributes["limit"] = verdict.limit
    return attributes
