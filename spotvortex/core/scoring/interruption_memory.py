"""The interruption memory: what the cluster's own losses say of each offering.

Comes in: two observations in a row. Goes out: gamma-Poisson posteriors by offering, and the time
since the last loss. The memory is the baseline that a network must beat, and one of its inputs. A
loss is a Spot node of whose end there is evidence that the cloud took it (`loss_evidence`), or that
the controller emptied because of a notice that it goes; a node that went otherwise is only
exposure. Two things are counted: losses over node-hours, the mean rate that
a model reads; and the level, the hazard beyond 12 hours, which the memory's own score multiplies
with the shape that `hazard` gives. May not know of a model, nor read a journal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.core.domain.cloud.launches import NO_LAUNCHES, LaunchFacts
from spotvortex.core.domain.cloud.signals import prior_multiple
from spotvortex.core.domain.inputs import InputName, InputState
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.observation import ClusterFacts, NodeFact
from spotvortex.core.domain.types import CapacityType, Fallback, Offering
from spotvortex.core.scoring.calibration.live import (
    NO_CALIBRATION,
    Calibration,
    followed,
    interrupted,
)
from spotvortex.core.scoring.features import OfferingContext, OfferingScore
from spotvortex.core.scoring.hazard import Age, base_of, integral, integrals, multiple
from spotvortex.core.scoring.late_evidence import Undecided
from spotvortex.core.scoring.node_ends import Before, Ends, Gap, LearnedLoss, ends

PRIOR_HAZARD_PER_HOUR: Final = 2e-3
"""Losses per node-hour before anything is seen: the `normal` level of the evaluation's worlds."""

PRIOR_HOURS: Final = 24.0
"""Weight of the prior, in node-hours: a day of one node outweighs it."""

PRIOR_LEVEL_PER_HOUR: Final = base_of(PRIOR_HAZARD_PER_HOUR)
"""The level before anything is seen: what gives the prior's mean rate over whole lives."""

PRIOR_SHAPED_HOURS: Final = integral(Age(held_hours=0.0, since_loss_hours=0.0), PRIOR_HOURS)
"""Weight of that prior, in hours beyond 12: the first day of a node, as above. The policy research
weighs by expected losses, 2 of them; at so calm a prior those are some 1,080 hours, which counts
that fade in 72 could never outweigh."""

SHARED_PRIOR_HOURS: Final = 2.5 * PRIOR_SHAPED_HOURS
"""Weight of the prior in the level that offerings share; 5 to 2 as in the policy research."""

DECAY_HOURS: Final = 72.0
"""Time constant with which losses and exposure are forgotten."""

NEVER_HELD_HOURS: Final = 24.0
"""Age assumed for an offering that was never held: the hazard has reached its floor by then."""

MADE_BEFORE_S: Final = 600.0
"""A node that is seen for the first time was launched, unless it was made longer before: then it
only came into sight."""

