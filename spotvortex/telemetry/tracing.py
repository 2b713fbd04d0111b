"""Traces: one a cycle, with a span for each decision.

Comes in: names, attributes and the W3C trace context of the messages. Goes out: spans to an OTLP
collector, only where an exporter is given. Without, every span is the same silent one and its
traceparent is empty. May not be installed globally.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from spotvortex.ports.null import NULL_SPAN
from spotvortex.ports.telemetry import AttributeValue, Span
from spotvortex.telemetry.logs import TRACE_ID

FLUSH_S: Final = 2.0

_CONVENTIONS: Final = {"node": "k8s.node.name"}
"""What the tasks call it, and what OpenTelemetry does."""

_CONTEXT = TraceContextTextMapPropagator()


class _LiveSpan:
    """A span that is exported."""

    def __init__(self, span: SdkSpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
            if context.is_valid
            else ""
        )

    def describe(self, attributes: Mapping[str, AttributeValue]) -> None:
        self._span.set_attributes(_named(attributes))

    def event(self, name: str, attributes: Mapping[str, AttributeValue]) -> None:
        self._span.add_event(name, _named(attributes))


class Tracing:
    """Makes spans; silent without an exporter."""

    def __init__(self, exporter: SpanExporter | None, *, version: str = "") -> None:
        self._provider: TracerProvider | None = None
        if exporter is None:
            return
        resource = _resource(version)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("spotvortex", version)

    @property
    def on(self) -> bool:
        """Tell whether spans are made at all."""
        return self._provider is not None

    @contextmanager
    def span(
        self, name: str, parent: str, attributes: Mapping[str, AttributeValue] | None
    ) -> Iterator[Span]:
        """Open a span below a traceparent; an empty or unreadable one starts a new trace."""
        if self._provider is None:
            yield NULL_SPAN
            return
        context = _CONTEXT.extract({"traceparent": parent}, context=Context())
        with self._tracer.start_as_current_span(
            name, context=context, attributes=_named(attributes or {})
        ) as span:
            token = TRACE_ID.set(f"{span.get_span_context().trace_id:032x}")
            try:
                yield _LiveSpan(span)
            finally:
                TRACE_ID.reset(token)

    def close(self) -> None:
        """Send what is left, for at most `FLUSH_S`; blocking, so called through a thread."""
        if self._provider is None:
            return
        # The provider's own shutdown takes no time-out and waits for an exporter that retries.
        last = threading.Thread(target=self._provider.shutdown, name="trace-flush", daemon=True)
        last.start()
        last.join(FLUSH_S)


def _resource(version: str) -> Resource:
    """Return who speaks: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` count before ours."""
    ours = Resource({"service.name": "spotvortex", "service.version": version})
    theirs = Resource.create()
    unnamed = str(theirs.attributes.get("service.name", "")).startswith("unknown_service")
    return theirs.merge(ours) if unnamed else ours.merge(theirs)


def _named(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Give attributes the names of OpenTelemetry's conventions, and others the product's prefix."""
    return {_CONVENTIONS.get(name, f"spotvortex.{name}"): v for name, v in attributes.items()}


def otlp_exporter(protocol: str) -> SpanExporter:
    """Return an OTLP exporter; it reads the other standard `OTEL_*` variables by itself.

    Args:
        protocol: one of `settings.load.OTLP_PROTOCOLS`.
    """
    if protocol != "grpc":
        return OTLPSpanExporter()
    # Only who asks for it pays for its import: a tenth of a second, and 15 MiB.
    from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc  # noqa: PLC0415

    return grpc.OTLPSpanExporter()


def trace_id_of(traceparent: str) -> str:
    """Return the trace id of a W3C trace context, "" where there is none."""
    return traceparent.split("-")[1] if traceparent else ""
