"""How far the move of one node has got, and what phase the node as it is now calls for.

Comes in: an order, its progress, and a view of its node. Goes out: the progress, in its phase. This
module judges whether an order goes on, waits, or is undone; `machine` names the requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from spotvortex.core.domain.types import HARD_BLOCKERS, Blocker
from spotvortex.core.drain.calls import PodView
from spotvortex.core.drain.messages import DrainEnd, DrainOrder, OrderKind
from spotvortex.core.drain.remaining import (
    DrainPhase,
    DrainProgress,
    to_anchor,
    to_evict,
    to_grow,
    to_keep,
)
from spotvortex.core.drain.views import Halt, NodeView, remains

EVICT_MARGIN_S: Final = 15.0
"""Seconds before the deadline of an interruption by which the last grace period should be over."""

EVICTIONS_PER_S: Final = 50.0
"""Evictions of a plan that a server is trusted to carry out in a second; the last pod of a plan of
thousands has to be evicted in time, too."""

GIVE_BACK_S: Final = 4.5
"""Seconds before the pods of lost nodes must go in which the room that has not come is given back:
twice the longest time between two looks, so that all nodes of a plan have seen that it is time. A
provisioner that is told only after the first eviction has bought for its pods by then (Karpenter
looks at what is pending a second after the first)."""

AFTER_LOSS_S: Final = 120.0
"""An interrupted node that is still there this long after its deadline is given up."""

LOST_ROOM_S: Final = 5.0
"""Seconds after the last request for room before room that is not seen counts as lost."""

OVERDUE: Final = 0.0
"""A deadline that has long passed: whatever has it is undone at its next step."""

_PASSING: Final = frozenset({Blocker.PDB_ALLOWS_ZERO, Blocker.SINGLE_REPLICA})
"""Blockers that the controller's own evictions may cause: what has begun waits for them, and so do
the marked nodes of its wave."""


_BEFORE_ROOM: Final = (DrainPhase.ASKING, DrainPhase.GROWING, DrainPhase.BINDING)


def begin(order: DrainOrder, view: NodeView) -> DrainProgress:
    """Start an order, or go on with one whose node carries the controller's mark already.

    A node of a planned move was marked only after all room was bound: whatever of that room is
    taken by now was taken by its own pods.
    """
    planned = order.kind is OrderKind.DRAIN
    moving = _to_house(view, lost=not planned)
    begun = view.marked and planned
    # What lost nodes share does not say for whom it was asked: what is there is taken for all.
    known = begun or (view.marked and view.n_shared > 0)
    asked = frozenset(pod.uid for pod in moving) if known else frozenset[str]()
    found = view.n_room + view.n_shared > 0
    return DrainProgress(
        moving=moving,
        asked=asked,
        found=found,
        marked=view.marked,
        begun=begun,
        resumed=view.marked,
    )


def _to_house(view: NodeView, *, lost: bool) -> tuple[PodView, ...]:
    """Return the pods that need room elsewhere.

    One that ends already when its node is lost has a successor that asks for a node itself, or was
    evicted before a restart: the room that was asked for it may have been given back.
    """
    return tuple(pod for pod in view.movers if not (lost and pod.terminating))


def proceed(
    order: DrainOrder, progress: DrainProgress, view: NodeView, now: float
) -> DrainProgress:
    """Move on to the phase that the node, as it is now, calls for."""
    if progress.phase is DrainPhase.UNDOING:
        return progress
    if _is_drained(progress, view):
        return _unless_nobody_takes_it(order, progress, view, now)
    progress = _as_urgent_as(order, progress)
    # The answer to the request to mark may have been lost on its way.
    progress = replace(progress, marked=progress.marked or view.marked)
    trouble = _trouble(order, progress, view, now)
    if trouble is not None:
        end, reason = trouble
        return replace(progress, phase=DrainPhase.UNDOING, end=end, reason=reason)
    if not progress.begun:
        progress = replace(progress, moving=_with_newcomers(progress, view))
        progress = _as_asked(_without_lost_room(progress, view, now), view)
    pressed = _is_pressing(order, progress, view, now + GIVE_BACK_S, of=min)
    progress = replace(progress, phase=_phase(order, progress, view, now), pressed=pressed)
    return _unless_nobody_takes_it(order, progress, view, now)


def _as_urgent_as(order: DrainOrder, progress: DrainProgress) -> DrainProgress:
    """Take note of how urgent the order is; what was put off before its notice is due now."""
    urgent = order.kind is OrderKind.INTERRUPTION
    if urgent and not progress.urgent:
        progress = replace(progress, retry_at={}, tries={})
    return replace(progress, urgent=urgent)


def _unless_nobody_takes_it(
    order: DrainOrder, progress: DrainProgress, view: NodeView, now: float
) -> DrainProgress:
    """Give a drained node back, uncordoned, where nobody can release it, or nobody has in time."""
    if progress.phase is not DrainPhase.RELEASING or not remains(order, view):
        return progress
    if order.claim and not (progress.released and now >= order.deadline):
        return progress
    why = "its provisioner has not removed it" if order.claim else "nobody is known to remove it"
    reason = f"drained, but {why}: {order.node} is uncordoned"
    return replace(progress, phase=DrainPhase.UNDOING, end=DrainEnd.ABORTED, reason=reason)


def _is_drained(progress: DrainProgress, view: NodeView) -> bool:
    """Tell whether the node may go: it is released or gone, and two requests are left to make."""
    empty = view.cordoned and not view.movers
    return progress.phase is DrainPhase.RELEASING and (empty or not view.present)


def _with_newcomers(progress: DrainProgress, view: NodeView) -> tuple[PodView, ...]:
    """Add the pods that have come since, and leave out those that have gone by themselves."""
    there = {pod.uid for pod in view.movers}
    known = {pod.uid for pod in progress.moving}
    kept = (pod for pod in progress.moving if pod.uid in there)
    come = _to_house(view, lost=progress.urgent)
    return (*kept, *(pod for pod in come if pod.uid not in known))


def _without_lost_room(progress: DrainProgress, view: NodeView, now: float) -> DrainProgress:
    """Ask anew where room has gone: nobody else brings a placeholder back.

    A pod of a higher priority, a provisioner, or the taint of a node that has just come may delete
    one (seen with Karpenter: bound, and deleted by the taint eviction controller 30 ms later).
    Which one it was need not be known, since a request for what is there is answered so. A node
    that is lost has no time for that: the pods that lost their room then wait for new nodes.
    """
    if progress.urgent:
        return progress
    there, needed = view.n_room, len(progress.moving)
    if view.wave is not None and there < needed:
        there, needed = view.wave.room, view.wave.left
    if there >= needed or now - progress.asked_at < LOST_ROOM_S:
        return progress
    return replace(progress, asked=frozenset(), asked_at=math.inf, found=True)


def _as_asked(progress: DrainProgress, view: NodeView) -> DrainProgress:
    """Ask for nothing twice in an order that was found again.

    A placeholder may be missing because a pod of another node of the wave has taken its room. What
    was asked for that pod is there instead.
    """
    if not progress.found or view.wave is None or not view.wave.is_enough:
        return progress
    return replace(progress, asked=progress.asked | {pod.uid for pod in progress.moving})


def _trouble(
    order: DrainOrder, progress: DrainProgress, view: NodeView, now: float
) -> tuple[DrainEnd, str] | None:
    if not view.present:
        return DrainEnd.GONE, "the node is gone"
    if view.halt is Halt.UNDO:
        return DrainEnd.ABORTED, view.halt_reason
    late = _late(order, progress, view, now)
    if late is not None:
        return late
    if order.kind is OrderKind.INTERRUPTION:
        return _uncordoned(progress, view)
    if not order.sides and not progress.begun:
        return DrainEnd.NO_REPLACEMENT, f"no driver makes nodes for pool {order.pool}"
    if view.wave is not None and view.wave.trouble and not progress.marked:
        return DrainEnd.NO_REPLACEMENT, view.wave.trouble
    return _cordon_trouble(progress, view) or _pod_trouble(progress, view)


def _late(
    order: DrainOrder, progress: DrainProgress, view: NodeView, now: float
) -> tuple[DrainEnd, str] | None:
    asking = progress.phase in _BEFORE_ROOM and not progress.begun
    if order.kind is OrderKind.INTERRUPTION:
        limit = order.deadline + AFTER_LOSS_S
    else:
        limit = min(order.deadline, order.bind_by) if asking else order.deadline
    if now < limit:
        return None
    if asking:
        said = f": {view.pending_reason}" if view.pending_reason else ""
        return DrainEnd.NO_REPLACEMENT, f"not all room was bound in time{said}"
    return DrainEnd.ABORTED, f"not done by its deadline, in phase {progress.phase}"


def _uncordoned(progress: DrainProgress, view: NodeView) -> tuple[DrainEnd, str] | None:
    if progress.marked and not view.cordoned:
        return DrainEnd.ABORTED, "somebody else has uncordoned the node"
    return None


def _cordon_trouble(progress: DrainProgress, view: NodeView) -> tuple[DrainEnd, str] | None:
    """Say whether a person's cordon or uncordon ends the order; the mark tells its own cordon."""
    if view.cordoned and not progress.marked:
        return DrainEnd.ABORTED, "somebody else has cordoned the node"
    return _uncordoned(progress, view)