MAX_OFFERINGS: Final = 1000
"""Offerings remembered; those with the least exposure and losses are forgotten first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingMemory:
    """Counts of one offering that decay with time.

    Attributes:
        losses: nodes lost.
        exposure_hours: node-hours held.
        loss_shares: sum, over the losses seen, of the share of the nodes held that each took.
        shaped_hours: hours held, each counted as often as its age makes a loss likelier than beyond
            12 hours.
        last_loss_at: wall time of the last loss, None where none was seen.
        left_survivors: the last loss left some of the nodes.
        held_since: wall time from which it is held without a break, None where it is not held.
        updated_at: wall time up to which the counts have decayed.
        launches: Spot nodes that came up there.
        refusals: launches that failed there, as far as a provisioner's metrics or Events showed.
            They are a fact beside the losses, and no part of a score.
        last_refused_at: wall time at which the last of them was seen, None where none was.
    """

    losses: float = 0.0
    exposure_hours: float = 0.0
    loss_shares: float = 0.0
    shaped_hours: float = 0.0
    last_loss_at: float | None = None
    left_survivors: bool = False
    held_since: float | None = None
    updated_at: float
    launches: float = 0.0
    refusals: float = 0.0
    last_refused_at: float | None = None

    @property
    def hazard_per_hour(self) -> float:
        """Posterior mean of the rate by the plain prior; see `hazard_from`."""
        return self.hazard_from(PRIOR_HAZARD_PER_HOUR)

    def hazard_from(self, prior_per_hour: float) -> float:
        """Posterior mean of the rate, losses per node-hour (gamma prior, Poisson counts).

        Over whole lives: it does not tell whether the hours were young ones.
        """
        prior_losses = prior_per_hour * PRIOR_HOURS
        return (prior_losses + self.losses) / (PRIOR_HOURS + self.exposure_hours)

    @property
    def refused_ratio(self) -> float | None:
        """Share of the launches that failed, None where none was seen."""
        asked = self.launches + self.refusals
        return self.refusals / asked if asked > 0.0 else None

    @property
    def weight(self) -> float:
        """How much is known of it: who has the least is forgotten first."""
        return self.losses + self.exposure_hours + self.refusals + self.launches

    def level_per_hour(self, shared_per_hour: float) -> float:
        """Posterior mean of the hazard beyond 12 hours, per node-hour.

        r = (r_shared x prior + sum of shares lost) / (prior + shaped hours): with hazard r x shape,
        the shares lost are expected to be r x the integral of the shape while held.
        """
        prior_losses = shared_per_hour * PRIOR_SHAPED_HOURS
        return (prior_losses + self.loss_shares) / (PRIOR_SHAPED_HOURS + self.shaped_hours)

    def age(self, at: float) -> Age:
        """Return how old the offering is to the cluster; never held counts as long without loss."""
        since = self.last_loss_at if self.last_loss_at is not None else self.held_since
        return Age(
            held_hours=0.0 if self.held_since is None else _hours(at - self.held_since),
            since_loss_hours=NEVER_HELD_HOURS if since is None else _hours(at - since),
            is_survivor=self.left_survivors,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is remembered of all offerings.

    Attributes:
        at: wall time at which it last learned, minus infinity before the first observation.
        shared_per_hour: the hazard beyond 12 hours that all offerings point to together, per
            node-hour.
        offerings: the counts of each offering.
        nodes: the Spot nodes seen last, by uid.
        interrupted: uids of those of them that were being emptied for a notice.
        lost: the losses that the last observation has brought; they are counted above.
        launched: Spot nodes that it has shown to have come up; counted above too.
        refused: the offerings on which launches failed, that it has brought; counted above too.
        undecided: nodes that are gone, and may yet turn out to have been lost.
        calibration: what was predicted of the offerings, and what came of it.
    """

    at: float = -math.inf
    shared_per_hour: float = PRIOR_LEVEL_PER_HOUR
    offerings: Mapping[Offering, OfferingMemory]
    nodes: Mapping[str, NodeFact]
    interrupted: Set[str] = frozenset()
    lost: tuple[LearnedLoss, ...] = ()
    launched: int = 0
    refused: tuple[Offering, ...] = ()
    undecided: tuple[Undecided, ...] = ()
    calibration: Calibration = NO_CALIBRATION


EMPTY_MEMORY: Final = Memory(offerings={}, nodes={})


