"""How the answer to a request takes a drain further, or has it try again, or ends it.

Comes in: how far an order has got, a call, and the answer to it. Goes out: how far it has got now.
May not name the next request: that is `machine`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, assert_never

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
    Refused,
    ReleaseNode,
    UnmarkNode,
)
from spotvortex.core.drain.group_calls import GrowGroup
from spotvortex.core.drain.keeping import KeepNode
from spotvortex.core.drain.messages import DrainEnd
from spotvortex.core.drain.remaining import DrainPhase, DrainProgress

FIRST_RETRY_S: Final = 2.0
"""Pause after an eviction that a budget blocked, if the server names no time; it doubles."""

FIRST_LOOK_S: Final = 0.2
"""The same pause where the object has changed since it was read: at a notice others taint the same
node at the same moment, and two seconds are a lot of the two minutes that are left."""

MAX_WAIT_S: Final = 15.0
"""Longest such pause, and longest time between two looks, so that a stop is seen in time."""

LONGEST_RETRY_S: Final = 60.0
"""Longest pause that a server is granted."""

MAX_TRIES: Final = 20
"""How often a request other than an eviction is tried again when it fails for now."""


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
        case Again():
            return _again(counted, call, answer, now)
        case Done() | Gone():
            if isinstance(call, CreatePlaceholder | CreateRoom):
                counted = replace(counted, asked_at=now)
            return _carried_out(replace(counted, tries=_without(counted.tries, "")), call)
        case _ as never:
            assert_never(never)


def _again(progress: DrainProgress, call: Call, answer: Again, now: float) -> DrainProgress:
    """Try later. The deadline ends an eviction that never works, `MAX_TRIES` any other request."""
    if isinstance(call, EvictPod):
        # A silent server may have carried it out: the workload that is now one pod short must not
        # look like one that is never moved. An order found again is begun from its mark on, too.
        begun = progress.begun or answer.is_sent
        return _later(replace(progress, begun=begun), call.uid, answer.retry_s, now)
    if isinstance(call, MarkNode):
        # A silent server may have carried it out.
        progress = replace(progress, maybe_marked=progress.maybe_marked or answer.is_sent)
    if progress.tries.get("", 0) >= MAX_TRIES:
        return _refused(progress, call, answer.reason)
    first_s = FIRST_LOOK_S if answer.is_outdated else FIRST_RETRY_S
    return _later(progress, "", answer.retry_s, now, first_s)


def _without(tries: Mapping[str, int], key: str) -> Mapping[str, int]:
    return {k: n for k, n in tries.items() if k != key} if key in tries else tries


def _later(
    progress: DrainProgress, key: str, asked_s: float, now: float, first_s: float = FIRST_RETRY_S
) -> DrainProgress:
    """Wait as long as the server asks; else doubling to 15 s, shortened by up to a fifth."""
    n = progress.tries.get(key, 0)
    doubled = min(MAX_WAIT_S, first_s * 2.0 ** min(n, 8))
    spread = int.from_bytes(hashlib.sha256(f"{key}|{n}".encode()).digest()[:2], "big") / 65_535
    pause = min(asked_s, LONGEST_RETRY_S) if asked_s > 0.0 else doubled * (1.0 - 0.2 * spread)
    return replace(
        progress,
        tries={**progress.tries, key: n + 1},
        retry_at={**progress.retry_at, key: now + max(0.1, pause)},
    )


def _carried_out(progress: DrainProgress, call: Call) -> DrainProgress:
    if isinstance(call, CreatePlaceholder | CreateRoom):
        asked = call.pod_uids if isinstance(call, CreateRoom) else {call.pod_uid}
        return replace(progress, asked=progress.asked | asked)
    if isinstance(call, CreateAnchor | KeepNode | GrowGroup):
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
        case DeletePlaceholders(unbound=unbound):
            return replace(progress, gave_back=True) if unbound else replace(progress, cleaned=True)
        case _:
            raise AssertionError(f"a drain makes no {type(call).__name__}")


def _held(progress: DrainProgress, call: CreateAnchor | KeepNode | GrowGroup) -> DrainProgress:
    if isinstance(call, GrowGroup):
        return replace(progress, grown=True)
    if isinstance(call, KeepNode):
        return replace(progress, kept=progress.kept | {call.uid})
    return replace(progress, anchored=progress.anchored | {call.node_uid})


def _refused(progress: DrainProgress, call: Call, reason: str) -> DrainProgress:
    """Give up; what cannot even be undone expires by itself, and the reason says so."""
    if isinstance(call, DeletePlaceholders) and call.unbound:
        # What is extra goes with the rest of the plan's room, at the latest by itself.
        return replace(progress, gave_back=True)
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
    asking = isinstance(call, CreatePlaceholder | CreateRoom | GrowGroup | CreateAnchor | KeepNode)
    end = DrainEnd.NO_REPLACEMENT if asking else DrainEnd.REFUSED
    return replace(progress, phase=DrainPhase.UNDOING, end=end, reason=reason)


def _gone_without(progress: DrainProgress, call: Call, reason: str) -> DrainProgress:
    """Go on without what was refused: a node that is lost takes its other pods with it."""
    said = replace(progress, reason=reason)
    if isinstance(call, EvictPod):
        return replace(said, given_up=said.given_up | {call.uid})
    return _carried_out(said, call)
