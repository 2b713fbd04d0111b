"""The growth of a group for one wave: its journal, and what a wave that is over gives back.

Comes in: a group as it is now, and the journal. Goes out: the size to set, or what to take back,
and the journal as text. Sizes are compared with what was read just before: a write that was lost is
made again, one that was carried out is not. What somebody else changes meanwhile stays theirs: no
group is ever set below the size that it had, plus a node for each that was moved. May not ask
anybody.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup

VERSION: Final = 1
MAX_TEXT: Final = 64 * 1024
"""Most characters of one journal: the ids of a thousand instances and more."""

MAX_INSTANCES: Final = 1_000
"""A group that has more is not grown: its instances could not be written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One wave's growth of one group.

    Attributes:
        group: the receiving group's name.
        plan: the wave that it is for.
        before: the group's desired size right before it was grown.
        n_nodes: nodes that were added to that.
        known: ids of the instances that it had then.
        released: ids of the instances that were drained for it, and told to end.
    """

    group: str
    plan: str
    before: int
    n_nodes: int
    known: tuple[str, ...] = ()
    released: tuple[str, ...] = ()

    @property
    def target(self) -> int:
        """The size that was asked for."""
        return self.before + self.n_nodes


class Standing(StrEnum):
    """How a group stands towards its journal."""

    TO_WRITE = "to-write"
    WRITTEN = "written"
    CHANGED = "changed"
    """Somebody else has set another size meanwhile."""


def begin_growth(group: ScalingGroup, plan: str, n_nodes: int) -> Growth:
    """Write down what a group is like right before it is grown."""
    known = tuple(sorted(i.id for i in group.instances))
    return Growth(
        group=group.node_group, plan=plan, before=group.desired, n_nodes=n_nodes, known=known
    )


def standing_of(growth: Growth, desired: int) -> Standing:
    """Tell whether the size that the journal speaks of is set."""
    if desired >= growth.target:
        return Standing.WRITTEN
    return Standing.TO_WRITE if desired == growth.before else Standing.CHANGED


def with_released(growth: Growth, instance_id: str) -> Growth:
    """Note that an instance is about to be ended."""
    if instance_id in growth.released:
        return growth
    return replace(growth, released=(*growth.released, instance_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack:
    """What a group gives back.

    Attributes:
        desired: the size to set, which ends no instance; None where none is to be set.
        ended: ids of new instances that carry nothing, to be ended one by one.
        n_kept: nodes more than were moved, which stay since they are in use.
    """

    desired: int | None = None
    ended: tuple[str, ...] = ()
    n_kept: int = 0


def to_give_back(
    growth: Growth, group: ScalingGroup, n_gone: int, in_use: Collection[str]
) -> GiveBack:
    """Say what of a growth was not used.

    Args:
        growth: the journal of a wave that is over.
        group: the group as it is now.
        n_gone: instances of `growth.released` that are gone, or going: so many nodes were moved.
        in_use: ids of instances whose nodes carry pods of workloads.
    """
    # Below a smallest size that was raised meanwhile AWS refuses each step.
    unused = min(growth.n_nodes, group.desired - growth.before) - n_gone
    surplus = max(0, min(unused, group.desired - group.smallest))
    living = group.living
    n_unlaunched = min(surplus, max(0, group.desired - len(living)))
    fresh = [i.id for i in living if i.id not in growth.known]
    idle = sorted(i for i in fresh if i not in in_use)[: surplus - n_unlaunched]
    return GiveBack(
        desired=group.desired - n_unlaunched if n_unlaunched else None,
        ended=tuple(idle),
        n_kept=surplus - n_unlaunched - len(idle),
    )


def growth_text(growth: Growth) -> str:
    """Write a growth down as compact JSON."""
    return json.dumps({"v": VERSION} | asdict(growth), separators=(",", ":"))


def growth_in(text: str) -> Growth | None:
    """Read a growth back, None where it is of a newer version or none at all."""
    try:
        found = json.loads(text) if len(text) <= MAX_TEXT else None
        if not isinstance(found, dict) or found.get("v") != VERSION:
            return None
        return Growth(
            group=_word(found, "group"),
            plan=_word(found, "plan"),
            before=_number(found, "before"),
            n_nodes=_number(found, "n_nodes"),
            known=_words(found, "known"),
            released=_words(found, "released"),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _word(found: dict[str, object], name: str) -> str:
    value = found[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _number(found: dict[str, object], name: str) -> int:
    value = found[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(name)
    return value


def _words(found: dict[str, object], name: str) -> tuple[str, ...]:
    value = found[name]
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError(name)
    return tuple(value)
