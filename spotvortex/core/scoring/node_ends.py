"""What has ended between two observations: nodes that were lost, and launches that failed.

Comes in: the nodes of the observation before, those of this one, how nodes went, and what a
provisioner shows and says of its launches. Goes out: losses, each with its evidence, and for every
offering what happened to its nodes. May not count them: the interruption memory does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.core.domain.cloud.exits import NodeExit
from spotvortex.core.domain.cloud.launches import LaunchFacts
from spotvortex.core.domain.observation import NodeFact
from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.late_evidence import WITHIN_S, Undecided, decided, refused
from spotvortex.core.scoring.loss_evidence import LossEvidence, evidence_of

MAX_GAP_S: Final = 600.0
"""After a longer gap between two observations, a node that vanished meanwhile proves nothing."""


SAME_REFUSAL_S: Final = 180.0
"""What is told within this time of a launch that failed is told of the same one: Karpenter asks for
three minutes no more for what it did not get, and its gauges show that up to a minute late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedLoss:
    """One node that was lost.

    Attributes:
        node: its name.
        offering: what it ran on.
        evidence: what it is known by.
    """

    node: str
    offering: Offering
    evidence: LossEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What is remembered of the observation before.

    Attributes:
        at: wall time of it, minus infinity where there was none.
        nodes: the Spot nodes of it, by uid.
        interrupted: uids of those of them that were being emptied for a notice.
        undecided: nodes that were gone by then, and may yet turn out to have been lost.
        refused_at: by offering, when a launch was last known to have failed; None where none was.
        lost_at: by offering, when a node was last known to be lost; None where none was.
    """

    at: float
    nodes: Mapping[str, NodeFact]
    interrupted: Set[str]
    undecided: tuple[Undecided, ...]
    refused_at: Mapping[Offering, float | None]
    lost_at: Mapping[Offering, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What happened to the nodes of one offering between two observations.

    Attributes:
        start: wall time of the first one.
        hours: time between both, 0 where the gap is so long that it teaches nothing.
        n_before: Spot nodes held at its start.
        n_lost: those of them that were lost.
        has_survivors: some stayed where some were lost.
        n_now: Spot nodes held at its end.
        oldest: wall time at which the oldest node held now was made, None without one.
        late_shares: of nodes that went before, and are known by now to have been lost, the share
            that each was of those held.
        refused_at: wall time at which a launch was seen to have failed, None where none was.
        n_launched: Spot nodes that came up.
    """

    start: float
    hours: float
    n_before: float
    n_lost: float
    has_survivors: bool
    n_now: float
    oldest: float | None
    late_shares: tuple[float, ...] = ()
    refused_at: float | None = None
    n_launched: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What has ended between two observations, by offering.

    Attributes:
        start: wall time of the first one.
        hours: time between both, 0 where the gap is so long that it teaches nothing.
        n_before: Spot nodes held at its start.
        n_lost: those of them that were lost.
        with_survivors: offerings of which some nodes stayed, where anything was lost.
        losses: every loss that is known of only now, the late ones included.
        late: nodes that went before, and that turned out to have been lost.
        refused: when a launch was seen to have failed.
        undecided: nodes that are gone, and may yet turn out to have been lost.
    """

    start: float
    hours: float
    n_before: Counter[Offering]
    n_lost: Counter[Offering]
    with_survivors: Set[Offering]
    losses: tuple[LearnedLoss, ...]
    late: tuple[Undecided, ...]
    refused: Mapping[Offering, float]
    undecided: tuple[Undecided, ...]

    @property
    def changed(self) -> set[Offering]:
        """The offerings of which something is learned although nothing need be held there."""
        return {*self.n_lost, *(one.offering for one in self.late), *self.refused}

    def interval(self, offering: Offering, n_now: int, oldest: float | None) -> Gap:
        """Return what happened to one offering."""
        late = [one for one in self.late if one.offering == offering]
        return Gap(
            start=self.start,
            hours=self.hours,
            n_before=self.n_before[offering],
            n_lost=self.n_lost[offering],
            late_shares=tuple(one.share for one in late),
            has_survivors=offering in self.with_survivors or any(o.left_survivors for o in late),
            n_now=n_now,
            oldest=oldest,
            refused_at=self.refused.get(offering),
        )


def ends(
    before: Before,
    present: Set[str],
    exits: Collection[NodeExit],
    now: float,
    launches: LaunchFacts,
) -> Ends:
    """Find what has ended since the observation before.

    Args:
        before: what is remembered of that.
        present: uids of the nodes that are there now.
        exits: how nodes went, the latest last.
        now: the time of this observation.
        launches: what a provisioner shows and says of capacity.
    """
    gap_s = now - before.at
    # A long gap teaches nothing: counting its survivors but not its losses would flatter Spot.
    is_close = gap_s <= MAX_GAP_S
    losses = _losses(before, present, exits, now) if is_close else ()
    n_before = Counter(n.offering for n in before.nodes.values())
    staying = {n.offering for uid, n in before.nodes.items() if uid in present}
    named = {loss.node for loss in losses}
    waiting = _undecided(before, present, exits, n_before) if is_close else ()
    open_ = (*before.undecided, *(one for one in waiting if one.node not in named))
    late, undecided = decided(open_, _unexplained(before, launches, losses), now)
    told = (
        LearnedLoss(node=o.node, offering=o.offering, evidence=LossEvidence.GAUGE) for o in late
    )
    return Ends(
        start=before.at,
        hours=max(0.0, gap_s) / 3600.0 if is_close else 0.0,
        n_before=n_before,
        n_lost=Counter(loss.offering for loss in losses),
        with_survivors=staying if losses else frozenset(),
        losses=(*losses, *told),
        late=late,
        refused=_refused(before, launches, now),
        undecided=undecided,
    )


def _unexplained(
    before: Before, launches: LaunchFacts, losses: Collection[LearnedLoss]
) -> LaunchFacts:
    """Leave out the falls that a loss of the same offering has made: they prove no second one."""
    lost = {loss.offering for loss in losses}

    def is_explained(offering: Offering, fell_at: float) -> bool:
        lost_at = before.lost_at.get(offering)
        known = lost_at is not None and abs(fell_at - lost_at) <= WITHIN_S
        return known or offering in lost

    falls = {o: at for o, at in launches.falls.items() if not is_explained(o, at)}
    return replace(launches, falls=falls)


def _refused(before: Before, launches: LaunchFacts, now: float) -> dict[Offering, float]:
    """Find the launches that failed and are not known yet; a clock that is ahead tells of now."""
    found: dict[Offering, float] = {}
    for offering, told_at in refused(launches).items():
        at, known = min(told_at, now), before.refused_at.get(offering)
        if known is None or at - known > SAME_REFUSAL_S:
            found[offering] = at
    return found


def _undecided(
    before: Before, present: Set[str], exits: Iterable[NodeExit], n_before: Counter[Offering]
) -> tuple[Undecided, ...]:
    """Find the nodes that their provisioner deleted, and that are gone."""
    staying = {n.offering for uid, n in before.nodes.items() if uid in present}
    found = (
        Undecided(
            node=node.name,
            offering=node.offering,
            deleted_at=ended.deleted_at,
            share=1.0 / n_before[node.offering],
            left_survivors=node.offering in staying,
        )
        for ended in exits
        if ended.deleted_at is not None
        and ended.uid not in present
        and (node := before.nodes.get(ended.uid)) is not None
    )
    return tuple(sorted(found, key=lambda one: one.node))


def _losses(
    before: Before, present: Set[str], exits: Iterable[NodeExit], now: float
) -> tuple[LearnedLoss, ...]:
    """Find the nodes that are gone and that the cloud took, each once."""
    ended = {known.uid: known for known in exits}
    found: list[LearnedLoss] = []
    for uid, node in before.nodes.items():
        if uid in present:
            continue
        evidence = evidence_of(ended[uid], now) if uid in ended else None
        if uid in before.interrupted:
            evidence = LossEvidence.NOTICE
        if evidence is not None:
            found.append(LearnedLoss(node=node.name, offering=node.offering, evidence=evidence))
    return tuple(sorted(found, key=lambda loss: loss.node))
