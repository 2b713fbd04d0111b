"""How one node is moved: a state machine that names the next request and never sends it.

Comes in: an order, how far it has got, and the node as it is now. Goes out: one step. The order of
steps is the safety: capacity is asked for first, nothing is evicted before all of it is bound and
its nodes are kept by anchors, the node is marked before its first pod goes, and what was begun in
vain is undone. A node that will be taken away is marked first, and waits for capacity no longer
than its deadline lets it.

    ASKING > BINDING > ANCHORING > MARKING > EVICTING > WAITING > RELEASING > ended
       any of these > UNDOING > ended

Every request may be made twice: an order begins anew from what is found, at whatever step it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, assert_never

from spotvortex.core.domain.autoscaling import released_uid
from spotvortex.core.domain.types import HARD_BLOCKERS, Blocker
from spotvortex.core.drain.calls import (
    Again,
    Answer,
    BlockedByBudget,
    Call,
    CreateAnchor,
    CreatePlaceholder,
    CreateRoom,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    MarkNode,
    PodView,
    Refused,
    ReleaseNode,
    RoomShape,
    UnmarkNode,
    anchor_call,
)
from spotvortex.core.drain.keeping import KeepNode
from spotvortex.core.drain.messages import DrainEnd, DrainOrder, OrderKind
from spotvortex.core.drain.orders import to_text
from spotvortex.core.drain.progress import (
    DrainPhase,
    DrainProgress,
    remains,
    to_anchor,
    to_evict,
    to_keep,
)
from spotvortex.core.drain.views import Halt, NodeView

POLL_S: Final = 2.0
"""Seconds between two looks while waiting for capacity or for pods to end."""

HURRIED_POLL_S: Final = 0.25
"""The same of a node that is lost and has just asked for capacity; it grows with its wait."""

LEAVE_POLL_S: Final = 0.5
"""Seconds between two looks at a released node, until its provisioner has begun to end it."""

AUTOSCALER_POLL_S: Final = 5.0
"""The same where Cluster Autoscaler ends it, after ten minutes unless it is told otherwise."""

FIRST_RETRY_S: Final = 2.0
"""Pause after an eviction that a budget blocked, if the server names no time; it doubles."""

MAX_WAIT_S: Final = 15.0
"""Longest such pause, and longest time between two looks, so that a stop is seen in time."""

MAX_TRIES: Final = 20
"""How often a request other than an eviction is tried again when it fails for now."""


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
    pause = progress.retry_at.get("", now) - now
    if pause > 0.0 and progress.phase is not DrainPhase.EVICTING:
        return Wait(min(MAX_WAIT_S, pause))
    return _step(order, progress, view, now)


def _step(order: DrainOrder, progress: DrainProgress, view: NodeView, now: float) -> Step:
    match progress.phase:
        case DrainPhase.ASKING:
            lost = order.kind is OrderKind.INTERRUPTION
            ask = _room if lost else _placeholder
            return Do(ask(order, progress, view))
        case DrainPhase.BINDING | DrainPhase.WAITING:
            return Wait(_poll_s(order, progress, now))
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


def _poll_s(order: DrainOrder, progress: DrainProgress, now: float) -> float:
    """Return when to look again; hundreds of lost nodes that wait long need not look often."""
    if order.kind is OrderKind.DRAIN or progress.phase is not DrainPhase.BINDING:
        return POLL_S
    waited_s = now - progress.asked_at if progress.asked_at <= now else POLL_S
    return min(POLL_S, max(HURRIED_POLL_S, waited_s / 4.0))


def _placeholder(order: DrainOrder, progress: DrainProgress, view: NodeView) -> CreatePlaceholder:
    pod = next(pod for pod in progress.moving if pod.uid not in progress.asked)
    digest = hashlib.sha256(f"{order.plan_id}|{pod.uid}".encode()).hexdigest()[:16]
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
            RoomShape(pods=tuple(pods), zone=str(zone), avoid=order.avoid)
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
    due = [pod for pod in free if progress.retry_at.get(pod.uid, now) <= now]
    if not due:
        until = min((progress.retry_at[pod.uid] for pod in free), default=now + POLL_S)
        return Wait(min(MAX_WAIT_S, max(0.1, until - now)))
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
        poll_s = AUTOSCALER_POLL_S if released_uid(order.claim) else LEAVE_POLL_S
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


def advance(progress: DrainProgress, call: Call, answer: Answer, now: float) -> DrainProgress:
    """Take the answer to a request into account."""
    counted = replace(progress, n_calls=progress.n_calls + 1)
    match answer:
        case Refused(reason=reason):
            return _refused(counted, call, reason)
        case BlockedByBudget(retry_s=retry_s):
            if not isinstance(call, EvictPod):
                return _refused(counted, call, "a budget blocks what is no eviction")
            return _later(counted, call.uid, retry_s, now)
        case Again(reason=reason, retry_s=retry_s):
            return _again(counted, call, reason, retry_s, now)
        case Done() | Gone():
            if isinstance(call, CreatePlaceholder | CreateRoom):
                counted = replace(counted, asked_at=now)
            return _carried_out(replace(counted, tries=_without(counted.tries, "")), call)
        case _ as never:
            assert_never(never)


def _again(
    progress: DrainProgress, call: Call, reason: str, retry_s: float, now: float
) -> DrainProgress:
    """Try later. The deadline ends an eviction that never works, `MAX_TRIES` any other request."""
    if isinstance(call, EvictPod):
        # A silent server may have carried it out: the workload that is now one pod short must not
        # look like one that is never moved. An order found again is begun from its mark on, too.
        return _later(replace(progress, begun=True), call.uid, retry_s, now)
    if isinstance(call, MarkNode):
        # A silent server may have carried it out.
        progress = replace(progress, maybe_marked=True)
    if progress.tries.get("", 0) >= MAX_TRIES:
        return _refused(progress, call, reason)
    return _later(progress, "", retry_s, now)


def _without(tries: Mapping[str, int], key: str) -> Mapping[str, int]:
    return {k: n for k, n in tries.items() if k != key} if key in tries else tries


def _later(progress: DrainProgress, key: str, asked_s: float, now: float) -> DrainProgress:
    """Wait as long as the server asks; else 2 s, doubling to 15 s, shortened by up to a fifth."""
    n = progress.tries.get(key, 0)
    doubled = min(MAX_WAIT_S, FIRST_RETRY_S * 2.0 ** min(n, 8))
    spread = int.from_bytes(hashlib.sha256(f"{key}|{n}".encode()).digest()[:2], "big") / 65_535
    pause = min(asked_s, 60.0) if asked_s > 0.0 else doubled * (1.0 - 0.2 * spread)
    return replace(
        progress,
        tries={**progress.tries, key: n + 1},
        retry_at={**progress.retry_at, key: now + max(0.1, pause)},
    )


def _carried_out(progress: DrainProgress, call: Call) -> DrainProgress:
    if isinstance(call, CreatePlaceholder | CreateRoom):
        asked = call.pod_uids if isinstance(call, CreateRoom) else {call.pod_uid}
        return replace(progress, asked=progress.asked | asked)
    if isinstance(call, CreateAnchor | KeepNode):
        return _held(progress, call)
    match call:
        case MarkNode():
            return replace(progress, marked=True)
        case UnmarkNode():
            return replace(progress, marked=False, maybe_marked=False)
        case EvictPod(uid=uid):
            return replace(progress, begun=True, evicted=progress.evicted | {uid})
        case ReleaseNode():
            return replace(progress, released=True)
        case DeletePlaceholders():
            return replace(progress, cleaned=True)
        case _:
            raise AssertionError(f"a drain makes no {type(call).__name__}")


def _held(progress: DrainProgress, call: CreateAnchor | KeepNode) -> DrainProgress:
    if isinstance(call, KeepNode):
        return replace(progress, kept=progress.kept | {call.uid})
    return replace(progress, anchored=progress.anchored | {call.node_uid})


def _refused(progress: DrainProgress, call: Call, reason: str) -> DrainProgress:
    """Give up; what cannot even be undone expires by itself, and the reason says so."""
    if progress.phase is DrainPhase.UNDOING or isinstance(call, DeletePlaceholders):
        # IMPORTANT: where the mark stays the room stays too. Whoever finds the mark takes the room
        # for granted.
        return replace(
            _carried_out(progress, call),
            cleaned=True,
            reason=f"{progress.reason}; {reason}".strip("; "),
        )
    if progress.urgent and not isinstance(call, MarkNode):
        return _gone_without(progress, call, reason)
    asking = isinstance(call, CreatePlaceholder | CreateRoom | CreateAnchor | KeepNode)
    end = DrainEnd.NO_REPLACEMENT if asking else DrainEnd.REFUSED
    return replace(progress, phase=DrainPhase.UNDOING, end=end, reason=reason)


def _gone_without(progress: DrainProgress, call: Call, reason: str) -> DrainProgress:
    """Go on without what was refused: a node that is lost takes its other pods with it."""
    said = replace(progress, reason=reason)
    if isinstance(call, EvictPod):
        return replace(said, given_up=said.given_up | {call.uid})
    return _carried_out(said, call)
