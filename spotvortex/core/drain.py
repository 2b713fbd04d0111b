"""How one node is moved: a state machine that says the next request, never makes it.

Comes in: an order, how far it has got, and the node as it is now. Goes out: one step. The order of
steps is the safety: capacity is asked for first, nothing is evicted before all of it is bound, the
node is marked before its first pod goes, and what was begun in vain is undone.

    ASKING > BINDING > MARKING > EVICTING > WAITING > RELEASING > ended
       any of these > UNDOING > ended
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, assert_never

from spotvortex.core.calls import (
    Answer,
    BlockedByBudget,
    Call,
    CreatePlaceholder,
    DeleteNodeClaim,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    MarkNode,
    NodeView,
    PodView,
    Refused,
    UnmarkNode,
)
from spotvortex.core.messages import DrainEnd, DrainOrder
from spotvortex.core.types import HARD_BLOCKERS, Blocker

POLL_S: Final = 2.0
"""Seconds between two looks while waiting for capacity or for pods to end."""

MIN_RETRY_S: Final = 1.0
"""A blocked eviction is not tried again sooner than this."""

MAX_WAIT_S: Final = 15.0
"""Longest time between two looks, so that a deadline or a stop is seen in time."""

PLACEHOLDER_LIFE_S: Final = 1800
"""`activeDeadlineSeconds` of a placeholder: what we leave behind outlives us no longer."""


_PASSING: Final = frozenset({Blocker.PDB_ALLOWS_ZERO, Blocker.SINGLE_REPLICA})
"""Blockers that evictions of ours may bring about: once begun, they are waited for."""


class Phase(StrEnum):
    """Where an order stands."""

    ASKING = "asking"
    BINDING = "binding"
    MARKING = "marking"
    EVICTING = "evicting"
    WAITING = "waiting"
    RELEASING = "releasing"
    UNDOING = "undoing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an order has got. `moving` are the pods for whose room capacity is asked."""

    phase: Phase = Phase.ASKING
    moving: tuple[PodView, ...] = ()
    n_asked: int = 0
    marked: bool = False
    released: bool = False
    cleaned: bool = False
    evicted: frozenset[str] = frozenset()
    retry_at: Mapping[str, float] = field(default_factory=dict)
    n_calls: int = 0
    end: DrainEnd = DrainEnd.DONE
    reason: str = ""


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


def begin(view: NodeView) -> Progress:
    """Start an order with the pods that have to move."""
    return Progress(moving=_movers(view))


def _movers(view: NodeView) -> tuple[PodView, ...]:
    return tuple(pod for pod in view.pods if not pod.stays)


def proceed(progress: Progress, view: NodeView, deadline: float, now: float) -> Progress:
    """Move on to the phase that the node, as it is now, calls for."""
    if progress.phase is Phase.UNDOING or _is_drained(progress, view):
        return progress
    trouble = _trouble(progress, view, deadline, now)
    if trouble is not None:
        end, reason = trouble
        return replace(progress, phase=Phase.UNDOING, end=end, reason=reason)
    if not progress.evicted:
        progress = replace(progress, moving=_with_newcomers(progress.moving, view))
    return replace(progress, phase=_phase(progress, view))


def _is_drained(progress: Progress, view: NodeView) -> bool:
    """From here on the node may go, as it should, and what is left to do takes two requests."""
    empty = view.cordoned and not _movers(view)
    return progress.phase is Phase.RELEASING and (empty or not view.present)


def _with_newcomers(moving: tuple[PodView, ...], view: NodeView) -> tuple[PodView, ...]:
    """Add the pods that have come since: until it is marked, the node takes pods."""
    known = {pod.uid for pod in moving}
    return (*moving, *(pod for pod in _movers(view) if pod.uid not in known))


def _trouble(
    progress: Progress, view: NodeView, deadline: float, now: float
) -> tuple[DrainEnd, str] | None:
    if not view.present:
        return DrainEnd.GONE, "the node is gone"
    if now >= deadline:
        asking = progress.phase in (Phase.ASKING, Phase.BINDING)
        end = DrainEnd.NO_REPLACEMENT if asking else DrainEnd.ABORTED
        return end, f"not done by its deadline, in phase {progress.phase}"
    return _cordon_trouble(progress, view) or _pod_trouble(progress, view)


def _cordon_trouble(progress: Progress, view: NodeView) -> tuple[DrainEnd, str] | None:
    """The cordon is ours from the mark on; a person's cordon or uncordon ends the order."""
    if view.cordoned == progress.marked:
        return None
    done = "cordoned" if view.cordoned else "uncordoned"
    return DrainEnd.ABORTED, f"somebody else has {done} the node"


def _pod_trouble(progress: Progress, view: NodeView) -> tuple[DrainEnd, str] | None:
    lasting = HARD_BLOCKERS - _PASSING if progress.evicted else HARD_BLOCKERS
    held = next((p for p in _to_evict(progress, view) if lasting.intersection(p.blockers)), None)
    if held is None:
        return None
    why = min(lasting.intersection(held.blockers))
    return DrainEnd.REFUSED, f"{held.namespace}/{held.name} must not be moved: {why}"


def _phase(progress: Progress, view: NodeView) -> Phase:
    if progress.n_asked < len(progress.moving):
        return Phase.ASKING
    # Once the first pod has gone, the pods that follow it take the placeholders' room.
    if view.bound < len(progress.moving) and not progress.evicted:
        return Phase.BINDING
    if not progress.marked:
        return Phase.MARKING
    if _to_evict(progress, view):
        return Phase.EVICTING
    return Phase.WAITING if _movers(view) else Phase.RELEASING


