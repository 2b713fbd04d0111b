"""What the cloud says of single instances, as evidence: losses, and rebalance recommendations.

Comes in: an observation with the notices that count, and the losses that were learned of it. Goes
out: the nodes that were told to be lost; the recommendations that count now, one a node, those that
have ended with what followed, and scores raised for their offerings. Nothing is moved for a
recommendation by itself. May not judge a pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from enum import StrEnum

from spotvortex.core.domain.cloud.notices import NoticeKind, risk_until
from spotvortex.core.domain.observation import NodeFact, Observation
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.drain.interruption import nodes_by_instance
from spotvortex.core.scoring.features import OfferingScore


class Followed(StrEnum):
    """What became of a node of which a recommendation had been made."""

    LOSS = "loss"
    """The cloud took it while the recommendation counted."""
    GONE = "gone"
    """It went otherwise: moved away, scaled down; nobody knows what the cloud would have done."""
    NOTHING = "nothing"
    """The recommendation ran out, and the node is still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One recommendation that counts.

    Attributes:
        node: the node's name.
        offering: what it runs on.
        told_at: wall time at which it was made; where only its note is left, at which that was
            first seen.
        until: wall time until which it counts.
    """

    node: str
    offering: Offering
    told_at: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationEnd:
    """One recommendation that counts no longer.

    Attributes:
        signal: the recommendation.
        followed: what came after it.
        after_s: seconds from it to that.
    """

    signal: Recommendation
    followed: Followed
    after_s: float


Recommendations = Mapping[str, Recommendation]
"""What counts now, by the node's uid."""


def told_lost(observation: Observation, before: Set[str] = frozenset()) -> frozenset[str]:
    """Return the uids of the nodes that a notice says the cloud takes.

    A state change comes after every end, also after one in order; so it counts only of a node that
    nobody is taking away. A scheduled change is the machine's, and says nothing of the market.

    Args:
        observation: what is seen now.
        before: nodes of which it was said before. What was said stays said while the node is on its
            way: the mark that follows a notice is a cordon too. Of one that stays as it was when
            its notice has run out, the notice came to nothing.
    """
    if not observation.notices and not before:
        # As nearly always: the instances of thousands of nodes need not be read.
        return frozenset()
    nodes = nodes_by_instance(observation.cluster)
    told = ((nodes.get(n.instance_id), n.kind) for n in observation.notices)
    said = {
        node.uid
        for node, kind in told
        if node is not None
        and (
            kind is NoticeKind.INTERRUPTION
            or (kind is NoticeKind.STATE_CHANGE and not _leaves(node))
        )
    }
    going = {n.uid for n in nodes.values() if n.uid in before and (_leaves(n) or not n.ready)}
    about = {n.uid for notice in observation.notices if (n := nodes.get(notice.instance_id))}
    return frozenset(said | going | (before & about))


def _leaves(node: NodeFact) -> bool:
    return node.moving or node.cordoned


def update(
    signals: Recommendations, observation: Observation, lost: Iterable[str]
) -> tuple[Recommendations, tuple[RecommendationEnd, ...]]:
    """Take one more observation.

    Args:
        signals: what counted before.
        observation: what is seen now.
        lost: names of the nodes that this observation shows to be lost.

    Returns:
        What counts now, and what has ended since, by node.
    """
    at, gone = observation.at, frozenset(lost)
    nodes = {n.uid: n for n in observation.cluster.nodes if n.capacity_type is CapacityType.SPOT}
    known = {uid: signal for uid, signal in _told(observation, nodes) if signal.until > at}
    now = {
        uid: replace(signal, told_at=min(signal.told_at, signals[uid].told_at))
        if uid in signals
        else signal
        for uid, signal in known.items()
    }
    now |= {u: s for u, s in signals.items() if u in nodes and u not in now and s.until > at}
    ended = [_end(s, gone, at, is_there=u in nodes) for u, s in signals.items() if u not in now]
    return now, tuple(sorted(ended, key=lambda end: end.signal.node))


def _told(
    observation: Observation, nodes: Mapping[str, NodeFact]
) -> Iterator[tuple[str, Recommendation]]:
    """Yield what notes on nodes say, then what notices say, which know more."""
    for uid, node in nodes.items():
        if node.at_risk:
            yield uid, _signal(node, observation.at, risk_until(node.at_risk))
    by_instance = nodes_by_instance(observation.cluster) if observation.notices else {}
    for notice in observation.notices:
        told = by_instance.get(notice.instance_id)
        if told is not None and told.uid in nodes and notice.kind is NoticeKind.REBALANCE:
            yield told.uid, _signal(told, notice.at, notice.until)


def _signal(node: NodeFact, told_at: float, until: float) -> Recommendation:
    return Recommendation(node=node.name, offering=node.offering, told_at=told_at, until=until)


def _end(
    signal: Recommendation, lost: frozenset[str], at: float, *, is_there: bool
) -> RecommendationEnd:
    followed = Followed.NOTHING if is_there else Followed.GONE
    if signal.node in lost:
        followed = Followed.LOSS
    return RecommendationEnd(
        signal=signal, followed=followed, after_s=max(0.0, at - signal.told_at)
    )


def raised(
    scores: Mapping[Offering, OfferingScore], signals: Recommendations, factor: float
) -> Mapping[Offering, OfferingScore]:
    """Raise the scores of every offering that a signal is about.

    p' = 1 - (1 - p) ** factor: the hazard, constant over the score's window, times the factor.

    Args:
        scores: what the model or the memory says.
        signals: what counts now.
        factor: by which the hazard is raised, at least 1.
    """
    warned = {signal.offering for signal in signals.values()}
    return {
        offering: _raised(score, factor) if offering in warned else score
        for offering, score in scores.items()
    }


def _raised(score: OfferingScore, factor: float) -> OfferingScore:
    return replace(
        score,
        capacity_score=_hotter(score.capacity_score, factor),
        runtime_score=_hotter(score.runtime_score, factor),
        risk_factor=factor,
    )


def _hotter(chance: float | None, factor: float) -> float | None:
    """Raise a chance; what is no chance is left for who reads it to refuse."""
    if chance is None or not 0.0 <= chance <= 1.0:
        return chance
    return float(1.0 - (1.0 - chance) ** factor)
