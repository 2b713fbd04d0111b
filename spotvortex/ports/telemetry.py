"""Where decisions, metrics and traces go, in the words of the pipeline.

Comes in: messages and values of the core. Goes out: nothing that the tasks read, but a traceparent
to hand on. May not import an edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from spotvortex.core.decision.messages import Decision, Plan
from spotvortex.core.domain.observation import (
    Observation,
)
from spotvortex.core.drain.messages import DrainResult
from spotvortex.core.pool.assessment import Assessment
from spotvortex.ports.series import Counted, Measured

AttributeValue = str | int | float | bool


class Journal(Protocol):
    """Where decision records go."""

    async def append(self, plan: Plan) -> None:
        """Keep the decisions of a plan that changed, acted, or are due for their hourly record.

        Yields to the loop now and then: a plan may have hundreds of decisions.
        """
        ...


class Span(Protocol):
    """One span of the cycle's trace."""

    @property
    def traceparent(self) -> str:
        """The W3C trace context to hand on, "" where tracing is off."""
        ...

    def describe(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add attributes that are known only once the span has begun."""
        ...

    def event(self, name: str, attributes: Mapping[str, AttributeValue]) -> None:
        """Add an event."""
        ...


class Telemetry(Protocol):
    """Metrics and traces, in the words of the pipeline; the implementation names the series."""

    def span(
        self, name: str, parent: str = "", attributes: Mapping[str, AttributeValue] | None = None
    ) -> AbstractContextManager[Span]:
        """Open a span below a traceparent, or a new trace where it is empty."""
        ...

    def seen(self, message: Observation | Assessment | DrainResult) -> None:
        """Take note of a message of the pipeline; what it shows is read off it."""
        ...

    def decided(self, span: Span, decision: Decision) -> None:
        """Tell a decision, and each gate's answer, on the span in which it was made."""
        ...

    async def planned(self, plan: Plan, seconds: float) -> None:
        """Take note of a plan and of how long its whole cycle took.

        Yields to the loop now and then: a plan may have hundreds of decisions.
        """
        ...

    def count(self, series: Counted, *labels: str, n: int = 1) -> None:
        """Count something that no message tells, with the values of the series' labels in order."""
        ...

    def measure(self, series: Measured, value: float, *labels: str) -> None:
        """Take note of one value, in the unit that the series names; labels as of `count`."""
        ...
