"""Decision records: a bounded ring in memory, and lines to a file or to standard output.

Comes in: plans. Goes out: records, each with the digest of the one before, looked up by id or
filtered, and written as JSON; or, as text, lines for a person, which are fewer. A chain starts anew
with each start of the daemon, with an empty digest; among JSON lines stand checkpoints that count
its records. May not end the daemon: a full disk or a closed pipe is counted and told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from enum import StrEnum
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from spotvortex.core.decision.messages import Decision, Plan
from spotvortex.core.domain.types import Action
from spotvortex.core.record.checkpoint import EVERY_RECORDS, EVERY_S, Checkpoint
from spotvortex.core.record.record import DecisionRecord, is_worth_recording, record_of
from spotvortex.core.record.text_lines import Told, describe, tell
from spotvortex.errors import SettingsError

log = logging.getLogger(__name__)

CAPACITY: Final = 2_000
COMPLAINT_S: Final = 60.0
"""A writer that stays broken is logged this often."""

STDOUT_FD: Final = 1


class LineFormat(StrEnum):
    """What is written: each record as JSON, or for a person the decisions worth a line."""

    JSON = "json"
    TEXT = "text"


class LineSink(Protocol):
    """An unbuffered file: one `write` is one system call and may take less than it was given."""

    def write(self, data: bytes, /) -> int | None:
        """Write and return how many bytes were taken, None where nothing can be taken now."""
        ...


class JournalCounts(Protocol):
    """Who counts what the journal does."""

    def recorded(self, decision: Decision) -> None:
        """Count a recorded decision."""
        ...

    def unchanged(self, n: int) -> None:
        """Count decisions not worth a record."""
        ...

    def lost(self, n: int) -> None:
        """Count records that could not be written."""
        ...


def open_sink(path: Path | None) -> FileIO:
    """Open a file for appending, unbuffered, or standard output where there is no path.

    Raises:
        SettingsError: the file, or standard output, cannot be opened.
    """
    try:
        if path is None:
            return FileIO(STDOUT_FD, "wb", closefd=False)
        return FileIO(path, "ab")
    except OSError as error:
        what = "standard output" if path is None else f"SPOTVORTEX_DECISION_LOG={path}"
        fix = "; name a file in SPOTVORTEX_DECISION_LOG" if path is None else ""
        raise SettingsError(f"{what} cannot be opened: {error.strerror}{fix}") from error


class DecisionJournal:
    """Implements `ports.Journal`."""

    def __init__(
        self,
        *,
        code_version: str,
        counts: JournalCounts,
        sink: LineSink | None = None,
        line_format: LineFormat = LineFormat.JSON,
        capacity: int = CAPACITY,
    ) -> None:
        self._code_version = code_version
        self._counts = counts
        self._sink = sink
        self._format = line_format
        self._capacity = capacity
        self._ring: dict[str, DecisionRecord] = {}
        self._last: dict[str, Decision] = {}
        self._told: dict[str, Told] = {}
        self._digest = ""
        self._first = ""
        self._n_records = 0
        self._n_counted = 0
        self._counted_at: float | None = None
        self._torn = False
        self._complained_at: float | None = None

    async def append(self, plan: Plan) -> None:
        """Keep the decisions of a plan that changed, acted, or are due for their hourly record."""
        records: list[str] = []
        for decision in plan.decisions:
            if is_worth_recording(decision, self._last.get(decision.pool)):
                records.append(self._keep(decision))
                await asyncio.sleep(0)
        self._counts.unchanged(len(plan.decisions) - len(records))
        pools = {d.pool for d in plan.decisions}
        self._last = {pool: last for pool, last in self._last.items() if pool in pools}
        lines = records if self._format is LineFormat.JSON else self._tell(plan.decisions)
        self._write(lines, plan.at, self._due(plan.at))

    def _tell(self, decisions: Sequence[Decision]) -> list[str]:
        """Return the lines that a person has to read; the log has all that were recorded."""
        known, self._told = self._told, {}
        lines: list[str] = []
        for decision in decisions:
            tells, self._told[decision.pool] = tell(decision, known.get(decision.pool))
            if tells:
                lines.append(describe(decision))
            elif self._last[decision.pool] is decision and log.isEnabledFor(logging.DEBUG):
                log.debug("decision.not_told", extra={"line": describe(decision)})
        return lines

    def close(self, at: float) -> None:
        """Count for the last time, where anything was recorded; nothing is to come after it.

        Args:
            at: now, seconds since the epoch.
        """
        if self._n_records:
            self._write([], at, self._checkpoint(at, closed=True))

    def _due(self, at: float) -> str:
        """Return a checkpoint where one is due, else nothing."""
        if self._counted_at is None:
            self._counted_at = at
        n_new = self._n_records - self._n_counted
        is_due = n_new >= EVERY_RECORDS or at - self._counted_at >= EVERY_S
        return self._checkpoint(at, closed=False) if n_new and is_due else ""

    def _checkpoint(self, at: float, *, closed: bool) -> str:
        if self._format is not LineFormat.JSON:
            return ""
        self._n_counted, self._counted_at = self._n_records, at
        found = Checkpoint(
            checkpoint=self._n_records, start=self._first, last=self._digest, closed=closed
        )
        return f"{found.line(at)}\n"

    def _keep(self, decision: Decision) -> str:
        record = record_of(decision, self._digest, self._code_version)
        self._digest = record.digest
        self._first = self._first or record.digest
        self._n_records += 1
        self._last[decision.pool] = decision
        self._ring.pop(record.decision_id, None)
        self._ring[record.decision_id] = record
        if len(self._ring) > self._capacity:
            del self._ring[next(iter(self._ring))]
        self._counts.recorded(decision)
        return record.line

    def _write(self, lines: Sequence[str], at: float, checkpoint: str) -> None:
        """Write all lines in one call; a line that was torn before is ended first."""
        sink, text = self._sink, "".join(f"{line}\n" for line in lines) + checkpoint
        if sink is None or not text:
            return
        data = text.encode(errors="replace")
        start = b"\n" if self._torn else b""
        try:
            taken = sink.write(start + data) or 0
        except OSError as error:
            self._complain(len(lines), str(error), at)
            return
        written = (start + data)[:taken]
        if taken:
            self._torn = not written.endswith(b"\n")
        n_lost = len(lines) - written[len(start) :].count(b"\n")
        if n_lost > 0:
            self._complain(n_lost, "the writer took only a part", at)

    def _complain(self, n_lost: int, error: str, at: float) -> None:
        self._counts.lost(n_lost)
        if self._complained_at is None or at - self._complained_at >= COMPLAINT_S:
            self._complained_at = at
            log.error("journal.write_failed", extra={"n_lost": n_lost, "error": error})

    def get(self, decision_id: str) -> DecisionRecord | None:
        """Return the record of a decision, None where it is not, or no longer, in the ring."""
        return self._ring.get(decision_id)

    def find(
        self,
        *,
        pool: str | None = None,
        action: Action | None = None,
        since: float | None = None,
        limit: int = 100,
    ) -> tuple[DecisionRecord, ...]:
        """Return the newest records that match, newest first.

        Args:
            pool: only of this pool.
            action: only with this action.
            since: only of this time or later, in seconds since the epoch.
            limit: at most so many.
        """
        found = (
            record
            for record in reversed(self._ring.values())
            if pool in (None, record.pool)
            and action in (None, record.action)
            and (since is None or record.at >= since)
        )
        return tuple(islice(found, limit))
