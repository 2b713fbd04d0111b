"""Nodes that are drained together: none is before there is room for all, and all are marked.

Comes in: the orders in hand, and how each is getting on. Goes out: whether an order has to wait for
the others of its wave, or to give up because one of them has. May not know a cluster.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.drain.messages import DrainEnd, DrainOrder, OrderKind
from spotvortex.core.drain.remaining import DrainProgress, is_asking, to_evict
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
    begun: bool = False
    ended: bool = False


_NEWCOMER: Final = _Member()


@dataclass(slots=True)
class _Share:
    """Room of the plan that is set aside for one node: pod by pod, or for all its pods at once."""

    by_pod: bool
    n: int = 0
    used: int = 0


@dataclass(slots=True)
class _Wave:
    """One wave, with sums over its members that are kept up as they change: it may be large."""

    size: int
    members: dict[str, _Member] = field(default_factory=dict)
    trouble: str = ""
    shares: dict[str, _Share] = field(default_factory=dict)
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

    @property
    def all_settled(self) -> bool:
        """Each of the nodes has its room, or its pods are about to go without."""
        return self.n["settled"] == len(self.members)

    def begin_anew(self, uid: str) -> None:
        """Give back what an order that comes again has set aside and not used."""
        share = self.shares.pop(uid, None)
        if share is not None:
            self.n_granted -= max(0, share.n - share.used)

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
            begun=n["begun"] > 0,
            trouble=self.trouble,
            gives_back=uid == self.giver,
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
        "begun": int(member.begun),
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
        wave.begin_anew(order.uid)
        # What is asked for late is given back as well.
        wave.giver = ""
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
            settled=progress.pressed or _is_settled(wave, view, progress),
            marked=progress.marked or view.marked,
            begun=progress.begun,
        )
        wave.put(order.uid, member)
        lost = order.kind is OrderKind.INTERRUPTION and not progress.gave_back
        if lost and wave.all_settled and not wave.giver:
            # One of them is enough, and the first that sees it does so before its own pods go.
            wave.giver = order.uid
        return replace(view, wave=wave.view(order.uid))

    def leave(self, order: DrainOrder, end: DrainEnd, reason: str, *, was_marked: bool) -> None:
        """Take note of an order's end; one that found no room ends what has not begun."""
        wave = self._waves.get(order.plan_id)
        if wave is None:
            return
        begun = wave.members.get(order.uid, _NEWCOMER).begun
        over = _Member(seen=True, asking=False, settled=True, marked=True, begun=begun, ended=True)
        wave.put(order.uid, over)
        if wave.giver == order.uid:
            wave.giver = ""
        if end in _FAILED and not was_marked and not wave.trouble:
            wave.trouble = f"{order.node} of the same wave: {reason}"


def _is_settled(wave: _Wave, view: NodeView, progress: DrainProgress) -> bool:
    """Tell whether there is room for all pods of a node, those that have gone included."""
    share = wave.shares.get(view.uid)
    if share is not None:
        return not share.by_pod or share.n >= len(progress.moving)
    return view.bound >= len(progress.moving)


def _with_share(wave: _Wave, view: NodeView, progress: DrainProgress) -> NodeView:
    """Set room that the wave's nodes share aside for this one, and lay it over its view.

    As soon as some is bound, so that its first pod need not wait for the room of the last; a node
    that has room of its own, or has begun, gets what it lacks at once. What was set aside stays
    so: its pods take it when they go, one after the other.
    """
    if view.given is None:
        return view
    share = wave.shares.get(view.uid) or _Share(by_pod=not view.bound and not progress.begun)
    free = view.given - wave.n_granted
    left = len(to_evict(progress, view))
    if share.by_pod:
        more = min(free, len(progress.moving) - share.n)
    else:
        more = left - view.bound if share.n == 0 and free >= left - view.bound else 0
    more, by_pod = max(0, more), share.by_pod and not view.n_room
    if more or by_pod:
        # Also of none yet: a pod that had to go without leaves the others waiting for theirs.
        wave.shares[view.uid] = share
        share.n += more
        wave.n_granted += more
    share.used = max(0, len(progress.moving) - left)
    if not share.by_pod or (share.n == 0 and not by_pod):
        return replace(view, bound=view.bound + share.n)
    return replace(view, bound=max(0, share.n - share.used), by_pod=True)
