"""Traces over both protocols of OTLP, and the trace of a cycle beside its figures."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.types import Mode
from spotvortex.pipeline.health import Heartbeats, Readiness
from spotvortex.pipeline.router import Router
from spotvortex.telemetry.hub import Hub
from spotvortex.telemetry.metrics import Metrics
from spotvortex.telemetry.tracing import Tracing, otlp_exporter, trace_id_of
from tests.core.builders import assessment, capped, pool
from tests.core.builders import observation as scene
from tests.e2e.equipment.otlp import TraceReceiver
from tests.pipeline.world import MemoryAnnouncer, MemoryJournal, StillCluster
from tests.telemetry.decisions import observation


class Collector(TraceServiceServicer):
    """Keeps the names of the spans that it is sent."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def Export(self, request, _context):  # noqa: N802
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.names += [span.name for span in scope.spans]
        return ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[str, Collector]]:
    """A collector over gRPC on loopback."""
    server, service = grpc.server(ThreadPoolExecutor(1)), Collector()
    add_TraceServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}", service
    server.stop(0).wait()


def test_spans_reach_a_collector_over_grpc(collector, monkeypatch):
    address, service = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    tracing = Tracing(otlp_exporter("grpc"))
    with tracing.span("cycle", "", {"cycle": 1}):
        pass
    tracing.close()
    assert service.names == ["cycle"]


class Clocked(Hub):
    """Keeps when a plan was made, in nanoseconds since the epoch."""

    planned_ns = 0

    async def planned(self, plan, seconds):
        self.planned_ns = time.time_ns()
        await super().planned(plan, seconds)


def quickest_ns(basis) -> int:
    """The least time that a decision on it takes."""

    def took() -> int:
        began_ns = time.perf_counter_ns()
        decide(basis)
        return time.perf_counter_ns() - began_ns

    return min(took() for _ in range(20))


def test_the_span_of_a_decision_lasts_as_long_as_the_decision(monkeypatch):
    with TraceReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        hub = Clocked(Metrics(version="0", mode=Mode.SHADOW), Tracing(otlp_exporter("http")))
        router = Router(
            limits=capped(),
            journal=MemoryJournal(),
            status=Readiness(cluster=StillCluster(), max_input_age_s=60.0),
            telemetry=hub,
            heartbeats=Heartbeats({"router": 60.0}),
            announcer=MemoryAnnouncer(),
        )
        began_ns = time.time_ns()
        plan = asyncio.run(router.decide(assessment(scene(pool("web"), pool("api"), pool("jobs")))))
        hub.close()
    bases = {decision.pool: decision.basis for decision in plan.decisions}
    spans = sorted(receiver.spans, key=lambda span: span.began_ns)
    assert {span.attributes["spotvortex.pool"] for span in spans} == set(bases)
    for span, then in pairwise(spans):
        assert span.ended_ns <= then.began_ns
    assert began_ns <= spans[0].began_ns
    assert spans[-1].ended_ns <= hub.planned_ns
    for span in spans:
        least_ns = quickest_ns(bases[span.attributes["spotvortex.pool"]]) / 2
        assert span.ended_ns - span.began_ns >= least_ns


def test_a_figure_of_a_cycle_names_its_trace_to_who_reads_open_metrics():
    metrics = Metrics(version="0", mode=Mode.SHADOW)
    hub = Hub(metrics, Tracing(InMemorySpanExporter()))
    with hub.span("cycle") as span:
        hub.seen(observation(traceparent=span.traceparent, seconds=0.02))
    families = text_string_to_metric_families(metrics.exposition(open_metrics=True).decode())
    exemplars = [
        (sample.name, sample.exemplar.labels, sample.exemplar.value)
        for family in families
        for sample in family.samples
        if sample.exemplar
    ]
    (found,) = exemplars
    assert found == (
        "spotvortex_observe_duration_seconds_bucket",
        {"trace_id": trace_id_of(span.traceparent)},
        0.02,
    )
    assert b"trace_id" not in metrics.exposition()


def test_without_traces_no_figure_has_an_exemplar():
    metrics = Metrics(version="0", mode=Mode.SHADOW)
    Hub(metrics, Tracing(None)).seen(observation(traceparent=""))
    assert b"trace_id" not in metrics.exposition(open_metrics=True)
    assert trace_id_of("") == ""
