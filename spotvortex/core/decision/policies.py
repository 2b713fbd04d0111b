"""Both policies, side by side: one decides, the other is recorded beside it.

Comes in: the reduced input of a pool, its economics and the limits. Goes out: the proposal that
counts and the one that does not. An owner's word, and the safety of workloads,
count under either policy. May not let the second
one change anything.
"""

from __future__ import annotations

from spotvortex.core.decision.learned_policy import propose_by_value
from spotvortex.core.decision.messages import Economics, Proposal
from spotvortex.core.decision.rule_policy import for_safety, owners_word, propose
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Action, PolicyMode, ProposalReason
from spotvortex.core.pool.input import PoolInput


def both_proposals(
    pool: PoolInput, economics: Economics, limits: Limits
) -> tuple[Proposal, Proposal]:
    """Return the proposal of the mode that decides, and that of the other."""
    rules = propose(pool, economics, limits)
    if rules.reason is ProposalReason.UNSUPPORTED_FAMILY:
        # The documented contract of both modes: no score, so no q-values worth the name.
        return rules, rules
    learned = propose_by_value(pool, limits)
    if limits.policy_mode is not PolicyMode.RL:
        return rules, learned
    said = owners_word(pool, limits) or for_safety(pool, limits)
    if said is not None:
        return said, learned
    # A shift is a wave of a HOLD: what the network says of the ratio is kept.
    held = learned.action is Action.HOLD and learned.reason is ProposalReason.BEST_Q_VALUE
    return (rules, learned) if held and rules.is_shift else (learned, rules)
