"""A cluster's own history, gathered from its decision records.

Comes in: records' lines, in the order in which they were written. Goes out: Spot prices as they
changed, nodes held, losses, launches and refusals by offering, and every decision. What records do
not show is not there: an offering shows where a pool held it or looked at it, at the times of its
records. May not keep the name of anything but instance types, zones and pools; who writes it down
replaces the pools' too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.decision.messages import Basis
from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.types import Action, Mode, Offering, Outcome, is_price
from spotvortex.core.pool.input import OfferingInput, PoolInput
from spotvortex.core.record.codec import CodecError
from spotvortex.core.record.record import read_record, shown_risk

SAME_S: Final = 120.0
"""Hours since a loss are recorded to 36 s: two that lie closer than this are the same one."""

MAX_OFFERINGS: Final = 2000
MAX_POOLS: Final = 1000
MAX_EVENTS: Final = 2_000_000
"""Bounds of what is kept; beyond them the reading ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryDecision:
    """One decision without a name but its pool's.

    Attributes:
        at: when, seconds since the epoch.
        pool: the pool's name; replaced when it is written down.
        mode: what might be done with it.
        action: what was decided.
        refused_by: the gates that refused.
        n_nodes: nodes of the wave.
        n_spot: Spot nodes of the pool.
        n_other: its other nodes.
        target_ratio: the Spot share that it was to reach.
        capacity_score: probability of a loss within 60 minutes, None without one.
        runtime_score: within 120 minutes.
        confidence: confidence in both.
        savings_usd_per_hour: what the wave was to save, None where a price was unknown.
    """

    at: float
    pool: str
    mode: Mode
    action: Action
    refused_by: tuple[str, ...]
    n_nodes: int
    n_spot: int
    n_other: int
    target_ratio: float
    capacity_score: float | None
    runtime_score: float | None
    confidence: float
    savings_usd_per_hour: float | None


@dataclass(slots=True)
class OfferingHistory:
    """What was seen of one offering, each list in order of time.

    Attributes:
        prices: times and Spot prices in USD an hour: at each change, and when it was last seen.
        held: times and Spot nodes held, all pools together, at each change.
        losses: times of losses, with whether some nodes stayed.
        refusals: times of launches that failed.
    """

    prices: list[tuple[float, float]] = field(default_factory=list)
    held: list[tuple[float, int]] = field(default_factory=list)
    losses: list[tuple[float, bool]] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)

    @property
    def launches(self) -> list[tuple[float, int]]:
        """Times at which more nodes were held than before, with how many more."""
        pairs = zip(self.held, self.held[1:], strict=False)
        return [(at, n - before) for (_, before), (at, n) in pairs if n > before]


@dataclass(slots=True)
class OwnHistory:
    """All that was gathered.

    Attributes:
        offerings: by offering.
        on_demand: on-demand prices in USD an hour, by instance type and region.
        decisions: every decision.
        last: the newest input of each pool.
        n_most: most nodes that all pools held at once.
    """

    offerings: dict[Offering, OfferingHistory] = field(default_factory=dict)
    on_demand: dict[tuple[str, str], float] = field(default_factory=dict)
    decisions: list[HistoryDecision] = field(default_factory=list)
    last: dict[str, PoolInput] = field(default_factory=dict)
    n_most: int = 0
    _held: dict[Offering, dict[str, int]] = field(default_factory=dict)

    @property
    def span(self) -> tuple[float, float]:
        """The times of the first and of the last decision."""
        times = [decision.at for decision in self.decisions]
        return min(times), max(times)

    def take(self, line: str) -> None:
        """Take one record in.

        Raises:
            CodecError: it is no record, or there are too many of them.
        """
        basis = read_record(line).basis
        self._bound(basis)
        self.decisions.append(_decision(basis, json.loads(line)))
        data = basis.pool
        self.last[data.pool] = data
        rows = (*data.offerings, *data.others)
        for row in rows:
            self._see(row, data)
        if data.n_offerings <= len(data.offerings):
            listed = {row.offering for row in rows}
            for gone in [offering for offering in self._held if offering not in listed]:
                self._hold(gone, data.pool, 0, data.at)
        self.n_most = max(self.n_most, sum(pool.n_counted for pool in self.last.values()))

    def _bound(self, basis: Basis) -> None:
        if len(self.decisions) >= MAX_EVENTS or len(self.offerings) > MAX_OFFERINGS:
            raise CodecError(f"more than {MAX_EVENTS} records or {MAX_OFFERINGS} offerings")
        if len(self.last) >= MAX_POOLS and basis.pool.pool not in self.last:
            raise CodecError(f"more than {MAX_POOLS} pools")

    def _see(self, row: OfferingInput, data: PoolInput) -> None:
        known = self.offerings.setdefault(row.offering, OfferingHistory())
        self._hold(row.offering, data.pool, row.n_spot, data.at)
        if row.lost_hours is not None:
            at = data.at - 3600.0 * row.lost_hours
            if not known.losses or at > known.losses[-1][0] + SAME_S:
                known.losses.append((at, row.is_survivor))
        if row.refused_hours is not None:
            at = data.at - 3600.0 * row.refused_hours
            if not known.refusals or at > known.refusals[-1] + SAME_S:
                known.refusals.append(at)
        spot, on_demand = row.spot_usd_per_hour, row.on_demand_usd_per_hour
        if spot is not None and is_price(spot):
            if len(known.prices) > 1 and known.prices[-2][1] == known.prices[-1][1] == spot:
                known.prices.pop()
            known.prices.append((data.at, spot))
        if on_demand is not None and is_price(on_demand):
            place = row.offering.instance_type, region_of(row.offering.zone)
            self.on_demand[place] = on_demand

    def _hold(self, offering: Offering, pool: str, n: int, at: float) -> None:
        """Take note of how many nodes a pool holds; written down where the sum changes."""
        pools = self._held.setdefault(offering, {})
        if n:
            pools[pool] = n
        else:
            pools.pop(pool, None)
        held = self.offerings.setdefault(offering, OfferingHistory()).held
        total = sum(pools.values())
        if not held or held[-1][1] != total:
            held.append((at, total))


def _decision(basis: Basis, document: Mapping[str, object]) -> HistoryDecision:
    data, risk = basis.pool, shown_risk(basis.pool)
    savings, target = document.get("savings_usd_per_hour"), document.get("target_ratio")
    verdicts = document.get("verdicts")
    n_nodes = document.get("n_nodes")
    return HistoryDecision(
        at=data.at,
        pool=data.pool,
        mode=basis.limits.mode,
        action=Action(str(document.get("action"))),
        refused_by=tuple(
            str(verdict[0])
            for verdict in (verdicts if isinstance(verdicts, list) else ())
            if verdict[1] == Outcome.REFUSE.value
        ),
        n_nodes=n_nodes if isinstance(n_nodes, int) else 0,
        n_spot=data.n_spot,
        n_other=data.n_counted - data.n_spot,
        target_ratio=float(target) if isinstance(target, (int, float)) else 0.0,
        capacity_score=risk.capacity,
        runtime_score=risk.runtime,
        confidence=data.confidence,
        savings_usd_per_hour=float(savings) if isinstance(savings, (int, float)) else None,
    )
