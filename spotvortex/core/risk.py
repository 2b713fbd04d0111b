"""The interruption memory: what the cluster's own losses say of each offering.

Comes in: two observations in a row. Goes out: a gamma-Poisson posterior of the hazard by offering,
and the time since the last loss. The memory is the baseline that a network must beat, and one of
its inputs. A loss is a Ready Spot node that vanished although nobody had cordoned, tainted or
deleted it; a node that went in an orderly way is only exposure. May not know of a model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.core.features import OfferingContext, OfferingScore
from spotvortex.core.observation import ClusterFacts, InputState, MarketFacts, NodeFact, SpotQuote
from spotvortex.core.types import CapacityType, Offering

PRIOR_HAZARD_PER_HOUR: Final = 2e-3
"""Losses per node-hour before anything is seen: the `normal` level of the evaluation's worlds."""

PRIOR_HOURS: Final = 24.0
"""Weight of the prior, in node-hours: a day of one node outweighs it."""

DECAY_HOURS: Final = 72.0
"""Time constant with which losses and exposure are forgotten."""

NEVER_HELD_HOURS: Final = 24.0
"""Age assumed for an offering that was never held: the hazard has reached its floor by then."""

MAX_GAP_S: Final = 600.0
"""With a longer gap between two observations, what vanished meanwhile proves nothing."""

MAX_OFFERINGS: Final = 1000
"""Offerings remembered; the ones untouched for longest are forgotten first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingMemory:
    """Decayed counts of one offering. `losses` in nodes, `exposure_hours` in node-hours."""

    losses: float = 0.0
    exposure_hours: float = 0.0
    last_loss_at: float | None = None
    held_since: float | None = None
    updated_at: float

    @property
    def hazard_per_hour(self) -> float:
        """Posterior mean of the hazard, losses per node-hour (gamma prior, Poisson counts)."""
        prior_losses = PRIOR_HAZARD_PER_HOUR * PRIOR_HOURS
        return (prior_losses + self.losses) / (PRIOR_HOURS + self.exposure_hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is remembered, and the Spot nodes seen last by uid."""

    at: float = -math.inf
    offerings: Mapping[Offering, OfferingMemory]
    nodes: Mapping[str, NodeFact]


EMPTY_MEMORY: Final = Memory(offerings={}, nodes={})


def update(memory: Memory, cluster: ClusterFacts, now: float) -> Memory:
    """Take one more observation into the memory.

    While the view of nodes is not fresh, nothing is learned: nodes that seem to stand still, or
    that vanish at a relist, say nothing about the market.
    """
    if not _nodes_seen(cluster):
        return memory
    spot = {n.uid: n for n in _nodes(cluster) if n.capacity_type is CapacityType.SPOT}
    gap_s = now - memory.at
    # A long gap teaches nothing: counting its survivors but not its losses would flatter Spot.
    hours = max(0.0, gap_s) / 3600.0 if gap_s <= MAX_GAP_S else 0.0
    lost = _losses(memory, {n.uid for n in _nodes(cluster)}) if gap_s <= MAX_GAP_S else Counter()
    held = Counter(n.offering for n in spot.values())
    oldest = _oldest(spot.values())
    offerings = dict(memory.offerings)
    for offering in {*held, *lost, *offerings}:
        before = offerings.get(offering, OfferingMemory(updated_at=now))
        after = _step(before, lost[offering], held[offering] * hours, now)
        offerings[offering] = replace(after, held_since=_held_since(after, oldest.get(offering)))
    return Memory(at=now, offerings=_bounded(offerings), nodes=spot)


def remembered_score(context: OfferingContext) -> OfferingScore:
    """Score an offering from the memory alone, where the model abstains.

    P = 1 - exp(-hazard x horizon) with the posterior hazard, over 60 and 120 minutes.
    """
    return OfferingScore(
        offering=context.offering,
        capacity_score=-math.expm1(-context.hazard_per_hour * 1.0),
        runtime_score=-math.expm1(-context.hazard_per_hour * 2.0),
        in_scope=True,
        n_history=len(context.quote.history_usd_per_hour),
        from_memory=True,
    )


def context(memory: Memory, offering: Offering, market: MarketFacts, now: float) -> OfferingContext:
    """Join what the memory and the market know of one offering."""
    known = memory.offerings.get(offering)
    quote = market.quotes.get(offering, SpotQuote(offering=offering))
    if known is None:
        return OfferingContext(
            offering=offering,
            quote=quote,
            hours_since_loss=NEVER_HELD_HOURS,
            hazard_per_hour=PRIOR_HAZARD_PER_HOUR,
        )
    since = known.last_loss_at if known.last_loss_at is not None else known.held_since
    hours = NEVER_HELD_HOURS if since is None else max(0.0, now - since) / 3600.0
    return OfferingContext(
        offering=offering,
        quote=quote,
        hours_since_loss=hours,
        hazard_per_hour=known.hazard_per_hour,
    )


