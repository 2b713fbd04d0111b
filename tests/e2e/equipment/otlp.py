"""A receiver of OTLP over HTTP on loopback, so that traces are seen as a backend sees them."""

import threading
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """What a test reads of a span; times are nanoseconds since the epoch."""

    name: str
    trace_id: str
    parent_id: str
    span_id: str
    began_ns: int
    ended_ns: int
    events: tuple[str, ...]
    attributes: dict[str, str]


class TraceReceiver:
    """Collects spans; use it as a context manager."""

    def __init__(self) -> None:
        self.spans: list[SeenSpan] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(body, self.headers.get("Content-Encoding", ""))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="otlp")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: bytes, encoding: str) -> None:
        """Decode one export."""
        assert encoding in ("", "identity"), f"compressed spans ({encoding}) are not read here"
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [_seen(span) for span in scope.spans]

    def by_trace(self) -> dict[str, list[SeenSpan]]:
        """Group the spans by trace."""
        traces: dict[str, list[SeenSpan]] = defaultdict(list)
        for span in self.spans:
            traces[span.trace_id].append(span)
        return traces


def _seen(span) -> SeenSpan:
    return SeenSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        parent_id=span.parent_span_id.hex(),
        span_id=span.span_id.hex(),
        began_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        events=tuple(event.name for event in span.events),
        attributes={a.key: a.value.string_value for a in span.attributes},
    )
