"""Nodes that are gone, and whose end may yet turn out to have been a loss.

Comes in: nodes that their provisioner deleted for no reason of its own, and what its metrics show,
which is up to two minutes late. Goes out: those that were lost. May not count them: the memory
does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.cloud.launches import LaunchFacts
from spotvortex.core.domain.types import Offering

WITHIN_S: Final = 180.0
"""Time between a deletion and what confirms it: Karpenter renews its gauges once a minute, and they
are read once a minute; after a notice an offering stays unavailable for three."""

MAX_UNDECIDED: Final = 1000
"""Nodes that are waited for, the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """One node that its provisioner deleted, for no reason that is known.

    Attributes:
        node: its name.
        offering: what it ran on.
        deleted_at: wall time of its deletion.
        share: what it was of the nodes of its offering when it went.
        left_survivors: some of these stayed.
    """

    node: str
    offering: Offering
    deleted_at: float
    share: float
    left_survivors: bool

    def is_lost(self, launches: LaunchFacts) -> bool:
        """Tell whether its offering fell, and an interruption was counted, at its deletion.

        Either alone proves nothing: an expired node's replacement may fail to launch on the same
        offering, and another node may be interrupted meanwhile.
        """
        fell_at = launches.falls.get(self.offering)
        if fell_at is None or abs(fell_at - self.deleted_at) > WITHIN_S:
            return False
        return any(abs(at - self.deleted_at) <= WITHIN_S for at in launches.interrupted_at)


def decided(
    waiting: Iterable[Undecided], launches: LaunchFacts, now: float
) -> tuple[tuple[Undecided, ...], tuple[Undecided, ...]]:
    """Return those that were lost, and those to wait for any longer."""
    lost, open_ = list[Undecided](), list[Undecided]()
    for one in waiting:
        if one.is_lost(launches):
            lost.append(one)
        elif now - one.deleted_at <= 2.0 * WITHIN_S:
            open_.append(one)
    return tuple(lost), tuple(open_[-MAX_UNDECIDED:])


def refused(launches: LaunchFacts) -> dict[Offering, float]:
    """Return the offerings on which a launch has failed, with the latest time of that.

    A fall beside a counted interruption is taken for that one; what an Event said needs no fall.
    """
    found = {
        offering: at
        for offering, at in launches.falls.items()
        if not any(abs(at - told) <= WITHIN_S for told in launches.interrupted_at)
    }
    for told in launches.refusals:
        found[told.offering] = max(told.at, found.get(told.offering, told.at))
    return found
