"""The gate that keeps every workload alive through a loss of Spot.

Comes in: a `Case`. Goes out: a verdict with the most nodes that may move. May not choose the nodes.
"""

from __future__ import annotations

from typing import Final

from spotvortex.core.decision.gates.base import Case, Reply, gate
from spotvortex.core.decision.messages import Verdict
from spotvortex.core.decision.offerings.shift import Shift
from spotvortex.core.decision.rule_policy import n_to_undo
from spotvortex.core.domain.moves import Concern, MoveKind
from spotvortex.core.domain.types import GateName, Outcome
from spotvortex.core.pool.survival.loss_safety import LossSafety

_NO_BUDGETS: Final = "PodDisruptionBudgets cannot be read"


@gate(GateName.POOL_SAFETY, Concern.DISRUPTION)
def pool_safety(case: Case, reply: Reply) -> Verdict:
    """Losing any one offering, or the Spot of any zone, leaves every workload what it must keep.

    Compares: Ready pods of each workload that would stay with its owner's word
    (`min-available-after-loss`), else with half of the replicas after an offering's loss and a
    third, never none, after a zone's, and with its owner's floor after the loss of all Spot; pods
    on nodes on the move count as lost with what hits most, and pools that share a workload share
    what it can spare (ADR 0008, ADR 0019). A node with pods of a workload that can spare none
    holds by itself. PodDisruptionBudgets count as well where `SPOTVORTEX_BUDGETS_BIND` is set.
    Refuses growth where either cannot be read. Away from Spot for safety's sake, only nodes whose
    leaving helps. A shift to other Spot
    leaves no workload with fewer Ready pods after the worst loss than now, or than it must keep,
    wherever its pods land. What the controller's own fall back took from Spot, and its anchors
    still keep, may return to where it was (ADR 0014), as far as no workload has fewer Ready pods
    on-demand than its owner's floor (`on-demand-floor`) then.

    IMPORTANT: what the controller's own fall back took from Spot may return to where it was. The
    provisioner had put it there before; a gate that lets it leave and not come back would keep
    on-demand for good what nobody asked to be there.
    """
    safety = case.pool.safety
    if case.proposal.kind is MoveKind.SAFETY:
        numbers = {"breaking": safety.n_breaking, "relieving": safety.n_relieving}
        return reply.at_most(safety.n_relieving, "nodes whose leaving helps", **numbers)
    if (shift := case.shift) is not None:
        return _by_shift(case, shift, reply)
    if not case.action.towards_spot:
        return reply.allow("no move towards Spot")
    verdict = _by_words(case, reply, safety.n_workloads)
    if not case.limits.budgets_bind or verdict.outcome is Outcome.REFUSE:
        return verdict
    return min(verdict, _by_budgets(case, reply), key=_let_through)


def _by_shift(case: Case, shift: Shift, reply: Reply) -> Verdict:
    """Let those shift that leave no workload worse off, wherever their pods land."""
    safety = case.pool.safety
    if not safety.known:
        return reply.refuse(_NO_BUDGETS)
    if not safety.words_known:
        return reply.refuse("what owners say of a loss cannot be read")
    n_safe = len(case.candidates)
    reason = f"nodes of {shift.leaves} that no loss would hit harder elsewhere"
    return reply.at_most(n_safe, reason, n_safe=n_safe)


def _let_through(verdict: Verdict) -> float:
    """Return the nodes that a verdict lets through."""
    if verdict.outcome is Outcome.ALLOW:
        return float("inf")
    return float(verdict.limit or 0)


def _by_words(case: Case, reply: Reply, n_workloads: int) -> Verdict:
    safety = case.pool.safety
    if not safety.known:
        return reply.refuse(_NO_BUDGETS)
    if not safety.words_known:
        return reply.refuse("what owners say of a loss cannot be read")
    if safety.least_pods is None:
        return reply.allow("no workload of this pool has anything to lose")
    n_safe = safety.safe_by_word_nodes
    numbers = {"spare_pods": safety.least_pods, "n_workloads": n_workloads}
    n_ours = _ours_above_floors(case)
    if n_ours > n_safe and (safety.least_loss or safety.least_pods >= 0):
        return _undoing(case, reply, n_ours, **numbers)
    if case.pool.to_spot and not n_safe:
        return reply.refuse(_short(safety), **numbers)
    if not case.pool.to_spot:
        return reply.allow("no node to be judged", **numbers)
    reason = f"{safety.least_of} can spare {max(0, safety.least_pods)} pods"
    return reply.at_most(n_safe, f"{reason}{_beyond(safety.least_loss)}", **numbers)


def _ours_above_floors(case: Case) -> int:
    """Return how much of a fall back may return before a workload's floor is touched."""
    n_ours = n_to_undo(case.pool, case.state)
    above = case.pool.safety.above_floor_nodes
    return n_ours if above is None else min(n_ours, above)


def _beyond(loss: str) -> str:
    return f" beyond the loss of {loss}" if loss else ""


def _short(safety: LossSafety) -> str:
    """Say which workload holds the nodes that would move, and by which loss."""
    if safety.unread:
        return safety.unread
    least = safety.least_pods or 0
    if least < 0:
        as_is = f"the loss of {safety.least_loss}" if safety.least_loss else "what is Ready now"
        return f"{as_is} leaves {safety.least_of} {-least} short"
    return f"{safety.least_of} can spare {least} pods{_beyond(safety.least_loss)}"


def _undoing(case: Case, reply: Reply, n_ours: int, **numbers: float) -> Verdict:
    ratio = f"{case.state.fell_from or 0.0:.0%}"
    reason = f"undoes SpotVortex's own fall back from {ratio} Spot, which was no safer"
    return reply.at_most(n_ours, reason, **numbers)


def _by_budgets(case: Case, reply: Reply) -> Verdict:
    """Judge by PodDisruptionBudgets alone."""
    safety = case.pool.safety
    if not safety.known:
        return reply.refuse(_NO_BUDGETS)
    if not safety.n_pdbs:
        return reply.allow("no PodDisruptionBudget covers this pool")
    margin = safety.margin_pods or 0
    numbers = {"margin_pods": margin, "n_pdbs": safety.n_pdbs}
    n_ours = _ours_above_floors(case)
    if n_ours > (0 if margin < 0 else safety.safe_to_spot_nodes) and safety.margin_zone:
        return _undoing(case, reply, n_ours, **numbers)
    if margin < 0:
        zone = f"losing the Spot of {safety.margin_zone}" if safety.margin_zone else "as it is now,"
        return reply.refuse(f"{zone} leaves {safety.margin_pdb} {-margin} short", **numbers)
    reason = f"{safety.margin_pdb} can spare {safety.margin_pods} pods beyond its worst zone"
    return reply.at_most(safety.safe_to_spot_nodes, reason, **numbers)
