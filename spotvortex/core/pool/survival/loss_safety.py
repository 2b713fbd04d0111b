"""What a decision reads of losses: how far one loss is from taking too much.

Comes in: figures that `core.pool.loss_safety` takes from the margins of a pool. Goes out: the same,
as they stand in a record. May not judge: the gate `pool_safety` does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSafety:
    """How far one loss is from taking more of a workload than may be taken; see `zone_loss`.

    Attributes:
        n_pdbs: budgets that cover the pool.
        known: the budgets can be read.
        margin_pods: pods that the tightest budget can spare beyond the loss that hits it most,
            negative where that breaks it; None without a budget. Budgets bind a loss only by
            `budgets_bind`.
        margin_pdb: that budget's key, "" without one.
        margin_zone: the zone of that loss, "" without one.
        safe_to_spot_nodes: nodes, the first to move first, that may become Spot before a budget
            breaks.
        n_workloads: workloads with pods in the pool of which something must stay.
        words_known: the words of owners can be read.
        unread: the first word that cannot be read, with its object and the fix, "" of none.
        least_pods: pods that the tightest workload can spare likewise; of those with pods on the
            nodes to move first, else of all; None without one.
        least_of: that workload, `namespace/Kind/name`, "" without one.
        least_loss: the loss that hits it most: an offering, `zone us-east-1a`, or `all Spot` where
            its owner's floor binds; "" of none.
        safe_by_word_nodes: nodes, the first to move first, that may become Spot before a loss
            takes more of a workload than may be taken.
        above_floor_nodes: nodes likewise, before a workload has fewer pods on-demand than its
            floor; None where no workload has one.
        n_breaking: workloads of which a single loss would take too much as it is now.
        n_relieving: Spot nodes, the first to move first, whose leaving makes such a loss hurt less.
    """

    n_pdbs: int
    known: bool
    margin_pods: int | None
    margin_pdb: str
    margin_zone: str
    safe_to_spot_nodes: int
    n_workloads: int = 0
    words_known: bool = True
    unread: str = ""
    least_pods: int | None = None
    least_of: str = ""
    least_loss: str = ""
    safe_by_word_nodes: int = 0
    n_breaking: int = 0
    n_relieving: int = 0
    above_floor_nodes: int | None = None
