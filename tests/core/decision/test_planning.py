"""From an action to whole nodes: never above cap, floor or limits, and at least one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.gates.table import Ruling
from spotvortex.core.decision.planning import n_wanted, plan_wave, target_ratio
from spotvortex.core.decision.rule_policy import max_ratio
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Action, CapacityType, GateName, ProposalReason
from tests.core.builders import candidate, pool_input, proposal
from tests.examples import examples

FREE = Ruling(refused=False, limit=None, first_refusal=None)
WIDE = Limits(max_wave_nodes=8)


def at_most(n):
    return Ruling(refused=False, limit=n, first_refusal=None)


@pytest.mark.parametrize(
    ("action", "limits", "target"),
    [
        (Action.HOLD, Limits(), 0.5),
        (Action.EMERGENCY_EXIT, Limits(), 0.0),
        (Action.DECREASE_10, Limits(), 0.4),
        (Action.DECREASE_30, Limits(max_spot_ratio=0.1), 0.2),
        (Action.INCREASE_10, Limits(), 0.6),
        (Action.INCREASE_30, Limits(max_spot_ratio=0.7), 0.7),
        (Action.INCREASE_30, Limits(on_demand_floor_nodes=8), 0.6),
    ],
)
def test_an_action_aims_at_a_ratio(action, limits, target):
    assert target_ratio(pool_input(), proposal(action), limits) == pytest.approx(target)


@pytest.mark.parametrize(
    ("n_spot", "n_od", "target", "limits", "n"),
    [
        (10, 10, 0.5, Limits(), 0),
        (10, 10, 0.4, Limits(), -2),
        (1, 9, 0.0, Limits(), -1),
        (1, 0, 0.9, Limits(), -1),
        (3, 0, 0.9, Limits(), -1),
        (5, 5, 0.25, Limits(), -2),
        (0, 3, 0.1, Limits(), 1),
        (0, 1, 0.3, Limits(max_spot_ratio=0.9), 0),
        (8, 2, 0.85, Limits(max_spot_ratio=0.85), 0),
        (7, 3, 0.85, Limits(max_spot_ratio=0.85), 1),
        (10, 10, 0.8, Limits(), 6),
    ],
)
def test_a_target_becomes_whole_nodes(n_spot, n_od, target, limits, n):
    assert n_wanted(pool_input(n_spot=n_spot, n_on_demand=n_od), target, limits) == n


@pytest.mark.parametrize(
    ("n_spot", "limits", "n"),
    [
        (76, Limits(max_spot_ratio=0.75), 1),
        (80, Limits(max_spot_ratio=0.755), 5),
        (100, Limits(max_spot_ratio=0.75), 25),
        (100, Limits(on_demand_floor_nodes=3), 3),
        (100, Limits(max_spot_ratio=0.0), 30),
    ],
)
def test_an_owners_word_takes_a_pool_to_its_cap_and_no_further(n_spot, limits, n):
    pool, wide = pool_input(n_spot=n_spot, n_on_demand=100 - n_spot), proposal(Action.DECREASE_30)
    over = replace(wide, reason=ProposalReason.ABOVE_MAX_SPOT_RATIO)
    assert n_wanted(pool, target_ratio(pool, over, limits), limits) == -n


def test_hold_moves_nothing_and_keeps_its_reason():
    wave = plan_wave(pool_input(), proposal(Action.HOLD, "entry_risk"), FREE, Limits())
    assert (wave.action, wave.reason, wave.moves) == (Action.HOLD, "entry_risk", ())
    assert wave.target_ratio == 0.5


def test_a_refusal_gives_hold_and_names_the_gate():
    ruling = Ruling(refused=True, limit=None, first_refusal=GateName.CONFIDENCE)
    wave = plan_wave(pool_input(), proposal(Action.DECREASE_10, "medium_risk"), ruling, Limits())
    assert (wave.action, wave.reason) == (Action.HOLD, "refused_by_confidence")


def test_nothing_to_move_gives_hold():
    pool = pool_input(to_on_demand=())
    wave = plan_wave(pool, proposal(Action.DECREASE_10, "medium_risk"), FREE, Limits())
    assert (wave.action, wave.reason) == (Action.HOLD, "nothing_to_move")


def test_the_first_candidates_are_taken():
    wave = plan_wave(pool_input(), proposal(Action.DECREASE_30, "high_risk"), at_most(3), Limits())
    assert [m.candidate.node for m in wave.moves] == ["s0", "s1", "s2"]
    assert {m.to for m in wave.moves} == {CapacityType.ON_DEMAND}


@pytest.mark.parametrize(
    ("action", "n_spot", "n_on_demand", "to", "node"),
    [
        (Action.INCREASE_10, 0, 10, CapacityType.SPOT, "d0"),
        (Action.DECREASE_10, 1, 9, CapacityType.ON_DEMAND, "s0"),
    ],
)
def test_a_wave_of_one_node_moves_it_the_right_way(action, n_spot, n_on_demand, to, node):
    pool = pool_input(n_spot=n_spot, n_on_demand=n_on_demand)
    (move,) = plan_wave(pool, proposal(action, "high_risk"), FREE, WIDE).moves
    assert (move.to, move.candidate.node) == (to, node)


@examples(300)
@given(
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(0, 3),
    st.sampled_from(Action),
    st.sampled_from([None, None, None, -1, 0, 1, 3, 9]),
    st.builds(
        Limits,
        max_spot_ratio=st.integers(0, 100).map(lambda n: n / 100),
        on_demand_floor_nodes=st.integers(0, 5),
        max_wave_nodes=st.sampled_from([1, 8, 8]),
    ),
)
def test_a_wave_stays_within_every_bound(n_spot, n_od, n_reserved, action, limit, limits):
    pool = pool_input(n_spot=n_spot, n_on_demand=n_od, n_reserved=n_reserved)
    wave = plan_wave(pool, proposal(action, "high_risk"), at_most(limit), limits)
    n = len(wave.moves)
    assert n <= limits.max_wave_nodes
    assert limit is None or n <= max(0, limit)
    assert (wave.action is Action.HOLD) == (n == 0)
    allowed = pool.to_spot if action.towards_spot else pool.to_on_demand
    assert tuple(m.candidate for m in wave.moves) == allowed[:n]
    assert len({m.candidate.uid for m in wave.moves}) == n
    if action.towards_spot and n:
        ratio = (n_spot + n) / pool.n_counted
        assert ratio <= max_ratio(pool, limits) + 1e-9
        assert n_od + n_reserved - n >= limits.on_demand_floor_nodes
        assert {m.to for m in wave.moves} == {CapacityType.SPOT}
    if action.away_from_spot and n_spot and (limit is None or limit > 0):
        assert n >= 1


def test_a_move_carries_its_candidate_whole():
    one = candidate("a", uid="u-a", claim="c-a")
    pool = pool_input(to_on_demand=(one,))
    (move,) = plan_wave(pool, proposal(Action.DECREASE_30, "high_risk"), FREE, WIDE).moves
    assert (move.candidate, move.to) == (one, CapacityType.ON_DEMAND)
