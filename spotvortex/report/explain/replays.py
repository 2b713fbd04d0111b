"""Whether the decisions of a log, made again, are the same.

Comes in: a decision log. Goes out: how many records were made again, what did not fit and what is
missing. May not mend anything.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spotvortex.core.record.checkpoint import is_checkpoint, read_checkpoint
from spotvortex.core.record.codec import CodecError
from spotvortex.core.record.replay import replay
from spotvortex.errors import RecordError
from spotvortex.report.explain.chain import Chain, Expected
from spotvortex.report.explain.records import lines_of

_MOST_GAPS: Final = 20


@dataclass(slots=True, kw_only=True)
class ReplayTally:
    """What came of replaying a log.

    Attributes:
        n_records: records made again.
        mismatches: numbers of the lines that came out otherwise.
        altered: of those among them whose own digest does not hold.
        versions: records by the code that made them.
        chain: what is missing.
    """

    n_records: int = 0
    mismatches: list[int] = field(default_factory=list)
    altered: list[int] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    chain: Chain = field(default_factory=Chain)

    @property
    def is_whole(self) -> bool:
        """Tell whether every record came out the same and none is known to be missing."""
        return not (self.mismatches or self.chain.breaks or self.chain.gaps)

    def in_words(self, code_version: str) -> Iterator[str]:
        """Say it line by line, for whoever runs this version of the code."""
        chain = self.chain
        starts = "1 start" if chain.n_starts == 1 else f"{chain.n_starts} starts"
        yield f"{self.n_records} records, {starts} of the daemon"
        yield f"{len(self.mismatches)} mismatches{_at(self.mismatches)}"
        yield f"{len(self.altered)} altered since they were written{_at(self.altered)}"
        yield f"{len(chain.breaks)} breaks of the chain{_at(chain.breaks)}"
        yield f"{chain.n_checkpoints} checkpoints, {len(chain.gaps)} things missing"
        yield from chain.gaps[:_MOST_GAPS]
        if chain.n_checkpoints and not chain.is_closed:
            yield "no orderly stop at the end: it runs still, died, or its last lines were cut"
        others = {v: n for v, n in sorted(self.versions.items()) if v != code_version}
        told = "".join(f", {n} by {version}" for version, n in others.items())
        yield f"{sum(others.values())} made by other code than {code_version}{told}"


def _at(numbers: list[int]) -> str:
    if not numbers:
        return ""
    more = ", ..." if len(numbers) > 5 else ""
    return f" (line {', '.join(map(str, numbers[:5]))}{more})"


def replay_all(path: Path, expected: Expected | None = None, after: str = "") -> ReplayTally:
    """Make every record of a log again.

    Args:
        path: the log.
        expected: what it has to hold, as the reader knows from elsewhere.
        after: the digest of the record before its first one, where an older file holds that.

    Raises:
        RecordError: the file cannot be read, holds no record, or a line is none; the text names the
            line.
    """
    tally = ReplayTally(chain=Chain(after=after, expected=expected))
    for number, line in enumerate(lines_of(path), 1):
        try:
            _take(tally, number, line)
        except CodecError as error:
            raise RecordError(f"{path}:{number}: {error}") from error
    if not tally.n_records:
        raise RecordError(f"{path} holds no record, so it proves nothing; name a decision log")
    tally.chain.end()
    return tally


def _take(tally: ReplayTally, number: int, line: str) -> None:
    if is_checkpoint(line):
        tally.chain.checkpoint(number, read_checkpoint(line))
        return
    result = replay(line)
    tally.chain.record(number, result.previous, result.digest)
    tally.n_records += 1
    tally.versions[result.code_version] += 1
    if result.same:
        return
    tally.mismatches.append(number)
    body = line.rpartition(',"digest":"')[0]
    if hashlib.sha256(f"{body}}}".encode()).hexdigest() != result.digest:
        tally.altered.append(number)
