"""How many nodes of an offering the market has, over time.

Comes in: times and numbers. Goes out: a step function that can be asked about an instant or a span.
May not know who holds the nodes.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityCounts:
    """A number that holds from each time until the next, the last one for ever.

    `times` are seconds since the epoch and rise strictly; `values` are not negative. Before the
    first time its value holds as well.
    """

    times: tuple[float, ...]
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        assert len(self.times) == len(self.values) > 0
        assert all(a < b for a, b in pairwise(self.times))
        assert min(self.values) >= 0

    def at(self, at: float) -> int:
        """Return the number at a time."""
        return self.values[self._index(at)]

    def least(self, since: float, until: float) -> int:
        """Return the smallest number in [since, until]."""
        first, last = self._index(since), self._index(until)
        return self.values[first] if first == last else min(self.values[first : last + 1])

    def steady(self, at: float) -> tuple[float, float, int]:
        """Return since when and until when the number is what it is at a time, and the number."""
        index = self._index(at)
        since = self.times[index] if index else -math.inf
        until = self.times[index + 1] if index + 1 < len(self.times) else math.inf
        return since, until, self.values[index]

    def first_below(self, number: int, since: float, until: float) -> float | None:
        """Return when in [since, until] there are first fewer than a number, None if never."""
        first, last = self._index(since), self._index(until)
        for index in range(first, last + 1):
            if self.values[index] < number:
                return since if index == first else self.times[index]
        return None

    def falls(self) -> Iterator[tuple[float, int]]:
        """Yield the times at which the number falls, each with by how much."""
        for (before, value), at in zip(pairwise(self.values), self.times[1:], strict=True):
            if value < before:
                yield at, before - value

    def node_hours(self, since: float, until: float) -> float:
        """Return the integral of the number over a span."""
        first, last = self._index(since), self._index(until)
        edges = np.array([since, *self.times[first + 1 : last + 1], until])
        return float(np.diff(edges) @ np.array(self.values[first : last + 1])) / 3600.0

    def _index(self, at: float) -> int:
        return max(0, bisect_right(self.times, at) - 1)


def compressed(times: list[float], values: list[int]) -> CapacityCounts:
    """Return counts without the records that change nothing.

    Args:
        times: seconds since the epoch, rising strictly.
        values: the number from each time on.
    """
    kept = [k for k in range(len(values)) if k == 0 or values[k] != values[k - 1]]
    return CapacityCounts(
        times=tuple(times[k] for k in kept), values=tuple(values[k] for k in kept)
    )
