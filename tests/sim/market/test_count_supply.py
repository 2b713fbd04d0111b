"""A market driven by counts: whoever holds too many loses the rest, two minutes after a notice."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import Offering
from spotvortex.sim.market.count_supply import CountSupply
from spotvortex.sim.market.counts import CapacityCounts
from spotvortex.sim.market.semimarkov import TRACELIKE, generate
from spotvortex.sim.market.shortage_clock import TimeSpan
from spotvortex.sim.market.supply import NoticeTiming, Signal, Signals, Supply
from tests.examples import examples
from tests.sim.market.test_counts import step_functions

A = Offering(instance_type="m6i.large", zone="us-east-1a")
B = Offering(instance_type="m6i.large", zone="us-east-1b")
STEP_S = 5.0
WITHOUT_FLAW = Signals(notices=NoticeTiming(flawed_ratio=0.0))


def supply_of(counts, announced=WITHOUT_FLAW, seed=1):
    return CountSupply(seed=seed, counts={A: counts}, announced=announced)


def hold(supply: Supply, n_wanted, until):
    """Hold as many nodes as can be had; return (time, nodes not leaving, nodes there)."""
    leaving, n_stays, seen = [], 0, []
    for k in range(1, int(until / STEP_S) + 1):
        at = STEP_S * k
        supply.advance(at, STEP_S)
        struck = supply.strikes(A, [60.0] * n_stays, at, STEP_S)
        assert len({strike.index for strike in struck}) == len(struck) <= n_stays
        assert all(0 <= strike.index < n_stays for strike in struck)
        n_stays -= len(struck)
        leaving = [t for t in leaving + [s.leaves_at for s in struck] if t > at]
        while n_stays < n_wanted and not supply.launch_fails(A, n_stays, at):
            n_stays += 1
        seen.append((at, n_stays, n_stays + len(leaving)))
    return seen


FALLS = CapacityCounts(times=(0.0, 1000.0, 2000.0), values=(8, 3, 8))


def test_a_notice_comes_two_minutes_before_the_fall_and_to_no_more_than_must_go():
    supply = supply_of(FALLS)
    assert supply.strikes(A, [60.0] * 6, 875.0, STEP_S) == []
    struck = supply.strikes(A, [60.0] * 6, 880.0, STEP_S)
    assert [strike.leaves_at for strike in struck] == [1000.0] * 3
    assert supply.strikes(A, [60.0] * 3, 885.0, STEP_S) == []


def test_a_launch_fails_where_all_there_is_is_held():
    supply = supply_of(FALLS)
    assert not supply.launch_fails(A, 7, 500.0)
    assert supply.launch_fails(A, 8, 500.0)
    assert supply.launch_fails(A, 3, 1500.0)
    assert supply.launch_fails(B, 0, 500.0)
    assert [s.leaves_at for s in supply.strikes(B, [60.0], 500.0, STEP_S)] == [500.0]


def test_victims_are_drawn_at_random_and_the_same_for_the_same_seed():
    drawn = {
        tuple(s.index for s in supply_of(FALLS, seed=seed).strikes(A, [60.0] * 8, 880.0, STEP_S))
        for seed in range(40)
    }
    assert len(drawn) > 20
    assert {index for victims in drawn for index in victims} == set(range(8))
    first, second = (supply_of(FALLS).strikes(A, [60.0] * 8, 880.0, STEP_S) for _ in "ab")
    assert first == second


def test_late_and_missing_notices_are_told_when_they_come():
    always = Signals(notices=NoticeTiming(flawed_ratio=1.0))
    leads = []
    for seed in range(60):
        supply, n_stays = supply_of(FALLS, always, seed), 8
        for k in range(1, 300):
            struck = supply.strikes(A, [60.0] * n_stays, STEP_S * k, STEP_S)
            n_stays -= len(struck)
            leads += [strike.leaves_at - STEP_S * k for strike in struck]
        assert n_stays == 3
    assert all(0.0 <= lead <= 120.0 for lead in leads)
    assert 0.4 < sum(lead == 0.0 for lead in leads) / len(leads) < 0.65
    assert len(set(leads)) > 15


def test_a_node_that_left_on_its_own_is_not_missed():
    supply = supply_of(FALLS, Signals(notices=NoticeTiming(flawed_ratio=1.0)))
    struck = supply.strikes(A, [60.0] * 8, 880.0, STEP_S)
    assert supply.strikes(A, [60.0] * 3, 885.0, STEP_S) == []
    assert len(struck) + 3 <= 8
    assert supply.strikes(A, [60.0] * 3, 1000.0, STEP_S) == []


@examples(60)
@given(step_functions(), st.integers(0, 50), st.sampled_from([0.0, 0.05, 0.5, 1.0]))
def test_never_more_are_there_than_there_can_be(counts, seed, flawed):
    supply = supply_of(counts, Signals(notices=NoticeTiming(flawed_ratio=flawed)), seed)
    for at, n_stays, n_there in hold(supply, 6, 800.0):
        assert n_stays <= n_there <= counts.at(at)


def falling_every_two_hours(n_days):
    times = [0.0] + [3600.0 * k for k in range(1, n_days * 24)]
    return CapacityCounts(
        times=tuple(times), values=tuple(4 if k % 2 else 0 for k in range(len(times)))
    )


@pytest.mark.parametrize(
    ("sensitivity", "low", "high"), [(0.0, 0, 0), (0.5, 90, 150), (1.0, 239, 239)]
)
def test_recommendations_come_ten_to_twenty_minutes_before_a_fall(sensitivity, low, high):
    counts = falling_every_two_hours(20)
    signal = Signal(sensitivity_ratio=sensitivity)
    supply = supply_of(counts, Signals(signal=signal))
    warned = [60.0 * k for k in range(20 * 24 * 60) if supply.warns(A, 60.0 * k, 60.0)]
    assert low <= len(warned) <= high
    for at in warned:
        assert any(540.0 <= fall - at <= 1200.0 for fall, _ in counts.falls())


def test_recommendations_also_come_for_nothing():
    supply = supply_of(FALLS, Signals(signal=Signal(false_per_day=10.0)))
    n_warned = sum(supply.warns(A, 60.0 * k, 60.0) for k in range(20 * 24 * 60))
    assert 150 < n_warned < 250
    assert not any(supply.warns(B, 60.0 * k, 60.0) for k in range(1000))


def test_the_offering_that_falls_more_often_is_the_tighter_one():
    steady = CapacityCounts(times=(0.0, 20 * 86400.0), values=(4, 3))
    supply = CountSupply(seed=1, counts={A: falling_every_two_hours(20), B: steady})
    assert 0.25 <= supply.tightness(B) < 1.0 < supply.tightness(A) <= 4.0
    assert CountSupply(seed=1, counts={}).tightness(A) == 4.0


@pytest.mark.trial
def test_who_holds_generated_capacity_loses_as_often_as_its_family_says():
    span = TimeSpan(start_at=0.0, seconds=10 * 86400.0)
    offerings = [Offering(instance_type=t, zone="us-east-1a") for t in ("m6i.large", "c6i.large")]
    counts = generate(seed=4, family=TRACELIKE, offerings=offerings, span=span)
    for offering in offerings:
        supply = CountSupply(seed=4, counts={A: counts[offering]}, announced=WITHOUT_FLAW)
        seen = hold(supply, 20, span.seconds)
        falls = sum(max(0, a[2] - b[2]) for a, b in pairwise(seen))
        held_hours = sum(n_there for _, _, n_there in seen) * STEP_S / 3600.0
        there = counts[offering].node_hours(0.0, span.seconds)
        assert 0.9 * there < held_hours < 1.001 * there
        assert falls == pytest.approx(sum(size for _, size in counts[offering].falls()), rel=0.1)
