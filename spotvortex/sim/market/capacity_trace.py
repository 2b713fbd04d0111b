"""Recorded capacity, for replay.

Comes in: a file, either the project's CSV (`docs/capacity-trace.md`) or the JSON in which the
SkyPilot project publishes its availability traces (github.com/skypilot-org/spot-traces). Goes out:
counts over time, checked. May not repair a record: the first one that cannot be read ends the
reading, with file, place and fix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from spotvortex.core.domain.cloud.instance_types import generation_of, vcpus_of
from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.types import Offering
from spotvortex.errors import TraceError, in_words
from spotvortex.sim.market.counts import CapacityCounts, compressed

HEADER: Final = "timestamp,instance_type,zone,count"
MAX_RECORDS: Final = 5_000_000
MAX_LINE_BYTES: Final = 1024
MAX_JSON_BYTES: Final = 64 * 1024**2
MAX_COUNT: Final = 1_000_000
MAX_GAP_S: Final = 86_400.0
"""A recorder that is silent for longer was not running: the capacity then is unknown."""

_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_EXAMPLE: Final = "2026-11-20T12:00:00Z"


class _BadTraceError(Exception):
    """A fault in a trace, before its file and line are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Recorded counts of nodes.

    Attributes:
        counts: how many nodes the market had of each offering, over time.
        start_at: start of the span that all of them were recorded in, seconds since the epoch.
        end_at: end of that span, seconds since the epoch.
    """

    counts: Mapping[Offering, CapacityCounts]
    start_at: float
    end_at: float


def read_counts_csv(path: Path) -> dict[Offering, CapacityCounts]:
    """Read counts by offering from a CSV file; see `read_trace`."""
    return dict(read_trace(path).counts)


def read_trace(path: Path) -> Trace:
    """Read a trace from a CSV file.

    Args:
        path: a UTF-8 file with the columns of `HEADER`, times of each offering rising.

    Raises:
        TraceError: it cannot be read; the text names file, line and fix.
    """
    reader = _CsvReader()
    try:
        with path.open("rb") as file:
            for text in iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""):
                reader.take(text)
    except _BadTraceError as error:
        raise TraceError(f"{path.name}, line {reader.n_lines}: {error}") from error
    except UnicodeDecodeError as error:
        raise TraceError(
            f"{path.name}, line {reader.n_lines}: is not UTF-8 ({error.reason}); save the file as "
            "UTF-8 text."
        ) from error
    except (OSError, ValueError) as error:
        raise TraceError(
            f"{path}: cannot be read ({in_words(error)}); give the path of a file."
        ) from error
    if not reader.records:
        raise TraceError(
            f"{path.name}, line {reader.n_lines}: the file holds no record; write the line "
            f"{HEADER!r} and at least one record below it."
        )
    records = reader.records
    return Trace(
        counts={offering: compressed(*columns) for offering, columns in records.items()},
        start_at=max(times[0] for times, _ in records.values()),
        end_at=min(times[-1] for times, _ in records.values()),
    )


class _CsvReader:
    """Collects records; raises `_BadTraceError` at the first that is not what it should be."""

    def __init__(self) -> None:
        self.records: dict[Offering, tuple[list[float], list[int]]] = {}
        self.n_lines = 0

    def take(self, text: bytes) -> None:
        """Take one line; an empty one is skipped."""
        self.n_lines += 1
        if self.n_lines > MAX_RECORDS or len(text) > MAX_LINE_BYTES:
            raise _BadTraceError(
                f"is beyond {MAX_RECORDS} lines or longer than {MAX_LINE_BYTES} bytes; write one "
                "record a line, and split the file."
            )
        line = text.decode("utf-8-sig" if self.n_lines == 1 else "utf-8")
        if not line.endswith("\n"):
            raise _BadTraceError(
                "has no line end, so the file may have been cut off; fetch it again, or end its "
                "last line."
            )
        if self.n_lines == 1:
            _check_header(line.strip())
        elif line.strip():
            self._take_record(line.strip().split(","))

    def _take_record(self, fields: list[str]) -> None:
        if len(fields) != HEADER.count(",") + 1:
            raise _BadTraceError(f"has {len(fields)} fields; give the four of {HEADER!r}.")
        at = _time(fields[0])
        offering = _offering(fields[1], fields[2])
        times, values = self.records.setdefault(offering, ([], []))
        if times:
            _check_order(offering, times[-1], at)
        times.append(at)
        values.append(_count(fields[3]))


def _check_header(line: str) -> None:
    if line != HEADER:
        raise _BadTraceError(f"the first line is {_short(line)}; it must be {HEADER!r}.")


def _check_order(offering: Offering, before: float, at: float) -> None:
    if at == before:
        raise _BadTraceError(f"{offering} is given twice for this time; keep one record.")
    if at < before:
        raise _BadTraceError(
            f"{offering} goes back in time by {before - at:g} s; sort the file by timestamp."
        )
    if at - before > MAX_GAP_S:
        raise _BadTraceError(
            f"{offering} has no record for {(at - before) / 3600.0:.1f} hours; write one at least "
            "every 24 hours, also where nothing changed, or put what follows into another file."
        )


def _time(text: str) -> float:
    """Return seconds since the epoch."""
    try:
        parsed = datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        parsed = None
    if parsed is None:
        raise _BadTraceError(f"timestamp is {_short(text)}; give RFC 3339 such as {_EXAMPLE}.")
    if parsed.utcoffset() != timedelta(0):
        raise _BadTraceError(f"timestamp is {_short(text)}; give it in UTC, such as {_EXAMPLE}.")
    return parsed.timestamp()


def _offering(instance_type: str, zone: str) -> Offering:
    if not generation_of(instance_type) or not vcpus_of(instance_type):
        raise _BadTraceError(
            f"instance_type is {_short(instance_type)}, which is unknown; give one such as "
            "m6i.large."
        )
    if not region_of(zone):
        raise _BadTraceError(f"zone is {_short(zone)}; give one such as us-east-1a.")
    return Offering(instance_type=instance_type, zone=zone)


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", text) or int(text) > MAX_COUNT:
        raise _BadTraceError(
            f"count is {_short(text)}; give the number of nodes to be had, 0 to {MAX_COUNT}."
        )
    return int(text)


def _short(value: object) -> str:
    """Quote what was found, not more of it than fits a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """What a published trace holds: the number of nodes to be had at every step of a grid."""

    step_s: float
    values: tuple[int, ...]

    def counts(self, start_at: float, full: int) -> CapacityCounts:
        """Return the trace as counts that begin at a time, its highest number scaled to `full`."""
        highest = max(1, *self.values)
        times = [start_at + self.step_s * k for k in range(len(self.values))]
        return compressed(times, [round(full * value / highest) for value in self.values])


