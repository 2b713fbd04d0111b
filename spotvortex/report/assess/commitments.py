"""What commitments pay for in a cluster, as rows for a person.

Comes in: a cluster and its coverage. Goes out: `CommitmentsFound`. May not allocate: the coverage
is the one that decisions read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.cloud.commitments import Commitment, CommitmentState
from spotvortex.core.domain.observation import ClusterFacts, NodeFact
from spotvortex.core.domain.types import CapacityType, short
from spotvortex.core.pool.commitments.coverage import CommitmentUse, Coverage

_KEPT: Final = frozenset({CapacityType.ON_DEMAND, CapacityType.RESERVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRow:
    """One commitment, and how far the cluster uses it.

    Attributes:
        name: what its owner calls it.
        kind: its kind.
        amount: how much of it this cluster may use in an hour.
        unit: what `amount` and `used` count.
        used: how much of it the cluster uses.
        unused_usd_per_hour: what the rest costs, USD/h, None where no price tells.
        ends_at: wall time from which it no longer counts, infinite where nobody says.
    """

    name: str
    kind: str
    amount: float
    unit: str
    used: float
    unused_usd_per_hour: float | None
    ends_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredPool:
    """The on-demand and reserved nodes of one pool, by whether a commitment pays for them.

    Attributes:
        pool: the workload pool, "" of none.
        n_nodes: those nodes.
        n_covered: nodes that commitments pay for, as the sum of shares.
        by: the names of these commitments, sorted.
    """

    pool: str
    n_nodes: int
    n_covered: float
    by: tuple[str, ...]

    @property
    def n_uncovered(self) -> float:
        """Nodes that cost their list price."""
        return short(self.n_nodes - self.n_covered)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentsFound:
    """What commitments pay for.

    Attributes:
        state: whether they are stated.
        items: those that have not ended.
        pools: the pools with on-demand nodes, and the nodes of none last.
    """

    state: CommitmentState
    items: tuple[CommitmentRow, ...]
    pools: tuple[CoveredPool, ...]

    @property
    def is_stated(self) -> bool:
        """Tell whether money is known and no range."""
        return self.state is CommitmentState.STATED

    @property
    def n_nodes(self) -> int:
        """On-demand and reserved nodes."""
        return sum(row.n_nodes for row in self.pools)

    @property
    def n_covered(self) -> float:
        """Nodes that commitments pay for."""
        return short(math.fsum(row.n_covered for row in self.pools))

    @property
    def unused_usd_per_hour(self) -> float:
        """What is paid for and not used, USD/h, as far as prices tell."""
        return short(math.fsum(row.unused_usd_per_hour or 0.0 for row in self.items))


def commitments_found(cluster: ClusterFacts, coverage: Coverage) -> CommitmentsFound:
    """Put together what a person sees of a coverage."""
    groups: list[tuple[str, Sequence[NodeFact]]] = [(p.name, p.nodes) for p in cluster.pools]
    rows = (_pool(name, nodes, coverage) for name, nodes in (*groups, ("", cluster.unpooled)))
    return CommitmentsFound(
        state=coverage.state,
        items=tuple(map(_row, coverage.uses)),
        pools=tuple(row for row in rows if row.n_nodes),
    )


def _row(use: CommitmentUse) -> CommitmentRow:
    commitment = use.commitment
    return CommitmentRow(
        name=commitment.name,
        kind=commitment.kind.value,
        amount=commitment.amount,
        unit=_unit(commitment),
        used=use.used,
        unused_usd_per_hour=use.unused_usd_per_hour,
        ends_at=commitment.ends_at,
    )


def _unit(commitment: Commitment) -> str:
    if commitment.kind.is_plan:
        return "USD/h"
    return "instances" if commitment.instance_type else "units"


def _pool(name: str, nodes: Iterable[NodeFact], coverage: Coverage) -> CoveredPool:
    kept = [node for node in nodes if node.capacity_type in _KEPT]
    names = {found for node in kept for found in coverage.by.get(node.uid, ())}
    return CoveredPool(
        pool=name,
        n_nodes=len(kept),
        n_covered=short(math.fsum(coverage.shares.get(node.uid, 0.0) for node in kept)),
        by=tuple(sorted(names)),
    )
