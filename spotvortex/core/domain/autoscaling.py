"""The words for groups of nodes that are no objects of a cluster: groups, released and kept nodes.

Cluster Autoscaler grows them, or the controller itself does, by AWS.

Comes in: names and labels of nodes. Goes out: names of groups that no NodePool can have, the claim
by which such a node is released, and the note on a node that the controller keeps. May not know how
any of it is read or written.
"""

from __future__ import annotations

import json
from typing import Final

from spotvortex.core.domain.types import CapacityType

_MANAGED: Final = "nodegroup/"
_LABELLED: Final = "labels/"
_NODE: Final = "node/"
_INSTANCE: Final = "instance/"
"""No object of a cluster has a slash in its name, so none of these is taken for a NodePool."""

MAX_NOTE: Final = 512
"""Most characters of a note that is read; the controller writes no longer one."""


def managed_group(name: str) -> str:
    """Return the name of a managed node group among all groups."""
    return f"{_MANAGED}{name}"


def labelled_group(pool: str, capacity_type: CapacityType) -> str:
    """Return the name of the nodes of a pool that are bought alike, as their labels say."""
    return f"{_LABELLED}{pool}/{capacity_type.value}"


def is_autoscaled(group: str) -> bool:
    """Tell whether a group is a node group, and no NodePool, by its name."""
    return group.startswith((_MANAGED, _LABELLED))


def managed_name(group: str) -> str:
    """Return the managed node group that a group is, "" where it is none."""
    return group.removeprefix(_MANAGED) if group.startswith(_MANAGED) else ""


def labels_of(group: str) -> tuple[str, CapacityType] | None:
    """Return pool and capacity type of a group that is known by labels, None of any other."""
    pool, slash, word = group.removeprefix(_LABELLED).rpartition("/")
    if not group.startswith(_LABELLED) or not slash or word not in set(CapacityType):
        return None
    return pool, CapacityType(word)


def claim_of(uid: str) -> str:
    """Return by what name Cluster Autoscaler's node is released: by its own uid."""
    return f"{_NODE}{uid}"


def released_uid(claim: str) -> str:
    """Return the uid of the node that a claim is for, "" where Karpenter made the claim."""
    return claim.removeprefix(_NODE) if claim.startswith(_NODE) else ""


def instance_claim(instance_id: str) -> str:
    """Return by what name the node of a group that the controller itself grows is released."""
    return f"{_INSTANCE}{instance_id}"


def released_instance(claim: str) -> str:
    """Return the instance that a claim is for, "" where somebody else ends the node."""
    return claim.removeprefix(_INSTANCE) if claim.startswith(_INSTANCE) else ""


def is_slow(claim: str) -> bool:
    """Tell whether a released node stays for minutes: one of a group that is no NodePool."""
    return claim.startswith((_NODE, _INSTANCE))


def note_of(plan_id: str) -> str:
    """Write down for which plan a node is kept, as compact JSON."""
    return json.dumps({"v": 1, "plan": plan_id}, separators=(",", ":"))


def plan_noted(text: str) -> str:
    """Return the plan for which a node is kept, "" where that cannot be read."""
    try:
        note = json.loads(text) if text and len(text) <= MAX_NOTE else None
    except (ValueError, RecursionError):
        return ""
    plan = note.get("plan") if isinstance(note, dict) else None
    return plan if isinstance(plan, str) else ""
