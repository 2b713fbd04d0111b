"""Which pool a node or NodePool belongs to.

Comes in: labels, and the names of all NodePools and node groups. Goes out: a pool's name, "" for
none. `<base>-spot` and `<base>-od` that both exist are the two sides of one pool `<base>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

SIDES = ("-spot", "-od")


def base_of(name: str, known: AbstractSet[str]) -> str:
    """Return the pool of a NodePool or node group that says nothing about it."""
    for side in SIDES:
        base = name.removesuffix(side)
        if base and base != name and all(base + other in known for other in SIDES):
            return base
    return name


@dataclass(slots=True)
class GroupNames:
    """The names of one kind of group: served by the API server, or seen on nodes.

    A name once seen is kept for as long as we run. Otherwise a pair of node groups would fall
    apart, and its pool be renamed, just when the last Spot node is lost.
    """

    served: dict[str, str] = field(default_factory=dict)
    """Name to the pool that the group itself names, "" where it names none."""

    seen: set[str] = field(default_factory=set)

    def see(self, name: str) -> bool:
        """Take note of a name on a node, and tell whether it is new."""
        if not name or name in self.seen:
            return False
        self.seen.add(name)
        return name not in self.served

    def pool_of(self, name: str) -> str:
        """Return the pool of a group."""
        return self.served.get(name) or base_of(name, self.seen | self.served.keys())


def first(labels: Mapping[str, str], *names: str) -> str:
    """Return the first label that is not empty."""
    return next((value for name in names if (value := labels.get(name, ""))), "")
