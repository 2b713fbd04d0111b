"""Hours, days and months of the ledger, and how older ones are folded into longer ones.

Comes in: sums and the time that they belong to. Goes out: periods, oldest first, of a bounded
number of rows: hours become days, days months, and months one sum of all that was before. What is
folded is added up and never lost. All periods are of UTC. May not price anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeVar

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.ledger.sums import (
    NO_CLUSTER,
    ClusterSums,
    NodeSums,
    PoolSums,
    Sums,
    plus,
)

HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0

KEPT_HOURS: Final = 48
KEPT_DAYS: Final = 62
KEPT_MONTHS: Final = 24
"""Periods of each length that are kept, where the rows allow it."""

MAX_ROWS: Final = 2_000
"""Rows of all periods together: one a pool and way of buying, one a pool, and one a period."""


class PeriodLength(StrEnum):
    """How long a period is, the shortest first."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    BEFORE = "before"
    """Everything before the oldest month."""


_LONGER: Final = {
    PeriodLength.HOUR: PeriodLength.DAY,
    PeriodLength.DAY: PeriodLength.MONTH,
    PeriodLength.MONTH: PeriodLength.BEFORE,
}
_KEPT: Final = {
    PeriodLength.HOUR: KEPT_HOURS,
    PeriodLength.DAY: KEPT_DAYS,
    PeriodLength.MONTH: KEPT_MONTHS,
}

Key = tuple[str, CapacityType]
KeyT = TypeVar("KeyT", str, Key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The sums of an hour, or of a longer time.

    Attributes:
        span: how long it is.
        start: when it begins, seconds since the epoch; 0 of `BEFORE`.
        nodes: nodes by pool and how they are bought.
        pools: each pool's money, by name.
        cluster: what holds for all.
    """

    span: PeriodLength
    start: float
    nodes: Mapping[Key, NodeSums] = field(default_factory=dict)
    pools: Mapping[str, PoolSums] = field(default_factory=dict)
    cluster: ClusterSums = NO_CLUSTER

    @property
    def n_rows(self) -> int:
        """How many rows it takes."""
        return 1 + len(self.nodes) + len(self.pools)

    @property
    def end(self) -> float:
        """When it ends, seconds since the epoch; of `BEFORE` that is not known and 0."""
        return end_of(self.span, self.start)


def start_of(span: PeriodLength, at: float) -> float:
    """Return when the period of a moment begins."""
    if span is PeriodLength.HOUR:
        return at // HOUR_S * HOUR_S
    if span is PeriodLength.DAY:
        return at // DAY_S * DAY_S
    if span is PeriodLength.BEFORE:
        return 0.0
    moment = datetime.fromtimestamp(at, UTC)
    return datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()


def end_of(span: PeriodLength, start: float) -> float:
    """Return when a period ends that begins then."""
    if span is PeriodLength.MONTH:
        return start_of(PeriodLength.MONTH, start + 32 * DAY_S)
    return start + {PeriodLength.HOUR: HOUR_S, PeriodLength.DAY: DAY_S}.get(span, 0.0)


def pieces(since: float, until: float) -> Iterator[tuple[PeriodLength, float, float]]:
    """Yield a stretch of time cut at the ends of periods: span, from, to.

    The last `KEPT_HOURS` are cut at hours, what is older at days, and before that at months.
    """
    at = since
    while at < until:
        span = _span_at(at, until)
        end = min(until, end_of(span, start_of(span, at)))
        yield span, at, end
        at = end


def _span_at(at: float, now: float) -> PeriodLength:
    if at >= start_of(PeriodLength.HOUR, now) - KEPT_HOURS * HOUR_S:
        return PeriodLength.HOUR
    return (
        PeriodLength.DAY
        if at >= start_of(PeriodLength.DAY, now) - KEPT_DAYS * DAY_S
        else PeriodLength.MONTH
    )


def summed(one: Mapping[KeyT, Sums], other: Mapping[KeyT, Sums]) -> dict[KeyT, Sums]:
    """Add rows up by key."""
    found = dict(one)
    for key, sums in other.items():
        known = found.get(key)
        found[key] = sums if known is None else plus(known, sums)
    return found


def added(periods: Sequence[Period], more: Period) -> tuple[Period, ...]:
    """Add sums to the period of the same span and start, which is made where there is none."""
    for i in range(len(periods) - 1, -1, -1):
        known = periods[i]
        if known.span is more.span and known.start == more.start:
            return (*periods[:i], _both(known, more), *periods[i + 1 :])
    return in_order([*periods, more])


def _both(one: Period, other: Period) -> Period:
    return Period(
        span=one.span,
        start=one.start,
        nodes=summed(one.nodes, other.nodes),
        pools=summed(one.pools, other.pools),
        cluster=plus(one.cluster, other.cluster),
    )


def in_order(periods: Iterable[Period]) -> tuple[Period, ...]:
    """Sort periods: the longest first, of these the oldest."""
    spans = tuple(reversed(PeriodLength))
    return tuple(sorted(periods, key=lambda p: (spans.index(p.span), p.start)))


def folded(periods: Sequence[Period], max_rows: int = MAX_ROWS) -> tuple[Period, ...]:
    """Fold the oldest periods of each length, until no more are left than are kept."""
    found = tuple(periods)
    for span in _LONGER:
        while sum(p.span is span for p in found) > _KEPT[span]:
            found = _fold_oldest(found, span)
    while sum(p.n_rows for p in found) > max_rows:
        many = [s for s in _LONGER if sum(p.span is s for p in found) > 1]
        if not many:
            break
        found = _fold_oldest(found, many[0])
    return found


def _fold_oldest(periods: Sequence[Period], span: PeriodLength) -> tuple[Period, ...]:
    i = next(i for i, period in enumerate(periods) if period.span is span)
    oldest, longer = periods[i], _LONGER[span]
    rest = (*periods[:i], *periods[i + 1 :])
    folded_up = Period(
        span=longer,
        start=start_of(longer, oldest.start),
        nodes=oldest.nodes,
        pools=oldest.pools,
        cluster=oldest.cluster,
    )
    return added(rest, folded_up)
