"""The gates that ask whether a decision is made on inputs worth the name.

Comes in: a `Case`. Goes out: a verdict each on the age of inputs, the model's scope and range, and
the confidence. May not judge whether the move itself is wise.
"""

from __future__ import annotations

import math
from typing import Final

from spotvortex.core.decision.gates.base import Case, Reply, gate
from spotvortex.core.decision.messages import Verdict
from spotvortex.core.domain.moves import Concern, MoveKind
from spotvortex.core.domain.types import Action, GateName
from spotvortex.core.pool.input import limiting

FULL_MARGIN: Final = 0.1
"""A lead of the best q-value over the second, as a share of their spread, that counts in full."""


@gate(GateName.INPUT_FRESHNESS, Concern.FACTS)
def input_freshness(case: Case, reply: Reply) -> Verdict:
    """Every required input is there and young enough.

    Compares: the oldest age with 20 s, and the inputs' own states.
    """
    pool, limit = case.pool, case.limits.max_input_age_s
    numbers = {"oldest_s": pool.oldest_input_s, "limit_s": limit}
    if pool.bad_inputs or not pool.oldest_input_s <= limit:
        which = ", ".join(pool.bad_inputs) or "every input"
        return reply.refuse(f"{which} missing or older than {limit:g} s", **numbers)
    return reply.allow("all required inputs are fresh", **numbers)


@gate(GateName.MODEL_SCOPE, Concern.SCOPE)
def model_scope(case: Case, reply: Reply) -> Verdict:
    """A node of a family that the model was not made for holds; the rest of its pool goes on.

    Compares: the families of the pool with the bundle's; refuses where no other node could move.
    """
    pool = case.pool
    if not pool.unsupported:
        return reply.allow("every family is in the model's scope")
    families = ", ".join(pool.unsupported)
    if case.proposal.kind is MoveKind.UNSUPPORTED and case.limits.exit_unsupported:
        return reply.allow(f"{families} not in scope; leaving them is switched on")
    candidates = case.candidates
    goes_on = case.proposal.kind is not MoveKind.UNSUPPORTED and any(c.in_scope for c in candidates)
    if goes_on or case.action is Action.HOLD:
        return reply.allow(f"{families} not in the model's scope: their nodes hold")
    return reply.refuse(f"{families} not in the model's scope: recorded, their nodes hold")


@gate(GateName.CONFIDENCE, Concern.CONFIDENCE)
def confidence(case: Case, reply: Reply) -> Verdict:
    """The product of the confidence terms, and of the learned policy's lead, is high enough.

    Compares: the product with 0.5; of a decrease for risk, of what the risk rests on alone.
    """
    limit, counted = case.limits.min_confidence, case.binding.terms
    terms = [t for t in case.pool.confidence_terms if counted is None or t[0] in counted]
    if case.proposal.margin is not None:
        terms.append(("margin", min(1.0, case.proposal.margin / FULL_MARGIN)))
    value = math.prod(term for _, term in terms)
    numbers = {"confidence": round(value, 6), "limit": limit}
    if value >= limit:
        return reply.allow("confidence suffices", **numbers)
    return reply.refuse(f"confidence limited by {limiting(terms)}", **numbers)


@gate(GateName.OUT_OF_DISTRIBUTION, Concern.CONFIDENCE)
def out_of_distribution(case: Case, reply: Reply) -> Verdict:
    """The model has seen inputs like these; growth on others, and a shift, is refused.

    Compares: the features of each offering with the training ranges.
    """
    outside = case.pool.out_of_range
    if not outside:
        return reply.allow("all features are in the training range")
    if not (case.action.towards_spot or case.proposal.is_shift):
        return reply.allow("no move towards Spot", n_outside=len(outside))
    more = f" and {len(outside) - 1} more" if len(outside) > 1 else ""
    return reply.refuse(f"outside the training range: {outside[0]}{more}")