def read_availability(path: Path) -> Availability:
    """Read a published availability trace.

    Args:
        path: JSON with `metadata.gap_seconds`, and `data`, where 1 (or a number) means available.

    Raises:
        TraceError: it cannot be read; the text names file, place and fix.
    """
    try:
        return _availability(_json(path))
    except _BadTraceError as error:
        raise TraceError(f"{path.name}, {error}") from error
    except json.JSONDecodeError as error:
        raise TraceError(
            f"{path.name}, line {error.lineno}: is no JSON ({error.msg}); fetch the file again, "
            "it may have been cut off."
        ) from error
    except RecursionError as error:
        raise TraceError(f"{path.name}, line 1: is nested too deep; give a trace.") from error
    except (OSError, ValueError) as error:
        raise TraceError(
            f"{path}: cannot be read ({in_words(error)}); give the path of a JSON file in UTF-8."
        ) from error


def _json(path: Path) -> object:
    with path.open("rb") as file:
        text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise _BadTraceError(f"line 1: is longer than {MAX_JSON_BYTES} bytes; split the trace.")
    parsed: object = json.loads(text.decode("utf-8"))
    return parsed


def _availability(parsed: object) -> Availability:
    record = parsed if isinstance(parsed, dict) else {}
    metadata, data = record.get("metadata"), record.get("data")
    step_s = _step_s(metadata if isinstance(metadata, dict) else {})
    if not isinstance(data, list) or not data:
        raise _BadTraceError("data: is missing or empty; give a list of numbers.")
    if len(data) > MAX_RECORDS:
        raise _BadTraceError(f"data: has more than {MAX_RECORDS} values; split the trace.")
    return Availability(step_s=step_s, values=tuple(_values(data)))


def _step_s(metadata: Mapping[str, object]) -> float:
    """Return the seconds between two values; refuse the copies that are the wrong way round."""
    step_s = metadata.get("gap_seconds")
    if type(step_s) not in (int, float) or not 1.0 <= float(str(step_s)) <= MAX_GAP_S:
        raise _BadTraceError(
            f"metadata.gap_seconds: is {_short(step_s)}; give the seconds between two values, "
            f"1 to {MAX_GAP_S:g}."
        )
    orientation = metadata.get("orientation", "1=available")
    if orientation != "1=available":
        raise _BadTraceError(
            f"metadata.orientation: is {_short(orientation)}; give a trace in which 1 means "
            "available, not its inverted copy."
        )
    return float(str(step_s))


def _values(data: Iterable[object]) -> Iterable[int]:
    for place, value in enumerate(data):
        if type(value) is not int or not 0 <= value <= MAX_COUNT:
            raise _BadTraceError(
                f"data[{place}]: is {_short(value)}; give the number of nodes to be had, 0 to "
                f"{MAX_COUNT}, without gaps."
            )
        yield value
