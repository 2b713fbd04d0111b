"""Nodes that are drained together: none is before there is room for all, and all are marked.

Comes in: the orders in hand, and how each is getting on. Goes out: whether an order has to wait for
the others of its wave, or to give up because one of them has. May not know a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.drain.messages import DrainEnd, DrainOrder
from spotvortex.core.drain.progress import DrainProgress, is_asking, to_evict
from spotvortex.core.drain.views import NodeView, WaveView

MAX_WAVES: Final = 1_000
"""Waves remembered; of older ones no member is left."""

_FAILED: Final = frozenset({DrainEnd.NO_REPLACEMENT, DrainEnd.ABORTED})


@dataclass(frozen=True, slots=True)
class _Member:
    seen: bool = False
    asking: bool = True
    room: int = 0
    bound: int = 0
    left: int = 0
    marked: bool = False


@dataclass(slots=True)
class _Wave:
    size: int
    members: dict[str, _Member] = field(default_factory=dict)
    trouble: str = ""


@dataclass(slots=True)
class WaveBarrier:
    """The waves in hand, by plan."""

    _waves: dict[str, _Wave] = field(default_factory=dict)

    def join(self, order: DrainOrder) -> None:
        """Take note of an order that has begun."""
        wave = self._waves.setdefault(order.plan_id, _Wave(order.n_wave))
        wave.members[order.uid] = _Member()
        while len(self._waves) > MAX_WAVES:
            del self._waves[next(iter(self._waves))]

    def see(self, order: DrainOrder, view: NodeView, progress: DrainProgress) -> NodeView:
        """Note how an order is getting on, and lay over its view how the whole wave stands."""
        wave = self._waves.get(order.plan_id)
        if wave is None:
            return view
        wave.members[order.uid] = _Member(
            seen=True,
            asking=is_asking(progress),
            room=view.n_room,
            bound=view.bound,
            left=len(to_evict(progress, view)),
            marked=progress.marked or view.marked,
        )
        members = wave.members.values()
        seen = WaveView(
            asking=len(members) < wave.size or any(m.asking for m in members),
            room=sum(m.room for m in members),
            bound=sum(m.bound for m in members),
            left=sum(m.left for m in members),
            known=all(m.seen for m in members),
            marking=not all(m.marked for m in members),
            trouble=wave.trouble,
        )
        return replace(view, wave=seen)

    def leave(self, order: DrainOrder, end: DrainEnd, reason: str, *, was_marked: bool) -> None:
        """Take note of an order's end; one that found no room ends what has not begun."""
        wave = self._waves.get(order.plan_id)
        if wave is None:
            return
        wave.members[order.uid] = _Member(seen=True, asking=False, marked=True)
        if end in _FAILED and not was_marked and not wave.trouble:
            wave.trouble = f"{order.node} of the same wave: {reason}"
