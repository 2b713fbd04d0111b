"""A line between decision records that counts them.

Comes in: how many records a start of the daemon has written, the first and the last of them. Goes
out: a line of JSON that stands among the records of a log, and is read back. Records name the one
before, which shows a gap between two of them; the count shows a cut head, and a cut tail to whoever
keeps the count elsewhere. May not look at a record's content.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from spotvortex.core.record.codec import CodecError, decode, rfc3339

EVERY_RECORDS: Final = 100
"""Records after which a checkpoint is due at the latest."""

EVERY_S: Final = 3600.0
"""Seconds after which a checkpoint is due at the latest, if there was a record."""

_MARK: Final = '{"checkpoint":'


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log holds up to one point.

    Attributes:
        checkpoint: records since the start of the daemon.
        start: digest of the first of them, by which the start is known.
        last: digest of the last of them.
        closed: whether the daemon ended here, in order.
    """

    checkpoint: int
    start: str
    last: str
    closed: bool

    def line(self, at: float) -> str:
        """Write it down, without a line end.

        Args:
            at: seconds since the epoch, for people.
        """
        document = {
            "checkpoint": self.checkpoint,
            "start": self.start,
            "last": self.last,
            "closed": self.closed,
            "time": rfc3339(at),
        }
        return json.dumps(document, separators=(",", ":"))


def is_checkpoint(line: str) -> bool:
    """Tell a checkpoint from a record."""
    return line.startswith(_MARK)


def read_checkpoint(line: str) -> Checkpoint:
    """Read a checkpoint back.

    Raises:
        CodecError: the line is none.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CodecError(f"no JSON: {error}") from error
    if not isinstance(document, dict):
        raise CodecError("no checkpoint")
    return decode(Checkpoint, {n: v for n, v in document.items() if n != "time"})
