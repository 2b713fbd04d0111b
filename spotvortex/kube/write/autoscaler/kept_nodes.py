"""A node that is kept from Cluster Autoscaler's scale-down, and our note of it.

Comes in: calls. Goes out: answers. A node is read first; then one merge patch sets, or removes,
both Cluster Autoscaler's annotation and our note, for the version that was read. Where the
annotation is there without our note, the node's owner keeps it, and nothing is written.
"""

from __future__ import annotations

from typing import Final

from spotvortex.core.domain import labels
from spotvortex.core.domain.autoscaling import note_of, plan_noted
from spotvortex.core.drain.calls import Answer, Done, Gone
from spotvortex.core.drain.keeping import FreeNode, KeepNode
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import MERGE_PATCH
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.kube.write.manifests import node_patch

_TRUE: Final = "true"


async def keep(call: KeepNode, requests: BoundedRequests) -> Answer:
    """Keep a node for a plan.

    Raises:
        ApiError: the server did not do it.
    """
    node = await _read(call.node, requests)
    notes = node.metadata.annotations or {}
    if node.metadata.uid != call.uid:
        return Gone()
    ours = labels.KEPT in notes
    if ours and plan_noted(notes[labels.KEPT]) == call.plan_id:
        return Done()
    if not ours and labels.SCALE_DOWN_DISABLED in notes:
        return Done()
    await _patch(node, _TRUE, note_of(call.plan_id), requests)
    return Done()


async def free(call: FreeNode, requests: BoundedRequests) -> Answer:
    """Take our note off a node, and the annotation with it.

    Raises:
        ApiError: the server did not do it.
    """
    node = await _read(call.node, requests)
    text = (node.metadata.annotations or {}).get(labels.KEPT)
    if node.metadata.uid != call.uid:
        return Gone()
    if text is None or (call.plan_id and plan_noted(text) != call.plan_id):
        return Done()
    await _patch(node, None, None, requests)
    return Done()


async def _read(name: str, requests: BoundedRequests) -> wire.Node:
    return decoded(await requests.get(paths.node(name)), wire.Node)


async def _patch(
    node: wire.Node, disabled: str | None, note: str | None, requests: BoundedRequests
) -> None:
    patch = node_patch(
        node.metadata.uid or "",
        version=node.metadata.resource_version or "",
        notes={labels.SCALE_DOWN_DISABLED: disabled, labels.KEPT: note},
    )
    await requests.send("PATCH", paths.node(node.metadata.name), patch, content_type=MERGE_PATCH)
