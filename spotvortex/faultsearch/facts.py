"""What is read from a cluster and from a call before either is judged.

Comes in: a simulated node, a call, the text of a journal. Goes out: one fact of it. Shares no code
with the controller, like the judge that asks.
"""

from __future__ import annotations

import json

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.calls import (
    Call,
    CreateRoom,
    EvictPod,
    MarkNode,
    ReleaseNode,
)
from spotvortex.sim.cluster.objects import SimNode


def is_kept(node: SimNode) -> bool:
    """Say whether a node is one that pods may stay on: Ready, on-demand, in nobody's way."""
    return (
        node.capacity_type is CapacityType.ON_DEMAND
        and node.ready
        and not node.moving
        and not node.cordoned
    )


def floor_said(node: SimNode) -> int:
    """Return the floor that the owner of a node's NodePool asks for there."""
    return int(dict(node.group.annotations).get("spotvortex.io/on-demand-floor", "0"))


def nodes_named(call: Call) -> frozenset[str]:
    """Return the nodes, by uid or name, that a call empties or asks for room for."""
    match call:
        case MarkNode(uid=uid) | EvictPod(node_uid=uid):
            return frozenset({uid})
        case ReleaseNode(node=name):
            return frozenset({name})
        case CreateRoom(for_uids=uids):
            return frozenset(uids)
        case _:
            return frozenset()


def journal_of(text: str) -> dict[str, object]:
    """Return the controller's journal on a node, empty where it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
