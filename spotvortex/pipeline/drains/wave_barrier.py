"""Nodes that are drained together: none is before there is room for all, and all are marked.

Comes in: the orders in hand, and how each is getting on. Goes out: whether an order has to wait for
the others of its wave, or to give up because one of them has. May not know a cluster.
"""

from __future__ import annotations

from collections import Counter
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
    settled: bool = False
    marked: bool = False
    ended: bool = False


_NEWCOMER: Final = _Member()


@dataclass(slots=True)
class _Wave:
    """One wave, with sums over its members that are kept up as they change: it may be large."""

    size: int
    members: dict[str, _Member] = field(default_factory=dict)
    trouble: str = ""
    granted: dict[str, int] = field(default_factory=dict)
    n_granted: int = 0
    giver: str = ""
    n: Counter[str] = field(default_factory=Counter)

    def put(self, uid: str, member: _Member) -> None:
        """Take note of how a member stands now."""
        before = self.members.get(uid)
        if before is not None:
            self.n.subtract(_sums(before))
        self.n.update(_sums(member))
        self.members[uid] = member

    def view(self, uid: str) -> WaveView:
        """Return how the wave stands, as one of its members sees it."""
        n, own = self.n, self.members[uid]
        return WaveView(
            asking=len(self.members) < self.size or n["asking"] > 0,
            room=n["room"],
            bound=n["bound"],
            left=n["left"],
            known=n["seen"] == len(self.members),
            last=n["ended"] - own.ended == len(self.members) - 1,
            marking=n["marked"] < len(self.members),
            trouble=self.trouble,
            gives_back=uid == self.giver and n["settled"] == len(self.members),
        )


def _sums(member: _Member) -> dict[str, int]:
    return {
        "seen": int(member.seen),
        "asking": int(member.asking),
        "room": member.room,
        "bound": member.bound,
        "left": member.left,
        "settled": int(member.settled),
        "marked": int(member.marked),
        "ended": int(member.ended),
    }


@dataclass(slots=True)
class WaveBarrier:
    """The waves in hand, by plan."""

    _waves: dict[str, _Wave] = field(default_factory=dict)

    def join(self, order: DrainOrder) -> None:
        """Take note of an order that has begun."""
        wave = self._waves.setdefault(order.plan_id, _Wave(order.n_wave))
        wave.put(order.uid, _NEWCOMER)
        if order.hedged:
            # One of them is enough; the latest, so that what comes late is given back as well.
            wave.giver = order.uid
        while len(self._waves) > MAX_WAVES:
            del self._waves[next(iter(self._waves))]

    def see(self, order: DrainOrder, view: NodeView, progress: DrainProgress) -> NodeView:
        """Note how an order is getting on, and lay over its view how the whole wave stands."""
        wave = self._waves.get(order.plan_id)
        if wave is None:
            return view
        view = _with_share(wave, view, progress)
        member = _Member(
            seen=True,
            asking=is_asking(progress),
            room=view.n_room,
            bound=view.bound,
            left=len(to_evict(progress, view)),
            settled=order.uid in wave.granted or view.bound >= len(progress.moving),
            marked=progress.marked or view.marked,
        )
        wave.put(order.uid, member)
        return replace(view, wave=wave.view(order.uid))

    def leave(self, order: DrainOrder, end: DrainEnd, reason: str, *, was_marked: bool) -> None:
        """Take note of an order's end; one that found no room ends what has not begun."""
        wave = self._waves.get(order.plan_id)
        if wave is None:
            return
        wave.put(order.uid, _Member(seen=True, asking=False, settled=True, marked=True, ended=True))
        if end in _FAILED and not was_marked and not wave.trouble:
            wave.trouble = f"{order.node} of the same wave: {reason}"


def _with_share(wave: _Wave, view: NodeView, progress: DrainProgress) -> NodeView:
    """Set room that the wave's nodes share aside for this one, once there is enough for all of it.

    What was set aside stays so: its pods take it when they go, one after the other.
    """
    if view.given is None:
        return view
    if view.uid not in wave.granted:
        needed = len(to_evict(progress, view)) - view.bound
        if needed <= 0 or view.given - wave.n_granted < needed:
            return view
        wave.granted[view.uid] = needed
        wave.n_granted += needed
    return replace(view, bound=view.bound + wave.granted[view.uid])
