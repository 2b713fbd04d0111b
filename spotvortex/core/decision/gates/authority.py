"""The gates that ask whether anything may be written at all: the lease, a freeze, the mode.

Comes in: a `Case`. Goes out: a verdict each. May not judge the decision itself.
"""

from __future__ import annotations

from typing import Final

from spotvortex.core.decision.gates.base import Case, Reply, gate
from spotvortex.core.decision.messages import Verdict
from spotvortex.core.domain.labels import FREEZE
from spotvortex.core.domain.moves import Concern, MoveKind
from spotvortex.core.domain.types import Freeze, GateName, Mode

FOR_PRICE: Final = frozenset({MoveKind.NONE, MoveKind.PRICE})
"""What waits where nothing is remembered of earlier waves, and what there is to say of a HOLD."""


@gate(GateName.LEASE, Concern.AUTHORITY)
def lease(case: Case, reply: Reply) -> Verdict:
    """Only the leader may write.

    Compares: the Lease; not evaluated where the mode writes nothing.
    """
    if not case.limits.mode.writes:
        return reply.not_evaluated(f"mode {case.limits.mode} needs no lease")
    if case.basis.standing.leader:
        return reply.allow("this replica holds the lease")
    return reply.refuse("another replica holds the lease, or nobody does")


@gate(GateName.FREEZE, Concern.AUTHORITY)
def freeze(case: Case, reply: Reply) -> Verdict:
    """A person may stop every planned move by creating one ConfigMap.

    Compares: whether ConfigMap `spotvortex-freeze` exists; refuses where that cannot be read. With
    the key `hard` it stops interruptions too.
    """
    if not case.limits.mode.writes:
        return reply.not_evaluated(f"mode {case.limits.mode} writes nothing")
    match case.basis.standing.freeze:
        case Freeze.NONE:
            return reply.allow("nobody has frozen SpotVortex")
        case Freeze.UNKNOWN:
            return reply.refuse(f"whether ConfigMap {FREEZE} exists cannot be read")
        case frozen:
            return reply.refuse(f"ConfigMap {FREEZE} exists ({frozen})")


@gate(GateName.MODE, Concern.AUTHORITY)
def mode(case: Case, reply: Reply) -> Verdict:
    """What the mode lets the controller do with the decision.

    Compares: the weaker of ceiling and rule; canary bounds the wave. Refuses where a rule cannot
    be read, and a move for what it costs for a day after what was remembered is lost.
    """
    current, problem = case.limits.mode, case.pool.rules.problem
    if problem:
        return reply.refuse(f"a rule of this pool cannot be read: {problem}")
    if not current.writes:
        return reply.allow(f"{current}: recorded, nothing is moved")
    if case.basis.standing.unsure and case.proposal.kind in FOR_PRICE:
        return reply.refuse("what was remembered is lost: for a day only what protects is done")
    if current is Mode.CANARY:
        n_canary = case.limits.canary_nodes
        return reply.at_most(n_canary, f"canary: {n_canary} at a time", canary=n_canary)
    return reply.allow(f"mode {current}")
