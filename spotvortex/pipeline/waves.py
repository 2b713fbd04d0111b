"""Nodes that are drained together: none is before there is room for all.

Comes in: the orders in hand, and how each is getting on. Goes out: whether an order has to wait for
the others of its wave, or to give up because one of them has. May not know a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.calls import NodeView
from spotvortex.core.messages import DrainEnd, DrainOrder

MAX_WAVES: Final = 1_000
"""Waves remembered; of older ones no member is left."""

_FAILED: Final = frozenset({DrainEnd.NO_REPLACEMENT, DrainEnd.ABORTED})


@dataclass(slots=True)
class _Wave:
    size: int
    has_room: dict[str, bool] = field(default_factory=dict)
    trouble: str = ""


@dataclass(slots=True)
class Waves:
    """The waves in hand, by plan."""

    _waves: dict[str, _Wave] = field(default_factory=dict)

    def join(self, order: DrainOrder) -> None:
        """Take note of an order that has begun."""
        wave = self._waves.setdefault(order.plan_id, _Wave(order.n_wave))
        wave.has_room.setdefault(order.uid, False)
        while len(self._waves) > MAX_WAVES:
            del self._waves[next(iter(self._waves))]

    def see(self, order: DrainOrder, view: NodeView, *, has_room: bool) -> NodeView:
        """Note whether an order has its room, and lay over its view how the others stand."""
        wave = self._waves.get(order.plan_id)
        if wave is None:
            return view
        wave.has_room[order.uid] = has_room
        waits = len(wave.has_room) < wave.size or not all(wave.has_room.values())
        return replace(view, wave_waits=waits, wave_trouble=wave.trouble)

    def leave(self, order: DrainOrder, end: DrainEnd, reason: str, *, was_marked: bool) -> None:
        """Take note of an order's end; one that found no room ends what has not begun."""
        wave = self._waves.get(order.plan_id)
        if wave is None:
            return
        wave.has_room[order.uid] = True
        if end in _FAILED and not was_marked and not wave.trouble:
            wave.trouble = f"{order.node} of the same wave: {reason}"
