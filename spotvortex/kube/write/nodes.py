"""Our few words on nodes: the cordon with its journal, and the note of a risk.

Comes in: calls. Goes out: answers, and what the newest write of ours left on a node, for as long
as the watch may lag behind it. Each write is one merge patch that names the node's uid; marks name
its resource version too, so that a request which was long on its way cannot undo a newer one.
"""

from __future__ import annotations

import asyncio
from typing import Final

from spotvortex.core.domain import labels
from spotvortex.core.drain.calls import (
    Again,
    Answer,
    ClearRisk,
    Done,
    Gone,
    MarkNode,
    NoteRisk,
    UnmarkNode,
)
from spotvortex.core.drain.orders import plan_in
from spotvortex.core.record.codec import rfc3339
from spotvortex.errors import ConflictError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import MERGE_PATCH
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.codec import decoded, ordinal
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.kube.write.manifests import Json, node_patch
from spotvortex.ports.writing import OwnWrite

REMEMBER_S: Final = 60.0
"""A watch that is this far behind is not used for decisions any more."""

MAX_REMEMBERED: Final = 1024


class OwnWrites:
    """Our newest write on each node, for a minute."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[float, OwnWrite]] = {}

    def put(self, node: wire.Node) -> None:
        """Take the node as a write of ours left it."""
        uid, version = node.metadata.uid or "", ordinal(node.metadata.resource_version)
        if not uid or version < 0:
            return
        spec = node.spec or wire.NodeSpec()
        left = OwnWrite(
            resource_version=version, cordoned=bool(spec.unschedulable), plan_id=plan_on(node)
        )
        self._newest.pop(uid, None)
        self._newest[uid] = (_loop_time() + REMEMBER_S, left)
        if len(self._newest) > MAX_REMEMBERED:
            del self._newest[next(iter(self._newest))]

    def get(self, uid: str, seen_version: str = "") -> OwnWrite | None:
        """Return what our newest write left, None once the watch has caught up with it.

        Args:
            uid: the node's.
            seen_version: the resource version of the node as the watch shows it.
        """
        known = self._newest.get(uid)
        if known is None:
            return None
        until, left = known
        if _loop_time() >= until or ordinal(seen_version) >= left.resource_version:
            del self._newest[uid]
            return None
        return left


class NodeWrites:
    """Writes marks and notes on nodes."""

    def __init__(self) -> None:
        self.own = OwnWrites()

    async def apply(
        self, call: MarkNode | UnmarkNode | NoteRisk | ClearRisk, requests: BoundedRequests
    ) -> Answer:
        """Carry a call out.

        Raises:
            ApiError: the server did not do it; `errors` says what that means.
        """
        match call:
            case MarkNode():
                return await self._mark(call, requests)
            case UnmarkNode():
                return await self._unmark(call, requests)
            case NoteRisk():
                note = rfc3339(call.until, "seconds")
                patch = node_patch(call.uid, notes={labels.AT_RISK: note})
                await self._patch(call.node, patch, requests)
            case ClearRisk():
                patch = node_patch(call.uid, notes={labels.AT_RISK: None})
                await self._patch(call.node, patch, requests)
        return Done()

    async def _mark(self, call: MarkNode, requests: BoundedRequests) -> Answer:
        patch = node_patch(
            call.uid,
            version=call.resource_version,
            labels={labels.CORDONED: labels.CORDONED_VALUE},
            notes={labels.DRAIN: call.order},
            unschedulable=True,
        )
        try:
            await self._patch(call.node, patch, requests)
        except ConflictError as error:
            return await self._after_conflict(call, requests, str(error))
        return Done()

    async def _after_conflict(
        self, call: MarkNode, requests: BoundedRequests, words: str
    ) -> Answer:
        """Tell whether the mark is there already: the answer to a first try may have been lost."""
        node = await _get(call.node, requests)
        if node.metadata.uid != call.uid:
            return Gone()
        if plan_on(node) != call.plan_id:
            return Again(reason=words, is_outdated=True)
        self.own.put(node)
        return Done()

    async def _unmark(self, call: UnmarkNode, requests: BoundedRequests) -> Answer:
        node = await _get(call.node, requests)
        if node.metadata.uid != call.uid:
            return Gone()
        if plan_on(node) != call.plan_id:
            return Done()
        # Without our label a person has taken the cordon over, and it is theirs to lift.
        ours = labels.CORDONED in (node.metadata.labels or {})
        patch = node_patch(
            call.uid,
            version=node.metadata.resource_version or "",
            labels={labels.CORDONED: None},
            notes={labels.DRAIN: None},
            unschedulable=False if call.uncordon and ours else None,
        )
        await self._patch(call.node, patch, requests)
        return Done()

    async def _patch(self, name: str, patch: Json, requests: BoundedRequests) -> None:
        sent = requests.send("PATCH", paths.node(name), patch, content_type=MERGE_PATCH)
        self.own.put(decoded(await sent, wire.Node))


async def _get(name: str, requests: BoundedRequests) -> wire.Node:
    return decoded(await requests.get(paths.node(name)), wire.Node)


def plan_on(node: wire.Node) -> str:
    """Return the plan whose mark is on a node, "" where none is named."""
    return plan_in((node.metadata.annotations or {}).get(labels.DRAIN, ""))


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
