"""Where the move of one node stands, and what is left to be done in it.

Comes in: the requests that were carried out, and a view of the node. Goes out: `DrainProgress`, and
the pods, receivers and groups that a request is still to be made for. Whether it is made now is for
`progress` to judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.autoscaling import released_instance, released_uid
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.calls import PodView
from spotvortex.core.drain.messages import DrainEnd, DrainOrder, OrderKind
from spotvortex.core.drain.views import NodeView, Receiver

ANCHOR_LEFT: Final = 0.5
"""A receiver whose anchor has this share of its lifetime left needs no new anchor."""


class DrainPhase(StrEnum):
    """Where an order stands."""

    ASKING = "asking"
    GROWING = "growing"
    BINDING = "binding"
    ANCHORING = "anchoring"
    MARKING = "marking"
    EVICTING = "evicting"
    WAITING = "waiting"
    RELEASING = "releasing"
    UNDOING = "undoing"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainProgress:
    """How far an order has got.

    The keys of `retry_at` and `tries` are uids of pods, "" for any request that is no eviction.

    Attributes:
        phase: where the order stands.
        moving: the pods that need room elsewhere.
        asked: uids of the pods for which room was asked.
        asked_at: wall time of the last such request, infinite before the first.
        found: room had been asked for before `asked` was begun, or begun anew.
        anchored: uids of the receivers that an anchor was put on.
        kept: uids of the receivers that are kept from scale-down.
        grown: the receiving group was told to have a node more for each of the wave.
        marked: the node carries the order's journal.
        begun: a pod was evicted, by this process or by one before it.
        resumed: the node carried the order's journal before this process took the order up.
        released: the provisioner was asked to end the node.
        cleaned: what was left of the placeholders was deleted.
        gave_back: what the plan asked for beyond its need was deleted.
        evicted: uids of the pods that were evicted.
        given_up: uids of the pods that could not be evicted from a node that is lost anyway.
        urgent: the node is lost anyway.
        pressed: its pods must go within `GIVE_BACK_S`, whether they have room or not.
        maybe_marked: the journal may be there although no answer said so.
        retry_at: wall time before which a request is not made again.
        tries: how often a request was put off.
        n_calls: requests made so far.
        end: how the order ends once it is undone.
        reason: why, for people; "" while all goes as planned.
    """

    phase: DrainPhase = DrainPhase.ASKING
    moving: tuple[PodView, ...] = ()
    asked: frozenset[str] = frozenset()
    asked_at: float = math.inf
    found: bool = False
    anchored: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    grown: bool = False
    marked: bool = False
    begun: bool = False
    resumed: bool = False
    released: bool = False
    cleaned: bool = False
    gave_back: bool = False
    evicted: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()
    urgent: bool = False
    pressed: bool = False
    maybe_marked: bool = False
    retry_at: Mapping[str, float] = field(default_factory=dict)
    tries: Mapping[str, int] = field(default_factory=dict)
    n_calls: int = 0
    end: DrainEnd = DrainEnd.DONE
    reason: str = ""


def to_anchor(
    order: DrainOrder, progress: DrainProgress, view: NodeView, now: float
) -> list[Receiver]:
    """Return the on-demand receivers that no anchor keeps long enough.

    IMPORTANT: before the drain. Once the moved pods have taken the placeholders' room, nothing else
    protects a receiver, and a provisioner may consolidate it at once.
    """
    if order.to is not CapacityType.ON_DEMAND:
        return []
    until = now + order.leftover_s * ANCHOR_LEFT
    return [
        r for r in view.receivers if r.uid not in progress.anchored and r.anchored_until < until
    ]


def to_grow(order: DrainOrder, progress: DrainProgress) -> bool:
    """Tell whether the receiving group is still to be grown, where nobody does so by itself.

    After the placeholders are there: by them the wave is found again after a crash. A node that is
    lost is replaced by its own group.
    """
    planned = order.kind is OrderKind.DRAIN
    return planned and bool(released_instance(order.claim)) and not progress.grown


def to_keep(order: DrainOrder, progress: DrainProgress, view: NodeView) -> list[Receiver]:
    """Return the receivers that Cluster Autoscaler may still scale down, of whatever capacity.

    It looks at requests alone: while pods are on their way, a receiver looks unneeded.
    """
    if order.kind is not OrderKind.DRAIN or not released_uid(order.claim):
        return []
    return [r for r in view.receivers if not r.kept and r.uid not in progress.kept]


def to_evict(progress: DrainProgress, view: NodeView) -> list[PodView]:
    """Return the pods that are still to be evicted."""
    done = progress.evicted | progress.given_up
    return [pod for pod in view.movers if not pod.terminating and pod.uid not in done]


def is_asking(progress: DrainProgress) -> bool:
    """Tell whether an order has not asked for all its room yet."""
    if progress.begun or progress.phase is DrainPhase.UNDOING:
        return False
    return any(pod.uid not in progress.asked for pod in progress.moving)
