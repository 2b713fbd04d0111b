"""Whether the decisions of a log, made again, are the same.

Comes in: a decision log. Goes out: how many records were made again, and what did not
fit. May not mend anything.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from spotvortex.core.record.codec import CodecError
from spotvortex.core.record.replay import Replay, replay
from spotvortex.errors import RecordError
from spotvortex.report.explain.records import lines_of


@dataclass(slots=True, kw_only=True)
class ReplayTally:
    """What came of replaying a log.

    Attributes:
        n_records: records that were made again.
        n_starts: chains that begin anew, one for each start of the daemon.
        mismatches: numbers of the lines that came out otherwise.
        altered: numbers of those among them whose own digest does not hold.
        breaks: numbers of the lines whose predecessor is not the line before.
        versions: records by the code that made them.
    """

    n_records: int = 0
    n_starts: int = 0
    mismatches: list[int] = field(default_factory=list)
    altered: list[int] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)

    @property
    def is_whole(self) -> bool:
        """Tell whether every record came out the same and none is missing between two."""
        return not self.mismatches and not self.breaks

    def in_words(self, code_version: str) -> Iterator[str]:
        """Say it line by line, for whoever runs this version of the code."""
        yield f"{self.n_records} records, {self.n_starts} starts of the daemon"
        yield f"{len(self.mismatches)} mismatches{_at(self.mismatches)}"
        yield f"{len(self.altered)} altered since they were written{_at(self.altered)}"
        yield f"{len(self.breaks)} breaks of the chain{_at(self.breaks)}"
        others = {v: n for v, n in sorted(self.versions.items()) if v != code_version}
        told = "".join(f", {n} by {version}" for version, n in others.items())
        yield f"{sum(others.values())} made by other code than {code_version}{told}"


def _at(numbers: list[int]) -> str:
    if not numbers:
        return ""
    more = ", ..." if len(numbers) > 5 else ""
    return f" (line {', '.join(map(str, numbers[:5]))}{more})"


def replay_all(path: Path) -> ReplayTally:
    """Make every record of a log again.

    Raises:
        RecordError: the file cannot be read, or a line is no record; the text names the line.
    """
    tally = ReplayTally()
    last: str | None = None
    for number, line in enumerate(lines_of(path), 1):
        try:
            result = replay(line)
        except CodecError as error:
            raise RecordError(f"{path}:{number}: {error}") from error
        _count(tally, number, line, result)
        if result.previous not in ("", last) and last is not None:
            tally.breaks.append(number)
        last = result.digest
    return tally


def _count(tally: ReplayTally, number: int, line: str, result: Replay) -> None:
    tally.n_records += 1
    tally.n_starts += not result.previous
    tally.versions[result.code_version] += 1
    if result.same:
        return
    tally.mismatches.append(number)
    body = line.rpartition(',"digest":"')[0]
    if hashlib.sha256(f"{body}}}".encode()).hexdigest() != result.digest:
        tally.altered.append(number)
