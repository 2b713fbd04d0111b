"""A Spot market that is driven by counts over time: replayed, or made by a generator.

Comes in: the counts of each offering, known to their end, and a seed. Goes out: a `Supply`. The
counts never depend on what the cluster does; who is taken depends on how much it holds. May show
the future only in the form of notices and recommendations.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.types import Offering
from spotvortex.sim.market.counts import CapacityCounts
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.market.supply import ANNOUNCED, Interruption, PoissonEvents, Signal, Signals

_NOTHING: Final = CapacityCounts(times=(0.0,), values=(0,))
_TIGHTNESS_MAX: Final = 4.0


@dataclass(frozen=True, slots=True, order=True)
class _Loss:
    """A loss that is certain: when its notice comes, and when the node goes."""

    tell_at: float
    leaves_at: float


class CountSupply:
    """Implements `Supply`. An offering without counts has nothing to give."""

    def __init__(
        self,
        *,
        seed: int,
        counts: Mapping[Offering, CapacityCounts],
        announced: Signals = ANNOUNCED,
    ) -> None:
        """Open the market.

        Args:
            seed: the world's seed; decides who is taken and which notices are flawed.
            counts: how many nodes of each offering the cluster may hold.
            announced: how losses are announced.
        """
        self._seed = seed
        self._counts = dict(counts)
        self._announced = announced
        self._untold: dict[Offering, list[_Loss]] = {}
        self._leaving: dict[Offering, list[float]] = {}
        signal = announced.signal
        self._warned_at = {o: _true_alarms(seed, o, c, signal) for o, c in self._counts.items()}
        self._false = {o: _false_alarms(seed, o, c, signal) for o, c in self._counts.items()}
        self._is_silent = signal.sensitivity_ratio <= 0.0 and signal.false_per_day <= 0.0
        self._steady: dict[Offering, tuple[float, float, int]] = {}
        self._tightness = _tightness(self._counts)

    def advance(self, at: float, seconds: float) -> None:
        """Do nothing: every loss is known from the start."""

    def count(self, offering: Offering, at: float) -> int:
        """Return how many nodes of an offering the cluster may hold."""
        return self._counts.get(offering, _NOTHING).at(at)

    def launch_fails(self, offering: Offering, n_held: int, at: float) -> bool:
        """Tell whether there is no room for one more. See `Supply.launch_fails`.

        What was told to leave keeps its room until its time: it is not given out anew.
        """
        n_leaving = sum(leaves_at > at for leaves_at in self._leaving.get(offering, ()))
        return n_held + n_leaving >= self.count(offering, at)

    def strikes(
        self, offering: Offering, ages_s: Sequence[float], at: float, seconds: float
    ) -> list[Interruption]:
        """Return random victims of the falls to come. See `Supply.strikes`."""
        n_there = len(ages_s) + len(self._leaving.get(offering, ()))
        if n_there <= self._least(offering, at - seconds, at + self._announced.notices.ahead_s):
            self._untold.pop(offering, None)
            return []
        losses = self._losses(offering, len(ages_s), at - seconds, at)
        told = [loss for loss in losses if loss.tell_at <= at]
        self._untold[offering] = losses[len(told) :]
        leaving = [t for t in self._leaving.get(offering, ()) if t > at]
        self._leaving[offering] = leaving + [loss.leaves_at for loss in told]
        victims = stream(self._seed, "victims", offering, at).sample(range(len(ages_s)), len(told))
        return [
            Interruption(index=index, leaves_at=max(at, loss.leaves_at))
            for index, loss in sorted(zip(victims, told, strict=True))
        ]

    def warns(self, offering: Offering, at: float, seconds: float) -> bool:
        """Tell whether a rebalance recommendation comes in the step. See `Supply.warns`."""
        if self._is_silent or offering not in self._counts:
            return False
        times = self._warned_at[offering]
        is_true = bisect_right(times, at - seconds) < bisect_right(times, at)
        return is_true or bool(self._false[offering].between(at - seconds, at))

    def tightness(self, offering: Offering) -> float:
        """Return how often nodes are lost against other offerings, over the whole time."""
        return self._tightness.get(offering, _TIGHTNESS_MAX)

    def _least(self, offering: Offering, since: float, until: float) -> int:
        """Return the smallest number in a span; mostly it is the one that was there before."""
        begin, end, number = self._steady.get(offering, (math.inf, math.inf, 0))
        if begin <= since and until < end:
            return number
        counts = self._counts.get(offering, _NOTHING)
        self._steady[offering] = counts.steady(since)
        return counts.least(since, until)

    def _losses(self, offering: Offering, n_held: int, since: float, at: float) -> list[_Loss]:
        """Return the losses to come, in the order of their notices, which is that of their times.

        Notices that were drawn before are kept, as long as as many nodes must still go.
        """
        ends = self._ends(offering, n_held, since, at + self._announced.notices.ahead_s)
        before = Counter(self._untold.get(offering, ()))
        losses = []
        for unit, leaves_at in ends:
            known = next((loss for loss in before if loss.leaves_at == leaves_at), None)
            if known is not None:
                before -= Counter([known])
            losses.append(known or self._loss(offering, unit, leaves_at))
        # IMPORTANT: who is told first goes first. Otherwise a node that goes late could be told
        # before one that goes early, and for a while more nodes would be there than there can be.
        tells, leaves = sorted(x.tell_at for x in losses), sorted(x.leaves_at for x in losses)
        return [_Loss(*pair) for pair in zip(tells, leaves, strict=True)]

    def _ends(
        self, offering: Offering, n_held: int, since: float, until: float
    ) -> list[tuple[int, float]]:
        """Return each node too many, counted from 1, with its last moment; those told are left out.

        The last node is the first too many.
        """
        counts = self._counts.get(offering, _NOTHING)
        keep = counts.least(since, until)
        told = Counter(t for t in self._leaving.get(offering, ()) if t > since)
        ends = []
        for unit in range(n_held + told.total(), keep, -1):
            leaves_at = counts.first_below(unit, since, until)
            assert leaves_at is not None
            if told[leaves_at] > 0:
                told[leaves_at] -= 1
            else:
                ends.append((unit, leaves_at))
        return ends[:n_held]

    def _loss(self, offering: Offering, unit: int, leaves_at: float) -> _Loss:
        """Draw when the loss of a node, one too many at that time, is told."""
        chance = stream(self._seed, "notice", offering, unit, leaves_at)
        lead_s = self._announced.notices.lead_s(chance)
        return _Loss(tell_at=leaves_at - lead_s, leaves_at=leaves_at)


def _true_alarms(
    seed: int, offering: Offering, counts: CapacityCounts, signal: Signal
) -> list[float]:
    """Draw when the falls of an offering are recommended to be left, in the order of time."""
    if signal.sensitivity_ratio <= 0.0:
        return []
    found = []
    for at, _ in counts.falls():
        chance = stream(seed, "rebalance", offering, at)
        if chance.random() < signal.sensitivity_ratio:
            found.append(at - chance.uniform(signal.lead_min_s, signal.lead_max_s))
    return sorted(found)


def _false_alarms(
    seed: int, offering: Offering, counts: CapacityCounts, signal: Signal
) -> PoissonEvents:
    chance = stream(seed, "false-alarm", offering)
    return PoissonEvents(chance, signal.false_per_day / 24.0, counts.times[0])


def _tightness(counts: Mapping[Offering, CapacityCounts]) -> dict[Offering, float]:
    """Weigh each offering's losses per node-hour against the middle of all, within 1/4 to 4."""
    rates = {offering: _losses_per_hour(one) for offering, one in counts.items()}
    logs = [math.log(rate) for rate in rates.values()]
    middle = math.exp(math.fsum(logs) / len(logs)) if logs else 1.0
    return {
        offering: min(max(rate / middle, 1.0 / _TIGHTNESS_MAX), _TIGHTNESS_MAX)
        for offering, rate in rates.items()
    }


def _losses_per_hour(counts: CapacityCounts) -> float:
    """Return losses per node-hour, of one full loss and one full hour more than were seen."""
    full = max(1, *counts.values)
    n_lost = sum(size for _, size in counts.falls())
    node_hours = counts.node_hours(counts.times[0], counts.times[-1])
    return (n_lost + full) / (node_hours + full)
