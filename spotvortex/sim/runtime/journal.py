"""The decision records of an episode, as one digest.

Comes in: plans. Goes out: a running SHA-256 over the lines that the daemon's own journal would
write, so that two runs can be compared byte for byte.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import BinaryIO

from spotvortex.core.decision.messages import Decision, Plan
from spotvortex.core.record.record import is_worth_recording, record_of


@dataclass(slots=True)
class EpisodeJournal:
    """Every decision record of an episode, as one running digest: implements `ports.Journal`.

    A process that starts anew begins a new chain, as the daemon's own journal does.

    Attributes:
        sha: the running digest.
        n_records: lines taken so far.
        sink: where the lines are written, None for nowhere.
        in_outline: without a sink, digest what was decided alone, which takes a hundredth of the
            time of a whole record.
    """

    sha: hashlib._Hash = field(default_factory=hashlib.sha256)
    n_records: int = 0
    sink: BinaryIO | None = None
    in_outline: bool = False

    def take(self, line: bytes) -> None:
        """Take one line."""
        self.sha.update(line)
        self.n_records += 1
        if self.sink is not None:
            self.sink.write(line)

    def chain(self) -> ReplicaJournal:
        """Begin a process's life."""
        return ReplicaJournal(self)


@dataclass(slots=True)
class ReplicaJournal:
    """The journal of one life."""

    records: EpisodeJournal
    _last: dict[str, Decision] = field(default_factory=dict)
    _digest: str = ""

    async def append(self, plan: Plan) -> None:
        """Record what the daemon's journal would."""
        for decision in plan.decisions:
            if self.records.in_outline:
                self.records.sha.update(_outline(decision).encode())
            elif is_worth_recording(decision, self._last.get(decision.pool)):
                record = record_of(decision, self._digest, "simulated")
                self._last[decision.pool], self._digest = decision, record.digest
                self.records.take(record.line.encode() + b"\n")


def _outline(decision: Decision) -> str:
    moves = ",".join(move.candidate.uid for move in decision.moves)
    return f"{decision.decision_id} {decision.action} {decision.reason} {moves}\n"
