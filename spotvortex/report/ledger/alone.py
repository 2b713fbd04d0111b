"""What the same cluster would have cost under Karpenter alone, estimated by a backtest.

Comes in: a ledger, and two replays of one history, with SpotVortex and without. Goes out: an
estimate with what it rests on, as lines and as JSON. The replays' ratio is laid over what the
ledger saw, since a simulated cluster is never quite the real one. May not call it measured: nobody
can see what did not happen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from spotvortex.core.ledger.ledger import Ledger
from spotvortex.core.ledger.periods import HOUR_S, PeriodLength, end_of
from spotvortex.core.record.codec import rfc3339
from spotvortex.report.document import Json
from spotvortex.report.money import usd
from spotvortex.results.timeline import Hour

LIMITS: Final = (
    "capacity is taken to be ample where the cluster did not look",
    "the replay knows no commitments, so all of this is at list price",
    "each pool has one workload for all of its pods",
    "interruptions cost nothing here; outage minutes stand beside it",
)
"""What the estimate cannot know, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryReplay:
    """One policy's replay of a history.

    Attributes:
        policy: its name.
        start_at: when the replay begins, seconds since the epoch.
        hours: its hours, in order.
        outage_minutes: minutes in which a workload had too few pods, of all of it.
    """

    policy: str
    start_at: float
    hours: Sequence[Hour]
    outage_minutes: float

    def cost_usd(self, since: float, until: float) -> float:
        """Return what the nodes cost in a stretch of time."""
        return sum(
            hour.cost_usd_per_hour * _overlap_h(self.start_at + hour.at_h * HOUR_S, since, until)
            for hour in self.hours
        )

    @property
    def ends_at(self) -> float:
        """When it ends, seconds since the epoch."""
        return self.start_at + len(self.hours) * HOUR_S


def _overlap_h(ends_at: float, since: float, until: float) -> float:
    return max(0.0, min(ends_at, until) - max(ends_at - HOUR_S, since)) / HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideAlone:
    """The estimate; money in USD at list price.

    Attributes:
        policy: Karpenter's setting in the replay.
        since: begin of the first period that ledger and replay share, seconds since the epoch.
        until: end of the last one.
        seen_hours: hours of them that the ledger saw.
        seen_usd: what the nodes cost in them.
        replayed_usd: what they cost in the replay with SpotVortex.
        replayed_alone_usd: what they cost in the replay without.
        outage_minutes: minutes in which a workload had too few pods, in the replay with it.
        outage_alone_minutes: the same without.
    """

    policy: str
    since: float
    until: float
    seen_hours: float
    seen_usd: float
    replayed_usd: float
    replayed_alone_usd: float
    outage_minutes: float
    outage_alone_minutes: float

    @property
    def alone_usd(self) -> float:
        """What the cluster would have cost alone, by the ratio of the replays."""
        return self.seen_usd * self.replayed_alone_usd / self.replayed_usd

    @property
    def saved_usd(self) -> float:
        """What was saved beside that; less than 0 where it was none."""
        return self.alone_usd - self.seen_usd


def beside_alone(ledger: Ledger, ours: HistoryReplay, alone: HistoryReplay) -> BesideAlone | None:
    """Lay two replays over the whole periods that a ledger has of their time, None without any."""
    kept = [
        (period.start, end_of(period.span, period.start), period)
        for period in ledger.periods
        if period.span is not PeriodLength.BEFORE and period.cluster.seen_hours > 0.0
    ]
    shared = [row for row in kept if ours.start_at <= row[0] and row[1] <= ours.ends_at]
    replayed, replayed_alone, seen, hours = 0.0, 0.0, 0.0, 0.0
    for start, end, period in shared:
        # What nobody looked at is in neither.
        share = period.cluster.seen_hours * HOUR_S / (end - start)
        replayed += share * ours.cost_usd(start, end)
        replayed_alone += share * alone.cost_usd(start, end)
        seen += sum(sums.list_usd for sums in period.nodes.values())
        hours += period.cluster.seen_hours
    if replayed <= 0.0:
        return None
    return BesideAlone(
        policy=alone.policy,
        since=min(start for start, _, _ in shared),
        until=max(end for _, end, _ in shared),
        seen_hours=hours,
        seen_usd=seen,
        replayed_usd=replayed,
        replayed_alone_usd=replayed_alone,
        outage_minutes=ours.outage_minutes,
        outage_alone_minutes=alone.outage_minutes,
    )


def lines_of(found: BesideAlone) -> Iterator[str]:
    """Yield the estimate for a terminal, with what it rests on."""
    less = f"{usd(abs(found.saved_usd))} {'more' if found.saved_usd < 0.0 else 'less'}"
    days = f"{rfc3339(found.since)[:16]} to {rfc3339(found.until)[:16]}".replace("T", " ")
    yield f"beside Karpenter alone ({found.policy}), estimated by backtest: {less}"
    yield (
        f"  {days} UTC, {found.seen_hours:,.1f} h seen: {usd(found.seen_usd)} at list price, "
        f"alone {usd(found.alone_usd)}"
    )
    yield (
        f"  replayed: {usd(found.replayed_usd)} with SpotVortex, "
        f"{usd(found.replayed_alone_usd)} without; outages {found.outage_minutes:,.0f} and "
        f"{found.outage_alone_minutes:,.0f} min"
    )
    yield f"  not known: {'; '.join(LIMITS)}"


def as_json(found: BesideAlone) -> dict[str, Json]:
    """Return the estimate as a member of the ledger's JSON."""
    return {
        "policy": found.policy,
        "since": rfc3339(found.since),
        "until": rfc3339(found.until),
        "seen_hours": round(found.seen_hours, 6),
        "seen_list_usd": round(found.seen_usd, 6),
        "alone_usd": round(found.alone_usd, 6),
        "saved_usd": round(found.saved_usd, 6),
        "replayed_usd": round(found.replayed_usd, 6),
        "replayed_alone_usd": round(found.replayed_alone_usd, 6),
        "outage_minutes": round(found.outage_minutes, 6),
        "outage_alone_minutes": round(found.outage_alone_minutes, 6),
        "limits": list(LIMITS),
    }