def _nodes_seen(cluster: ClusterFacts) -> bool:
    return any(h.name == "nodes" and h.state is InputState.OK for h in cluster.inputs)


def _nodes(cluster: ClusterFacts) -> Iterable[NodeFact]:
    """All nodes: one that left its pool is not lost."""
    for pool in cluster.pools:
        yield from pool.nodes
    yield from cluster.unpooled


def _losses(memory: Memory, present: Set[str]) -> Counter[Offering]:
    return Counter(
        node.offering
        for uid, node in memory.nodes.items()
        if uid not in present and node.ready and not node.moving and not node.cordoned
    )


def _oldest(nodes: Iterable[NodeFact]) -> dict[Offering, float]:
    """Return the oldest start by offering; a start that is no time tells nothing."""
    oldest: dict[Offering, float] = {}
    for node in nodes:
        if math.isfinite(node.created_at) and node.created_at > 0.0:
            oldest[node.offering] = min(node.created_at, oldest.get(node.offering, math.inf))
    return oldest


def _step(before: OfferingMemory, lost: int, exposure_h: float, now: float) -> OfferingMemory:
    kept = math.exp(-max(0.0, now - before.updated_at) / 3600.0 / DECAY_HOURS)
    return replace(
        before,
        losses=before.losses * kept + lost,
        exposure_hours=before.exposure_hours * kept + exposure_h,
        last_loss_at=now if lost else before.last_loss_at,
        updated_at=now,
    )


def _held_since(memory: OfferingMemory, oldest: float | None) -> float | None:
    """The first moment from which the offering is known to have been held without a break."""
    if oldest is None:
        return None
    return oldest if memory.held_since is None else min(memory.held_since, oldest)


def _bounded(offerings: dict[Offering, OfferingMemory]) -> Mapping[Offering, OfferingMemory]:
    kept = sorted(
        offerings,
        key=lambda o: (-offerings[o].losses - offerings[o].exposure_hours, o),
    )[:MAX_OFFERINGS]
    return {offering: offerings[offering] for offering in sorted(kept)}


HEADER: Final = "# spotvortex interruption memory, version 1: type zone losses exposure_hours"
_COLUMNS: Final = ("losses", "exposure_hours", "last_loss_at", "updated_at")


class MemoryFormatError(ValueError):
    """A stored memory cannot be read; the text names the line."""


def to_text(memory: Memory) -> str:
    """Write the memory as plain text, one offering a line.

    Left out is what the cluster itself tells after a restart: the nodes, and since when they run.
    """
    rows = [
        " ".join([o.instance_type, o.zone, *(_cell(getattr(known, name)) for name in _COLUMNS)])
        for o, known in sorted(memory.offerings.items())
    ]
    return "\n".join([f"{HEADER} last_loss_at updated_at", *rows, ""])


def _cell(value: float | None) -> str:
    return "-" if value is None else repr(value)


def from_text(text: str) -> Memory:
    """Read a stored memory back. What it counted goes on; nothing is learned of the time between.

    Raises:
        MemoryFormatError: another version, or a line that cannot be read.
    """
    head, *lines = text.splitlines() or [""]
    if not head.startswith(HEADER):
        raise MemoryFormatError(f"line 1: expected {HEADER!r}")
    offerings = dict(_row(number, line) for number, line in enumerate(lines, 2) if line.strip())
    return Memory(offerings=_bounded(offerings), nodes={})


def _row(number: int, line: str) -> tuple[Offering, OfferingMemory]:
    cells = line.split(" ")
    if len(cells) != 2 + len(_COLUMNS):
        raise MemoryFormatError(f"line {number}: {2 + len(_COLUMNS)} cells expected")
    try:
        values = [None if cell == "-" else float(cell) for cell in cells[2:]]
    except ValueError as error:
        raise MemoryFormatError(f"line {number}: {error}") from error
    losses, exposure_hours, last_loss_at, updated_at = values
    counts = (losses, exposure_hours, updated_at)
    if any(v is None or not math.isfinite(v) or v < 0.0 for v in counts):
        raise MemoryFormatError(f"line {number}: counts must be finite and not negative")
    return Offering(instance_type=cells[0], zone=cells[1]), OfferingMemory(
        losses=losses or 0.0,
        exposure_hours=exposure_hours or 0.0,
        last_loss_at=last_loss_at,
        updated_at=updated_at or 0.0,
    )
