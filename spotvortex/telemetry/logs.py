"""The log: events with fields, one line each, on standard error.

Comes in: log records whose message is an event's name and whose `extra` are its fields. Goes out:
`2026-11-20T12:00:00Z INFO reflector.relisted resource=pods n=12`. May not change what is logged.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Final

_OWN: Final = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}


class FieldsFormatter(logging.Formatter):
    """Writes the fields of a record behind its event."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; an exception follows on lines of its own."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = {k: v for k, v in record.__dict__.items() if k not in _OWN}
        words = " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())
        line = f"{at} {record.levelname} {record.getMessage()} {words}".rstrip()
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(c.isspace() for c in text) else text


def set_up(level: str) -> None:
    """Send the log of this product, and warnings of libraries, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldsFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("spotvortex").setLevel(level)
