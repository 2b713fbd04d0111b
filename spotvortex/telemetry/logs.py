"""The log: events with fields, one line each, on standard error.

Comes in: log records whose message is an event's name and whose `extra` are its fields. Goes out:
`2026-11-20T12:00:00Z INFO reflector.relisted resource=pods n=12`, or the same as one JSON object,
with the id of the trace that the line belongs to. May not change what is logged.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal

Form = Literal["logfmt", "json"]

TRACE_ID: Final[ContextVar[str]] = ContextVar("TRACE_ID", default="")
"""Id of the trace that the running task works for, "" where there is none."""

_OWN: Final = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}
_BARE: Final = frozenset("-_.:/@+%#,;~^$&!?*()[]{}<>|")
"""What may stand in a value without quotes, beside letters and digits."""


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a record, its trace and its exception last."""
    fields = {k: v for k, v in record.__dict__.items() if k not in _OWN}
    if TRACE_ID.get():
        fields["trace_id"] = TRACE_ID.get()
    if record.exc_info:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class FieldsFormatter(logging.Formatter):
    """Writes the fields of a record behind its event, as logfmt has them."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record as one line."""
        words = (f"{name}={_quoted(value)}" for name, value in _fields(record).items())
        event = " ".join(record.getMessage().split())
        return " ".join((_time(record), record.levelname, event, *words))


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object; numbers stay numbers."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record as one line."""
        own = {"time": _time(record), "level": record.levelname, "event": record.getMessage()}
        fields = {name: _plain(value) for name, value in _fields(record).items()}
        return json.dumps(fields | own, ensure_ascii=False, allow_nan=False)


def _quoted(value: object) -> str:
    """Quote a value as logfmt has it: double quotes, with what ends a line or a quote escaped."""
    text = str(value)
    if text and all(c.isalnum() or c in _BARE for c in text):
        return text
    return json.dumps(text, ensure_ascii=False)


def _plain(value: object) -> object:
    """Return what JSON has a word for as it is, anything else as its text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or type(value) in (bool, int, float) else str(value)


def set_up(level: str, form: Form = "logfmt") -> None:
    """Send the log of this product, and warnings of libraries, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else FieldsFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("spotvortex").setLevel(level)
