"""The times by which replicas keep out of each other's way, all in one place.

Comes in: nothing. Goes out: `LeaseTiming`, whose numbers fit each other or are not made at all. Who
keeps the lease, who writes under it and who simulates both is given the same one. May not wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

USUAL_LEASE_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTiming:
    """How long the lease lasts, and what may be done in that time. ADR 0017 has the reasons.

    Attributes:
        lease_s: how long the lease lasts without being renewed.
        renew_s: time between two renewals, and the longest time for the answer to one.
        margin_s: how long before the lease's end the last write has to be over. The server may
            carry on for a moment with what its client has given up, and clocks differ in rate.
        write_answer_s: longest time for the answer to one request of a write.
        shortest_answer_s: with less time than this left a request is not sent.
        poll_s: how often a standby looks at the lease.
        longest_s: a lease that says it lasts longer than this is not believed.
        release_s: longest time for giving the lease back at the end.
    """

    lease_s: float = USUAL_LEASE_S
    renew_s: float = 5.0
    margin_s: float = 2.0
    write_answer_s: float = 8.0
    shortest_answer_s: float = 0.5
    poll_s: float = 0.5
    longest_s: float = 120.0
    release_s: float = 2.0

    def __post_init__(self) -> None:
        """Check that a write which is sent right before a renewal has its whole time."""
        left_s = self.lease_s - self.renew_s - self.margin_s
        assert 0.0 < self.shortest_answer_s <= self.write_answer_s, "no time to answer a write"
        assert self.write_answer_s <= left_s + 1e-9, "a write may outlive the lease"
        assert self.margin_s > 0.0, "the server may carry on for a moment"
        assert self.lease_s <= self.longest_s, "nobody would believe this lease"

    @classmethod
    def scaled_to(cls, lease_s: float) -> Self:
        """Return the usual times in the same proportions for a lease of another length."""
        by, usual = lease_s / USUAL_LEASE_S, cls()
        return cls(
            lease_s=lease_s,
            renew_s=usual.renew_s * by,
            margin_s=usual.margin_s * by,
            write_answer_s=usual.write_answer_s * by,
            shortest_answer_s=usual.shortest_answer_s * by,
            poll_s=usual.poll_s * by,
            release_s=usual.release_s * by,
        )

    def answer_s(self, left_s: float) -> float | None:
        """Return how long a write may take with so much time left, None where it may not be sent.

        Args:
            left_s: time until the last write has to be over.
        """
        return None if left_s < self.shortest_answer_s else min(self.write_answer_s, left_s)
