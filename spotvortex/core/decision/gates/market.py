"""The gate that asks whether Spot is worth the move.

Comes in: a `Case`. Goes out: a verdict on discount and payback. May not estimate either: see
`economics`.
"""

from __future__ import annotations

from spotvortex.core.decision.gates.base import Case, Reply, gate
from spotvortex.core.decision.messages import Verdict
from spotvortex.core.decision.offerings.shift import Shift
from spotvortex.core.domain.cloud.commitments import CommitmentState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import Concern
from spotvortex.core.domain.types import GateName
from spotvortex.core.pool.input import PoolInput


@gate(GateName.MARKET, Concern.MARKET)
def market(case: Case, reply: Reply) -> Verdict:
    """Spot is cheap enough to be worth a move towards it.

    Compares: the discount with 15 %, the payback with 6 h, of a shift to other Spot the payback; a
    price of last resort is none, and what a commitment pays for is no saving. Growth is refused
    where commitments cannot be read, or are not stated and `SPOTVORTEX_COMMITMENTS=hold` waits for
    them.
    """
    if (shift := case.shift) is not None:
        return _shifting(case, shift, reply)
    if not case.action.towards_spot:
        return reply.allow("no move towards Spot")
    unknown = unknown_commitments(case.pool, case.limits)
    if unknown:
        return reply.refuse(unknown)
    return _worth(case, reply) or _compared(case, reply)


def _shifting(case: Case, shift: Shift, reply: Reply) -> Verdict:
    """Compare the payback of a shift; of its price nothing but that is asked."""
    numbers = {
        "gain_usd_per_hour": shift.gain_usd_per_hour,
        "least_usd_per_hour": shift.least_usd_per_hour,
        "payback_hours": shift.payback_hours,
        "max_payback_hours": case.limits.max_payback_hours,
    }
    if shift.list_usd_per_hour is None:
        return reply.refuse("no price", **numbers)
    if case.pool.spot_money.last_resort:
        return reply.refuse("prices of last resort are not good enough to act on", **numbers)
    if not shift.payback_hours <= case.limits.max_payback_hours:
        return reply.refuse("the move pays back too late", **numbers)
    return reply.allow("the shift pays back in time", **numbers)


def _worth(case: Case, reply: Reply) -> Verdict | None:
    """Refuse where no gain can be told, or none is expected; None where there is one to compare."""
    discount, payback = case.economics.discount_ratio, case.economics.payback_hours
    money = case.pool.entry_money
    if discount is None and money.too_old_s is not None:
        return reply.refuse("the Spot price is too old to use", age_s=money.too_old_s)
    if discount is not None and payback is None and money.marginal_usd_per_hour is not None:
        marginal = money.marginal_usd_per_hour
        return reply.refuse(
            "a commitment pays for these nodes already", marginal_usd_per_hour=marginal
        )
    if discount is None or payback is None:
        return reply.refuse("no price, or no expected gain")
    return None


def _compared(case: Case, reply: Reply) -> Verdict:
    discount, payback = case.economics.discount_ratio, case.economics.payback_hours
    assert discount is not None
    assert payback is not None
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


def unknown_commitments(pool: PoolInput, limits: Limits) -> str:
    """Say why growth waits for what is known of commitments, "" where it does not."""
    match pool.commitments.state:
        case CommitmentState.UNREADABLE:
            return "the commitments are stated, but cannot be read"
        case CommitmentState.UNSTATED if limits.hold_unstated:
            return "the commitments are not stated, and SPOTVORTEX_COMMITMENTS=hold waits for them"
        case _:
            return ""
