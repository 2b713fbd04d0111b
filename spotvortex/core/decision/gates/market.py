"""The gate that asks whether Spot is worth the move.

Comes in: a `Case`. Goes out: a verdict on discount and payback. May not estimate either: see
`economics`.
"""

from __future__ import annotations

from spotvortex.core.decision.gates.base import Case, Reply, gate
from spotvortex.core.decision.messages import Verdict
from spotvortex.core.domain.moves import Concern
from spotvortex.core.domain.types import GateName


@gate(GateName.MARKET, Concern.MARKET)
def market(case: Case, reply: Reply) -> Verdict:
    """Spot is cheap enough to be worth a move towards it.

    Compares: the discount with 15 %, the payback with 6 h; a price of last resort is none.
    """
    if not case.action.towards_spot:
        return reply.allow("no move towards Spot")
    discount, payback = case.economics.discount_ratio, case.economics.payback_hours
    too_old_s = case.pool.entry_money.too_old_s
    if discount is None and too_old_s is not None:
        return reply.refuse("the Spot price is too old to use", age_s=too_old_s)
    if discount is None or payback is None:
        return reply.refuse("no price, or no expected gain")
    numbers = {
        "discount_ratio": discount,
        "min_discount_ratio": case.limits.min_discount_ratio,
        "payback_hours": payback,
        "max_payback_hours": case.limits.max_payback_hours,
    }
    if case.pool.entry_money.last_resort:
        return reply.refuse("prices of last resort are not good enough to act on", **numbers)
    if not discount >= case.limits.min_discount_ratio:
        return reply.refuse("discount too small", **numbers)
    if not payback <= case.limits.max_payback_hours:
        return reply.refuse("the move pays back too late", **numbers)
    return reply.allow("discount and payback suffice", **numbers)
