"""Whether a log of decisions holds every record that was written to it.

Comes in: its records and checkpoints, line by line, and what the reader knows of it from elsewhere.
Goes out: the lines at which records are missing, in words. May not read a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.record.checkpoint import Checkpoint
from spotvortex.errors import RecordError

_EXPECTED: Final = re.compile(r"(\d{1,15})(?::([0-9a-f]{8,64}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a log has to hold: so many records of one start, the last of them with this digest.

    Attributes:
        n_records: since that start; more may follow.
        digest: the first digits of the digest of record number `n_records`; "" for any, and then
            the start is the last one of the log.
    """

    n_records: int
    digest: str = ""


def read_expected(text: str) -> Expected:
    """Read `N` or `N:DIGEST`.

    Raises:
        RecordError: it is neither.
    """
    found = _EXPECTED.fullmatch(text)
    if found is None:
        raise RecordError(f"--expect {text}: give a count, or a count and a digest, N:DIGEST")
    return Expected(n_records=int(found[1]), digest=found[2] or "")


@dataclass(slots=True)
class _Start:
    """The records of one start of the daemon.

    Attributes:
        first: digest of its first record, "" where that is not in the log.
        n_before: records of it that are not in the log, None where nothing tells how many.
        n_seen: records of it in the log.
        matched_at: which of these has the expected digest, 0 for none.
        closed: whether its last line is the checkpoint of an orderly stop.
    """

    first: str = ""
    n_before: int | None = None
    n_seen: int = 0
    matched_at: int = 0
    closed: bool = False

    @property
    def n_records(self) -> int:
        return self.n_seen + (self.n_before or 0)


@dataclass(slots=True, kw_only=True)
class Chain:
    """The records of a log, each held against the one before, and against the counts between them.

    Attributes:
        after: digest of the record that comes before the log, "" where the log should be whole.
        expected: what the reader knows, None for nothing.
        n_starts: starts of the daemon whose first record is in the log.
        n_checkpoints: checkpoints in it.
        breaks: lines of records whose predecessor is not the record before.
        gaps: what else is missing, in words.
    """

    after: str = ""
    expected: Expected | None = None
    n_starts: int = 0
    n_checkpoints: int = 0
    breaks: list[int] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    _last: str | None = None
    _start: _Start = field(default_factory=_Start)
    _is_met: bool = False

    def record(self, line: int, previous: str, digest: str) -> None:
        """Take a record, the line of which has this number."""
        if not previous:
            self._end_start()
            self._start = _Start(first=digest, n_before=0)
            self.n_starts += 1
        elif self._last is None:
            self._begin_in_the_middle(line, previous)
        elif previous != self._last:
            self.breaks.append(line)
        self._last = digest
        self._start.closed = False
        self._start.n_seen += 1
        if self.expected and self.expected.digest and digest.startswith(self.expected.digest):
            self._start.matched_at = self._start.n_seen

    def checkpoint(self, line: int, found: Checkpoint) -> None:
        """Take a checkpoint, the line of which has this number."""
        self.n_checkpoints += 1
        start = self._start
        if self._last is None:
            self.gaps.append(
                f"line {line}: the log begins after {_records(found.checkpoint)} of its first start"
            )
            start.n_before = found.checkpoint
        elif start.first and found.start != start.first:
            self.gaps.append(
                f"line {line}: counts the records of another start than those before it"
            )
        elif start.n_before is None:
            start.n_before = found.checkpoint - start.n_seen
            if not self.after:
                self.gaps.append(
                    f"line {line}: {_records(start.n_before)} missing before the first"
                )
        elif found.checkpoint != start.n_records or found.last != self._last:
            n_missing = found.checkpoint - start.n_records
            self.gaps.append(
                f"line {line}: counts {_records(found.checkpoint)} since the start, "
                f"{start.n_records} are here, {n_missing} missing"
            )
            start.n_before += n_missing
        self._last = found.last
        start.closed = found.closed

    def end(self) -> None:
        """Take the end of the log, and hold it against what is expected."""
        self._end_start()
        wanted = self.expected
        if wanted is None or self._is_met:
            return
        if wanted.digest:
            self.gaps.append(
                f"expected record {wanted.n_records} with digest {wanted.digest}: not here"
            )
        elif self._start.n_records < wanted.n_records:
            n_missing = wanted.n_records - self._start.n_records
            self.gaps.append(
                f"expected {_records(wanted.n_records)} of the last start, "
                f"{self._start.n_records} are here: the last {n_missing} missing"
            )

    @property
    def is_closed(self) -> bool:
        """Whether the log ends with the checkpoint of an orderly stop."""
        return self._start.closed

    def _begin_in_the_middle(self, line: int, previous: str) -> None:
        if not self.after:
            self.gaps.append(
                f"line {line}: the log begins after record {previous[:12]}, which is not in it; if "
                "an older file ends with that record, name its digest with --after"
            )
        elif not previous.startswith(self.after):
            self.breaks.append(line)

    def _end_start(self) -> None:
        """Look whether the start that ends here is the expected one."""
        wanted, start = self.expected, self._start
        if wanted is not None and start.matched_at:
            at = start.matched_at + (start.n_before or 0)
            self._is_met |= start.n_before is None or at == wanted.n_records


def _records(n: int) -> str:
    return "1 record" if n == 1 else f"{n} records"
