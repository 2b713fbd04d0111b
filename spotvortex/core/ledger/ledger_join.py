"""The ledgers of two replicas of one cluster, made into one.

Comes in: what this process has accounted for, and what the leader before it has. Goes out: the
former, with what only a leader can know: which Spot shares there were before its first moves, and
the pods that it has evicted. Both have looked at the same nodes, so nothing else is added. May not
count anything twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from spotvortex.core.ledger.ledger import NO_BASELINE, Baseline, Ledger
from spotvortex.core.ledger.sums import NO_POOL, PoolSums

_LEADERS: Final = ("n_restarts", "restart_usd")


def joined(own: Ledger, other: Ledger) -> Ledger:
    """Take from another ledger what only its process can know; joining it again changes nothing."""
    theirs = {(p.span, p.start): p.pools for p in other.periods}
    periods = tuple(
        replace(p, pools=_with_restarts(p.pools, theirs.get((p.span, p.start), {})))
        for p in own.periods
    )
    return replace(
        own,
        since=min(own.since, other.since),
        periods=periods,
        totals=_with_restarts(own.totals, other.totals),
        baselines={
            pool: _earlier(
                own.baselines.get(pool, NO_BASELINE), other.baselines.get(pool, NO_BASELINE)
            )
            for pool in {**other.baselines, **own.baselines}
        },
    )


def _with_restarts(
    own: Mapping[str, PoolSums], other: Mapping[str, PoolSums]
) -> Mapping[str, PoolSums]:
    """Raise the restarts of each pool to those that the other has counted, if they are more."""
    found = dict(own)
    for pool, sums in other.items():
        known = own.get(pool, NO_POOL)
        more = {name: max(getattr(known, name), getattr(sums, name)) for name in _LEADERS}
        if pool in own or more["n_restarts"] > 0.0:
            found[pool] = known._replace(**more)
    return found


def _earlier(own: Baseline, other: Baseline) -> Baseline:
    """Return the baseline that ended first: from then on a leader had moved something."""
    if other.ended_at is None:
        return own
    return other if own.ended_at is None or other.ended_at < own.ended_at else own