def _pod_trouble(progress: DrainProgress, view: NodeView) -> tuple[DrainEnd, str] | None:
    of_wave = progress.marked and view.wave is not None and view.wave.begun
    lasting = HARD_BLOCKERS - _PASSING if progress.begun or of_wave else HARD_BLOCKERS
    held = next((p for p in to_evict(progress, view) if lasting.intersection(p.blockers)), None)
    if held is None:
        return None
    why = min(lasting.intersection(held.blockers))
    return DrainEnd.REFUSED, f"{held.namespace}/{held.name} must not be moved: {why}"


def _phase(order: DrainOrder, progress: DrainProgress, view: NodeView, now: float) -> DrainPhase:
    """Say which phase comes next; an interrupted node is marked before anything is asked for."""
    if not progress.marked and order.kind is OrderKind.INTERRUPTION:
        return DrainPhase.MARKING
    pressing = _is_pressing(order, progress, view, now)
    waits = not pressing and (view.by_pod or not progress.begun)
    # Once the first pod has gone, the pods that follow it take the placeholders' room. A node that
    # is lost does not wait for a server that takes no requests for room either, and before a
    # restart its room may have been given back: it would be bought twice.
    asks = bool(order.sides) and not progress.begun
    asks = asks and not (pressing and (progress.resumed or progress.tries.get("", 0)))
    # Nor does an order that was found again before it knows what the others of its wave have.
    asks = asks and not (progress.found and view.wave is not None and not view.wave.known)
    if asks and any(pod.uid not in progress.asked for pod in progress.moving):
        return DrainPhase.ASKING
    if waits and to_grow(order, progress):
        return DrainPhase.GROWING
    if waits and not _has_room(order, progress, view):
        return DrainPhase.BINDING
    if waits and (to_keep(order, progress, view) or to_anchor(order, progress, view, now)):
        return DrainPhase.ANCHORING
    if not progress.marked:
        return DrainPhase.MARKING
    if to_evict(progress, view):
        return (
            DrainPhase.WAITING if _waits_for_marks(order, progress, view) else DrainPhase.EVICTING
        )
    return DrainPhase.WAITING if view.movers else DrainPhase.RELEASING


