"""How many pods are wanted over time.

Comes in: a mix's name and a seed. Goes out: a factor by time, the same for every policy. Shapes
after the requests a minute of one month of a public function-as-a-service trace: a daily wave that
falls to about a half at night, and bursts of some ten minutes. May not know a cluster.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

from spotvortex.sim.market.random_streams import stream

MIXES: Final = ("steady", "diurnal", "bursty")

_NIGHT: Final = 0.5
_BURSTS_PER_DAY: Final = 12.0
_BURST_S: Final = 600.0
_BURST_FACTOR: Final = 1.5
_DAY_S: Final = 86_400.0


def least_factor(mix: str) -> float:
    """Return the smallest demand of a mix, as a share of the usual one."""
    return _NIGHT if mix == "diurnal" else 1.0


@dataclass(slots=True)
class Demand:
    """The demand of one mix. `replicas` never falls below one."""

    mix: str
    seed: int
    _starts: list[float] = field(default_factory=list)
    _known_until: float = 0.0

    def __post_init__(self) -> None:
        assert self.mix in MIXES, self.mix

    def replicas(self, key: str, usual: int, now_s: float) -> int:
        """Return how many pods of a workload are wanted.

        Args:
            key: the workload; in the mixes all follow the same wave.
            usual: how many it has at noon, and always in the steady mix.
            now_s: seconds since the start.
        """
        assert key
        return max(1, round(usual * self.factor(now_s)))

    def factor(self, now_s: float) -> float:
        """Return the demand as a share of the usual one."""
        if self.mix == "steady":
            return 1.0
        if self.mix == "diurnal":
            wave = 0.5 - 0.5 * math.cos(2.0 * math.pi * now_s / _DAY_S)
            return _NIGHT + (1.0 - _NIGHT) * wave
        return _BURST_FACTOR if self._in_burst(now_s) else 1.0

    def _in_burst(self, now_s: float) -> bool:
        while self._known_until <= now_s:
            chance = stream(self.seed, "burst", len(self._starts))
            self._known_until += chance.expovariate(_BURSTS_PER_DAY / _DAY_S)
            self._starts.append(self._known_until)
        index = bisect_right(self._starts, now_s) - 1
        return index >= 0 and now_s - self._starts[index] < _BURST_S
