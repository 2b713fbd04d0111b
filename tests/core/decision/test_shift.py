"""A wave of a HOLD: nodes move from Spot to Spot through the same gates, and never to and fro."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.gates import disruption
from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.decision.offerings.choice import choice_of
from spotvortex.core.decision.reconcile import decide, reconcile
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import MoveKind
from spotvortex.core.domain.observation import WriteAuthority
from spotvortex.core.domain.types import (
    Action,
    CapacityType,
    GateName,
    Mode,
    Outcome,
    PolicyMode,
)
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.shifting import NO_AVOIDING
from tests.core import odd
from tests.core.builders import (
    AT,
    CHEAP,
    basis,
    candidate,
    observation,
    offered,
    pool,
    pool_input,
    room,
    safety,
)
from tests.core.decision.offerings.markets import markets
from tests.core.decision.offerings.test_shift import SPARED, A, B, C, shifting

ACTIVE = Limits(mode=Mode.ACTIVE, shift=True, evacuate=True)
LEADER = WriteAuthority(leader=True)
DEAR = shifting(offered(A, n_spot=20, spot_usd_per_hour=0.06), others=(offered(B),))
SURVIVORS = shifting(offered(A, n_spot=20, runtime_score=0.5, **SPARED), others=(offered(B),))
OLD = replace(CHEAP, spot_usd_per_hour=None, too_old_s=9e5)


def decided(data=DEAR, **changes):
    values = {"limits": ACTIVE, "standing": LEADER} | changes
    return decide(basis(data, **values))


def several(data, n=5, **changes):
    nodes = tuple(candidate(f"s{i}", offering=A, **changes) for i in range(n))
    return replace(data, to_shift=nodes, n_shift_safe=n)


def verdict(decision, gate):
    return next(v for v in decision.verdicts if v.gate is gate)


def test_it_moves_spot_to_spot_and_holds_the_ratio():
    found = decided()
    assert (found.action, found.reason) == (Action.HOLD, "shift_for_price")
    assert found.proposal.kind is MoveKind.PRICE
    assert [(m.candidate.node, m.to) for m in found.moves] == [("s0", CapacityType.SPOT)]
    assert found.target_ratio == found.current_ratio == 1.0
    assert found.savings_usd_per_hour == pytest.approx(0.03)
    assert found.economics.payback_hours == found.shift.payback_hours


def test_survivors_are_evacuated_for_their_risk():
    found = decided(SURVIVORS)
    assert (found.reason, found.proposal.kind) == ("evacuate_survivors", MoveKind.RISK)
    assert found.n_nodes == 1


def test_it_is_no_larger_than_a_wave_and_the_budgets():
    large = several(replace(DEAR, n_spot=200))
    assert decided(large).n_nodes == 5
    assert decided(several(DEAR)).n_nodes == 1
    busy = decided(several(replace(DEAR, n_in_flight=1)))
    assert (busy.action, busy.reason, busy.n_nodes) == (Action.HOLD, "refused_by_budgets", 0)


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"spot_money": replace(CHEAP, last_resort=True)}, GateName.MARKET),
        ({"confidence_terms": (("prices", 0.1), ("scores", 1.0))}, GateName.CONFIDENCE),
        ({"out_of_range": (str(A),)}, GateName.OUT_OF_DISTRIBUTION),
    ],
)
def test_doubt_about_prices_holds_a_shift_for_price_and_no_evacuation(changes, gate):
    assert decided(replace(DEAR, **changes)).reason == f"refused_by_{gate}"
    if gate is not GateName.OUT_OF_DISTRIBUTION:
        assert decided(replace(SURVIVORS, **changes)).n_nodes == 1


def test_a_shift_that_pays_back_just_in_time_is_allowed():
    hours = decided().shift.payback_hours
    assert decided(limits=replace(ACTIVE, max_payback_hours=hours)).n_nodes == 1
    late = decided(limits=replace(ACTIVE, max_payback_hours=hours * 0.99))
    assert late.reason == "refused_by_market"
    assert verdict(late, GateName.MARKET).reason == "the move pays back too late"


def test_survivors_are_evacuated_without_any_price():
    offerings = tuple(replace(o, spot_usd_per_hour=None) for o in SURVIVORS.offerings)
    others = tuple(replace(o, spot_usd_per_hour=None) for o in SURVIVORS.others)
    found = decided(
        replace(SURVIVORS, offerings=offerings, others=others, spot_money=OLD, entry_money=OLD),
        limits=replace(ACTIVE, interruption_minutes=60.0),
    )
    assert (found.reason, found.n_nodes) == ("evacuate_survivors", 1)
    assert found.savings_usd_per_hour is None


@pytest.mark.parametrize("data", [DEAR, SURVIVORS], ids=["price", "risk"])
@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"safety": safety(known=False)}, GateName.POOL_SAFETY),
        ({"n_shift_safe": 0}, GateName.POOL_SAFETY),
        ({"to_shift": (), "n_shift_safe": 0}, GateName.POOL_SAFETY),
        ({"room_shift": room(no_driver=NO_AVOIDING)}, GateName.FIT),
        ({"room_shift": room(nodes_left=0)}, GateName.FIT),
        ({"oldest_input_s": 99.0}, GateName.INPUT_FRESHNESS),
    ],
)
def test_the_promises_that_every_move_keeps_hold_a_shift_and_say_why(data, changes, gate):
    found = decided(replace(data, **changes))
    assert (found.action, found.n_nodes) == (Action.HOLD, 0)
    assert verdict(found, gate).outcome is Outcome.REFUSE
    assert found.reason.startswith("refused_by_")


def test_without_a_driver_that_can_avoid_an_offering_the_gate_fit_says_so():
    found = decided(replace(DEAR, room_shift=room(no_driver=NO_AVOIDING), to_shift=()))
    assert NO_AVOIDING in verdict(found, GateName.FIT).reason


def test_shadow_records_what_it_would_move():
    found = decided(limits=Limits(shift=True, evacuate=True), standing=WriteAuthority())
    assert (found.mode, found.n_nodes) == (Mode.SHADOW, 1)


def test_growth_comes_before_a_shift_for_price_and_after_an_evacuation():
    def growing(data):
        nodes = (candidate("d0"),)
        return replace(
            data,
            n_on_demand=4,
            to_spot=nodes,
            n_on_demand_movable=1,
            room_spot=room(),
            offerings=(replace(data.offerings[0], n_on_demand=4),),
        )

    assert decided(growing(DEAR)).reason == "economic_increase"
    assert decided(growing(SURVIVORS)).reason == "evacuate_survivors"
    stuck = replace(growing(SURVIVORS), to_shift=(), n_shift_safe=0)
    assert decided(stuck).reason == "economic_increase"


def test_an_owners_word_comes_first():
    capped = decided(SURVIVORS, limits=replace(ACTIVE, max_spot_ratio=0.5))
    assert capped.reason == "above_max_spot_ratio"


def test_under_a_policy_network_that_holds_the_nodes_shift_all_the_same():
    rl = replace(ACTIVE, policy_mode=PolicyMode.RL)
    holding = replace(DEAR, q_values=(1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert decided(holding, limits=rl).reason == "shift_for_price"
    leaving = replace(DEAR, q_values=(0.0, 1.0, 0.0, 0.0, 0.0, 0.0))
    assert decided(leaving, limits=rl).action is Action.DECREASE_10
    assert decided(DEAR, limits=rl).reason == "no_q_values"


def test_its_orders_avoid_what_it_leaves_and_the_pool_remembers_when_it_pays_back():
    seen = observation(pool(n_spot=20, n_on_demand=0), standing=LEADER)
    assessed = Assessment(observation=seen, pools=(DEAR,), model_digest="digest")
    state, plan = reconcile(ControllerState(), assessed, ACTIVE)
    (order,) = plan.orders
    assert (order.to, order.avoid, order.sides) == (CapacityType.SPOT, (A,), ("web",))
    assert order.reason == "HOLD shift_for_price"
    after = state.pools["web"]
    assert (after.last_wave_at, after.last_shift_at) == (AT, AT)
    assert after.shift_payback_s == pytest.approx(3600.0 * plan.decisions[0].shift.payback_hours)
    assert (after.last_increase_at, after.last_decrease_at) == (None, None)


def test_what_a_shift_made_stays_until_it_has_paid_for_itself():
    state = PoolState(last_wave_at=AT - 600.0, last_shift_at=AT - 600.0, shift_payback_s=3000.0)
    young, old = several(DEAR, age_s=500), several(DEAR, age_s=3000)
    found = decided(young, state=state)
    assert found.reason == "refused_by_cooldown"
    assert decided(old, state=state).n_nodes == 1
    over = replace(state, last_shift_at=AT - 3000.0)
    assert decided(young, state=over).n_nodes == 1


def test_an_evacuation_waits_no_longer_than_it_takes_to_pay_back_itself():
    state = PoolState(last_wave_at=AT - 600.0, last_shift_at=AT - 600.0, shift_payback_s=7000.0)
    own_s = 3600.0 * decided(SURVIVORS).shift.payback_hours
    young = several(SURVIVORS, age_s=int(own_s) - 1)
    assert decided(young, state=state).reason == "refused_by_cooldown"
    assert decided(several(SURVIVORS, age_s=int(own_s) + 1), state=state).n_nodes == 1


def test_held_spot_becomes_on_demand_as_far_as_a_commitment_that_nothing_uses_pays():
    nodes = tuple(candidate(f"s{i}", offering=A) for i in range(5))
    held = offered(A, n_spot=200, idle_nodes=2.0)
    data = pool_input(
        n_spot=200, n_on_demand=0, offerings=(held,), to_on_demand=nodes, others=(offered(B),)
    )
    found = decided(data)
    assert (found.action, found.reason) == (Action.DECREASE_10, "unused_commitment")
    assert found.proposal.kind is MoveKind.PRICE
    assert found.n_nodes == 2
    assert found.savings_usd_per_hour == pytest.approx(2 * 0.03)
    assert decided(replace(data, offerings=(offered(A, n_spot=200),))).n_nodes == 0


@odd.many
@given(markets, st.sampled_from([0.0, 15.0, 240.0, 720.0]))
def test_nothing_is_left_for_on_demand_where_another_spot_offering_is_cheaper(known, minutes):
    """Nothing is said of an owner's word, a cap on risk, or on-demand that is paid for."""
    limits = replace(ACTIVE, interruption_minutes=minutes)
    data = shifting(*known)
    data = replace(data, to_on_demand=data.to_shift)
    found = decided(data, limits=limits)
    if not found.action.away_from_spot or not choice_of(data, limits).spot:
        return
    best = choice_of(data, limits).best
    assert best is None or best.ratio >= 1.0


