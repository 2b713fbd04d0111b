"""How one node is moved: a state machine that names the next request and never sends it.

Comes in: an order, how far it has got, and the node as it is now. Goes out: one step. The order of
steps is the safety: capacity is asked for first, nothing is evicted before all of it is bound and
its nodes are kept by anchors, the node is marked before its first pod goes, and what was begun in
vain is undone. A node that will be taken away is marked first, and waits for capacity no longer
than its deadline lets it.

    ASKING > GROWING > BINDING > ANCHORING > MARKING > EVICTING > WAITING > RELEASING > ended
       any of these > UNDOING > ended

Every request may be made twice: an order begins anew from what is found, at whatever step it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from spotvortex.core.domain.autoscaling import is_slow
from spotvortex.core.domain.types import HARD_BLOCKERS, Blocker, short_digest
from spotvortex.core.drain.answers import LONGEST_RETRY_S, MAX_WAIT_S
from spotvortex.core.drain.calls import (
    Call,
    CreateAnchor,
    CreatePlaceholder,
    CreateRoom,
    DeletePlaceholders,
    EvictPod,
    MarkNode,
    PodView,
    ReleaseNode,
    RoomShape,
    UnmarkNode,
    anchor_call,
)
from spotvortex.core.drain.group_calls import GrowGroup
from spotvortex.core.drain.keeping import KeepNode
from spotvortex.core.drain.messages import DrainEnd, DrainOrder, OrderKind
from spotvortex.core.drain.orders import to_text
from spotvortex.core.drain.remaining import DrainPhase, DrainProgress, to_anchor, to_evict, to_keep
from spotvortex.core.drain.views import Halt, NodeView, remains

POLL_S: Final = 2.0
"""Seconds between two looks while waiting for capacity, for pods to end, or for a released node
that Cluster Autoscaler or an Auto Scaling group ends: that takes minutes."""

HURRIED_POLL_S: Final = 0.25
"""The same of a node that is lost and has just asked for capacity; it grows with its wait."""

LEFT_PER_S: Final = 1_000.0
"""Pods that a plan of lost nodes has left for each second between two looks of one of its nodes:
where hundreds look, one of them always does so soon, and takes what room there is."""

SET_BACK_S: Final = LONGEST_RETRY_S + 1.0
"""A request that is to be made so much later, in seconds, was put off by a clock that was ahead."""

LEAVE_POLL_S: Final = 0.5
"""Seconds between two looks at a released node, until its provisioner has begun to end it."""


@dataclass(frozen=True, slots=True)
class Do:
    """Make this request, then look again."""

    call: Call


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Finish:
    """The order has ended."""

    end: DrainEnd
    reason: str


Step = Do | Wait | Finish


def next_step(order: DrainOrder, progress: DrainProgress, view: NodeView, now: float) -> Step:
    """Return the one next step of an order."""
    if view.halt is Halt.DROP:
        return Finish(DrainEnd.HANDED_OVER, view.halt_reason)
    pause = _left_s(progress, "", now)
    if pause > 0.0 and progress.phase is not DrainPhase.EVICTING:
        return Wait(min(MAX_WAIT_S, pause))
    if _has_extras(order, progress, view):
        return Do(DeletePlaceholders(plan_id=order.plan_id, for_uid=order.plan_id, unbound=True))
    return _step(order, progress, view, now)


def _left_s(progress: DrainProgress, key: str, now: float) -> float:
    """Return the seconds until a request may be made again; none where a clock was set back."""
    left_s = progress.retry_at.get(key, now) - now
    return left_s if 0.0 < left_s < SET_BACK_S else 0.0


def _has_extras(order: DrainOrder, progress: DrainProgress, view: NodeView) -> bool:
    """Tell whether this order gives back what its plan asked for and does not need any more.

    Once every node of the plan has its room, what is not bound yet can only be extra. Where pods
    go without, it would be bought twice: they ask for nodes themselves as soon as they wait, and
    would not get those on their way, which are taken for placeholders.
    """
    enough = view.wave is not None and view.wave.gives_back
    lost = order.kind is OrderKind.INTERRUPTION
    return lost and enough and not progress.gave_back and view.n_waiting > 0


def _step(order: DrainOrder, progress: DrainProgress, view: NodeView, now: float) -> Step:
    match progress.phase:
        case DrainPhase.ASKING | DrainPhase.GROWING:
            return Do(_ask(order, progress, view))
        case DrainPhase.BINDING | DrainPhase.WAITING:
            return Wait(_poll_s(order, progress, view, now))
        case DrainPhase.ANCHORING:
            return Do(_hold(order, progress, view, now))
        case DrainPhase.MARKING:
            return Do(_mark(order, view))
        case DrainPhase.EVICTING:
            return _evict(order, progress, view, now)
        case DrainPhase.RELEASING:
            return _release(order, progress, view, now)
        case DrainPhase.UNDOING:
            return _undo(order, progress, view)
        case _ as never:
            assert_never(never)


def _growth(order: DrainOrder) -> GrowGroup:
    """Ask the group that is tried first for as many nodes as the wave drains."""
    return GrowGroup(
        group=order.sides[0],
        plan_id=order.plan_id,
        n_nodes=order.n_wave,
    )


def _ask(order: DrainOrder, progress: DrainProgress, view: NodeView) -> Call:
    if progress.phase is DrainPhase.GROWING:
        return _growth(order)
    lost = order.kind is OrderKind.INTERRUPTION
    return (_room if lost else _placeholder)(order, progress, view)


def _poll_s(order: DrainOrder, progress: DrainProgress, view: NodeView, now: float) -> float:
    """Return when to look again; hundreds of lost nodes that wait long need not look often."""
    if order.kind is OrderKind.DRAIN or progress.phase is not DrainPhase.BINDING:
        return POLL_S
    waited_s = now - progress.asked_at if progress.asked_at <= now else POLL_S
    n_left = view.wave.left if view.wave is not None else 0
    return min(POLL_S, max(HURRIED_POLL_S, waited_s / 4.0, n_left / LEFT_PER_S))


def _placeholder(order: DrainOrder, progress: DrainProgress, view: NodeView) -> CreatePlaceholder:
    pod = next(pod for pod in progress.moving if pod.uid not in progress.asked)
    digest = short_digest(f"{order.plan_id}|{pod.uid}")
    return CreatePlaceholder(
        name=f"spotvortex-placeholder-{digest}",
        plan_id=order.plan_id,
        for_uid=order.uid,
        pool=order.pool,
        capacity_type=order.to,
        sides=order.sides,
        for_pod=f"{pod.namespace}/{pod.name}",
        pod_uid=pod.uid,
        cpu_milli=pod.cpu_milli,
        memory_bytes=pod.memory_bytes,
        zone=view.zone if Blocker.VOLUME in pod.blockers else "",
        avoid=order.avoid,
        order=to_text(order),
        expires_s=order.leftover_s,
    )


def shape_of(pod: PodView) -> tuple[str, int, int]:
    """Return what pods that are alike have in common; a bare pod is like no other."""
    return pod.owner or pod.uid, pod.cpu_milli, pod.memory_bytes


def _room(order: DrainOrder, progress: DrainProgress, view: NodeView) -> CreateRoom:
    """Ask for the room of all pods of a lost node at once, those alike by one shape."""
    shapes: dict[tuple[object, ...], list[PodView]] = {}
    for pod in progress.moving:
        if pod.uid not in progress.asked:
            zone = view.zone if Blocker.VOLUME in pod.blockers else ""
            shapes.setdefault((shape_of(pod), zone), []).append(pod)
    return CreateRoom(
        plan_id=order.plan_id,
        for_uids=(order.uid,),
        pool=order.pool,
        capacity_type=order.to,
        sides=order.sides,
        shapes=tuple(
            RoomShape(
                pods=tuple(pods),
                zone=str(zone),
                avoid=order.avoid,
                n_extra=len(pods) if order.hedged else 0,
            )
            for (_, zone), pods in shapes.items()
        ),
        expires_s=order.leftover_s,
    )


def _hold(
    order: DrainOrder, progress: DrainProgress, view: NodeView, now: float
) -> CreateAnchor | KeepNode:
    kept = to_keep(order, progress, view)
    if kept:
        return KeepNode(node=kept[0].node, uid=kept[0].uid, plan_id=order.plan_id)
    receiver = to_anchor(order, progress, view, now)[0]
    return anchor_call(
        receiver.node,
        receiver.uid,
        order.pool,
        order.plan_id,
        order.deadline,
        expires_s=order.leftover_s,
    )


def _mark(order: DrainOrder, view: NodeView) -> MarkNode:
    return MarkNode(
        node=order.node,
        uid=order.uid,
        plan_id=order.plan_id,
        order=to_text(order),
        resource_version=view.resource_version,
        urgent=order.kind is OrderKind.INTERRUPTION,
    )


def _evict(order: DrainOrder, progress: DrainProgress, view: NodeView, now: float) -> Step:
    free = [pod for pod in to_evict(progress, view) if _may_go(order, progress, pod)]
    due = [pod for pod in free if not _left_s(progress, pod.uid, now)]
    if not due:
        left_s = min((_left_s(progress, pod.uid, now) for pod in free), default=POLL_S)
        return Wait(min(MAX_WAIT_S, max(0.1, left_s)))
    # Long grace periods first, so that the slowest pod does not start last; then the only ones of
    # their workload, whose successors are missed most.
    pod = min(
        due,
        key=lambda p: (
            -p.grace_s,
            Blocker.SINGLE_REPLICA not in p.blockers,
            p.namespace,
            p.name,
        ),
    )
    return Do(
        EvictPod(
            namespace=pod.namespace,
            name=pod.name,
            uid=pod.uid,
            node_uid=order.uid,
            plan_id=order.plan_id,
            urgent=order.kind is OrderKind.INTERRUPTION,
        )
    )


def _may_go(order: DrainOrder, progress: DrainProgress, pod: PodView) -> bool:
    """Tell whether a pod may go: it has room and nothing holds it, or its node is lost anyway."""
    if order.kind is OrderKind.INTERRUPTION:
        return True
    return pod.uid in progress.asked and not HARD_BLOCKERS.intersection(pod.blockers)


def _release(order: DrainOrder, progress: DrainProgress, view: NodeView, now: float) -> Step:
    """Let the node go; the order ends once somebody takes it, as `progress` finds out."""
    if order.claim and not progress.released:
        return Do(
            ReleaseNode(
                claim=order.claim,
                node=order.node,
                plan_id=order.plan_id,
                urgent=order.kind is OrderKind.INTERRUPTION,
            )
        )
    if _has_left(order, progress, view):
        return Do(_clean(order, view))
    if remains(order, view):
        poll_s = POLL_S if is_slow(order.claim) else LEAVE_POLL_S
        return Wait(min(poll_s, max(0.1, order.deadline - now)))
    return Finish(DrainEnd.DONE, progress.reason or "drained")


def _undo(order: DrainOrder, progress: DrainProgress, view: NodeView) -> Step:
    if (progress.marked or progress.maybe_marked) and view.present:
        return Do(UnmarkNode(node=order.node, uid=order.uid, plan_id=order.plan_id))
    if _has_left(order, progress, view):
        return Do(_clean(order, view))
    return Finish(progress.end, progress.reason)


def _has_left(order: DrainOrder, progress: DrainProgress, view: NodeView) -> bool:
    """Tell whether room is left to be deleted; what a plan's nodes share, the last one deletes."""
    if progress.cleaned:
        return False
    if order.kind is OrderKind.INTERRUPTION and not _is_last(view):
        return view.n_room > 0
    return bool(progress.asked or progress.found or view.n_room or view.n_shared)


def _is_last(view: NodeView) -> bool:
    return view.wave is None or view.wave.last


def _clean(order: DrainOrder, view: NodeView) -> DeletePlaceholders:
    whole = order.kind is OrderKind.INTERRUPTION and _is_last(view)
    return DeletePlaceholders(plan_id=order.plan_id, for_uid="" if whole else order.uid)
