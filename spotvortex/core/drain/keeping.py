"""What the controller may ask of Cluster Autoscaler's nodes: to be kept, and to be kept no more.

Comes in: nothing. Goes out: two more values of `calls.Call`. Both name the node by its uid, and can
be made twice without harm. What a person or another controller keeps is none of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass


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
