"""Two interruption memories of different times made one.

Comes in: what a process has learned since its start, and what was known before. Goes out: both
together, as if one had learned all of it. May not judge whether the two overlap: who joins them
knows that they do not.
"""

from __future__ import annotations

import math
from dataclasses import replace

from spotvortex.core.scoring.calibration import live
from spotvortex.core.scoring.interruption_memory import (
    DECAY_HOURS,
    Memory,
    OfferingMemory,
    memory_of,
)


def joined(memory: Memory, before: Memory, now: float) -> Memory:
    """Add what was known before to a memory; nodes and the latest losses stay the memory's own.

    Args:
        memory: what goes on learning.
        before: what was learned up to its start.
        now: wall time to which both are brought.
    """
    offerings = dict(memory.offerings)
    for offering, known in before.offerings.items():
        here = offerings.get(offering)
        offerings[offering] = known if here is None else _added(here, known, now)
    whole = memory_of(offerings, memory.nodes, at=memory.at)
    return replace(
        whole,
        interrupted=memory.interrupted,
        lost=memory.lost,
        launched=memory.launched,
        refused=memory.refused,
        undecided=memory.undecided,
        calibration=live.joined(memory.calibration, before.calibration, now),
    )


def _added(one: OfferingMemory, other: OfferingMemory, now: float) -> OfferingMemory:
    """Add the counts of one offering, each decayed to now; the later loss of both is the last."""
    one, other = _decayed(one, now), _decayed(other, now)
    later = max(one, other, key=lambda known: known.last_loss_at or -math.inf)
    refused = [k.last_refused_at for k in (one, other) if k.last_refused_at is not None]
    held = [known.held_since for known in (one, other) if known.held_since is not None]
    return replace(
        later,
        losses=one.losses + other.losses,
        exposure_hours=one.exposure_hours + other.exposure_hours,
        loss_shares=one.loss_shares + other.loss_shares,
        shaped_hours=one.shaped_hours + other.shaped_hours,
        held_since=min(held, default=None),
        updated_at=now,
        launches=one.launches + other.launches,
        refusals=one.refusals + other.refusals,
        last_refused_at=max(refused, default=None),
    )


def _decayed(known: OfferingMemory, now: float) -> OfferingMemory:
    kept = math.exp(-max(0.0, now - known.updated_at) / 3600.0 / DECAY_HOURS)
    return replace(
        known,
        losses=known.losses * kept,
        exposure_hours=known.exposure_hours * kept,
        loss_shares=known.loss_shares * kept,
        shaped_hours=known.shaped_hours * kept,
        launches=known.launches * kept,
        refusals=known.refusals * kept,
        updated_at=max(known.updated_at, now),
    )
