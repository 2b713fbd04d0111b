"""The hidden side of the market: regimes in order, hazards by age, shortages by zone."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import Offering
from spotvortex.sim.market.hazard_supply import CALM, STRESS, HazardSupply, RegimePhase
from spotvortex.sim.market.supply import NoticeTiming, Signal, Signals, Supply

OFFERINGS = tuple(
    Offering(instance_type=name, zone=zone)
    for name in ("m6i.large", "c6i.xlarge", "c6i.2xlarge")
    for zone in ("a", "b", "c")
)


ALWAYS_CALM = (RegimePhase(starts_s=0.0, regime=CALM),)


WITHOUT_FLAW = Signals(notices=NoticeTiming(flawed_ratio=0.0))


def capacity(seed=1, phases=ALWAYS_CALM, announced=WITHOUT_FLAW):
    return HazardSupply(
        seed=seed, phases=phases, offerings=OFFERINGS, start_at=1000.0, announced=announced
    )


def at_level(per_hour, **changes):
    """A regime without shortages in which every node of middle age has this hazard."""
    regime = replace(STRESS, hazard_per_hour=per_hour, shortages_per_hour=0.0, **changes)
    return (RegimePhase(starts_s=0.0, regime=regime),)


def test_regimes_follow_the_timetable():
    phases = (RegimePhase(starts_s=0.0, regime=CALM), RegimePhase(starts_s=60.0, regime=STRESS))
    hidden = capacity(phases=phases)
    assert [hidden.regime(at).name for at in (900.0, 1000.0, 1059.9, 1060.0)] == [
        "calm",
        "calm",
        "calm",
        "stress",
    ]


def test_hazard_falls_with_age_and_rises_with_stress():
    calm, stress = capacity(), capacity(phases=(RegimePhase(starts_s=0.0, regime=STRESS),))
    ages = (600.0, 2000.0, 7200.0, 20000.0, 90000.0)
    hazards = [calm.hazard_per_hour(OFFERINGS[0], age, 1000.0) for age in ages]
    assert hazards == sorted(hazards, reverse=True)
    assert len(set(hazards)) == len(ages)
    assert stress.hazard_per_hour(OFFERINGS[0], 7200.0, 1000.0) > 100 * hazards[2]


def test_a_shortage_strikes_one_zone_and_passes():
    certain = replace(STRESS, shortages_per_hour=3600.0 * 3, hit_ratio=1.0)
    calm = RegimePhase(starts_s=2.0, regime=CALM)
    hidden = capacity(phases=(RegimePhase(starts_s=0.0, regime=certain), calm))
    hidden.advance(1001.0, 0.3)
    short = {o for o in OFFERINGS if hidden.is_short(o, 1001.0)}
    zones = {o.zone for o in short}
    assert short == {o for o in OFFERINGS if o.zone in zones}
    assert hidden.n_shortages == len(zones)
    hidden.advance(1001.5, 5.0)
    assert all(hidden.is_short(o, 1001.5) for o in OFFERINGS)
    assert hidden.launch_fails(OFFERINGS[0], 0, 1001.5)
    assert hidden.hazard_per_hour(OFFERINGS[0], 7200.0, 1010.0) > 1.0
    assert not any(hidden.is_short(o, 1000.0 + 86400.0) for o in OFFERINGS)


def test_shortages_do_not_depend_on_what_is_launched():
    phases = (RegimePhase(starts_s=0.0, regime=STRESS),)
    quiet, busy = capacity(phases=phases), capacity(phases=phases)
    for k in range(2000):
        at = 1000.0 + 5.0 * k
        quiet.advance(at, 5.0)
        busy.advance(at, 5.0)
        busy.launch_fails(OFFERINGS[k % 9], k % 5, at)
        assert [quiet.is_short(o, at) for o in OFFERINGS] == [
            busy.is_short(o, at) for o in OFFERINGS
        ]
    assert quiet.n_shortages > 0


@pytest.mark.trial
def test_nodes_are_struck_as_often_as_their_hazard_says():
    hidden = capacity(phases=at_level(0.05))
    ages = [7200.0] * 20
    offering = OFFERINGS[0]
    n_struck = sum(
        len(hidden.strikes(offering, ages, 1000.0 + 60.0 * k, 60.0)) for k in range(1, 20_000)
    )
    expected = hidden.hazard_per_hour(offering, 7200.0, 1000.0) * 20 * 20_000 / 60.0
    assert n_struck == pytest.approx(expected, rel=0.1)


def test_a_strike_comes_two_minutes_ahead_and_few_late_or_without_notice():
    hidden = capacity(phases=at_level(1.0), announced=Signals())
    leads = [
        strike.leaves_at - at
        for k in range(1, 4000)
        for at in (1000.0 + 60.0 * k,)
        for strike in hidden.strikes(OFFERINGS[0], [600.0] * 20, at, 60.0)
    ]
    assert len(leads) > 2000
    assert 0.93 < sum(lead == 120.0 for lead in leads) / len(leads) < 0.97
    assert 0.01 < sum(lead == 0.0 for lead in leads) / len(leads) < 0.04
    assert all(0.0 <= lead <= 120.0 for lead in leads)


def test_the_same_place_meets_the_same_strikes_whoever_else_is_held():
    few, many = capacity(phases=at_level(0.5)), capacity(phases=at_level(0.5))
    for k in range(1, 2000):
        at = 1000.0 + 5.0 * k
        many.strikes(OFFERINGS[1], [60.0] * 30, at, 5.0)
        struck = {s.index: s for s in many.strikes(OFFERINGS[0], [600.0] * 9, at, 5.0)}
        again = {s.index: s for s in few.strikes(OFFERINGS[0], [600.0] * 4, at, 5.0)}
        assert again == {index: s for index, s in struck.items() if index < 4}


def test_launches_fail_by_chance_and_the_same_for_everyone():
    first, second = (capacity(phases=at_level(0.0, launch_failure_ratio=0.3)) for _ in "ab")
    answers = [first.launch_fails(OFFERINGS[0], k % 7, 1000.0 + k) for k in range(2000)]
    backward = [second.launch_fails(OFFERINGS[0], k % 7, 1000.0 + k) for k in range(1999, -1, -1)]
    assert answers == backward[::-1]
    assert 0.25 < sum(answers) / len(answers) < 0.35


def count_warnings(signal):
    phases = (RegimePhase(starts_s=0.0, regime=STRESS),)
    hidden: Supply = capacity(phases=phases, announced=Signals(signal=signal))
    n_warned = 0
    for k in range(1, 86_400 // 60):
        hidden.advance(1000.0 + 60.0 * k, 60.0)
        n_warned += sum(hidden.warns(o, 1000.0 + 60.0 * k, 60.0) for o in OFFERINGS)
    return n_warned


def test_recommendations_come_when_a_shortage_begins_and_sometimes_for_nothing():
    assert count_warnings(Signal()) == 0
    true_ones = count_warnings(Signal(sensitivity_ratio=1.0))
    half = count_warnings(Signal(sensitivity_ratio=0.5))
    false_ones = count_warnings(Signal(false_per_day=10.0))
    assert true_ones > 50
    assert 0.3 < half / true_ones < 0.7
    assert 60 < false_ones < 120
