"""Counted interruptions become losses where offerings fell beside them, and nothing else does."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.scoring.interruption_memory import DECAY_HOURS, EMPTY_MEMORY, update
from spotvortex.core.scoring.memory_history import (
    MOST_AT_ONCE,
    CapacityHistory,
    _calm_steps,
    attributed,
    remembered,
)
from tests.core.builders import AT, WEB_A, WEB_B, cluster, pool, spot

STEP_S = 300.0
N = 300


def history(held=None, falls=None, interrupted=None, seen=None, n_steps=N):
    return CapacityHistory(
        start=AT,
        step_s=STEP_S,
        n_steps=n_steps,
        seen=[True] * n_steps if seen is None else seen,
        held={WEB_A: [2.0] * n_steps} if held is None else held,
        falls={step: frozenset(fell) for step, fell in (falls or {}).items()},
        interrupted=interrupted or {},
    )


@pytest.mark.parametrize("late", [-1, 0, 1])
def test_an_interruption_goes_to_the_held_offering_that_fell_within_a_step_of_it(late):
    told = attributed(history(falls={50 + late: {WEB_A}}, interrupted={50: 1.0}))
    assert told.lost == {WEB_A: {50: 1.0}}
    assert told.refused == {}


@pytest.mark.parametrize(
    ("falls", "interrupted", "why"),
    [
        ({52: {WEB_A}}, {50: 1.0}, "it fell later"),
        ({50: {WEB_B}}, {50: 1.0}, "nothing was held there"),
        ({50: {WEB_A}}, {}, "nothing was interrupted"),
        ({}, {50: 1.0}, "nothing fell"),
    ],
)
def test_neither_a_fall_nor_an_interruption_is_a_loss_by_itself(falls, interrupted, why):
    told = attributed(history(falls=falls, interrupted=interrupted))
    assert told.lost == {}, why
    assert {o: list(steps) for o, steps in told.refused.items()} == {
        offering: [step] for step, fell in falls.items() for offering in fell
    }
    assert told.n_unplaced == sum(interrupted.values())


def test_one_interruption_beside_two_falls_is_half_a_loss_of_each_and_no_last_loss():
    held = {WEB_A: [2.0] * N, WEB_B: [4.0] * N}
    three = {**held, WEB_A.__class__(instance_type="c5.large", zone="z"): [1.0] * N}
    found = remembered(history(held, {50: {WEB_A, WEB_B}}, {50: 1.0})).offerings
    assert found[WEB_A].losses == pytest.approx(found[WEB_B].losses)
    assert found[WEB_A].loss_shares == pytest.approx(2.0 * found[WEB_B].loss_shares)
    assert found[WEB_A].last_loss_at == AT + 50 * STEP_S
    thirds = remembered(history(three, {50: set(three)}, {50: 1.0})).offerings
    assert {known.last_loss_at for known in thirds.values()} == {None}


def test_more_interruptions_than_nodes_take_no_more_than_there_were():
    assert attributed(history(falls={50: {WEB_A}}, interrupted={50: 9.0})).lost == {
        WEB_A: {50: 2.0}
    }


def test_it_remembers_what_a_memory_that_watched_would():
    """Two nodes for a day, one of them lost, by both ways."""
    lost_at = 150
    memory = EMPTY_MEMORY
    for step in range(N):
        names = ("a", "b") if step < lost_at else ("a",)
        nodes = tuple(spot(name, created_at=AT, offering=WEB_A) for name in names)
        told = frozenset({"uid-b"})
        memory = update(memory, cluster(pool(nodes=nodes)), AT + step * STEP_S, told)
    counts = [2.0 if step < lost_at else 1.0 for step in range(N)]
    found = remembered(history({WEB_A: counts}, {lost_at: {WEB_A}}, {lost_at: 1.0}))
    live, past = memory.offerings[WEB_A], found.offerings[WEB_A]
    assert past.exposure_hours == pytest.approx(live.exposure_hours, rel=0.01)
    assert past.shaped_hours == pytest.approx(live.shaped_hours, rel=0.02)
    assert past.losses == pytest.approx(0.85, rel=0.05)


def test_of_the_time_in_which_nothing_was_measured_nothing_is_learned():
    seen = [step < 100 or step >= 200 for step in range(N)]
    gap = remembered(history(seen=seen)).offerings[WEB_A]
    whole = remembered(history()).offerings[WEB_A]
    assert gap.exposure_hours < 0.7 * whole.exposure_hours


@pytest.mark.parametrize(
    ("step", "n", "why"),
    [
        (3, 7, "until another number is held"),
        (10, 1, "of which another number was held before"),
        (11, 4, "until one that nobody saw"),
        (16, 4, "until one of a loss"),
        (21, MOST_AT_ONCE, "no more than may be taken at once"),
        (35, 5, "until the end"),
    ],
)
def test_calm_steps_are_taken_as_one(step, n, why):
    held = {WEB_A: [2.0] * 10 + [5.0] * 30}
    told = history(held, seen=[n != 15 for n in range(40)], n_steps=40)
    assert _calm_steps(told, WEB_A, step, {20: 1.0}) == n, why


STEPS = st.integers(0, 19)
FALLS = st.dictionaries(STEPS, st.sets(st.sampled_from([WEB_A, WEB_B])))
COUNTS = st.dictionaries(STEPS, st.floats(0.1, 5.0))
HELD = st.lists(st.sampled_from([0.0, 1.0, 3.0]), min_size=20, max_size=20)


@given(HELD, HELD, FALLS, COUNTS)
def test_no_more_is_lost_than_was_counted_and_all_of_it_was_held(one, other, falls, counted):
    told_of = history({WEB_A: one, WEB_B: other}, falls, counted, n_steps=20)
    told = attributed(told_of)
    n_lost = math.fsum(n for steps in told.lost.values() for n in steps.values())
    assert n_lost <= math.fsum(counted.values()) + 1e-9
    for offering, steps in told.lost.items():
        for step in steps:
            assert told_of.n_held(offering, step - 1) or told_of.n_held(offering, step)
    memory = remembered(told_of)
    for known in memory.offerings.values():
        assert 0.0 <= known.loss_shares <= known.losses + 1e-9
        assert known.exposure_hours >= 0.0


def test_refusals_are_counted_by_their_age_and_the_latest_is_kept():
    known = remembered(history(falls={n: {WEB_A} for n in (100, 200)})).offerings[WEB_A]
    end = AT + (N - 1) * STEP_S
    ages_h = [(N - 1 - n) * STEP_S / 3600.0 for n in (100, 200)]
    assert known.refusals == pytest.approx(sum(math.exp(-h / DECAY_HOURS) for h in ages_h))
    assert end - known.last_refused_at == pytest.approx(3600.0 * min(ages_h))
    never_held = remembered(history(held={WEB_A: [0.0] * N}, falls={100: {WEB_B}}))
    assert never_held.offerings.keys() == {WEB_B}


@pytest.mark.parametrize(("blind", "is_learned"), [(None, 1), (49, 1), (50, 0), (51, 0), (52, 1)])
def test_a_loss_is_learned_only_where_both_ends_of_its_step_were_seen(blind, is_learned):
    seen = [n != blind for n in range(N)]
    known = remembered(history(falls={51: {WEB_A}}, interrupted={51: 1.0}, seen=seen))
    assert (known.offerings[WEB_A].losses > 0.0) is bool(is_learned)


def test_an_offering_that_came_and_went_within_a_step_was_lost_as_a_whole():
    counts = [2.0 if 10 <= n < 51 else 0.0 for n in range(N)]
    known = remembered(history(held={WEB_A: counts}, falls={51: {WEB_A}}, interrupted={51: 2.0}))
    found = known.offerings[WEB_A]
    assert found.loss_shares == pytest.approx(found.losses / 2.0)
    assert not found.left_survivors
    assert found.held_since is None


@pytest.mark.parametrize(
    ("n_before", "n_after", "lost"),
    [(0.0, 0.0, {}), (2.0, 0.0, {WEB_A: {51: 2.0}}), (0.0, 2.0, {WEB_A: {51: 1.0}})],
)
def test_an_offering_that_was_held_on_one_side_of_a_step_may_be_what_fell(n_before, n_after, lost):
    held = {WEB_A: [n_before] * 51 + [n_after] * (N - 51)}
    assert attributed(history(held, {51: {WEB_A}}, {51: 2.0})).lost == lost


def test_a_loss_is_a_share_of_what_was_held_before_however_much_came_with_it():
    counts = [2.0 if n < 51 else 5.0 for n in range(N)]
    known = remembered(history(held={WEB_A: counts}, falls={51: {WEB_A}}, interrupted={51: 1.0}))
    found = known.offerings[WEB_A]
    assert found.loss_shares == pytest.approx(found.losses / 2.0)
    assert found.left_survivors


def test_the_step_in_which_an_offering_came_counts_as_held():
    held = {WEB_A: [0.0] * 9 + [3.0] * (N - 9)}
    found = remembered(history(held=held)).offerings[WEB_A]
    later = remembered(history(held={WEB_A: [0.0] * 10 + [3.0] * (N - 10)})).offerings[WEB_A]
    assert found.held_since == AT + 9 * STEP_S
    assert found.shaped_hours > later.shaped_hours
