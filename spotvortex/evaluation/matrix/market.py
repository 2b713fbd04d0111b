"""The Spot market of protocol 2: a regional shortage, and launches that are fulfilled in part.

Comes in: counts of capacity, a seed, the protocol's constants. Goes out: counts with a shortage,
and a `Supply`. What is drawn depends on seed, offering and time alone. May not know a policy.

Source of the deliveries: launch counts of 16 requested nodes in 13 zones, every ten minutes for 11
days (Sky Computing Lab, SkyNomad, NSDI 2027, Apache-2.0): 31 to 33 % of the probes were fulfilled
in part, and how many of them was spread evenly over 1 to 15. That is a market of GPUs of another
cloud: the shape is taken, the level is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from spotvortex.core.domain.types import Offering
from spotvortex.evaluation.matrix.constants import Delivery, Shortage
from spotvortex.sim.market.count_supply import CountSupply
from spotvortex.sim.market.counts import CapacityCounts, compressed
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.market.supply import Signals

WEEK_S: Final = 7 * 86_400.0


class PartialSupply(CountSupply):
    """A market that, where it is short, gives a launch only some of the nodes asked for."""

    def __init__(
        self,
        *,
        seed: int,
        counts: Mapping[Offering, CapacityCounts],
        announced: Signals,
        delivery: Delivery,
    ) -> None:
        """Open the market.

        Args:
            seed: the world's seed.
            counts: how many nodes of each offering the cluster may hold.
            announced: how losses are announced.
            delivery: how launches are fulfilled in part.
        """
        super().__init__(seed=seed, counts=counts, announced=announced)
        self._world_seed = seed
        self._delivery = delivery
        self._full = {offering: max(one.values) for offering, one in counts.items()}
        self._given: Counter[tuple[Offering, int]] = Counter()
        self._limits: dict[tuple[Offering, int], int | None] = {}

    def launch_fails(self, offering: Offering, n_held: int, at: float) -> bool:
        """Tell whether one more node is refused. See `Supply.launch_fails`."""
        if super().launch_fails(offering, n_held, at):
            return True
        probe = offering, int(at // self._delivery.probe_s)
        limit = self._limit(*probe) if self._is_short(offering, at) else None
        if limit is not None and self._given[probe] >= limit:
            return True
        self._given[probe] += 1
        return False

    def _is_short(self, offering: Offering, at: float) -> bool:
        since = at - self._delivery.short_for_s
        counts = self._counts.get(offering)
        return counts is not None and counts.least(since, at) < self._full[offering]

    def _limit(self, offering: Offering, number: int) -> int | None:
        """Return how many nodes are given in one stretch of time, None for as many as there are."""
        key = offering, number
        if key not in self._limits:
            chance = stream(self._world_seed, "delivery", offering, number)
            in_part = chance.random() < self._delivery.partial_ratio
            drawn = chance.randint(self._delivery.least, self._delivery.most)
            self._limits[key] = drawn if in_part else None
        return self._limits[key]


def with_shortage(
    counts: Mapping[Offering, CapacityCounts],
    pools: Sequence[Sequence[str]],
    shortage: Shortage,
    seed: int,
) -> dict[Offering, CapacityCounts]:
    """Lay a shortage of some types of each pool, in all zones at about one time, over counts.

    Args:
        counts: what there would be without it.
        pools: the instance types of each pool.
        shortage: how large it is.
        seed: the world's seed.
    """
    chance = stream(seed, "shortage")
    begin = min(one.times[0] for one in counts.values())
    seconds = 3600.0 * chance.uniform(shortage.min_hours, shortage.max_hours)
    start = begin + chance.uniform(0.0, WEEK_S - seconds - shortage.onset_s)
    short = {t for types in pools for t in chance.sample(list(types), shortage.n_types)}
    found = dict(counts)
    for offering in sorted(counts):
        if offering.instance_type in short:
            since = start + chance.uniform(0.0, shortage.onset_s)
            found[offering] = _without(counts[offering], since, start + seconds)
    return found


def _without(counts: CapacityCounts, since: float, until: float) -> CapacityCounts:
    """Return counts with nothing in a span."""
    pairs = dict(zip(counts.times, counts.values, strict=True))
    kept = {t: v for t, v in pairs.items() if not since <= t < until}
    kept |= {since: 0, until: counts.at(until)}
    times = sorted(kept)
    return compressed(times, [kept[t] for t in times])


def chosen(recorded: Sequence[CapacityCounts], n: int, chance: Random) -> list[CapacityCounts]:
    """Deal recorded series out over so many offerings, each about as often as any other."""
    dealt = [recorded[k % len(recorded)] for k in range(n)]
    chance.shuffle(dealt)
    return dealt