def update(
    memory: Memory,
    cluster: ClusterFacts,
    now: float,
    interrupted: Set[str] = frozenset(),
    launches: LaunchFacts = NO_LAUNCHES,
) -> Memory:
    """Take one more observation into the memory.

    While the view of nodes is not fresh, nothing is learned: nodes that seem to stand still, or
    that vanish at a relist, say nothing about the market.

    Args:
        memory: what was remembered before.
        cluster: what is seen now.
        now: the time of it.
        interrupted: uids of nodes that are emptied now because notice was given that they go.
        launches: what a provisioner's metrics show of capacity; its Events are in the cluster.
    """
    if not _nodes_seen(cluster):
        return replace(memory, lost=(), launched=0, refused=())
    spot = {n.uid: n for n in _nodes(cluster) if n.capacity_type is CapacityType.SPOT}
    before = Before(
        at=memory.at,
        nodes=memory.nodes,
        interrupted=memory.interrupted,
        undecided=memory.undecided,
        refused_at={o: known.last_refused_at for o, known in memory.offerings.items()},
        lost_at={o: known.last_loss_at for o, known in memory.offerings.items()},
    )
    told = replace(launches, refusals=cluster.refusals)
    seen = ends(before, frozenset(n.uid for n in _nodes(cluster)), cluster.exits, now, told)
    oldest, held = _oldest(spot.values()), Counter(n.offering for n in spot.values())
    launched = _launched(memory, spot) if seen.hours else Counter()
    offerings = dict(memory.offerings)
    for offering in {*held, *seen.changed, *offerings}:
        interval = seen.interval(offering, held[offering], oldest.get(offering))
        interval = replace(interval, n_launched=launched[offering])
        known = offerings.get(offering) or OfferingMemory(updated_at=now)
        offerings[offering] = stepped(known, interval, now)
    learned = memory_of(offerings, spot, at=now)
    return replace(
        learned,
        interrupted=interrupted & spot.keys(),
        lost=seen.losses,
        launched=launched.total(),
        refused=tuple(sorted(seen.refused)),
        undecided=seen.undecided,
        calibration=_calibration(memory.calibration, seen, now, held.keys()),
    )


def _calibration(before: Calibration, seen: Ends, now: float, held: Set[Offering]) -> Calibration:
    """Judge past predictions by what is seen; over a gap they cannot be judged."""
    if not seen.hours:
        return interrupted(before)
    return followed(before, now, {loss.offering for loss in seen.losses}, held)


def memory_of(
    offerings: dict[Offering, OfferingMemory],
    nodes: Mapping[str, NodeFact],
    at: float = -math.inf,
) -> Memory:
    """Bound what is remembered, and find the level that it points to together."""
    kept = _bounded(offerings)
    shares = math.fsum(known.loss_shares for known in kept.values())
    hours = math.fsum(known.shaped_hours for known in kept.values())
    prior = PRIOR_LEVEL_PER_HOUR * SHARED_PRIOR_HOURS
    shared = (prior + shares) / (SHARED_PRIOR_HOURS + hours)
    return Memory(at=at, shared_per_hour=shared, offerings=kept, nodes=nodes)


def remembered_score(context: OfferingContext, fallback: Fallback = Fallback.NONE) -> OfferingScore:
    """Score an offering from the memory alone.

    P = 1 - exp(-level x integral of the shape over the horizon, from the present age on), over 60
    and 120 minutes.

    Args:
        context: what is known of the offering.
        fallback: why the memory answers, where a graph was to decide.
    """
    level = PRIOR_LEVEL_PER_HOUR if context.level_per_hour is None else context.level_per_hour
    age = Age(
        held_hours=context.held_hours,
        since_loss_hours=context.hours_since_loss,
        is_survivor=context.is_survivor,
    )
    one_hour, two_hours = integrals(age, (1.0, 2.0))
    return OfferingScore(
        offering=context.offering,
        capacity_score=-math.expm1(-level * one_hour),
        runtime_score=-math.expm1(-level * two_hours),
        in_scope=True,
        n_history=len(context.quote.history_usd_per_hour),
        from_memory=True,
        fallback=fallback,
    )


