"""The figures of the ledger: of nodes, of a pool, of the whole cluster.

Comes in: figures. Goes out: their sums and multiples. The same record is a rate, by the hour, and a
sum over hours: a rate times hours is a sum. May not know where a figure comes from.
"""

from __future__ import annotations

from operator import add
from typing import Final, NamedTuple, TypeVar


class NodeSums(NamedTuple):
    """Nodes of one pool that are bought in one way; money in USD.

    Attributes:
        node_hours: hours of nodes whose prices are known.
        unpriced_hours: hours of nodes of which a price is not known; they are in no other sum.
        list_usd: what they cost at the Spot price, or at the on-demand list price.
        uncovered_usd: what of that no commitment pays for.
        committed_usd: what they use of the commitments' own fee; it is due in any case.
        on_demand_usd: what the same nodes would cost on-demand beyond all commitments, those that
            run double left out.
        on_demand_list_usd: the same at list price.
    """

    node_hours: float = 0.0
    unpriced_hours: float = 0.0
    list_usd: float = 0.0
    uncovered_usd: float = 0.0
    committed_usd: float = 0.0
    on_demand_usd: float = 0.0
    on_demand_list_usd: float = 0.0


class PoolSums(NamedTuple):
    """What became of one pool's money; in USD, and never below 0.

    Attributes:
        saved_usd: what it cost less than the same nodes on-demand.
        overspent_usd: what it cost more than those, where it did.
        at_stake_usd: what of the saving there is only if no unused commitment would have paid:
            the on-demand price of Spot nodes while commitments are not stated.
        projected_usd: the saving at the Spot share that was decided on.
        before_usd: what it would have cost at the Spot share that it had before the first move.
        double_hours: hours of nodes that the controller was emptying while their room was paid for.
        double_usd: what these cost.
        n_restarts: pods that the controller evicted.
        restart_usd: what the room of those pods cost while they started again.
    """

    saved_usd: float = 0.0
    overspent_usd: float = 0.0
    at_stake_usd: float = 0.0
    projected_usd: float = 0.0
    before_usd: float = 0.0
    double_hours: float = 0.0
    double_usd: float = 0.0
    n_restarts: float = 0.0
    restart_usd: float = 0.0

    @property
    def net_usd(self) -> float:
        """What was saved in the end, less than 0 where it was none."""
        return self.saved_usd - self.overspent_usd

    @property
    def least_usd(self) -> float:
        """What was saved at least, whatever commitments there are."""
        return self.net_usd - self.at_stake_usd


class ClusterSums(NamedTuple):
    """What holds for the whole cluster.

    Attributes:
        seen_hours: hours that were accounted for.
        unknown_hours: hours in which nobody looked: no figure covers them.
        stated_hours: hours of those seen in which commitments were stated.
        unused_usd: what commitments cost that nothing used.
        alone_hours: hours in which the same cluster was followed under its provisioner alone.
        alone_usd: what that cluster cost in them.
    """

    seen_hours: float = 0.0
    unknown_hours: float = 0.0
    stated_hours: float = 0.0
    unused_usd: float = 0.0
    alone_hours: float = 0.0
    alone_usd: float = 0.0


Sums = TypeVar("Sums", NodeSums, PoolSums, ClusterSums)

NO_NODES: Final = NodeSums()
NO_POOL: Final = PoolSums()
NO_CLUSTER: Final = ClusterSums()


def plus(one: Sums, other: Sums) -> Sums:
    """Add two up."""
    return type(one)(*map(add, one, other))


def times(one: Sums, factor: float) -> Sums:
    """Take one so many times."""
    return type(one)(*[a * factor for a in one])
