"""Capacity traces from files: what is good is read, what is bad is told with place and fix."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotvortex.core.domain.types import Offering
from spotvortex.errors import TraceError
from spotvortex.sim.market.capacity_trace import (
    HEADER,
    MAX_JSON_BYTES,
    Availability,
    read_availability,
    read_counts_csv,
)
from spotvortex.sim.market.counts import CapacityCounts
from tests.examples import examples

A = Offering(instance_type="m6i.large", zone="us-east-1a")
B = Offering(instance_type="c6i.2xlarge", zone="us-east-1b")
T0 = datetime(2026, 11, 20, 12, tzinfo=UTC)


def row(minutes, offering, count):
    stamp = (T0 + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{stamp},{offering.instance_type},{offering.zone},{count}\n"


GOOD = f"{HEADER}\n{row(0, A, 5)}"


def write(tmp_path, content, name="capacity.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def told_csv(tmp_path, content):
    with pytest.raises(TraceError) as caught:
        read_counts_csv(write(tmp_path, content))
    return str(caught.value)


def told_json(tmp_path, content):
    with pytest.raises(TraceError) as caught:
        read_availability(write(tmp_path, content, "trace.json"))
    return str(caught.value)


def test_counts_are_read_by_offering_whatever_their_order(tmp_path):
    rows = [row(0, A, 5), row(10, A, 5), row(20, A, 2), row(0, B, 7), "\n", row(1439, B, 0)]
    at = T0.timestamp()
    assert read_counts_csv(write(tmp_path, HEADER + "\r\n" + "".join(rows))) == {
        A: CapacityCounts(times=(at, at + 1200.0), values=(5, 2)),
        B: CapacityCounts(times=(at, at + 1439 * 60.0), values=(7, 0)),
    }


def test_times_with_fractions_and_a_written_out_utc_offset_are_read(tmp_path):
    text = f"{HEADER}\n2026-11-20T12:00:00.25+00:00,m6i.large,us-east-1a,5\n"
    marked = write(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert read_counts_csv(marked)[A].times == (T0.timestamp() + 0.25,)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2026-11-20T12:10:00Z,m6i.large,us-east-1a\n", "has 3 fields; give the four"),
        ("2026-11-20T12:10:00Z,m6i.large,us-east-1a,5,\n", "has 5 fields"),
        ("2026-11-20T12:10:00Z,m6i.large,us-east-1a,1", "cut off; fetch it again"),
        ("2026-11-20T12:10:00,m6i.large,us-east-1a,5\n", "give RFC 3339 such as 2026"),
        ("2026-11-20 12:10:00Z,m6i.large,us-east-1a,5\n", "give RFC 3339"),
        ("2026-13-20T12:10:00Z,m6i.large,us-east-1a,5\n", "give RFC 3339"),
        ("yesterday,m6i.large,us-east-1a,5\n", "timestamp is 'yesterday'"),
        ("2026-11-20T12:10:00+01:00,m6i.large,us-east-1a,5\n", "give it in UTC"),
        ("2026-11-20T12:10:00Z,m6i_large,us-east-1a,5\n", "'m6i_large', which is unknown"),
        ("2026-11-20T12:10:00Z,m6i.huge,us-east-1a,5\n", "give one such as m6i.large"),
        ("2026-11-20T12:10:00Z,,us-east-1a,5\n", "instance_type is ''"),
        ("2026-11-20T12:10:00Z,m6i.large,us-east-1,5\n", "give one such as us-east-1a"),
        ("2026-11-20T12:10:00Z,m6i.large,us-east-1a,-1\n", "count is '-1'; give the number"),
        ("2026-11-20T12:10:00Z,m6i.large,us-east-1a,5.0\n", "count is '5.0'"),
        ("2026-11-20T12:10:00Z,m6i.large,us-east-1a,\n", "count is ''"),
        ("2026-11-20T12:10:00Z,m6i.large,us-east-1a,1000001\n", "0 to 1000000"),
        ("2026-11-20T12:00:00Z,m6i.large,us-east-1a,5\n", "given twice for this time; keep one"),
        ("2026-11-20T11:59:00Z,m6i.large,us-east-1a,5\n", "back in time by 60 s; sort the file"),
        ("2026-11-21T12:10:00Z,m6i.large,us-east-1a,5\n", "no record for 24.2 hours; write one"),
        ("x" * 2000 + "\n", "longer than 1024 bytes; write one record a line"),
    ],
)
def test_a_bad_record_is_refused_with_line_and_fix(tmp_path, line, told):
    message = told_csv(tmp_path, GOOD + line)
    assert message.startswith("capacity.csv, line 3: ")
    assert told in message
    assert len(message) < 250


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 0: the file holds no record; write the line 'timestamp,"),
        (HEADER + "\n", "line 1: the file holds no record"),
        ("time,type,zone,n\n", "line 1: the first line is 'time,type,zone,n'; it must be"),
        (GOOD.encode() + b"\xff\xfe\n", "line 3: is not UTF-8"),
        (GOOD.encode("utf-16"), "line 1: is not UTF-8"),
    ],
)
def test_a_file_that_is_no_csv_of_counts_is_refused(tmp_path, content, told):
    assert told in told_csv(tmp_path, content)


def test_a_file_that_is_not_there_is_told(tmp_path):
    for read in (read_counts_csv, read_availability):
        for path in (tmp_path / "none", tmp_path, tmp_path / "a\0b"):
            with pytest.raises(TraceError, match="cannot be read"):
                read(path)


def trace(data, **metadata):
    return json.dumps({"metadata": {"gap_seconds": 300, **metadata}, "data": data, "prices": []})


def test_a_published_trace_becomes_counts_of_the_size_asked_for(tmp_path):
    path = write(tmp_path, trace([16, 16, 4, 0, 16], orientation="1=available"), "t.json")
    read = read_availability(path)
    assert read == Availability(step_s=300.0, values=(16, 16, 4, 0, 16))
    assert read.counts(1000.0, 20) == CapacityCounts(
        times=(1000.0, 1600.0, 1900.0, 2200.0), values=(20, 5, 0, 20)
    )
    assert Availability(step_s=300.0, values=(0, 0)).counts(0.0, 20).values == (0,)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: is no JSON"),
        (trace([1, 0])[:-20], "line 1: is no JSON"),
        ('{"metadata":\n{},\n"data": [1,,]}', "line 3: is no JSON"),
        (b"\xff\xfe{}", "cannot be read"),
        ("[" * 100_000, "nested too deep"),
        ("[]", "metadata.gap_seconds: is None; give the seconds"),
        ('{"metadata": {"gap_seconds": true}}', "gap_seconds: is True"),
        ('{"metadata": {"gap_seconds": NaN}}', "gap_seconds: is nan"),
        ('{"metadata": {"gap_seconds": 0.5}}', "gap_seconds: is 0.5"),
        (f'{{"metadata": {{"gap_seconds": 1{"0" * 400}}}}}', "gap_seconds: is 1000"),
        (trace([]), "data: is missing or empty"),
        (trace([1], orientation="0=available"), "not its inverted copy"),
        (trace([1, None, 1]), "data[1]: is None; give the number of nodes"),
        (trace([1, -1]), "data[1]: is -1"),
        (trace([1, True]), "data[1]: is True"),
        (trace([0.5]), "data[0]: is 0.5"),
        (trace([10**9]), "data[0]: is 1000000000"),
    ],
)
def test_a_bad_trace_is_refused_with_place_and_fix(tmp_path, content, told):
    message = told_json(tmp_path, content)
    assert "trace.json" in message
    assert told in message


def test_a_trace_beyond_all_bounds_is_refused_unread(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.raises(TraceError, match=r"huge\.json, line 1: is longer than"):
        read_availability(path)


def assert_read_or_told(read, path):
    message = path.name
    try:
        assert read(path)
    except TraceError as error:
        message = str(error)
    assert path.name in message


LINES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([HEADER.encode(), row(0, A, 1).encode(), row(5, A, 2).encode(), b"{}"]),
        st.builds(lambda *parts: ",".join(parts).encode(), *[st.text(max_size=30)] * 4),
    ),
    max_size=6,
).map(b"\n".join)
FUZZ = settings(examples(200), suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.one_of(st.binary(max_size=300), LINES, LINES.map(lambda b: HEADER.encode() + b"\n" + b)))
def test_any_bytes_give_counts_or_a_message(tmp_path, content):
    assert_read_or_told(read_counts_csv, write(tmp_path, content))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["metadata", "data", "gap_seconds"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@FUZZ
@given(st.one_of(st.binary(max_size=300), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_give_a_trace_or_a_message(tmp_path, content):
    assert_read_or_told(read_availability, write(tmp_path, content, "trace.json"))
