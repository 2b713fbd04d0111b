"""The hidden side of the market: regimes in order, hazards by age, shortages by zone."""

from dataclasses import replace

from spotvortex.core.types import Offering
from spotvortex.sim.capacity import CALM, STRESS, Capacity, Phase

OFFERINGS = tuple(
    Offering(instance_type=name, zone=zone)
    for name in ("m6i.large", "c6i.xlarge", "c6i.2xlarge")
    for zone in ("a", "b", "c")
)


ALWAYS_CALM = (Phase(starts_s=0.0, regime=CALM),)


def capacity(seed=1, phases=ALWAYS_CALM):
    return Capacity(seed=seed, phases=phases, offerings=OFFERINGS, start_at=1000.0)


def test_regimes_follow_the_timetable():
    phases = (Phase(starts_s=0.0, regime=CALM), Phase(starts_s=60.0, regime=STRESS))
    hidden = capacity(phases=phases)
    assert [hidden.regime(at).name for at in (900.0, 1000.0, 1059.9, 1060.0)] == [
        "calm",
        "calm",
        "calm",
        "stress",
    ]


def test_hazard_falls_with_age_and_rises_with_stress():
    calm, stress = capacity(), capacity(phases=(Phase(starts_s=0.0, regime=STRESS),))
    ages = (600.0, 2000.0, 7200.0, 20000.0, 90000.0)
    hazards = [calm.hazard_per_hour(OFFERINGS[0], age, 1000.0) for age in ages]
    assert hazards == sorted(hazards, reverse=True)
    assert len(set(hazards)) == len(ages)
    assert stress.hazard_per_hour(OFFERINGS[0], 7200.0, 1000.0) > 100 * hazards[2]


def test_a_shortage_strikes_one_zone_and_passes():
    certain = replace(STRESS, shortages_per_hour=3600.0 * 3, hit_ratio=1.0)
    calm = Phase(starts_s=2.0, regime=CALM)
    hidden = capacity(phases=(Phase(starts_s=0.0, regime=certain), calm))
    hidden.advance(1001.0, 0.3)
    short = {o for o in OFFERINGS if hidden.is_short(o, 1001.0)}
    zones = {o.zone for o in short}
    assert short == {o for o in OFFERINGS if o.zone in zones}
    assert hidden.n_shortages == len(zones)
    hidden.advance(1001.5, 5.0)
    assert all(hidden.is_short(o, 1001.5) for o in OFFERINGS)
    assert hidden.launch_fails(OFFERINGS[0], 1001.5)
    assert hidden.hazard_per_hour(OFFERINGS[0], 7200.0, 1010.0) > 1.0
    assert not any(hidden.is_short(o, 1000.0 + 86400.0) for o in OFFERINGS)


def test_shortages_do_not_depend_on_what_is_launched():
    phases = (Phase(starts_s=0.0, regime=STRESS),)
    quiet, busy = capacity(phases=phases), capacity(phases=phases)
    for k in range(2000):
        at = 1000.0 + 5.0 * k
        quiet.advance(at, 5.0)
        busy.advance(at, 5.0)
        busy.launch_fails(OFFERINGS[k % 9], at)
        assert [quiet.is_short(o, at) for o in OFFERINGS] == [
            busy.is_short(o, at) for o in OFFERINGS
        ]
    assert quiet.n_shortages > 0