OFFERINGS = (A, B, C)
STEP_S = 300.0


@st.composite
def courses(draw):
    """Prices and scores of three offerings, as wild as they like, over and over again."""
    price, score = st.floats(0.005, 0.099), st.floats(0.0, 0.95)
    spared = st.sampled_from([None, None, None, 0.05, 0.3, 2.0])
    one = st.tuples(*(st.tuples(price, score, spared) for _ in OFFERINGS))
    return draw(st.lists(one, min_size=2, max_size=8)) * draw(st.integers(1, 6))


@odd.few
@given(courses(), st.sampled_from([15.0, 60.0, 240.0]), st.booleans())
def test_no_node_is_shifted_twice_within_the_time_in_which_its_shift_pays_back(
    course, minutes, by_risk
):
    """A shift for risk may come as early as it pays back itself, and no earlier."""
    limits = replace(ACTIVE, interruption_minutes=minutes, shift=not by_risk)
    for waited_s, least_s in shifted_again(course, limits):
        assert waited_s >= least_s - 1.0


def test_a_controller_that_forgets_its_shifts_is_found_by_a_market_that_turns(monkeypatch):
    dear, cheap = (0.0365, 0.03, None), (0.03, 0.03, None)
    course = [(dear, cheap, cheap)] * 4 + [(cheap, dear, dear)] * 4
    assert all(waited >= least for waited, least in shifted_again(course * 4, ACTIVE))
    monkeypatch.setattr(disruption, "is_paying_back", lambda _state, _at: False)
    assert any(waited < least for waited, least in shifted_again(course * 4, ACTIVE))


