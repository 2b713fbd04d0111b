"""Values by pool, each pool's in the order of their keys.

Comes in: values that come, change, move and go. Goes out: a pool's values as a tuple. A pool is
sorted when a key comes, not when a value changes, which happens all the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SortedGroups(Generic[Value]):
    """Pools of values."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, Value]] = {}
        self._unsorted: set[str] = set()

    def __contains__(self, pool: str) -> bool:
        return pool in self._groups

    def put(self, pool: str, key: str, value: Value) -> None:
        """Set the value of a key."""
        group = self._groups.setdefault(pool, {})
        if key not in group:
            self._unsorted.add(pool)
        group[key] = value

    def remove(self, pool: str, key: str) -> None:
        """Remove a key that is there; an empty pool is gone."""
        group = self._groups[pool]
        del group[key]
        if not group:
            del self._groups[pool]

    def values(self, pool: str) -> tuple[Value, ...]:
        """Return a pool's values in the order of their keys, none for an unknown pool."""
        group = self._groups.get(pool, {})
        if pool in self._unsorted:
            self._unsorted.discard(pool)
            # A dict keeps its order when a value is replaced.
            group = dict(sorted(group.items()))
            if group:
                self._groups[pool] = group
        return tuple(group.values())


@dataclass(slots=True)
class DirtySet:
    """What has changed since the last snapshot.

    Attributes:
        nodes: names of nodes.
        label_sets: numbers of label sets whose pods changed.
        pdbs: keys of PodDisruptionBudgets.
        workloads: keys of workloads.
        node_pools: a NodePool itself changed.
        pool_names: a NodePool or node group came or went, so that any node may belong elsewhere.
    """

    nodes: set[str] = field(default_factory=set)
    label_sets: set[int] = field(default_factory=set)
    pdbs: set[str] = field(default_factory=set)
    workloads: set[str] = field(default_factory=set)
    node_pools: bool = False
    pool_names: bool = False