def _waits_for_marks(order: DrainOrder, progress: DrainProgress, view: NodeView) -> bool:
    """Tell whether a pod that goes now could come up again on a node that is drained next."""
    planned = order.kind is OrderKind.DRAIN and not progress.begun
    return planned and view.wave is not None and view.wave.marking


def _is_pressing(
    order: DrainOrder,
    progress: DrainProgress,
    view: NodeView,
    now: float,
    of: Callable[[Iterable[float]], float] = max,
) -> bool:
    """Tell whether a pod of an interrupted node must go now to end before its node does.

    The one with the longest grace period of those that are left, since it goes first; with `min`,
    every one of them. Where nobody can be asked for room, there is nothing to wait for.
    """
    if order.kind is not OrderKind.INTERRUPTION:
        return False
    if not order.sides:
        return True
    grace_s = of([pod.grace_s for pod in to_evict(progress, view)] or [0.0])
    n_left = view.wave.left if view.wave is not None else 0
    return now >= order.deadline - grace_s - EVICT_MARGIN_S - n_left / EVICTIONS_PER_S


def _has_room(order: DrainOrder, progress: DrainProgress, view: NodeView) -> bool:
    """Tell whether the pods of this node, and of all that are drained with it, have room.

    A node that is lost has no time for the others: room for its own pods is enough, and where it
    is set aside pod by pod, room for the next one.
    """
    lost = order.kind is OrderKind.INTERRUPTION
    if view.by_pod:
        return view.bound > 0 or not to_evict(progress, view)
    own = view.bound >= len(to_evict(progress, view) if lost else progress.moving)
    if view.wave is None or (own and lost):
        return own
    return view.wave.has_room
