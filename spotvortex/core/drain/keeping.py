"""How nodes are kept: by anchors, and by what may be asked of Cluster Autoscaler's nodes.

Comes in: the controller's own pods. Goes out: until when anchors keep nodes, and two more values of
`calls.Call`. Both name the node by its uid, and can be made twice without harm. What a person or
another controller keeps is none of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.observation import OwnPod


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepNode:
    """Keep a node from being scaled down, and note on it for which plan, in one patch.

    The actuator reads the node anew, and leaves one alone that its owner keeps already.

    Attributes:
        node: the node's name.
        uid: the node's uid.
        plan_id: the plan that it receives pods of.
    """

    node: str
    uid: str
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeNode:
    """Take the note of `KeepNode` off a node, and what it kept the node by, in one patch.

    Attributes:
        node: the node's name.
        uid: the node's uid.
        plan_id: the plan whose note goes, and no other's; "" means a note that cannot be read.
    """

    node: str
    uid: str
    plan_id: str


def anchored_until(pods: Iterable[OwnPod], at: float) -> dict[str, float]:
    """Return until when (wall time) anchors keep nodes, by uid of each node that one keeps now."""
    until: dict[str, float] = {}
    for pod in pods:
        if pod.kind is PodKind.ANCHOR and not pod.finished and not pod.terminating:
            until[pod.for_uid] = max(pod.ends_at, until.get(pod.for_uid, 0.0))
    return {uid: ends for uid, ends in until.items() if ends > at}
