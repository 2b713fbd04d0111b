"""How far each workload is ready for Spot, why it is not, and the line that would change it.

Comes in: a cluster's facts and the survival rows made of them. Goes out: a row a workload, the ones
that stand still first. May not decide anything, and never runs a line that it prints.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spotvortex.core.domain.observation import ClusterFacts, PoolFacts
from spotvortex.core.domain.types import Blocker
from spotvortex.core.pool.blocking import nodes_held_by
from spotvortex.report.assess.change import Change, kubectl
from spotvortex.report.assess.survival import SurvivalRow
from spotvortex.report.fixes import CURES, TROUBLES, trouble_of_zero
from spotvortex.report.node_pool_pair import CAPACITY_TYPE


class SpotReadiness(StrEnum):
    """How far a workload is ready for Spot, the worst first."""

    HELD = "held"
    """Its pods hold the nodes that they are on: nobody may move them."""
    SINGLE = "single"
    """It has one replica, and cannot survive the loss of its node."""
    PINNED = "pinned"
    """Its own selector or affinity ties it to on-demand."""
    FULL = "full"
    """No more of it may go to Spot, or a loss takes too much already."""
    READY = "ready"
    """More of it may go to Spot, or all of it is there and survives any one loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadReadiness:
    """One workload, and what stands between it and Spot.

    Attributes:
        workload: `namespace/Kind/name`.
        pools: the pools where its pods are.
        readiness: how far it is ready.
        reasons: why it is no further, each in words; empty where it is ready.
        owner: the object to change, as in "Deployment shop/web".
        fixes: what to do, one for each reason.
        commands: lines for a shell that do it, where one does; a person has to run them.
        healthy: Ready pods.
        n_on_spot: Ready pods on Spot.
        spare_pods: pods that may still go to Spot; None where nothing is asked.
    """

    workload: str
    pools: tuple[str, ...]
    readiness: SpotReadiness
    reasons: tuple[str, ...]
    owner: str
    fixes: tuple[str, ...]
    commands: tuple[str, ...]
    healthy: int
    n_on_spot: int
    spare_pods: int | None


@dataclass(frozen=True, slots=True)
class _Trouble:
    """One thing that stands against a workload."""

    readiness: SpotReadiness
    reason: str
    fix: str
    command: str = ""


_CAPACITY_TYPES: Final = (CAPACITY_TYPE, "eks.amazonaws.com/capacityType")
"""Labels by which a selector may ask for a kind of capacity: Karpenter's, and a node group's."""


def readiness_rows(
    cluster: ClusterFacts, survival: Sequence[SurvivalRow]
) -> tuple[WorkloadReadiness, ...]:
    """Return a row for each workload that has replicas, the worst first."""
    blocked = _blocked(cluster.pools)
    rows = [_row(row, blocked.get(row.workload, {})) for row in survival]
    order = list(SpotReadiness)
    return tuple(sorted(rows, key=lambda r: (order.index(r.readiness), -r.healthy, r.workload)))


def _row(row: SurvivalRow, blocked: Mapping[Blocker, _Trouble]) -> WorkloadReadiness:
    found = [blocked[blocker] for blocker in sorted(blocked)]
    if row.is_single and Blocker.SINGLE_REPLICA not in blocked:
        found.append(_single(row.workload))
    if not row.is_single and row.step is not None:
        found.append(_full(row, row.step))
    worst = min(
        (t.readiness for t in found), key=list(SpotReadiness).index, default=SpotReadiness.READY
    )
    return WorkloadReadiness(
        workload=row.workload,
        pools=row.pools,
        readiness=worst,
        reasons=tuple(trouble.reason for trouble in found),
        owner=_owner(row.workload),
        fixes=tuple(trouble.fix for trouble in found),
        commands=tuple(t.command for t in found if t.command),
        healthy=row.healthy,
        n_on_spot=row.n_on_spot,
        spare_pods=row.spare_pods,
    )


def _owner(workload: str) -> str:
    namespace, kind, name = workload.split("/", 2)
    return f"{kind} {namespace}/{name}"


def _single(workload: str) -> _Trouble:
    fix = CURES[TROUBLES[Blocker.SINGLE_REPLICA]].fix
    line = kubectl("scale", _owner(workload), "--replicas=2")
    return _Trouble(SpotReadiness.SINGLE, "single replica", fix, line)


def _full(row: SurvivalRow, step: Change) -> _Trouble:
    loss = f"the loss of {row.loss}" if row.loss else "a loss"
    verb = "survives" if row.survives else "does not survive"
    reason = f"{verb} {loss}: {row.healthy_left} of {row.healthy} pods left, {row.needed} must stay"
    return _Trouble(SpotReadiness.FULL, reason, step.text, step.command)


def prefer_spot() -> str:
    """Return a patch of a pod template: Spot first, and no selector for on-demand any longer.

    A selector is dropped by null. An affinity that requires on-demand has to be taken out by hand:
    the patch cannot know its other terms.
    """
    spot = {"key": CAPACITY_TYPE, "operator": "In", "values": ["spot"]}
    preferred = [{"weight": 100, "preference": {"matchExpressions": [spot]}}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    selector = dict.fromkeys(_CAPACITY_TYPES)
    spec = {"nodeSelector": selector, "affinity": affinity}
    patch = json.dumps({"spec": {"template": {"spec": spec}}}, separators=(",", ":"))
    return f"--type=strategic -p '{patch}'"


def _blocked(pools: Iterable[PoolFacts]) -> Mapping[str, Mapping[Blocker, _Trouble]]:
    """Return by workload and blocker what its pods do to the nodes that they are on."""
    found: dict[str, dict[Blocker, _Trouble]] = defaultdict(dict)
    for pool in pools:
        for node in pool.nodes:
            for blocked in node.load.blocked:
                if (trouble := _of(blocked.blocker, blocked.workload)) is not None:
                    found[blocked.workload].setdefault(blocked.blocker, trouble)
        for pdb in pool.pdbs:
            held = frozenset(nodes_held_by(pdb))
            if pdb.workload and held:
                fix = CURES[trouble_of_zero(pdb)].fix
                reason = f"PodDisruptionBudget {pdb.key} ({pdb.terms}) lets nobody go"
                found[pdb.workload][Blocker.PDB_ALLOWS_ZERO] = _Trouble(
                    SpotReadiness.HELD, reason, fix
                )
    return found


def _of(blocker: Blocker, workload: str) -> _Trouble | None:
    """Return what a blocker means for Spot; a volume or a pin to Spot does not keep it away."""
    trouble = TROUBLES.get(blocker)
    if trouble is None or blocker is Blocker.VOLUME:
        return None
    fix = CURES[trouble].fix
    if blocker is Blocker.SINGLE_REPLICA:
        return _single(workload)
    if blocker is Blocker.PINNED_ON_DEMAND:
        patch = kubectl("patch", _owner(workload), prefer_spot())
        return _Trouble(SpotReadiness.PINNED, "asks for on-demand itself", fix, patch)
    return _Trouble(SpotReadiness.HELD, blocker.replace("-", " "), fix)
