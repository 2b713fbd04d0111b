"""Statistics agree with values reckoned by hand, and intervals cover what they should."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.evaluation.statistics import (
    Panel,
    holm,
    median_interval_pct,
    ratios_pct,
    sign_test_p,
    spread_of,
)
from spotvortex.results.verdict import Interval, Spread


def panel(gain, base=None, seeds=None, shared_days=False):
    gains = np.asarray(gain, dtype=float)
    return Panel(
        gain_usd=gains,
        base_usd=np.full_like(gains, 100.0) if base is None else np.asarray(base, dtype=float),
        seeds=tuple(range(len(gains))) if seeds is None else seeds,
        shared_days=shared_days,
    )


def interval(panels, n_resamples=400, level=0.95, seed=1):
    return median_interval_pct(panels, np.random.default_rng(seed), n_resamples, level)


def test_a_worlds_ratio_is_taken_of_sums_and_not_of_days():
    assert ratios_pct(np.array([[1.0, 9.0]]), np.array([[100.0, 400.0]])) == pytest.approx([2.0])


def test_a_negative_base_keeps_the_gains_sign():
    assert ratios_pct(np.array([[5.0]]), np.array([[-50.0]])) == pytest.approx([10.0])


def test_without_any_base_there_is_no_interval():
    nothing = [panel([[1.0]], base=[[0.0]])]
    with pytest.raises(ValueError, match="no world has a base"):
        interval(nothing)


def test_equal_worlds_have_an_interval_without_width():
    assert interval([panel([[2.0, 2.0]] * 5)]) == Interval(low=2.0, high=2.0)


def test_the_same_generator_gives_the_same_interval_and_another_one_another():
    panels = [panel(np.random.default_rng(7).normal(size=(30, 7)))]
    assert interval(panels) == interval(panels)
    assert interval(panels, seed=2) != interval(panels)


def test_the_interval_of_two_worlds_is_that_of_their_four_equal_draws():
    found = interval([panel([[0.0], [1.0]])], n_resamples=2000, level=0.4)
    assert found == Interval(low=0.5, high=0.5)
    assert interval([panel([[0.0], [1.0]])], n_resamples=2000, level=0.6) == Interval(
        low=0.0, high=1.0
    )


def test_worlds_of_one_seed_are_drawn_together():
    together = interval([panel([[0.0], [0.0], [1.0], [1.0]], seeds=(1, 1, 2, 2))])
    assert together == Interval(low=0.0, high=1.0)


def test_more_worlds_of_the_same_seeds_make_the_interval_no_narrower():
    few = np.random.default_rng(3).normal(size=(9, 1))
    many = panel(np.repeat(few, 20, axis=0), seeds=tuple(np.repeat(range(9), 20)))
    assert interval([many]) == interval([panel(few)])


def test_a_seed_with_fewer_worlds_counts_with_those_it_has():
    found = interval([panel([[1.0], [1.0], [3.0]], seeds=(5, 5, 2))], n_resamples=900, level=0.9)
    assert found == Interval(low=1.0, high=3.0)


def test_shared_days_are_drawn_once_for_all_worlds_so_that_seeds_add_no_days():
    by_day = np.tile([[0.0, 6.0]], (200, 1))
    shared = interval([panel(by_day, shared_days=True)])
    own = interval([panel(by_day)])
    assert shared == Interval(low=0.0, high=6.0)
    assert (own.low, own.high) == (3.0, 3.0)


@pytest.mark.parametrize("shared_days", [False, True])
def test_ninety_of_a_hundred_intervals_or_so_hold_the_true_median(shared_days):
    n_trials, covered = 100, 0
    for trial in range(n_trials):
        rng = np.random.default_rng(trial)
        days = rng.normal(0.0, 2.0, size=7) if shared_days else np.zeros(7)
        gain = 1.5 + rng.normal(0.0, 1.0, size=(30, 1)) + rng.normal(0.0, 1.0, size=(30, 7)) + days
        found = interval([panel(gain, shared_days=shared_days)], 200, 0.9, seed=trial)
        covered += found.low <= 1.5 <= found.high
    assert 0.75 * n_trials <= covered <= 0.99 * n_trials


def test_seeds_alone_would_be_too_sure_where_days_are_shared():
    misses = 0
    for trial in range(50):
        rng = np.random.default_rng(trial)
        gain = 1.5 + rng.normal(0.0, 0.1, size=(30, 7)) + rng.normal(0.0, 2.0, size=7)
        found = interval([panel(gain)], 200, 0.9, seed=trial)
        misses += not found.low <= 1.5 <= found.high
    assert misses > 15


@pytest.mark.parametrize(
    "wrong",
    [
        {"gain": [[1.0]], "base": [[1.0, 2.0]]},
        {"gain": [1.0], "base": [1.0]},
        {"gain": [[1.0]], "seeds": ()},
        {"gain": [[1.0]], "seeds": (1, 2)},
        {"gain": [[]], "seeds": (1,)},
    ],
)
def test_a_panel_refuses_figures_that_do_not_belong_together(wrong):
    with pytest.raises(ValueError, match="worlds"):
        panel(**wrong)


@pytest.mark.parametrize(
    ("n_up", "n_down", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (8, 2, 112 / 1024), (3, 3, 1.0), (0, 30, 2**-29)],
)
def test_the_sign_test_is_exact(n_up, n_down, p):
    differences = [1.0] * n_up + [-2.0] * n_down + [0.0] * 4
    assert sign_test_p(differences) == pytest.approx(p, rel=1e-12)
    assert sign_test_p([-d for d in differences]) == sign_test_p(differences)


@given(st.lists(st.sampled_from([-1.0, 1.0]), min_size=1, max_size=10))
def test_the_sign_test_counts_all_outcomes_at_least_as_uneven(signs):
    outcomes = itertools.product([-1, 1], repeat=len(signs))
    uneven = abs(sum(signs))
    as_uneven = sum(abs(sum(outcome)) >= uneven for outcome in outcomes)
    assert sign_test_p(signs) == pytest.approx(as_uneven / 2 ** len(signs))


def test_holm_steps_down_from_the_smallest():
    assert holm((0.01, 0.04, 0.03, 0.005)) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm((0.6, 0.5)) == (1.0, 1.0)
    assert holm(()) == ()


@given(st.lists(st.floats(0.0, 1.0), max_size=6))
def test_holm_never_lowers_a_p_and_never_asks_more_than_bonferroni(p_values):
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, len(p_values) * p) + 1e-12


def test_a_spread_is_smallest_median_and_largest():
    assert spread_of([3.0, -1.0, 2.0, 8.0]) == Spread(low=-1.0, median=2.5, high=8.0)
    for wrong in ([], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="spread"):
            spread_of(wrong)
