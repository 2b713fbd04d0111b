"""A line of the log is one event, in a form that machines read, with the trace it belongs to."""

import json
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spotvortex.telemetry.logs import FieldsFormatter, JsonFormatter
from spotvortex.telemetry.tracing import Tracing

PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"=]*)(?: |$)')


def made(fields, event="reflector.listed", exc_info=None):
    record = logging.LogRecord("spotvortex", logging.INFO, "", 0, event, (), exc_info)
    record.created = 0.0
    record.__dict__.update(fields)
    return record


def read(line):
    """What a logfmt parser reads of the pairs of a line."""
    at, level, event, *rest = line.split(" ", 3)
    found, text = {}, rest[0] if rest else ""
    while text:
        pair = PAIR.match(text)
        assert pair, text
        value = pair[2]
        found[pair[1]] = json.loads(value) if value.startswith('"') else value
        text = text[pair.end() :]
    return (at, level, event), found


def test_a_line_is_time_level_event_and_fields():
    line = FieldsFormatter().format(made({"resource": "pods", "n": 12, "why": ""}))
    assert line == '1970-01-01T00:00:00Z INFO reflector.listed resource=pods n=12 why=""'


@given(st.dictionaries(st.from_regex("x[a-z_]{1,8}", fullmatch=True), st.text()))
def test_whatever_a_field_says_is_read_back_from_one_line(fields):
    line = FieldsFormatter().format(made(fields))
    assert read(line) == (("1970-01-01T00:00:00Z", "INFO", "reflector.listed"), fields)
    assert "\n" not in line


@given(
    st.dictionaries(
        st.from_regex("x[a-z_]{1,8}", fullmatch=True),
        st.text() | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False),
    )
)
def test_json_keeps_numbers_as_numbers(fields):
    found = json.loads(JsonFormatter().format(made(fields)))
    assert (found.pop("time"), found.pop("level"), found.pop("event")) == (
        "1970-01-01T00:00:00Z",
        "INFO",
        "reflector.listed",
    )
    assert found == {
        k: str(v) if v in (float("inf"), -float("inf")) else v for k, v in fields.items()
    }


@pytest.mark.parametrize("formatter", [FieldsFormatter(), JsonFormatter()])
def test_an_exception_stays_on_its_line(formatter):
    try:
        int("no")
    except ValueError as error:
        line = formatter.format(made({}, exc_info=(ValueError, error, error.__traceback__)))
    assert "\n" not in line
    assert "ValueError: invalid literal" in line


def test_every_line_within_a_span_says_its_trace():
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter)
    with tracing.span("cycle", "", None) as outer:
        _, found = read(FieldsFormatter().format(made({})))
        with tracing.span("decide", outer.traceparent, None):
            assert read(FieldsFormatter().format(made({})))[1] == found
    tracing.close()
    assert found["trace_id"] == outer.traceparent.split("-")[1]
    assert read(FieldsFormatter().format(made({})))[1] == {}
