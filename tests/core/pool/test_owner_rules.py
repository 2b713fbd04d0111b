"""What a pool's owner asks for is read, remembered, and never widens what all pools may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.labels import MAX_SPOT_RATIO, MODE, ON_DEMAND_FLOOR, is_label_value
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Mode
from spotvortex.core.pool.owner_rules import (
    MAX_FLOOR,
    NO_RULES,
    PoolRules,
    all_careful,
    more_careful,
    obeying,
    read_rules,
    remembered,
    weaker,
)
from tests.core import odd

MODES = list(Mode)


@pytest.mark.parametrize(
    ("name", "text", "rules"),
    [
        (MODE, "canary", PoolRules(mode=Mode.CANARY)),
        (MODE, " shadow ", PoolRules(mode=Mode.SHADOW)),
        (MAX_SPOT_RATIO, "0.7", PoolRules(max_spot_ratio=0.7)),
        (MAX_SPOT_RATIO, "0", PoolRules(max_spot_ratio=0.0)),
        (ON_DEMAND_FLOOR, "3", PoolRules(floor_nodes=3)),
        (ON_DEMAND_FLOOR, "24 vcpu", PoolRules(floor_vcpu=24)),
        (ON_DEMAND_FLOOR, "24vCPU", PoolRules(floor_vcpu=24)),
        (ON_DEMAND_FLOOR, str(MAX_FLOOR), PoolRules(floor_nodes=MAX_FLOOR)),
        ("spotvortex.io/other", "x", NO_RULES),
    ],
)
def test_a_rule_is_read(name, text, rules):
    assert read_rules([(name, text)]) == rules


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (MODE, "Active", "give one of shadow, advise, canary, active"),
        (MODE, "", "give one of shadow"),
        (MAX_SPOT_RATIO, "70%", "give a number from 0 to 1"),
        (MAX_SPOT_RATIO, "1.01", "give a number from 0 to 1"),
        (MAX_SPOT_RATIO, "nan", "give a number from 0 to 1"),
        (MAX_SPOT_RATIO, "-inf", "give a number from 0 to 1"),
        (ON_DEMAND_FLOOR, "-1", 'give nodes as "3", or vCPU as "24 vcpu"'),
        (ON_DEMAND_FLOOR, str(MAX_FLOOR + 1), 'give nodes as "3"'),
        (ON_DEMAND_FLOOR, "3 nodes", 'give nodes as "3"'),
        (ON_DEMAND_FLOOR, "x" * 999, "'" + "x" * 40 + "'"),
    ],
)
def test_a_rule_that_cannot_be_read_is_a_problem_with_its_fix(name, text, words):
    rules = read_rules([(MODE, "canary"), (name, text)])
    assert rules.problem.startswith(f"{name}=")
    assert words in rules.problem
    assert rules.mode is Mode.CANARY


def test_of_several_the_most_careful_counts():
    found = all_careful(
        [
            PoolRules(mode=Mode.ACTIVE, max_spot_ratio=0.5, floor_nodes=1),
            PoolRules(mode=Mode.ADVISE, max_spot_ratio=0.7, floor_vcpu=8),
            PoolRules(floor_nodes=4, floor_vcpu=2, problem="wrong"),
            NO_RULES,
        ]
    )
    assert found == PoolRules(
        mode=Mode.ADVISE, max_spot_ratio=0.5, floor_nodes=4, floor_vcpu=8, problem="wrong"
    )
    assert all_careful([]) == NO_RULES


def test_what_is_said_no_more_stays_in_force_until_something_else_is():
    before = PoolRules(mode=Mode.ADVISE, max_spot_ratio=0.5, floor_nodes=3)
    assert remembered(NO_RULES, before) == before
    assert remembered(PoolRules(mode=Mode.ACTIVE), before).mode is Mode.ACTIVE
    assert remembered(PoolRules(max_spot_ratio=0.9), before).max_spot_ratio == 0.9
    in_vcpu = remembered(PoolRules(floor_vcpu=8), before)
    assert (in_vcpu.floor_nodes, in_vcpu.floor_vcpu) == (None, 8)


def test_a_problem_is_not_remembered_once_it_is_mended():
    before = PoolRules(mode=Mode.ADVISE, problem="wrong")
    assert remembered(NO_RULES, before).problem == ""
    assert remembered(PoolRules(problem="new"), before).problem == "new"


@pytest.mark.parametrize("one", MODES)
@pytest.mark.parametrize("other", MODES)
def test_the_weaker_mode_may_do_less(one, other):
    assert MODES.index(weaker(one, other)) == min(MODES.index(one), MODES.index(other))


maybe_floor = st.one_of(st.none(), st.integers(0, MAX_FLOOR))
rules = st.builds(
    PoolRules,
    mode=st.one_of(st.none(), st.sampled_from(Mode)),
    max_spot_ratio=st.one_of(st.none(), odd.ratios),
    floor_nodes=maybe_floor,
    floor_vcpu=maybe_floor,
)
limits = st.builds(
    Limits,
    mode=st.sampled_from(Mode),
    max_spot_ratio=odd.ratios,
    on_demand_floor_nodes=st.integers(0, 99),
    on_demand_floor_vcpu=st.integers(0, 99),
)


def no_wider(one, other):
    return (
        MODES.index(one.mode) <= MODES.index(other.mode)
        and one.max_spot_ratio <= other.max_spot_ratio
        and one.on_demand_floor_nodes >= other.on_demand_floor_nodes
        and one.on_demand_floor_vcpu >= other.on_demand_floor_vcpu
    )


@odd.many
@given(limits, rules, rules)
def test_no_rule_widens_the_limits_of_all_pools_and_a_second_one_no_others(given_limits, one, two):
    obeyed = obeying(given_limits, one)
    assert no_wider(obeyed, given_limits)
    both = more_careful(one, two)
    assert both == more_careful(two, one)
    assert no_wider(obeying(given_limits, both), obeyed)


@odd.many
@given(limits, rules)
def test_a_rule_that_vanishes_changes_nothing(given_limits, one):
    kept = remembered(NO_RULES, remembered(one, NO_RULES))
    assert obeying(given_limits, kept) == obeying(given_limits, one)


texts = st.lists(
    st.tuples(st.sampled_from([MODE, MAX_SPOT_RATIO, ON_DEMAND_FLOOR, "other"]), st.text())
)


@odd.many
@given(limits, texts)
def test_whatever_stands_in_annotations_is_read_or_is_a_problem(given_limits, said):
    found = read_rules(said)
    assert no_wider(obeying(given_limits, found), given_limits)
    assert len(found.problem) < 200


@pytest.mark.parametrize(
    ("text", "fits"),
    [("a", True), ("p1-x.Y_2", True), ("", False), ("-a", False), ("a" * 64, False), ("ä", False)],
)
def test_what_may_stand_as_the_value_of_a_label_is_known(text, fits):
    assert is_label_value(text) is fits
