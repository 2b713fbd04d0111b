"""One trace a cycle, one span a decision, an event a gate; silence where tracing is off."""

import asyncio
import http.server
import io
import json
import threading
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spotvortex.core.decision.messages import Verdict
from spotvortex.core.domain.types import CapacityType, Mode, Outcome
from spotvortex.core.drain.messages import DrainEnd, DrainOrder, DrainResult
from spotvortex.core.pool.assessment import Assessment
from spotvortex.ports.series import CALLS, CHANNEL_REPLACED, LOOP_STALL, SHADOW_CALLS
from spotvortex.ports.telemetry import Telemetry
from spotvortex.telemetry.hub import Hub
from spotvortex.telemetry.metrics import Metrics
from spotvortex.telemetry.tracing import FLUSH_S, Tracing, otlp_exporter
from tests.telemetry.decisions import TRACEPARENT, decision, observation, plan


def hub(exporter: SpanExporter | None) -> tuple[Hub, Metrics]:
    metrics = Metrics(version="0.1.0", mode=Mode.SHADOW)
    return Hub(metrics, Tracing(exporter, version="0.1.0")), metrics


def test_a_cycle_is_one_trace_with_a_span_for_each_decision():
    memory = InMemorySpanExporter()
    made, _ = hub(memory)
    with made.span("cycle", attributes={"cycle": 7}) as root:
        traceparent = root.traceparent
    for pool in ("web", "batch"):
        with made.span("decide", traceparent) as span:
            made.decided(span, decision(pool=pool))
    made.close()
    cycle, web, batch = memory.get_finished_spans()
    assert (cycle.name, web.name, batch.name) == ("cycle", "decide", "decide")
    assert cycle.parent is None
    assert cycle.attributes["spotvortex.cycle"] == 7
    assert traceparent.split("-")[1] == f"{cycle.context.trace_id:032x}"
    assert web.context.trace_id == batch.context.trace_id == cycle.context.trace_id
    assert web.parent.span_id == batch.parent.span_id == cycle.context.span_id
    assert web.attributes["spotvortex.pool"] == "web"
    assert web.attributes["spotvortex.action"] == "HOLD"


def test_each_gate_is_an_event_with_its_limit():
    memory = InMemorySpanExporter()
    made, _ = hub(memory)
    bounded = Verdict(gate="budgets", outcome=Outcome.AT_MOST, reason="wave", limit=2)
    refused = Verdict(gate="fit", outcome=Outcome.REFUSE, reason="no room")
    with made.span("decide", TRACEPARENT) as one:
        made.decided(one, decision(verdicts=(bounded, refused)))
    made.close()
    (span,) = memory.get_finished_spans()
    assert [event.name for event in span.events] == ["budgets", "fit"]
    at_most, no = (dict(event.attributes) for event in span.events)
    assert at_most == {
        "spotvortex.outcome": "at-most",
        "spotvortex.reason": "wave",
        "spotvortex.limit": 2,
    }
    assert no == {"spotvortex.outcome": "refuse", "spotvortex.reason": "no room"}
    assert f"{span.context.trace_id:032x}" == TRACEPARENT.split("-")[1]


async def test_an_empty_parent_starts_a_new_trace_also_inside_another_span():
    memory = InMemorySpanExporter()
    made, _ = hub(memory)
    with made.span("outer") as outer:
        await asyncio.sleep(0)
        with made.span("inner") as inner:
            inner.event("seen", {"n": 1})
    with made.span("odd", parent="not a traceparent"):
        pass
    made.close()
    assert outer.traceparent.split("-")[1] != inner.traceparent.split("-")[1]
    assert all(span.parent is None for span in memory.get_finished_spans())


def test_a_node_has_the_name_that_every_backend_knows_it_by():
    memory = InMemorySpanExporter()
    made, _ = hub(memory)
    with made.span("drain", attributes={"node": "web-1", "to": "spot"}):
        pass
    made.close()
    (span,) = memory.get_finished_spans()
    assert dict(span.attributes) == {"k8s.node.name": "web-1", "spotvortex.to": "spot"}
    assert span.resource.attributes["service.name"] == "spotvortex"
    assert span.resource.attributes["service.version"] == "0.1.0"


