"""What can block a node's drain, how much it weighs, and what a person can do about it.

Comes in: a blocker, or a budget that spares no pod. Goes out: a trouble of a closed list, each with
its cure in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.observation import PdbFact
from spotvortex.core.domain.types import Blocker


class Weight(StrEnum):
    """How much a trouble weighs, heaviest first."""

    HOLDS = "holds"
    """No voluntary move of the node is planned."""
    LIMITS = "limits"
    """The node can be drained, but its pods cannot go anywhere."""
    WARNS = "warns"
    """The drain works, and takes long."""


class Trouble(StrEnum):
    """What blocks a drain, or makes it slow."""

    DO_NOT_DISRUPT_NODE = "do-not-disrupt-node"
    DO_NOT_DISRUPT = "do-not-disrupt"
    BARE_POD = "bare-pod"
    SINGLE_REPLICA = "single-replica"
    LOCAL_STORAGE = "local-storage"
    TWO_PDBS = "two-pdbs"
    PDB_NEVER_ALLOWS = "pdb-never-allows"
    PDB_UNCOUNTED = "pdb-uncounted"
    PDB_ALLOWS_ZERO = "pdb-allows-0"
    PDB_NOT_OBSERVED = "pdb-not-observed"
    UNREADY_UNDER_PDB = "unready-under-pdb"
    VOLUME = "volume"
    PINNED_ON_DEMAND = "pinned-on-demand"
    LONG_GRACE = "long-grace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """The weight of a trouble, and its fix."""

    weight: Weight
    fix: str


def _holds(fix: str) -> Cure:
    return Cure(weight=Weight.HOLDS, fix=fix)


CURES: Final[Mapping[Trouble, Cure]] = {
    Trouble.DO_NOT_DISRUPT_NODE: _holds("remove the mark from the node once it may go"),
    Trouble.DO_NOT_DISRUPT: _holds(
        "remove karpenter.sh/do-not-disrupt or safe-to-evict=false from the pod template"
    ),
    Trouble.BARE_POD: _holds("let a Deployment, StatefulSet or Job own the pod: nobody remakes it"),
    Trouble.SINGLE_REPLICA: _holds("run at least two replicas, spread over nodes"),
    Trouble.LOCAL_STORAGE: _holds("replace the hostPath by a volume that is not on the node"),
    Trouble.TWO_PDBS: _holds(
        "delete a budget or narrow its selector: the Eviction API refuses a pod with two for ever"
    ),
    Trouble.PDB_NEVER_ALLOWS: _holds(
        "let the budget spare a pod: maxUnavailable 1, or minAvailable below the replicas"
    ),
    Trouble.PDB_UNCOUNTED: _holds(
        "use minAvailable with a number: the owner of these pods has no scale to count them by"
    ),
    Trouble.PDB_ALLOWS_ZERO: _holds(
        "wait until its pods are Ready again, or mend those that are not"
    ),
    Trouble.PDB_NOT_OBSERVED: _holds(
        "wait: the disruption controller has not seen this version yet"
    ),
    Trouble.UNREADY_UNDER_PDB: _holds(
        "mend the pod, or set unhealthyPodEvictionPolicy: AlwaysAllow in the budget"
    ),
    Trouble.VOLUME: Cure(
        weight=Weight.LIMITS, fix="see that the wanted capacity is allowed in the volume's zone"
    ),
    Trouble.PINNED_ON_DEMAND: Cure(
        weight=Weight.LIMITS, fix="drop the selector or affinity for on-demand, if Spot will do"
    ),
    Trouble.LONG_GRACE: Cure(
        weight=Weight.WARNS,
        fix="shorten terminationGracePeriodSeconds: an interruption gives 120 s at most",
    ),
}

TROUBLES: Final[Mapping[Blocker, Trouble]] = {
    Blocker.DO_NOT_DISRUPT: Trouble.DO_NOT_DISRUPT,
    Blocker.BARE_POD: Trouble.BARE_POD,
    Blocker.SINGLE_REPLICA: Trouble.SINGLE_REPLICA,
    Blocker.LOCAL_STORAGE: Trouble.LOCAL_STORAGE,
    Blocker.VOLUME: Trouble.VOLUME,
    Blocker.PINNED_ON_DEMAND: Trouble.PINNED_ON_DEMAND,
}
"""Troubles that a pod has whatever its budgets say; those of budgets come from the verdict."""


def trouble_of_zero(pdb: PdbFact) -> Trouble:
    """Tell never from not now: a budget that demands every pod it expects never spares one."""
    if pdb.expected_pods <= 0:
        return Trouble.PDB_UNCOUNTED
    never = pdb.desired_healthy >= pdb.expected_pods
    return Trouble.PDB_NEVER_ALLOWS if never else Trouble.PDB_ALLOWS_ZERO
