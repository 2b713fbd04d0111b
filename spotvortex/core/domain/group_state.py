"""A node group as an object that may be changed: its identity, weight, CPU limit, and bounds.

Comes in: what an edge reads of the group. Goes out: values that the steering of a pair compares.
Declares only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupValues:
    """What the controller may change of a group.

    Attributes:
        weight: of two groups that fit, the heavier is tried first; 0 where it has none.
        cpu_limit_milli: most CPU that its nodes may add up to, in thousandths of a core, None where
            nothing bounds it.
    """

    weight: int = 0
    cpu_limit_milli: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """A group as its object stands.

    Attributes:
        uid: the object's uid, "" where the edge has no such objects.
        generation: counts the changes of what the object asks for.
        values: as they stand.
        used_cpu_milli: what the group's nodes add up to, as its provisioner counts.
        owners: its owner's own values, kept in the object while the controller steers it; None
            where it does not.
    """

    uid: str = ""
    generation: int = 0
    values: GroupValues = GroupValues()
    used_cpu_milli: int = 0
    owners: GroupValues | None = None


NO_STATE: Final = GroupState()
"""Of a group whose object nobody has read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupWords:
    """What speaks against moving nodes by a group, for people; "" where nothing does.

    Attributes:
        no_growth: why it must not be grown.
        no_release: why none of its nodes must be ended.
    """

    no_growth: str = ""
    no_release: str = ""


NO_WORDS: Final = GroupWords()
