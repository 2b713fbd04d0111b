"""The deterministic rules, one by one, and what must hold for all of them."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.economics import entry_economics
from spotvortex.core.decision.messages import Economics, PoolState
from spotvortex.core.decision.planning import target_ratio
from spotvortex.core.decision.rule_policy import (
    WIDE_STEP_RATIO,
    max_ratio,
    max_spot_nodes,
    n_to_undo,
    propose,
    worse,
)
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.moves import MoveKind
from spotvortex.core.domain.types import RATIO_STEP, Action, short
from spotvortex.core.pool.input import Risk
from tests.core import odd
from tests.core.builders import (
    CALM,
    CHEAP,
    GOOD,
    WEB_A,
    WEB_B,
    candidate,
    capped,
    offered,
    pool_input,
    risk_of,
)

NO_RISK_KNOWN = Risk(capacity=None, runtime=None)


def cap(ratio, **changes):
    return capped(max_spot_ratio=ratio, **changes)


RULES = [
    ("empty_pool", Action.HOLD, pool_input(n_spot=0, n_on_demand=0), GOOD, capped()),
    (
        "unsupported_family",
        Action.EMERGENCY_EXIT,
        pool_input(n_spot_out_of_scope=10, n_on_demand_movable=0),
        GOOD,
        capped(),
    ),
    (
        "unsupported_family",
        Action.EMERGENCY_EXIT,
        pool_input(n_spot_out_of_scope=1, to_on_demand=(candidate(in_scope=False),)),
        GOOD,
        capped(exit_unsupported=True),
    ),
    ("emergency_risk", Action.EMERGENCY_EXIT, pool_input(spot_risk=risk_of(0.9)), GOOD, capped()),
    (
        "emergency_risk",
        Action.EMERGENCY_EXIT,
        pool_input(spot_risk=Risk(capacity=0.0, runtime=0.8)),
        GOOD,
        capped(),
    ),
    (
        "emergency_risk",
        Action.EMERGENCY_EXIT,
        pool_input(spot_risk=Risk(capacity=0.9, runtime=0.1)),
        GOOD,
        capped(),
    ),
    (
        "high_risk",
        Action.DECREASE_30,
        pool_input(spot_risk=Risk(capacity=0.8, runtime=0.1)),
        GOOD,
        capped(),
    ),
    ("high_risk", Action.DECREASE_30, pool_input(spot_risk=risk_of(0.6)), GOOD, capped()),
    ("medium_risk", Action.DECREASE_10, pool_input(spot_risk=risk_of(0.35)), GOOD, capped()),
    ("above_max_spot_ratio", Action.DECREASE_30, pool_input(), GOOD, cap(0.0)),
    (
        "above_max_spot_ratio",
        Action.DECREASE_30,
        pool_input(spot_risk=risk_of(0.4)),
        GOOD,
        cap(0.0),
    ),
    ("above_max_spot_ratio", Action.DECREASE_10, pool_input(), GOOD, cap(0.45)),
    (
        "above_max_spot_ratio",
        Action.DECREASE_30,
        pool_input(),
        GOOD,
        capped(on_demand_floor_nodes=15),
    ),
    (
        "above_max_spot_ratio",
        Action.DECREASE_10,
        pool_input(spot_risk=NO_RISK_KNOWN),
        GOOD,
        cap(0.45),
    ),
    ("all_spot_already", Action.HOLD, pool_input(n_on_demand=0), GOOD, capped()),
    ("at_max_spot_ratio", Action.HOLD, pool_input(), GOOD, cap(0.5)),
    ("at_max_spot_ratio", Action.HOLD, pool_input(), GOOD, cap(0.54)),
    ("at_max_spot_ratio", Action.HOLD, pool_input(n_spot=0), GOOD, cap(0.0)),
    ("pool_allows_no_spot", Action.HOLD, pool_input(allows_spot=False), GOOD, capped()),
    ("nothing_movable", Action.HOLD, pool_input(n_on_demand_movable=0), GOOD, capped()),
    ("no_score", Action.HOLD, pool_input(entry_risk=NO_RISK_KNOWN), GOOD, capped()),
    ("no_score", Action.HOLD, pool_input(entry_risk=risk_of(math.nan)), GOOD, capped()),
    ("entry_risk", Action.HOLD, pool_input(entry_risk=risk_of(0.35)), GOOD, capped()),
    ("price_unknown", Action.HOLD, pool_input(), Economics(), capped()),
    ("price_unknown", Action.HOLD, pool_input(), replace(GOOD, net_usd_per_hour=None), capped()),
    ("discount_too_small", Action.HOLD, pool_input(), replace(GOOD, discount_ratio=0.14), capped()),
    ("no_expected_gain", Action.HOLD, pool_input(), replace(GOOD, payback_hours=None), capped()),
    ("payback_too_long", Action.HOLD, pool_input(), replace(GOOD, payback_hours=6.1), capped()),
    ("economic_increase", Action.INCREASE_30, pool_input(), GOOD, capped()),
    ("economic_increase", Action.INCREASE_30, pool_input(n_spot=0), GOOD, capped()),
    ("economic_increase", Action.INCREASE_10, pool_input(), GOOD, cap(0.7)),
    ("economic_increase", Action.INCREASE_30, pool_input(), GOOD, cap(0.5 + WIDE_STEP_RATIO)),
    ("economic_increase", Action.INCREASE_10, pool_input(), GOOD, cap(0.49 + WIDE_STEP_RATIO)),
    ("above_max_spot_ratio", Action.DECREASE_30, pool_input(), GOOD, cap(0.5 - WIDE_STEP_RATIO)),
    ("above_max_spot_ratio", Action.DECREASE_10, pool_input(), GOOD, cap(0.51 - WIDE_STEP_RATIO)),
    (
        "economic_increase",
        Action.INCREASE_30,
        pool_input(),
        replace(GOOD, discount_ratio=0.15, payback_hours=6.0),
        capped(),
    ),
    (
        "price_stale",
        Action.HOLD,
        pool_input(entry_money=replace(CHEAP, spot_usd_per_hour=None, too_old_s=9e5)),
        Economics(),
        capped(),
    ),
    (
        "covered_by_commitment",
        Action.HOLD,
        pool_input(entry_money=replace(CHEAP, marginal_usd_per_hour=0.04)),
        replace(GOOD, discount_ratio=0.1),
        capped(),
    ),
    (
        "expected_loss",
        Action.DECREASE_10,
        pool_input(spot_money=replace(CHEAP, spot_usd_per_hour=0.11)),
        GOOD,
        capped(),
    ),
    (
        "economic_increase",
        Action.INCREASE_30,
        pool_input(spot_money=replace(CHEAP, spot_usd_per_hour=0.10), spot_risk=risk_of(0.0)),
        GOOD,
        capped(),
    ),
]


@pytest.mark.parametrize(("reason", "action", "pool", "economics", "limits"), RULES)
def test_rule_answers(reason, action, pool, economics, limits):
    found = propose(pool, economics, limits)
    assert (found.action, found.reason) == (action, reason)


@pytest.mark.parametrize("risk", [0.0, 0.4, 0.7])
@pytest.mark.parametrize("limits", [cap(0.45), cap(0.0), capped(on_demand_floor_nodes=19)])
def test_an_owners_word_stands_before_any_risk_but_an_emergency(risk, limits):
    for n_out in (0, 10):
        pool = pool_input(spot_risk=risk_of(risk), n_spot_out_of_scope=n_out)
        assert propose(pool, GOOD, limits).kind is MoveKind.OWNER
    assert propose(pool_input(spot_risk=risk_of(0.9)), GOOD, limits).kind is MoveKind.EMERGENCY


def test_the_rest_of_a_pool_out_of_scope_goes_on():
    for n_out in (9, 10):
        pool = pool_input(n_spot_out_of_scope=n_out)
        assert propose(pool, GOOD, capped()).action is Action.INCREASE_30


INSIDE, OUTSIDE = candidate("in"), candidate("out", in_scope=False)


@pytest.mark.parametrize(
    ("movable", "limits", "kind"),
    [
        ((INSIDE, OUTSIDE), cap(0.0), MoveKind.EMERGENCY),
        ((OUTSIDE,), cap(0.0), MoveKind.OWNER),
        ((OUTSIDE,), capped(exit_unsupported=True), MoveKind.UNSUPPORTED),
        ((OUTSIDE,), capped(), MoveKind.EMERGENCY),
        ((), cap(0.0), MoveKind.EMERGENCY),
    ],
)
def test_of_what_is_wanted_the_first_that_has_a_node_to_move_counts(movable, limits, kind):
    pool = pool_input(spot_risk=risk_of(0.95), n_spot_out_of_scope=3, to_on_demand=movable)
    assert propose(pool, GOOD, limits).kind is kind


@pytest.mark.parametrize("missing", [None, math.nan])
def test_the_worse_score_is_unknown_where_one_is(missing):
    assert worse(Risk(capacity=missing, runtime=0.1)) is None
    assert worse(Risk(capacity=0.1, runtime=missing)) is None
    assert worse(Risk(capacity=0.2, runtime=0.1)) == 0.2


@pytest.mark.parametrize(
    ("n", "limits", "ratio", "whole"),
    [
        (10, capped(), 1.0, 10),
        (10, cap(0.85), 0.85, 8),
        (10, capped(on_demand_floor_nodes=3), 0.7, 7),
        (10, cap(0.5, on_demand_floor_nodes=3), 0.5, 5),
        (10, capped(on_demand_floor_nodes=30), 0.0, 0),
        (0, capped(on_demand_floor_nodes=3), 1.0, 0),
        (1, cap(0.9), 0.9, 0),
    ],
)
def test_cap_and_floor_leave_a_ratio_and_whole_nodes(n, limits, ratio, whole):
    pool = pool_input(n_spot=0, n_on_demand=n)
    assert max_ratio(pool, limits) == pytest.approx(ratio)
    assert max_spot_nodes(pool, limits) == whole


shares = st.floats(min_value=0.0, max_value=1.0)
sizes = st.integers(0, 12)
some_limits = st.builds(
    capped,
    max_spot_ratio=st.one_of(shares, st.sampled_from([0.0, 0.5, 1.0])),
    on_demand_floor_nodes=st.integers(0, 5),
)


@odd.many
@given(sizes, sizes, shares, shares, shares, some_limits)
def test_more_risk_never_gives_a_more_spot_friendly_action(n_spot, n_od, low, more, entry, limits):
    low, high = sorted((low, more))
    calm, stressed = (
        pool_input(n_spot=n_spot, n_on_demand=n_od, spot_risk=risk_of(p), entry_risk=risk_of(entry))
        for p in (low, high)
    )
    assert step_of(stressed, limits) <= step_of(calm, limits)


@odd.many
@given(sizes, sizes, shares, shares, some_limits)
def test_more_entry_risk_never_gives_more_spot(n_spot, n_od, one, other, limits):
    low, high = sorted((one, other))
    calm, stressed = (
        pool_input(n_spot=n_spot, n_on_demand=n_od, entry_risk=risk_of(p)) for p in (low, high)
    )
    assert step_of(stressed, limits) <= step_of(calm, limits)


def step_of(pool, limits):
    return RATIO_STEP[propose(pool, entry_economics(pool, limits), limits).action]


@odd.many
@given(sizes, sizes, some_limits)
def test_growth_is_only_proposed_where_one_more_whole_node_fits_under_the_cap(n_spot, n_od, limits):
    pool = pool_input(n_spot=n_spot, n_on_demand=n_od)
    found = propose(pool, GOOD, limits)
    if found.action.towards_spot:
        assert (n_spot + 1) / pool.n_counted <= max_ratio(pool, limits) + 1e-9
        assert target_ratio(pool, found, limits) <= max_ratio(pool, limits)


@odd.many
@given(st.integers(1, 12), sizes, shares)
def test_a_cap_of_zero_leads_away_from_spot(n_spot, n_od, risk):
    pool = pool_input(n_spot=n_spot, n_on_demand=n_od, spot_risk=risk_of(risk), entry_risk=CALM)
    assert propose(pool, GOOD, cap(0.0)).action.away_from_spot


DAY = Limits(interruption_minutes=240.0)
WIDE = round(WIDE_STEP_RATIO * 20)
HELD_A = offered(WEB_A, runtime_score=0.95, n_spot=6)


@pytest.mark.parametrize(
    ("offerings", "others", "answer"),
    [
        ((HELD_A,), (), (Action.DECREASE_30, "risk_outweighs_price")),
        ((replace(HELD_A, n_spot=2),), (), (Action.DECREASE_10, "risk_outweighs_price")),
        ((replace(HELD_A, n_spot=WIDE),), (), (Action.DECREASE_30, "risk_outweighs_price")),
        ((replace(HELD_A, n_spot=WIDE - 1),), (), (Action.DECREASE_10, "risk_outweighs_price")),
        ((HELD_A, offered(WEB_B, n_spot=4)), (), (Action.INCREASE_30, "economic_increase")),
        ((HELD_A,), (offered(WEB_B),), (Action.INCREASE_30, "economic_increase")),
    ],
)
def test_a_pool_leaves_only_where_no_spot_offering_beats_on_demand(offerings, others, answer):
    pool = pool_input(offerings=offerings, others=others)
    found = propose(pool, entry_economics(pool, DAY), DAY)
    assert (found.action, found.reason) == answer


def test_a_spot_price_above_on_demand_is_left_for_its_price():
    pool = pool_input(offerings=(offered(WEB_A, spot_usd_per_hour=0.12, n_spot=6),))
    found = propose(pool, entry_economics(pool, DAY), DAY)
    assert (found.action, found.kind) == (Action.DECREASE_30, MoveKind.PRICE)


def test_nothing_grows_while_every_offering_was_lost_within_minutes():
    pool = pool_input(offerings=(offered(WEB_A, lost_hours=0.05),))
    found = propose(pool, entry_economics(pool, Limits()), Limits())
    assert (found.action, found.reason) == (Action.HOLD, "no_offering_left")


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ((), "no_offering_left"),
        ((offered(WEB_B, refused_hours=0.05),), "no_offering_left"),
        ((offered(WEB_B),), "economic_increase"),
        ((offered(WEB_B, spot_usd_per_hour=None),), "economic_increase"),
    ],
)
def test_growth_waits_only_where_every_offering_is_known_to_be_gone(others, reason):
    pool = pool_input(offerings=(offered(WEB_A, lost_hours=0.05),), others=others)
    assert propose(pool, GOOD, Limits()).reason == reason


@pytest.mark.parametrize(
    ("fell_from", "n_anchored", "n"), [(None, 9, 0), (0.5, 9, 0), (0.7, 9, 4), (0.7, 3, 3)]
)
def test_a_return_undoes_what_anchors_keep_of_what_had_been_spot(fell_from, n_anchored, n):
    assert n_to_undo(pool_input(n_anchored=n_anchored), PoolState(fell_from=fell_from)) == n


@pytest.mark.parametrize(("n_spot", "n"), [(1, 3), (2, 3), (1, 7), (3, 7), (1, 6), (1234, 3702)])
def test_what_a_fall_back_took_may_return_to_the_last_node(n_spot, n):
    before = PoolState(fell_from=short(n_spot / n))
    fallen = pool_input(n_spot=0, n_on_demand=n, n_anchored=n)
    assert n_to_undo(fallen, before) == n_spot


def test_without_caps_a_high_risk_alone_leads_nowhere():
    pool = pool_input(spot_risk=risk_of(0.9), entry_risk=risk_of(0.9))
    assert not propose(pool, GOOD, Limits()).action.away_from_spot


@odd.many
@given(shares, shares, shares, st.sampled_from([15.0, 60.0, 240.0, 720.0]))
def test_more_risk_of_an_offering_never_gives_a_more_spot_friendly_action(one, other, beside, ci):
    low, high = sorted((one, other))
    limits = Limits(interruption_minutes=ci)
    calm, stressed = (
        pool_input(
            offerings=(offered(WEB_A, n_spot=5, runtime_score=p),),
            others=(offered(WEB_B, runtime_score=beside),),
        )
        for p in (low, high)
    )
    assert step_of(stressed, limits) <= step_of(calm, limits)
