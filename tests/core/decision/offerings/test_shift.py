"""Which Spot nodes move to other Spot, why, and what their room avoids."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.offerings.expected_cost import SURVIVOR_HOURS, spot_cost
from spotvortex.core.decision.offerings.shift import shift_candidates, shift_of
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Offering, ProposalReason
from spotvortex.core.pool.input import MAX_SHIFT_AVOIDED
from tests.core import odd
from tests.core.builders import candidate, offered, pool_input, room
from tests.core.decision.offerings.markets import markets

A, B, C = (Offering(instance_type="m6i.large", zone=f"us-east-1{z}") for z in "abc")
ON = Limits(shift=True, evacuate=True)
HOURS_4 = Limits(shift=True, evacuate=True, interruption_minutes=240.0)
SPARED = {"lost_hours": 0.05, "is_survivor": True}


def shifting(*held, others=(), **changes):
    """A pool of Spot alone, each of its offerings with a node that may move."""
    movable = [o.offering for o in held if o.n_spot]
    nodes = tuple(candidate(f"s{i}", offering=o) for i, o in enumerate(movable))
    values = {
        "n_spot": sum(o.n_spot for o in held),
        "n_on_demand": 0,
        "offerings": held,
        "n_offerings": len(held),
        "others": others,
        "to_shift": nodes,
        "room_shift": room(),
        "n_shift_safe": len(nodes),
    }
    return pool_input(**(values | changes))


def test_spot_that_has_become_dear_moves_to_the_cheapest_other_offering():
    pool = shifting(offered(A, n_spot=4, spot_usd_per_hour=0.06), others=(offered(B), offered(C)))
    found = shift_of(pool, ON)
    assert (found.reason, found.leaves) == (ProposalReason.SHIFT_FOR_PRICE, A)
    assert found.to in (B, C)
    assert found.list_usd_per_hour == pytest.approx(0.03)
    assert found.gain_usd_per_hour > found.least_usd_per_hour
    assert found.payback_hours == pytest.approx(found.move_usd / found.gain_usd_per_hour, rel=1e-3)


def test_a_little_dearer_is_not_worth_the_move():
    pool = shifting(offered(A, n_spot=4, spot_usd_per_hour=0.032), others=(offered(B),))
    assert shift_of(pool, ON) is None


def test_a_risk_that_alone_outweighs_the_move_is_a_shift_for_risk():
    pool = shifting(offered(A, n_spot=4, runtime_score=0.6), others=(offered(B),))
    assert shift_of(pool, HOURS_4).reason is ProposalReason.SHIFT_FOR_RISK
    unpriced = shifting(
        offered(A, n_spot=4, runtime_score=0.6, spot_usd_per_hour=None),
        others=(offered(B, spot_usd_per_hour=None),),
    )
    found = shift_of(unpriced, HOURS_4)
    assert found.reason is ProposalReason.SHIFT_FOR_RISK
    assert found.list_usd_per_hour is None


def test_survivors_of_a_partial_loss_are_evacuated_where_it_pays():
    pool = shifting(offered(A, n_spot=4, runtime_score=0.5, **SPARED), others=(offered(B),))
    assert shift_of(pool, HOURS_4).reason is ProposalReason.EVACUATE_SURVIVORS
    cheap = replace(pool, offerings=(replace(pool.offerings[0], runtime_score=0.001),))
    assert shift_of(cheap, Limits(shift=True, evacuate=True, interruption_minutes=1.0)) is None


def test_without_evacuation_survivors_stay_unless_their_price_moves_them():
    pool = shifting(offered(A, n_spot=4, runtime_score=0.5, **SPARED), others=(offered(B),))
    assert shift_of(pool, replace(HOURS_4, evacuate=False, shift=False)) is None
    only = shift_of(pool, replace(HOURS_4, evacuate=False))
    assert only is None or only.reason is ProposalReason.SHIFT_FOR_PRICE
    assert shift_of(pool, replace(HOURS_4, shift=False)) is not None


@pytest.mark.parametrize("gone", [{"lost_hours": 0.1}, {"refused_hours": 0.1}])
def test_nothing_moves_to_what_was_lost_or_refused_within_minutes(gone):
    dear = offered(A, n_spot=4, spot_usd_per_hour=0.08)
    assert shift_of(shifting(dear, others=(offered(B, **gone),)), ON) is None
    found = shift_of(shifting(dear, others=(offered(B, **gone), offered(C))), ON)
    assert found.to == C
    assert found.avoid == (A, B)


def test_room_avoids_what_is_left_and_what_is_not_worth_the_move():
    pool = shifting(
        offered(A, n_spot=4, spot_usd_per_hour=0.06),
        offered(B, n_spot=4, spot_usd_per_hour=0.058),
        others=(offered(C),),
    )
    found = shift_of(pool, ON)
    assert (found.leaves, found.to, found.avoid) == (A, C, (A, B))


def test_of_several_the_one_with_most_to_gain_and_a_node_to_move_comes_first():
    dearest, dear = (
        offered(A, n_spot=4, spot_usd_per_hour=0.09),
        offered(B, n_spot=4, spot_usd_per_hour=0.07),
    )
    pool = shifting(dearest, dear, others=(offered(C),))
    assert shift_of(pool, ON).leaves == A
    held = replace(pool, to_shift=pool.to_shift[1:], n_shift_safe=1)
    assert shift_of(held, ON).leaves == B
    assert [c.offering for c in shift_candidates(held, shift_of(held, ON))] == [B]


def test_what_nobody_has_asked_about_moves_nowhere():
    pool = shifting(offered(A, n_spot=4, spot_usd_per_hour=0.09), others=(offered(B),))
    assert shift_of(replace(pool, room_shift=None), ON) is None
    assert shift_of(pool, Limits()) is None


def test_of_larger_nodes_the_cost_of_a_vcpu_counts():
    twice = Offering(instance_type="m6i.xlarge", zone="us-east-1a")
    large = offered(twice, spot_usd_per_hour=0.058, on_demand_usd_per_hour=0.20)
    pool = shifting(offered(A, n_spot=4, spot_usd_per_hour=0.06), others=(large,))
    found = shift_of(pool, ON)
    assert found.to == twice
    assert found.list_usd_per_hour == pytest.approx(0.06 - 0.029)


def terms(pool, limits, reason):
    found = shift_of(pool, limits)
    assert found.reason is reason
    return found


def test_a_shift_has_to_gain_the_move_within_two_hours_and_a_margin_an_evacuation_no_margin():
    """The move: 3 minutes on-demand and 1.5 at the Spot price there; the margin: 3 minutes."""
    move_usd = (3.0 * 0.10 + 1.5 * 0.03) / 60.0
    margin = 0.10 * 3.0 / 120.0
    dear = shifting(offered(A, n_spot=4, spot_usd_per_hour=0.06), others=(offered(B),))
    risky = shifting(offered(A, n_spot=4, runtime_score=0.6), others=(offered(B),))
    spared = shifting(offered(A, n_spot=4, runtime_score=0.6, **SPARED), others=(offered(B),))
    for pool, reason, more in (
        (dear, ProposalReason.SHIFT_FOR_PRICE, margin),
        (risky, ProposalReason.SHIFT_FOR_RISK, margin),
        (spared, ProposalReason.EVACUATE_SURVIVORS, 0.0),
    ):
        found = terms(pool, HOURS_4, reason)
        assert found.move_usd == pytest.approx(move_usd, abs=1e-6)
        assert found.least_usd_per_hour == pytest.approx(move_usd / 2.0 + more, abs=2e-6)
        gain = found.price_usd_per_hour + found.risk_usd_per_hour
        assert found.gain_usd_per_hour == pytest.approx(gain)
        assert found.payback_hours == pytest.approx(move_usd / gain, rel=1e-3)


def test_price_and_risk_are_those_of_a_node_here_less_those_of_as_much_there():
    here, there = offered(A, n_spot=4, runtime_score=0.6), offered(B, spot_usd_per_hour=0.02)
    found = terms(shifting(here, others=(there,)), HOURS_4, ProposalReason.SHIFT_FOR_RISK)
    one, other = (spot_cost(o, 240.0, o.spot_usd_per_hour / 0.10) for o in (here, there))
    assert found.price_usd_per_hour == pytest.approx(
        one.node_usd_per_hour - other.node_usd_per_hour, abs=2e-6
    )
    risks = [c.loss_usd_per_hour + c.after_usd_per_hour for c in (one, other)]
    assert found.risk_usd_per_hour == pytest.approx(risks[0] - risks[1], abs=2e-6)
    assert found.list_usd_per_hour == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("lost_hours", "reason"),
    [
        (SURVIVOR_HOURS - 0.01, ProposalReason.EVACUATE_SURVIVORS),
        (SURVIVOR_HOURS, ProposalReason.SHIFT_FOR_RISK),
    ],
)
def test_survivors_are_evacuated_for_three_hours_and_are_like_others_then(lost_hours, reason):
    spared = offered(A, n_spot=4, runtime_score=0.7, lost_hours=lost_hours, is_survivor=True)
    terms(shifting(spared, others=(offered(B),)), HOURS_4, reason)


@pytest.mark.parametrize("types", [("x", "y"), ("x", "m6i.large")])
def test_sizes_that_are_not_known_are_compared_by_their_list_prices(types):
    x, y = (Offering(instance_type=name, zone="us-east-1a") for name in types)
    here = offered(x, n_spot=4, spot_usd_per_hour=0.09, runtime_score=0.0)
    there = offered(y, spot_usd_per_hour=0.06, on_demand_usd_per_hour=0.20, runtime_score=0.0)
    found = terms(shifting(here, others=(there,)), ON, ProposalReason.SHIFT_FOR_PRICE)
    assert found.list_usd_per_hour == pytest.approx(0.09 - 0.03)
    assert found.price_usd_per_hour == pytest.approx(0.09 - 0.03)


def test_of_what_room_avoids_the_gone_come_first_then_what_is_cheapest_to_buy():
    zones = [Offering(instance_type="m6i.large", zone=f"us-east-1{chr(97 + i)}") for i in range(20)]
    left, best, gone, *dear = zones
    others = [offered(o, spot_usd_per_hour=0.07 + i / 1000) for i, o in enumerate(dear)]
    pool = shifting(
        offered(left, n_spot=4, spot_usd_per_hour=0.065),
        others=(offered(best), offered(gone, spot_usd_per_hour=0.2, lost_hours=0.1), *others),
    )
    found = terms(pool, ON, ProposalReason.SHIFT_FOR_PRICE)
    assert found.to == best
    assert found.avoid == tuple(sorted([left, gone, *dear][:MAX_SHIFT_AVOIDED]))


def test_only_nodes_in_scope_that_may_move_safely_are_candidates():
    pool = shifting(offered(A, n_spot=4, spot_usd_per_hour=0.06), others=(offered(B),))
    nodes = (
        candidate("s0", offering=A),
        candidate("s1", offering=B),
        candidate("s2", offering=A, in_scope=False),
        candidate("s3", offering=A),
    )
    pool = replace(pool, to_shift=nodes, n_shift_safe=3)
    assert [c.node for c in shift_candidates(pool, shift_of(pool, ON))] == ["s0"]


costs = st.builds(
    Limits,
    shift=st.just(True),
    evacuate=st.just(True),
    interruption_minutes=st.sampled_from([0.0, 15.0, 240.0, 720.0]),
)


@odd.many
@given(markets, costs)
def test_a_shift_leaves_what_is_held_gains_more_than_it_costs_and_goes_elsewhere(known, limits):
    found = shift_of(shifting(*known), limits)
    if found is None:
        return
    held = {o.offering for o in known if o.n_spot and o.in_scope}
    assert found.leaves in held
    assert found.to != found.leaves
    assert found.to not in found.avoid
    assert found.leaves in found.avoid
    assert len(found.avoid) <= MAX_SHIFT_AVOIDED
    assert found.gain_usd_per_hour >= found.least_usd_per_hour - 2e-6
    assert 0.0 < found.payback_hours < 2.0 + 1e-6
    if found.reason is not ProposalReason.SHIFT_FOR_PRICE:
        assert found.risk_usd_per_hour >= found.least_usd_per_hour - 2e-6


@odd.many
@given(markets, costs)
def test_the_order_of_offerings_never_matters(known, limits):
    pool, turned = shifting(*known), shifting(*known[::-1])
    assert shift_of(pool, limits) == shift_of(turned, limits)
