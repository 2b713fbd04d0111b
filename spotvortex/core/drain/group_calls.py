"""What the controller may ask of a node group: to steer new capacity, and to stop steering it.

Comes in: nothing. Goes out: two more values of `calls.Call`. Both name the object by its uid, and
can be made twice without harm.
"""

from __future__ import annotations

from dataclasses import dataclass

from spotvortex.core.domain.group_state import GroupValues


@dataclass(frozen=True, slots=True, kw_only=True)
class SteerGroup:
    """Set weight and CPU limit of a group, and keep its owner's own in it, in one request.

    The actuator reads the group anew, keeps what the first such request found, and sets no limit
    below what the group's nodes use by then.

    Attributes:
        group: the group's name.
        uid: the group's uid.
        weight: its new weight.
        cpu_limit_milli: its new limit, in thousandths of a core; None leaves its owner's own.
    """

    group: str
    uid: str
    weight: int
    cpu_limit_milli: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreGroup:
    """Give a group its owner's own values back, and leave nothing of ours in it.

    What another writer has changed since stays as that writer wants it.

    Attributes:
        group: the group's name.
        uid: the group's uid.
        owners: what comes back, as the decision saw it; the actuator reads it anew.
    """

    group: str
    uid: str
    owners: GroupValues