def test_who_names_the_service_is_heard(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "spot-eu")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=prod")
    memory = InMemorySpanExporter()
    made, _ = hub(memory)
    with made.span("cycle"):
        pass
    made.close()
    (span,) = memory.get_finished_spans()
    assert span.resource.attributes["service.name"] == "spot-eu"
    assert span.resource.attributes["deployment.environment"] == "prod"


def test_an_error_is_told_by_the_span_and_goes_on():
    memory = InMemorySpanExporter()
    made, _ = hub(memory)
    with pytest.raises(ValueError, match="torn"), made.span("drain"):
        raise ValueError("torn")
    made.close()
    assert not memory.get_finished_spans()[0].status.is_ok


def test_without_an_exporter_there_is_no_trace_and_metrics_go_on():
    made, metrics = hub(None)
    with made.span("cycle") as span:
        span.event("seen", {})
        made.decided(span, decision())
        assert span.traceparent == ""
    asyncio.run(made.planned(plan(decision()), 0.1))
    made.close()
    assert b"spotvortex_cycles_total 1.0" in metrics.exposition()


def test_a_switched_off_sdk_leaves_no_traceparent(monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    made, _ = hub(InMemorySpanExporter())
    with made.span("cycle") as span:
        assert span.traceparent == ""
    made.close()


def test_spans_can_be_written_as_json_lines():
    out = io.StringIO()
    one_a_line = ConsoleSpanExporter(
        out=out, formatter=lambda span: f"{span.to_json(indent=None)}\n"
    )
    made, _ = hub(one_a_line)
    with made.span("cycle"):
        pass
    with made.span("drain"):
        pass
    made.close()
    assert [json.loads(line)["name"] for line in out.getvalue().splitlines()] == ["cycle", "drain"]


def test_the_hub_hands_every_message_on_to_the_metrics():
    made, metrics = hub(None)
    telemetry: Telemetry = made
    order = DrainOrder(
        plan_id="7-web",
        pool="web",
        node="n",
        uid="u",
        claim="",
        sides=(),
        to=CapacityType.SPOT,
        reason="r",
        deadline=0.0,
    )
    result = DrainResult(order=order, end=DrainEnd.DONE, reason="", at=0.0, n_calls=1, n_evicted=0)
    telemetry.seen(observation())
    telemetry.seen(Assessment(observation=observation(), pools=(), model_digest="d"))
    telemetry.seen(result)
    telemetry.count(SHADOW_CALLS, "DeletePlaceholders")
    telemetry.count(CALLS, "DeletePlaceholders", "Done")
    telemetry.count(CHANNEL_REPLACED, "plans", n=2)
    made.measure(LOOP_STALL, 0.2)
    text = metrics.exposition().decode()
    for line in (
        "spotvortex_observe_duration_seconds_count 1.0",
        'spotvortex_drains_total{end="recorded",mode="shadow"} 1.0',
        'spotvortex_shadow_calls_total{call="DeletePlaceholders"} 1.0',
        'spotvortex_calls_total{answer="Done",call="DeletePlaceholders"} 1.0',
        'spotvortex_channel_replaced_total{channel="plans"} 2.0',
        "spotvortex_event_loop_stall_seconds_count 1.0",
        "spotvortex_inference_latency_seconds_count 1.0",
    ):
        assert line in text


class Stuck(SpanExporter):
    """An exporter whose collector never answers."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def export(self, _spans) -> SpanExportResult:
        self.released.wait(30.0)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.released.set()


def test_closing_waits_no_longer_than_its_bound():
    stuck = Stuck()
    made, _ = hub(stuck)
    with made.span("cycle"):
        pass
    started = time.monotonic()
    made.close()
    # The collector keeps it for 30 s; a busy machine takes a while for what remains.
    assert FLUSH_S - 0.5 < time.monotonic() - started < FLUSH_S + 15.0
    stuck.released.set()


@pytest.fixture
def collector() -> Iterator[tuple[str, list[str]]]:
    """A collector over a real socket that keeps the paths and takes every span."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            paths.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()
        thread.join()


def test_spans_reach_a_collector_over_http(collector, monkeypatch):
    address, paths = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    made, _ = hub(otlp_exporter("http/protobuf"))
    with made.span("cycle"):
        pass
    made.close()
    assert paths == ["/v1/traces"]
