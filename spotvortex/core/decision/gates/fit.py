"""The gate `fit`: whether moving pods can run where they would go.

Comes in: a `Case`. Goes out: a verdict. Refuses what the NodePools rule out;
what they do not tell is proven by placeholders, which every mode that writes binds before it
evicts anything. May not read anything but the reduced input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spotvortex.core.decision.gates.base import Case, Reply, gate
from spotvortex.core.decision.messages import Verdict
from spotvortex.core.domain.moves import Concern
from spotvortex.core.domain.sides import BY_PODS
from spotvortex.core.domain.types import GateName, ProvisionerKind
from spotvortex.core.pool.group_fit import launches, mib_up
from spotvortex.core.pool.input import Candidate, GroupFit, PoolInput

_PROOF: Final = "placeholders prove it before any eviction"

_MADE_BY: Final = {
    ProvisionerKind.KARPENTER: "nodes of Karpenter without a NodePool",
    ProvisionerKind.CLUSTER_AUTOSCALER: "nodes of Cluster Autoscaler",
    ProvisionerKind.MANAGED_NODE_GROUP: "nodes of an EKS node group",
    ProvisionerKind.UNKNOWN: "nodes of unknown origin",
}


@gate(GateName.FIT, Concern.DISRUPTION)
def fit(case: Case, reply: Reply) -> Verdict:
    """The moving pods can run where they would go, as far as the NodePools say.

    Compares: who makes the nodes that would move, for which there has to be a driver; what speaks
    against growing their group, or ending nodes of it; capacity
    types, zones, sizes and limits of the NodePools that would receive them; a wave adds nodes
    before it takes any away. A shift needs a provisioner that can be asked to avoid an
    offering. What cannot be known is left to placeholders.
    """
    pool, action = case.pool, case.action
    if case.proposal.is_still:
        return reply.allow("HOLD moves nothing")
    room = _room(case)
    if room.no_driver:
        return reply.refuse(_held(room))
    if action.away_from_spot and not pool.allows_on_demand:
        return reply.refuse(_lacks("on-demand", "od", pool))
    if action.towards_spot and not pool.allows_spot:
        return reply.refuse(_lacks("Spot", "spot", pool))
    candidates = case.candidates
    if room.node_group:
        return _by_node_pool(room, candidates, reply)
    if pool.provisioner is ProvisionerKind.UNKNOWN:
        return reply.not_evaluated("nobody is known who would make the nodes")
    numbers = {"largest_cpu_milli": float(room.launch_cpu_milli)}
    if candidates:
        numbers["cpu_milli"] = candidates[0].workload_cpu_milli
        numbers["memory_mib"] = mib_up(candidates[0].workload_memory_bytes)
    return reply.allow(f"no NodePool to judge by: {_PROOF}", **numbers)


def _room(case: Case) -> GroupFit:
    pool = case.pool
    if case.proposal.is_shift:
        return pool.room_shift or GroupFit()
    return pool.room_spot if case.action.towards_spot else pool.room_on_demand


def _held(room: GroupFit) -> str:
    if room.no_driver not in set(ProvisionerKind):
        return room.no_driver
    made_by = _MADE_BY[ProvisionerKind(room.no_driver)]
    return f"{made_by}: advised only, no driver moves such nodes"


def _lacks(wanted: str, end: str, pool: PoolInput) -> str:
    """Say that no group of a pool buys what is wanted; of node groups, what would help."""
    if pool.provisioner not in BY_PODS:
        return f"no NodePool of this pool allows {wanted}"
    base = pool.pool.removesuffix("-od" if end == "spot" else "-spot")
    twin = f"add a twin that does, named {base}-{end}"
    if base == pool.pool:
        twin = f"add one that does, and label the nodes of both spotvortex.io/pool={base}"
    return f"no node group of this pool buys {wanted}: {twin}"


def _by_node_pool(room: GroupFit, candidates: Sequence[Candidate], reply: Reply) -> Verdict:
    if not candidates:
        return reply.allow("no node to be placed")
    if not room.n_placed:
        return reply.refuse(f"{room.node_group} has no place for pods of {room.misfit}", placed=0)
    placed = candidates[: room.n_placed]
    found = launches(room, [(c.workload_cpu_milli, c.workload_memory_bytes) for c in placed])
    if found.short_of:
        reason = f"{found.short_of} limit of {room.node_group}; launches count in full"
        return reply.at_most(found.n, reason, left=found.left, asked=found.asked)
    if len(placed) < len(candidates):
        reason = f"{room.node_group} has no place for pods of {room.misfit}"
        return reply.at_most(len(placed), reason, placed=room.n_placed)
    sizes = "" if room.sizes_known else "sizes unknown; "
    return reply.allow(f"{room.node_group} may take them; {sizes}{_PROOF}")
