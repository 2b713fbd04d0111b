"""What the controller may ask of a node group: to steer new capacity, to grow, and to undo either.

Comes in: nothing. Goes out: four more values of `calls.Call`. Each can be made twice without harm:
those of NodePools name the object by its uid, those of AWS what the journal says of the plan.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowGroup:
    """Have a group get as many nodes more as a wave drains: one request for the whole wave.

    The actuator reads the group's size anew and writes a journal before it sets the new one; where
    the journal has the plan already, nothing is added.

    Attributes:
        group: the receiving group's name.
        plan_id: the wave that it is for.
        n_nodes: nodes that it gets.
    """

    group: str
    plan_id: str
    n_nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleGroup:
    """Take back what a wave that is over has asked a group for and not used, and end its journal.

    The actuator reads journal and group anew. What is not launched yet is asked for no more; new
    nodes that carry nothing are ended.

    Attributes:
        group: the group that was grown.
        plan_id: the wave that is over.
        in_use: ids of instances whose nodes carry pods of workloads.
        idle: ids of instances whose nodes carry none, each with the name of its node; the actuator
            looks once more before it ends one.
    """

    group: str
    plan_id: str
    in_use: tuple[str, ...]
    idle: tuple[tuple[str, str], ...] = ()
