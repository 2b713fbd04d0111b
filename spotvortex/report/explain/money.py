"""The money of a decision, told to a person.

Comes in: prices, what offerings are expected to cost, what commitments pay for. Goes out: words; of
each offering a line with its terms in dollars an hour, and which of them new room avoids, and why.
May not weigh anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spotvortex.core.decision.messages import Economics
from spotvortex.core.decision.offerings.choice import Choice
from spotvortex.core.decision.offerings.shift import Shift
from spotvortex.core.domain.cloud.commitments import CommitmentState
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.hedge import Hedge
from spotvortex.core.pool.input import CommitmentCover, Money

EXPECTED_COST: Final = "expected cost"
"""Name of the facts that are one line an offering, of which the first alone bears it."""


def expected_costs(choice: Choice) -> Iterator[tuple[str, str]]:
    """Yield what each offering is expected to cost, and which of them room avoids."""
    for number, cost in enumerate(choice.costs):
        is_spot = cost.capacity_type is CapacityType.SPOT
        name = f"Spot {cost.offering}" if is_spot else f"on-demand {cost.offering}"
        terms = (
            f"{name}: {dollars(cost.usd_per_hour)}/h = node {dollars(cost.node_usd_per_hour)}"
            f" + loss {dollars(cost.loss_usd_per_hour)}"
            f" + after it {dollars(cost.after_usd_per_hour)}"
        )
        yield "" if number else EXPECTED_COST, terms
    if choice.avoided:
        found = (f"{a.offering} ({a.reason.replace('_', ' ')})" for a in choice.avoided)
        yield "avoided", "; ".join(found)


def shift_terms(shift: Shift | None) -> Iterator[tuple[str, str]]:
    """Yield what a shift from Spot to Spot is worth, and what its room avoids, if there is one."""
    if shift is None:
        return
    gain, least = dollars(shift.gain_usd_per_hour), dollars(shift.least_usd_per_hour)
    words = (
        f"off {shift.leaves}, at best to {shift.to}: the node costs "
        f"{dollars(shift.price_usd_per_hour)}/h less, its losses "
        f"{dollars(shift.risk_usd_per_hour)}/h less, together {gain}/h, more than {least}/h; "
        f"the move costs {dollars(shift.move_usd)}, paid back in {shift.payback_hours:.2f} h"
    )
    yield "shift", words
    yield "its room avoids", "; ".join(map(str, shift.avoid))


def hedge_terms(hedge: Hedge) -> Iterator[tuple[str, str]]:
    """Yield what a node more than was lost costs and spares, where any may be asked for."""
    if hedge.most_ratio <= 0.0:
        return
    words = (
        f"at most {hedge.most_ratio:.0%} of what is lost; a node costs {dollars(hedge.node_usd)}, "
        f"and spares {dollars(hedge.saved_usd)} of an outage of {dollars(hedge.outage_usd)} where "
        f"another is late, by {hedge.late_s:.0f} s; in time are {hedge.in_time_ratio:.0%}; of one "
        f"lost node {hedge.n_extra(1)} pay, of ten {hedge.n_extra(10)}"
    )
    yield "extra room", words


def dollars(value: float | None) -> str:
    """Say an amount of money, or that it is not known."""
    return "unknown" if value is None else f"${value:,.4f}".replace("$-", "-$")


def prices(money: Money) -> str:
    """Say a Spot price beside its on-demand price."""
    spot, on_demand = money.spot_usd_per_hour, money.on_demand_usd_per_hour
    if spot is None or on_demand is None:
        return "price unknown"
    source = ", of last resort" if money.last_resort else ""
    marginal = money.marginal_usd_per_hour
    paid = "" if marginal is None else f", of which commitments leave {dollars(marginal)}/h to save"
    return f"{dollars(spot)}/h instead of {dollars(on_demand)}/h{source}{paid}"


def commitments(found: CommitmentCover) -> str:
    """Say what commitments pay for."""
    if found.state is not CommitmentState.STATED:
        return found.state
    by = f" by {', '.join(found.by)}" if found.by else ""
    unused = f"{dollars(found.unused_usd_per_hour)}/h of all are unused"
    return f"{found.n_covered:g} nodes are paid for{by}, {found.n_kept} of them movable; {unused}"


def worth(economics: Economics) -> str:
    """Say what one more node on Spot is worth."""
    if economics.saving_usd_per_hour is None:
        return "not reckoned: no node can go to Spot, or a price of it is not known"
    hours = economics.payback_hours
    payback = "never paid back" if hours is None else f"paid back in {hours:.2f} h"
    return (
        f"a node on Spot saves {dollars(economics.saving_usd_per_hour)}/h, risks "
        f"{dollars(economics.risk_cost_usd_per_hour)}/h, "
        f"nets {dollars(economics.net_usd_per_hour)}/h; "
        f"a move costs {dollars(economics.migration_usd)}, {payback}"
    )