def shifted_again(course, limits):
    """Yield after how long nodes were shifted again, and after how long they might be."""
    state = ControllerState()
    places = [(OFFERINGS[i % 3], AT - 9000.0, None) for i in range(20)]
    for i, step in enumerate(course):
        now = AT + i * STEP_S
        state, found = _next(state, _pool_of(step, places, now), limits)
        for move in found.moves:
            n, own_s = int(move.candidate.node[1:]), 3600.0 * found.shift.payback_hours
            before = places[n][2]
            if before is not None:
                for_price = found.proposal.kind is MoveKind.PRICE
                yield now - before[0], before[1] if for_price else min(before[1], own_s)
            places[n] = (found.shift.to, now, (now, own_s))


def _next(state, data, limits):
    seen = observation(pool(n_spot=20, n_on_demand=0), at=data.at, standing=LEADER)
    assessed = Assessment(observation=seen, pools=(data,), model_digest="digest")
    after, plan = reconcile(state, assessed, limits)
    return after, plan.decisions[0]


def _pool_of(step, places, now):
    """A pool of these nodes, the oldest first, of which none can leave Spot."""
    by_age = sorted(enumerate(places), key=lambda place: place[1][1])
    nodes = tuple(
        candidate(f"s{n}", offering=where, age_s=int(now - made)) for n, (where, made, _) in by_age
    )
    values = {"to_shift": nodes, "n_shift_safe": len(nodes), "to_on_demand": (), "at": now}
    return shifting(*_market(step, places), **values)


def _market(step, places):
    for offering, (price, score, spared) in zip(OFFERINGS, step, strict=True):
        yield offered(
            offering,
            n_spot=sum(1 for where, _, _ in places if where == offering),
            spot_usd_per_hour=price,
            runtime_score=score,
            lost_hours=spared,
            is_survivor=spared is not None,
        )
