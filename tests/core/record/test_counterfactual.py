"""The nearest flip is a change of one figure, changes the action, and is the least of its kind."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.decision.reconcile import decide, reconcile
from spotvortex.core.domain.types import Action, Mode, PolicyMode
from spotvortex.core.record.counterfactual import (
    Counterfactual,
    Evaluated,
    _ways,
    apply,
    force,
    nearest_counterfactual,
)
from spotvortex.core.record.counterfactual_bounds import Bounds
from spotvortex.core.record.counterfactual_inputs import KNOB_BY_NAME, KNOBS
from spotvortex.core.record.record import record_of
from spotvortex.core.record.replay import replay
from tests.core import odd
from tests.core.builders import (
    AT,
    CHEAP,
    HEALTHY,
    assessment,
    basis,
    candidate,
    capped,
    cluster,
    observation,
    pool,
    pool_input,
    risk_of,
    room,
    safety,
)

DEAR = replace(CHEAP, spot_usd_per_hour=0.095)
WAITING = PoolState(last_wave_at=AT - 60.5)
FALLEN = PoolState(last_wave_at=AT - 400.0, last_decrease_at=AT - 400.0)
q_values = st.lists(odd.odd_floats, min_size=6, max_size=6).map(tuple)


def bases_of(assessed, limits):
    plan = reconcile(ControllerState(), assessed, limits)[1]
    return [decision.basis for decision in plan.decisions]


def learned(values, **changes):
    data = pool_input(q_values=values)
    return basis(data, limits=capped(policy_mode=PolicyMode.RL), **changes)


def check_flip(made, flip):
    """It changes the action as it says, and a step less would not."""
    before = decide(made).action
    after = decide(apply(made, flip)).action
    assert after is flip.action
    assert after is not before
    span = KNOB_BY_NAME[flip.knob].span
    nearer = flip.at - span.step if flip.at > flip.now else flip.at + span.step
    now = min(max(flip.now, span.low), span.high)
    if min(now, flip.at) < nearer < max(now, flip.at):
        assert decide(apply(made, replace(flip, at=round(nearer, 6)))).action is before


@odd.many
@given(odd.assessments, odd.limits)
def test_applying_the_nearest_flip_changes_the_action(assessed, limits):
    for made in bases_of(assessed, limits):
        flip = nearest_counterfactual(made)
        if flip is not None:
            check_flip(made, flip)


@odd.few
@given(q_values, odd.scores_0_to_1)
def test_a_flip_of_the_learned_policy_changes_its_action(values, runtime):
    made = learned(values)
    if runtime is not None and 0.0 <= runtime <= 1.0:
        made = replace(made, pool=replace(made.pool, spot_risk=risk_of(runtime)))
    flip = nearest_counterfactual(made)
    if flip is not None:
        check_flip(made, flip)


@odd.many
@given(odd.assessments, odd.limits, st.data())
def test_what_a_change_does_is_known_without_asking_every_gate_again(assessed, limits, data):
    for made in bases_of(assessed, limits):
        stand = Evaluated.of(made, lambda b: decide(b).proposal)
        for knob in KNOBS:
            if knob.get(made) is None:
                continue
            value = data.draw(st.sampled_from([knob.span.low, 0.35, 1.0, knob.span.high]))
            action = decide(knob.set(made, value)).action
            assert stand.action_with(knob, value) is action
            assert action is stand.wave.action or not stand.is_beyond(knob)


@odd.few
@given(odd.assessments, odd.limits, st.sampled_from(Action))
def test_applying_the_change_that_would_allow_an_action_allows_it(assessed, limits, action):
    for made in bases_of(assessed, limits):
        forced = force(made, action)
        if forced.flip is None:
            continue
        assert forced.n_nodes == 0
        after = force(apply(made, forced.flip), action)
        assert forced.flip.action is action
        assert after.n_nodes > 0


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (basis(), "would HOLD if entry runtime score >= 0.35, now 0.03"),
        (
            basis(pool_input(entry_money=DEAR)),
            "would INCREASE_30 if entry discount >= 0.15, now 0.05",
        ),
        (
            basis(pool_input(entry_risk=risk_of(0.4), spot_risk=risk_of(0.34))),
            "would DECREASE_10 if runtime score of the Spot held >= 0.35, now 0.34",
        ),
        (
            basis(pool_input(confidence_terms=(("history", 0.45),))),
            "would INCREASE_30 if confidence >= 0.5, now 0.45",
        ),
        (basis(state=WAITING), "would INCREASE_30 if seconds since the last wave >= 300, now 60.5"),
        (
            basis(state=FALLEN),
            "would INCREASE_30 if seconds since the last fall back >= 600, now 400",
        ),
        (
            basis(pool_input(oldest_input_s=75.0, bad_inputs=("pods",))),
            "would INCREASE_30 if seconds since the oldest input <= 20, now 75",
        ),
        (
            basis(pool_input(bad_inputs=("pods",))),
            "would INCREASE_30 if every required input could be read",
        ),
        (
            basis(pool_input(safety=safety(least_pods=-2, safe_by_word_nodes=0))),
            "would INCREASE_30 if nodes that no loss speaks against moving to Spot >= 1, now 0",
        ),
        (
            basis(
                pool_input(safety=safety(margin_pods=-2, safe_to_spot_nodes=0)),
                limits=capped(budgets_bind=True),
            ),
            "would INCREASE_30 if nodes that the budgets let go to Spot >= 1, now 0",
        ),
        (
            basis(pool_input(entry_money=replace(CHEAP, marginal_usd_per_hour=0.0))),
            "would INCREASE_30 if no commitment paid for its on-demand nodes",
        ),
        (
            basis(limits=capped(hold_unstated=True)),
            "would INCREASE_30 if what the account has committed to were known",
        ),
        (
            basis(pool_input(safety=safety(words_known=False))),
            "would INCREASE_30 if what owners say of a loss could be read",
        ),
        (
            basis(pool_input(safety=safety(known=False))),
            "would INCREASE_30 if PodDisruptionBudgets could be read",
        ),
        (
            basis(pool_input(n_moving=1)),
            "would INCREASE_30 if nodes of the cluster that may still move >= 1, now 0",
        ),
        (
            replace(basis(pool_input(n_moving=4)), budget=basis().budget),
            "would INCREASE_30 if nodes of the pool on the move <= 1, now 4",
        ),
        (
            basis(limits=capped(max_spot_ratio=0.5)),
            "would INCREASE_10 if max_spot_ratio >= 0.55, now 0.5",
        ),
        (
            basis(limits=capped(on_demand_floor_nodes=10)),
            "would INCREASE_10 if nodes of the on-demand floor <= 9, now 10",
        ),
        (
            basis(
                pool_input(
                    unsupported=("x9",),
                    n_spot_out_of_scope=10,
                    n_spot_outside=10,
                    n_on_demand=0,
                    spot_risk=risk_of(0.7),
                    to_on_demand=(candidate(in_scope=False),),
                )
            ),
            "would DECREASE_30 if every family were in the model's scope",
        ),
        (
            basis(pool_input(out_of_range=("x9.large/a",))),
            "would INCREASE_30 if every offering were in the training range",
        ),
        (basis(pool_input(allows_spot=False)), "would INCREASE_30 if the pool allowed Spot"),
        (
            basis(pool_input(allows_on_demand=False, spot_risk=risk_of(0.95))),
            "would EMERGENCY_EXIT if the pool allowed on-demand",
        ),
        (
            basis(pool_input(room_spot=room(cpu_left_milli=500))),
            "would INCREASE_30 if milli-CPU left under the limit for Spot >= 900, now 500",
        ),
        (
            basis(pool_input(room_spot=room(memory_left_mib=0))),
            "would INCREASE_30 if MiB left under the limit for Spot >= 3072, now 0",
        ),
        (
            basis(
                pool_input(room_on_demand=room(nodes_left=0), spot_risk=risk_of(0.4)),
            ),
            "would DECREASE_10 if nodes left under the limit for on-demand >= 1, now 0",
        ),
        (
            basis(pool_input(room_spot=room(n_placed=0, misfit="us-east-1a"))),
            "would INCREASE_30 if movable nodes that a NodePool may take as Spot >= 1, now 0",
        ),
        (
            learned((0.5, 0.4, 0.0, 0.0, 0.0, 0.0)),
            "would DECREASE_10 if q-value of DECREASE_10 >= 0.5264, now 0.4",
        ),
    ],
)
def test_a_flip_reads_like_a_sentence(made, words):
    flip = nearest_counterfactual(made)
    assert str(flip) == words
    check_flip(made, flip)


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
def test_what_is_tried_ends_at_the_bounds_of_a_figure(knob):
    low, high, step = knob.span.low, knob.span.high, knob.span.step
    middle = round((low + high) / 2 / step) * step
    for now in (low, middle, high):
        for way in _ways(knob, now, math.inf):
            assert low - 1e-6 <= way.value(way.n) <= high + 1e-6
            assert not low < way.value(way.n + 1) < high


def test_nothing_further_away_is_tried_than_what_was_found():
    knob = KNOB_BY_NAME["entry runtime score"]
    for way in _ways(knob, 0.5, 0.2):
        assert way.distance(way.value(way.n)) == pytest.approx(0.2)


@pytest.mark.parametrize("n_down", [0, 1, 2, 3, 4])
def test_both_sides_are_looked_at_up_to_the_last_step_of_each(n_down):
    knob = replace(KNOBS[0], span=Bounds(high=4.0, step=1.0))
    found = {way.sign: way.n for way in _ways(knob, float(n_down), math.inf)}
    assert found == {sign: n for sign, n in ((1, 4 - n_down), (-1, n_down)) if n}


def test_a_figure_is_turned_from_where_a_record_says_it_is():
    ways = _ways(KNOB_BY_NAME["entry runtime score"], 0.12345649, math.inf)
    assert {way.now for way in ways} == {0.123456}


def test_where_two_things_stand_in_the_way_there_is_no_flip():
    made = basis(pool_input(bad_inputs=("pods",), out_of_range=("x9.large/a",)), state=WAITING)
    assert nearest_counterfactual(made) is None


def test_an_age_that_is_not_known_is_turned_all_the_same():
    made = basis(pool_input(oldest_input_s=float("inf"), bad_inputs=("nodes",)))
    flip = nearest_counterfactual(made)
    assert str(flip) == "would INCREASE_30 if seconds since the oldest input <= 20, now inf"
    check_flip(made, flip)


def test_a_figure_that_is_no_number_is_not_turned():
    made = basis(state=PoolState(last_wave_at=float("nan")))
    assert nearest_counterfactual(made) == nearest_counterfactual(basis())


def test_aged_inputs_are_as_reduction_would_have_them():
    def seen(age_s):
        inputs = tuple(replace(h, age_s=age_s) for h in HEALTHY)
        observed = replace(observation(pool()), cluster=cluster(pool(), inputs=inputs))
        (reduced,) = assessment(observed).pools
        return reduced

    turn = KNOB_BY_NAME["seconds since the oldest input"].set
    for before, after in ((2.0, 7.3), (2.0, 7.12345), (35.0, 7.3), (90.0, 19.9)):
        assert turn(basis(seen(before)), after).pool == seen(after)


def test_an_input_that_is_bad_although_it_is_young_enough_stays_bad():
    turn = KNOB_BY_NAME["seconds since the oldest input"].set
    for age_s, bad in ((20.0, ("pods",)), (20.1, ())):
        made = basis(pool_input(oldest_input_s=age_s, bad_inputs=("pods",)))
        assert turn(made, 7.3).pool.bad_inputs == bad


@pytest.mark.parametrize(
    ("margin", "n_safe", "spare"), [(-2, 1.0, 0), (-2, 0.0, -2), (3, 1.0, 3), (None, 1.0, None)]
)
def test_where_a_node_may_go_no_budget_is_short(margin, n_safe, spare):
    turn = KNOB_BY_NAME["nodes that the budgets let go to Spot"].set
    turned = turn(basis(pool_input(safety=safety(margin_pods=margin))), n_safe).pool.safety
    assert (turned.margin_pods, turned.safe_to_spot_nodes) == (spare, int(n_safe))


@pytest.mark.parametrize("unknown", [None, 0.0, -1.0])
def test_without_an_on_demand_price_there_is_no_discount_to_turn(unknown):
    money = replace(CHEAP, on_demand_usd_per_hour=unknown)
    assert KNOB_BY_NAME["entry discount"].get(basis(pool_input(entry_money=money))) is None


def test_a_record_holds_its_flip_and_replays_with_it():
    line = record_of(decide(basis()), "", "1").line
    assert '"flip":["entry runtime score",0.03,0.35,"HOLD"]' in line
    assert replay(line).same


def test_a_forced_action_is_judged_by_every_gate_whatever_was_proposed():
    made = basis(pool_input(entry_money=DEAR))
    assert decide(made).action is Action.HOLD
    forced = force(made, Action.INCREASE_10)
    assert [v.gate for v in forced.verdicts if v.outcome == "refuse"] == ["market"]
    assert str(forced.flip) == "would INCREASE_10 if entry discount >= 0.15, now 0.05"


def test_a_forced_action_that_is_free_needs_no_change():
    forced = force(basis(), Action.DECREASE_10)
    assert (forced.n_nodes, forced.flip) == (1, None)
    assert force(basis(), Action.HOLD).flip is None


def test_a_mode_that_writes_has_no_single_change_yet():
    active = basis(limits=capped(mode=Mode.ACTIVE))
    assert force(active, Action.INCREASE_10).flip is None


def test_a_flip_of_other_code_can_be_said_too():
    flip = Counterfactual(knob="moon phase", now=0.4, at=0.5, action=Action.HOLD)
    assert str(flip) == "would HOLD if moon phase >= 0.5, now 0.4"
