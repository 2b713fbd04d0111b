"""The learned policy: its input, what it may choose, and what is recorded beside it."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.economics import entry_economics
from spotvortex.core.decision.gates.inputs import confidence
from spotvortex.core.decision.learned_policy import (
    ACTIONS,
    STATE_SIZE,
    possible,
    propose_by_value,
    state_vector,
    states_of,
)
from spotvortex.core.decision.learned_policy import valued as with_values
from spotvortex.core.decision.messages import Economics
from spotvortex.core.decision.policies import both_proposals
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import MoveKind
from spotvortex.core.domain.types import Action, PolicyMode, ProposalSource
from spotvortex.core.pool.input import Money
from tests.core.builders import GOOD, case, pool_input, risk_of

RL = Limits(policy_mode=PolicyMode.RL)
VALUES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def valued(*values, **changes):
    return pool_input(q_values=tuple(float(v) for v in values), **changes)


def test_the_state_is_that_of_the_contract():
    data = pool_input(
        n_spot=6,
        n_on_demand=2,
        spot_money=Money(
            spot_usd_per_hour=2.0, on_demand_usd_per_hour=5.0, covered_ratio=1.0, last_resort=False
        ),
        spot_risk=risk_of(0.25),
        startup_s=150.0,
        cpu_requested_ratio=0.5,
        steps_since_move=40.0,
        outage_hours=4.0,
        price_deviation_usd_per_hour=0.125,
    )
    state = state_vector(data, Economics(migration_usd=1.0))
    expected = (0.02, 0.05, 0.125, 0.25, 0.25, 0.5, 0.1, 0.5, 0.4, 0.4, 1.0, 0.75, 0.75)
    assert state == pytest.approx(expected)


def test_a_pool_without_spot_is_seen_by_what_it_would_enter():
    state = state_vector(pool_input(n_spot=0, entry_risk=risk_of(0.5)), GOOD)
    assert state[3:5] == (0.5, 0.5)
    assert state[10] == 0.0


@pytest.mark.parametrize(("n_spot", "is_spot"), [(3, 0.0), (4, 0.0), (5, 1.0)])
def test_a_pool_is_spot_where_more_than_half_of_its_nodes_are(n_spot, is_spot):
    assert state_vector(pool_input(n_spot=n_spot, n_on_demand=8 - n_spot), GOOD)[10] == is_spot


def test_every_pool_has_its_row_and_its_values_rounded_to_six_places():
    pools = (pool_input(pool="api", n_spot=1), pool_input())
    rows = [state_vector(pool, entry_economics(pool, Limits())) for pool in pools]
    assert states_of(pools, Limits()) == rows
    api, web = with_values(pools, [[0.1234567] * 6, VALUES])
    assert (api.pool, api.q_values) == ("api", (0.123457,) * 6)
    assert (web.pool, web.q_values) == ("web", VALUES)
    with pytest.raises(ValueError, match="zip"):
        with_values(pools, [VALUES])


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_what_is_unknown_is_nothing_in_the_state(unknown):
    data = pool_input(cpu_requested_ratio=unknown, outage_hours=unknown, startup_s=unknown)
    state = state_vector(data, Economics(migration_usd=unknown))
    assert [state[i] for i in (5, 6, 7, 9)] == [0.0] * 4


@given(st.none() | st.floats())
def test_no_figure_leaves_the_range_of_the_state(value):
    data = pool_input(cpu_requested_ratio=value, outage_hours=value)
    state = state_vector(data, Economics(migration_usd=value))
    assert len(state) == STATE_SIZE
    assert all(0.0 <= figure <= 1.0 for figure in state)


@pytest.mark.parametrize("values", [None, (math.nan,) * 6, (0.0, math.inf, 0.0, 0.0, 0.0, 0.0)])
def test_without_finite_values_it_holds(values):
    proposal = propose_by_value(pool_input(q_values=values), RL)
    assert (proposal.action, proposal.reason) == (Action.HOLD, "no_q_values")


@pytest.mark.parametrize("best", range(6))
def test_the_best_possible_action_is_proposed_with_its_lead(best):
    values = [0.0] * 6
    values[best] = 1.0
    proposal = propose_by_value(valued(*values), RL)
    assert proposal.action is ACTIONS[best]
    assert (proposal.source, proposal.margin) == ("rl", 1.0)


def test_ties_go_to_the_first():
    assert propose_by_value(valued(1, 1, 1, 1, 1, 1), RL).action is Action.HOLD
    assert propose_by_value(valued(1, 1, 1, 1, 1, 1), RL).margin == 0.0


@pytest.mark.parametrize(
    ("changes", "barred"),
    [
        ({"n_spot": 0}, {Action.DECREASE_10, Action.DECREASE_30, Action.EMERGENCY_EXIT}),
        ({"n_on_demand": 0}, {Action.INCREASE_10, Action.INCREASE_30}),
        ({"allows_spot": False}, {Action.INCREASE_10, Action.INCREASE_30}),
        (
            {"allows_on_demand": False},
            {Action.DECREASE_10, Action.DECREASE_30, Action.EMERGENCY_EXIT},
        ),
    ],
)
def test_what_the_pool_cannot_do_is_never_proposed(changes, barred):
    data = valued(*VALUES, **changes)
    allowed = {a for a, ok in zip(ACTIONS, possible(data, RL), strict=True) if ok}
    assert allowed == set(Action) - barred
    assert propose_by_value(data, RL).action in allowed


@pytest.mark.parametrize(("n_spot", "grows"), [(9, True), (10, False), (11, False)])
def test_a_pool_at_its_cap_cannot_grow(n_spot, grows):
    half = replace(RL, max_spot_ratio=0.5)
    data = valued(*VALUES, n_spot=n_spot, n_on_demand=20 - n_spot)
    able = {a for a, ok in zip(ACTIONS, possible(data, half), strict=True) if ok}
    assert any(action.towards_spot for action in able) is grows


def test_a_lead_is_told_to_a_millionth():
    assert propose_by_value(valued(3, 2, 0, 0, 0, 0), RL).margin == 0.333333


def test_an_only_choice_has_the_whole_lead():
    proposal = propose_by_value(valued(*VALUES, n_spot=0, n_on_demand=0), RL)
    assert (proposal.action, proposal.margin) == (Action.HOLD, 1.0)


def test_the_mode_says_which_policy_decides():
    data = valued(*VALUES)
    rules, learned = both_proposals(data, GOOD, Limits())
    assert (rules.source, learned.source) == ("deterministic", "rl")
    assert both_proposals(data, GOOD, RL) == (learned, rules)


@pytest.mark.parametrize(
    "values", [None, (1, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0), (0, 0, 0, 1, 0, 0)]
)
def test_an_owners_word_counts_whatever_the_network_wants(values):
    data = pool_input(q_values=values)
    capped = replace(RL, max_spot_ratio=0.0)
    chosen, other = both_proposals(data, GOOD, capped)
    assert chosen.kind is MoveKind.OWNER
    assert other == propose_by_value(data, capped)


def test_an_exit_that_the_network_wants_comes_after_an_owners_word():
    data = valued(0, 0, 0, 0, 0, 1)
    chosen, _ = both_proposals(data, GOOD, replace(RL, max_spot_ratio=0.2))
    assert chosen.kind is MoveKind.OWNER
    chosen, _ = both_proposals(data, GOOD, RL)
    assert (chosen.action, chosen.source) == (Action.EMERGENCY_EXIT, ProposalSource.RL)


def test_an_exit_that_the_network_wants_waits_for_the_scores_that_it_saw():
    chosen, _ = both_proposals(valued(0, 0, 0, 0, 0, 1), GOOD, RL)
    assert chosen.kind is MoveKind.RISK
    doubtful = pool_input(confidence_terms=(("prices", 0.0), ("scores", 0.1)))
    asked = replace(case(pool=doubtful), proposal=chosen)
    assert confidence.binds(asked)
    assert "scores" in confidence(asked).reason


def test_an_unsupported_family_is_the_same_for_both():
    data = valued(*VALUES, n_spot_out_of_scope=10, n_on_demand_movable=0, unsupported=("x9g",))
    chosen, other = both_proposals(data, GOOD, RL)
    assert chosen == other
    assert chosen.action is Action.EMERGENCY_EXIT


@pytest.mark.parametrize(("margin", "refuses"), [(0.02, True), (0.09, False), (1.0, False)])
def test_a_small_lead_takes_confidence_away(margin, refuses):
    asked = case()
    asked = replace(
        asked, proposal=replace(asked.proposal, source=ProposalSource.RL, margin=margin)
    )
    verdict = confidence(asked)
    assert (verdict.outcome.value == "refuse") is refuses
    if refuses:
        assert "margin" in verdict.reason


def test_no_lead_makes_up_for_a_doubt():
    asked = case(pool=pool_input(confidence_terms=(("model", 0.4),)))
    sure = replace(asked.proposal, source=ProposalSource.RL, margin=1.0)
    assert dict(confidence(replace(asked, proposal=sure)).numbers)["confidence"] == 0.4
