"""What an on-demand node costs at the margin, where commitments pay for some already.

Comes in: nodes, quotes and a coverage. Goes out: the nodes whose move would save the most of their
price, the mean of what they cost, and what stands in the record of all that. Without a commitment
over one of the nodes every figure is as if there were none. May not judge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.observation import NodeFact
from spotvortex.core.domain.types import short
from spotvortex.core.pool.commitments.coverage import Coverage
from spotvortex.core.pool.input import MAX_COMMITMENTS_NAMED, CommitmentCover

MAX_NAME: Final = 64
"""Characters of a commitment's name that are recorded."""


def least_covered(nodes: Sequence[NodeFact], coverage: Coverage) -> tuple[NodeFact, ...]:
    """Keep the nodes of which commitments pay for the least: those of no commitment, if any is."""
    if not (coverage.shares and nodes):
        return tuple(nodes)
    least = min(coverage.shares.get(n.uid, 0.0) for n in nodes)
    return tuple(n for n in nodes if coverage.shares.get(n.uid, 0.0) <= least)


def marginal_usd_per_hour(
    priced: Sequence[tuple[NodeFact, SpotQuote]], coverage: Coverage
) -> float | None:
    """Return the mean of what an hour less of these nodes would save, None without commitments.

    Args:
        priced: on-demand nodes, each with a quote that knows its on-demand price.
        coverage: what commitments pay for.
    """
    if not any(node.uid in coverage.shares for node, _ in priced):
        return None
    saved = (
        quote.on_demand_usd_per_hour * (1.0 - coverage.shares.get(node.uid, 0.0))
        for node, quote in priced
        if quote.on_demand_usd_per_hour is not None
    )
    return short(math.fsum(saved) / len(priced))


def cover_of(
    kept: Sequence[NodeFact], movable: Sequence[NodeFact], coverage: Coverage
) -> CommitmentCover:
    """Say what commitments pay for in a pool.

    Args:
        kept: its on-demand and reserved nodes.
        movable: the on-demand nodes that might become Spot.
        coverage: what commitments pay for.
    """
    unused = short(coverage.unused_usd_per_hour)
    if not coverage.shares:
        return CommitmentCover(state=coverage.state, unused_usd_per_hour=unused)
    names = {name for node in kept for name in coverage.by.get(node.uid, ())}
    return CommitmentCover(
        state=coverage.state,
        n_covered=short(math.fsum(coverage.shares.get(node.uid, 0.0) for node in kept)),
        n_kept=sum(1 for node in movable if node.uid in coverage.shares),
        by=tuple(name[:MAX_NAME] for name in sorted(names)[:MAX_COMMITMENTS_NAMED]),
        unused_usd_per_hour=unused,
    )
