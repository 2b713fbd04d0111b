"""The decision records of an episode, as one digest.

Comes in: plans. Goes out: a running SHA-256 over the lines that the daemon's own journal would
write, so that two runs can be compared byte for byte.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from spotvortex.core.messages import Decision, Plan
from spotvortex.core.record import is_worth_recording, record_of


@dataclass(slots=True)
class Records:
    """Every decision record of an episode, as one running digest: implements `ports.Journal`.

    A process that starts anew begins a new chain, as the daemon's own journal does.
    """

    sha: hashlib._Hash = field(default_factory=hashlib.sha256)
    n_records: int = 0

    def chain(self) -> Chain:
        """Begin a process's life."""
        return Chain(self)


@dataclass(slots=True)
class Chain:
    """The journal of one life."""

    records: Records
    _last: dict[str, Decision] = field(default_factory=dict)
    _digest: str = ""

    async def append(self, plan: Plan) -> None:
        """Record what the daemon's journal would."""
        for decision in plan.decisions:
            if is_worth_recording(decision, self._last.get(decision.pool)):
                record = record_of(decision, self._digest, "simulated")
                self._last[decision.pool], self._digest = decision, record.digest
                self.records.sha.update(record.line.encode() + b"\n")
                self.records.n_records += 1