def _to_evict(progress: Progress, view: NodeView) -> list[PodView]:
    return [pod for pod in _movers(view) if not pod.terminating and pod.uid not in progress.evicted]


def next_step(order: DrainOrder, progress: Progress, view: NodeView, now: float) -> Step:
    """Say the one next thing to do for an order."""
    match progress.phase:
        case Phase.ASKING:
            return Do(_placeholder(order, progress))
        case Phase.BINDING | Phase.WAITING:
            return Wait(POLL_S)
        case Phase.MARKING:
            return Do(_mark(order))
        case Phase.EVICTING:
            return _evict(order, progress, view, now)
        case Phase.RELEASING:
            return _release(order, progress)
        case Phase.UNDOING:
            return _undo(order, progress, view)
        case _ as never:
            assert_never(never)


def _placeholder(order: DrainOrder, progress: Progress) -> CreatePlaceholder:
    pod = progress.moving[progress.n_asked]
    return CreatePlaceholder(
        name=f"spotvortex-{order.plan_id}-{order.uid[:8]}-{progress.n_asked}",
        plan_id=order.plan_id,
        for_uid=order.uid,
        pool=order.pool,
        capacity_type=order.to,
        node_pool=order.node_pool,
        cpu_milli=pod.cpu_milli,
        memory_bytes=pod.memory_bytes,
        expires_s=PLACEHOLDER_LIFE_S,
    )


def _mark(order: DrainOrder) -> MarkNode:
    return MarkNode(
        node=order.node,
        uid=order.uid,
        plan_id=order.plan_id,
        reason=order.reason,
        deadline=order.deadline,
    )


def _evict(order: DrainOrder, progress: Progress, view: NodeView, now: float) -> Step:
    room = {pod.uid for pod in progress.moving}
    free = [
        pod
        for pod in _to_evict(progress, view)
        if pod.uid in room and not HARD_BLOCKERS.intersection(pod.blockers)
    ]
    due = [pod for pod in free if progress.retry_at.get(pod.uid, now) <= now]
    if not due:
        until = min((progress.retry_at[pod.uid] for pod in free), default=now + POLL_S)
        return Wait(min(MAX_WAIT_S, max(0.1, until - now)))
    # Long grace periods first, so that the slowest pod does not start last.
    pod = min(due, key=lambda p: (-p.grace_s, p.namespace, p.name))
    return Do(
        EvictPod(
            namespace=pod.namespace,
            name=pod.name,
            uid=pod.uid,
            node_uid=order.uid,
            plan_id=order.plan_id,
        )
    )


def _release(order: DrainOrder, progress: Progress) -> Step:
    if order.node_claim and not progress.released:
        claim = DeleteNodeClaim(node_claim=order.node_claim, node=order.node, plan_id=order.plan_id)
        return Do(claim)
    if progress.n_asked and not progress.cleaned:
        return Do(_clean(order))
    return Finish(DrainEnd.DONE, progress.reason or "drained")


def _undo(order: DrainOrder, progress: Progress, view: NodeView) -> Step:
    if progress.marked and view.present:
        return Do(UnmarkNode(node=order.node, uid=order.uid, plan_id=order.plan_id))
    if progress.n_asked and not progress.cleaned:
        return Do(_clean(order))
    return Finish(progress.end, progress.reason)


def _clean(order: DrainOrder) -> DeletePlaceholders:
    return DeletePlaceholders(plan_id=order.plan_id, for_uid=order.uid)


def advance(progress: Progress, call: Call, answer: Answer, now: float) -> Progress:
    """Take the answer to a request into account."""
    counted = replace(progress, n_calls=progress.n_calls + 1)
    match answer:
        case Refused(reason=reason):
            return _refused(counted, call, reason)
        case BlockedByBudget(retry_s=retry_s):
            if not isinstance(call, EvictPod):
                return _refused(counted, call, "a budget blocks what is no eviction")
            retry_at = now + max(MIN_RETRY_S, retry_s)
            return replace(counted, retry_at={**progress.retry_at, call.uid: retry_at})
        case Done() | Gone():
            return _carried_out(counted, call)
        case _ as never:
            assert_never(never)


def _carried_out(progress: Progress, call: Call) -> Progress:
    match call:
        case CreatePlaceholder():
            return replace(progress, n_asked=progress.n_asked + 1)
        case MarkNode():
            return replace(progress, marked=True)
        case UnmarkNode():
            return replace(progress, marked=False)
        case EvictPod(uid=uid):
            return replace(progress, evicted=progress.evicted | {uid})
        case DeleteNodeClaim():
            return replace(progress, released=True)
        case DeletePlaceholders():
            return replace(progress, cleaned=True)
        case _ as never:
            assert_never(never)


def _refused(progress: Progress, call: Call, reason: str) -> Progress:
    """Give up; what cannot even be undone is left to expire by itself, and said."""
    if progress.phase is Phase.UNDOING or isinstance(call, DeletePlaceholders):
        return replace(
            _carried_out(progress, call), reason=f"{progress.reason}; {reason}".strip("; ")
        )
    end = DrainEnd.NO_REPLACEMENT if isinstance(call, CreatePlaceholder) else DrainEnd.REFUSED
    return replace(progress, phase=Phase.UNDOING, end=end, reason=reason)