def context(memory: Memory, offering: Offering, market: MarketFacts, now: float) -> OfferingContext:
    """Join what the memory and the market know of one offering.

    What AWS says of it scales both priors, and nothing else: see `cloud.signals`.
    """
    quote = market.quotes.get(offering) or SpotQuote(offering=offering)
    known = memory.offerings.get(offering) or OfferingMemory(updated_at=now)
    age, scale = known.age(now), prior_multiple(offering, market.signals, now)
    return OfferingContext(
        offering=offering,
        quote=quote,
        hours_since_loss=age.since_loss_hours,
        hazard_per_hour=known.hazard_from(PRIOR_HAZARD_PER_HOUR * scale),
        held_hours=age.held_hours,
        is_survivor=age.is_survivor,
        level_per_hour=known.level_per_hour(memory.shared_per_hour * scale),
        lost_hours=_hours_since(known.last_loss_at, now),
        refused_hours=_hours_since(known.last_refused_at, now),
        exposure_hours=known.exposure_hours,
        refused_ratio=known.refused_ratio,
    )


def _hours_since(at: float | None, now: float) -> float | None:
    return None if at is None else _hours(now - at)


def _hours(seconds: float) -> float:
    return max(0.0, seconds) / 3600.0


def _nodes_seen(cluster: ClusterFacts) -> bool:
    return any(h.name is InputName.NODES and h.state is InputState.OK for h in cluster.inputs)


def _nodes(cluster: ClusterFacts) -> Iterable[NodeFact]:
    """All nodes: one that left its pool is not lost."""
    for pool in cluster.pools:
        yield from pool.nodes
    yield from cluster.unpooled


def _launched(memory: Memory, spot: Mapping[str, NodeFact]) -> Counter[Offering]:
    """Count the Spot nodes that were made since the observation before."""
    return Counter(
        node.offering
        for uid, node in spot.items()
        if uid not in memory.nodes and node.created_at > memory.at - MADE_BEFORE_S
    )


def _oldest(nodes: Iterable[NodeFact]) -> dict[Offering, float]:
    """Return the oldest start by offering; a start that is no time tells nothing."""
    oldest: dict[Offering, float] = {}
    for node in nodes:
        if math.isfinite(node.created_at) and node.created_at > 0.0:
            oldest[node.offering] = min(node.created_at, oldest.get(node.offering, math.inf))
    return oldest


def stepped(before: OfferingMemory, seen: Gap, now: float) -> OfferingMemory:
    """Return what is known of an offering after one interval more."""
    kept = math.exp(-max(0.0, now - before.updated_at) / 3600.0 / DECAY_HOURS)
    n_lost = seen.n_lost + len(seen.late_shares)
    share = seen.n_lost / seen.n_before if seen.n_lost else 0.0
    return OfferingMemory(
        losses=before.losses * kept + n_lost,
        exposure_hours=before.exposure_hours * kept + seen.n_now * seen.hours,
        loss_shares=before.loss_shares * kept + share + sum(seen.late_shares),
        shaped_hours=before.shaped_hours * kept + _shaped_hours(before, seen),
        last_loss_at=now if n_lost else before.last_loss_at,
        left_survivors=seen.has_survivors if n_lost else before.left_survivors,
        held_since=_held_since(before, seen.oldest),
        updated_at=now,
        launches=before.launches * kept + seen.n_launched,
        refusals=before.refusals * kept + (seen.refused_at is not None),
        last_refused_at=before.last_refused_at if seen.refused_at is None else seen.refused_at,
    )


def _shaped_hours(before: OfferingMemory, seen: Gap) -> float:
    """Return the integral of the shape over an interval in which the offering was held."""
    if not seen.n_before or not seen.hours:
        return 0.0
    return seen.hours * multiple(before.age(seen.start).later(seen.hours / 2.0))


def _held_since(memory: OfferingMemory, oldest: float | None) -> float | None:
    """The first moment from which the offering is known to have been held without a break."""
    if oldest is None:
        return None
    return oldest if memory.held_since is None else min(memory.held_since, oldest)


def _bounded(offerings: dict[Offering, OfferingMemory]) -> Mapping[Offering, OfferingMemory]:
    kept = sorted(
        offerings,
        key=lambda o: (-offerings[o].weight, o),
    )[:MAX_OFFERINGS]
    return {offering: offerings[offering] for offering in sorted(kept)}
