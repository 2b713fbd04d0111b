"""Generated capacity: as harsh, as correlated and as lumpy as its family says, and repeatable."""

import os
import subprocess
import sys
import time
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import Offering
from spotvortex.sim.market.generator_facts import TARGET_PER_HOUR
from spotvortex.sim.market.semimarkov import FAMILIES, TRACELIKE, generate
from spotvortex.sim.market.shortage_clock import STEP_S, ShortageClock, TimeSpan
from tests.paths import ROOT
from tests.sim.market.grid import on_grid

START = 1_785_229_200.0
DAY = 86400.0
TYPES = ("m6i.large", "m6i.xlarge", "c6i.large", "r6i.large")
OFFERINGS = tuple(
    Offering(instance_type=name, zone=f"us-east-1{zone}") for name in TYPES for zone in "abc"
)


@cache
def worlds(name, n_seeds=8, days=7.0):
    span = TimeSpan(start_at=START, seconds=days * DAY)
    return [
        generate(seed=seed, family=FAMILIES[name], offerings=OFFERINGS, span=span)
        for seed in range(n_seeds)
    ]


def losses_per_node_hour(made, days=7.0):
    counts = [c for world in made for c in world.values()]
    hours = sum(c.node_hours(START, START + days * DAY) for c in counts)
    return sum(size for c in counts for _, size in c.falls()) / hours


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("calm", 0.0, 6e-4),
        ("normal", 7e-4, 5e-3),
        ("stressed", 1.5e-2, 6e-2),
        ("tracelike", 0.2, 1.3),
    ],
)
def test_a_week_of_eight_seeds_is_as_harsh_as_its_family(name, low, high):
    assert low <= losses_per_node_hour(worlds(name)) <= high


@pytest.mark.search
@pytest.mark.parametrize("name", FAMILIES)
def test_over_months_the_losses_are_those_that_a_family_stands_for(name):
    found = losses_per_node_hour(worlds(name, n_seeds=24, days=90.0), days=90.0)
    assert found == pytest.approx(TARGET_PER_HOUR[name], rel=0.35)


def correlation(pairs):
    found = []
    for world in worlds("tracelike", days=60.0):
        grids = {o: on_grid(c, START, 300.0, 60 * 288) for o, c in world.items()}
        found += [np.corrcoef(grids[a], grids[b])[0, 1] for a, b in pairs]
    return np.mean(found)


@pytest.mark.trial
def test_zones_of_a_region_run_short_together_and_other_families_hardly():
    pairs = list(combinations(OFFERINGS, 2))
    alike = [(a, b) for a, b in pairs if a.instance_type == b.instance_type]
    others = [(a, b) for a, b in pairs if a.family != b.family]
    assert 0.2 < correlation(alike) < 0.75
    assert 0.0 < correlation(others) < 0.2


def test_offerings_differ_and_so_do_seeds():
    counts = [c for world in worlds("tracelike", n_seeds=3) for c in world.values()]
    assert len({(c.times, c.values) for c in counts}) == len(counts)


def test_losses_leave_survivors_and_come_in_cascades():
    counts = [c for world in worlds("tracelike") for c in world.values()]
    assert {value for c in counts for value in c.values} >= {0, *range(3, 18), 20}
    falls = [
        (b - a, before, after)
        for c in counts
        for (a, b, before, after) in zip(
            c.times[:-1], c.times[1:], c.values[:-1], c.values[1:], strict=True
        )
        if after < before
    ]
    from_full = [after for _, before, after in falls if before == 20]
    further = [gap for gap, before, _ in falls if before < 20]
    assert 0.25 < sum(after == 0 for after in from_full) / len(from_full) < 0.35
    assert len(further) > 500
    assert 200.0 < np.median(further) < 500.0


def test_a_young_offering_is_lost_sooner_than_an_old_one():
    lives = [
        (b - a) / 3600.0
        for world in worlds("tracelike", days=60.0)
        for c in world.values()
        for a, b, value in zip(c.times[:-1], c.times[1:], c.values[:-1], strict=True)
        if value == 20
    ]
    young = sum(life < 0.5 for life in lives) / sum(min(life, 0.5) for life in lives)
    old = sum(life > 12 for life in lives) / sum(max(0.0, life - 12) for life in lives)
    assert 0.9 < young < 3.0
    assert 6 < young / old < 60


def test_an_offering_does_not_depend_on_which_others_are_asked_for():
    span = TimeSpan(start_at=START, seconds=3 * DAY)
    alone = generate(seed=3, family=TRACELIKE, offerings=OFFERINGS[:1], span=span)
    among = generate(seed=3, family=TRACELIKE, offerings=OFFERINGS[::-1], span=span)
    assert among[OFFERINGS[0]] == alone[OFFERINGS[0]]


@pytest.mark.parametrize("full", [1, 2, 50])
def test_there_are_never_more_than_the_full_number(full):
    span = TimeSpan(start_at=START, seconds=20 * DAY)
    made = generate(
        seed=1, family=TRACELIKE, offerings=OFFERINGS, span=span, full_count=full
    ).values()
    assert all(set(c.values) <= set(range(full + 1)) for c in made)
    assert all(c.times[0] == START and c.times[-1] < span.end_at for c in made)
    assert max(value for c in made for value in c.values) == full


def test_ninety_days_of_twelve_offerings_take_less_than_two_seconds():
    span = TimeSpan(start_at=START, seconds=90 * DAY)
    began = time.process_time()
    generate(seed=1, family=TRACELIKE, offerings=OFFERINGS, span=span)
    assert time.process_time() - began < 2.0


@pytest.mark.program
def test_same_seed_gives_the_same_counts_under_two_hash_seeds():
    def digest(seed, hash_seed):
        done = subprocess.run(
            [sys.executable, "-m", "tests.sim.market.count_digest", str(seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout

    assert digest(7, "1") == digest(7, "2") != digest(8, "1")


@given(
    st.lists(st.floats(0.01, 30.0), min_size=1, max_size=8),
    st.floats(0.001, 0.999),
)
def test_a_clock_tells_when_it_shows_what_it_shows(speeds, share):
    clock = ShortageClock(1000.0, speeds)
    at = 1000.0 + share * STEP_S * len(speeds)
    assert clock.when(clock.reading(at)) == pytest.approx(at, abs=1e-3)
    assert clock.reading(0.0) == 0.0
    assert clock.reading(1e9) == pytest.approx(sum(speeds) / 2.0)
    assert clock.when(0.0) == 1000.0
    assert clock.when(sum(speeds)) == float("inf")
