"""Past predictions are judged by what came; a graph that is off is told from one that is not."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.cloud.signals import BANDS
from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.calibration.live import (
    DECAY_HOURS,
    HORIZONS_MINUTES,
    JUDGED_AFTER_S,
    MAX_PENDING,
    NO_CALIBRATION,
    Calibration,
    CalibrationTally,
    Prediction,
    TallyKey,
    followed,
    has_drifted,
    interrupted,
    joined,
    noted,
)
from spotvortex.core.scoring.calibration.rows import rows_of
from spotvortex.core.scoring.calibration.text import from_lines, to_lines
from tests.core.builders import AT, WEB_A, WEB_B

HELD = frozenset({WEB_A, WEB_B})
NOBODY = frozenset()
END = AT + JUDGED_AFTER_S


def said(offering=WEB_A, at=AT, band=None, memory=(0.1, 0.2), graph=(0.3, 0.5)):
    both = {Predictor.MEMORY: memory, Predictor.GRAPH: graph}
    return Prediction(at=at, offering=offering, band=band, said=both)


ONE = said()


def judged(*events, of=(ONE,), end=END):
    """Follow predictions through (time, lost, held), and judge them at the end."""
    calibration = noted(NO_CALIBRATION, of)
    for at, lost, held in events:
        calibration = followed(calibration, at, frozenset(lost), frozenset(held))
    return followed(calibration, end, NOBODY, HELD)


def tally(calibration, predictor=Predictor.GRAPH, minutes=60):
    return calibration.pooled(predictor, minutes)


@pytest.mark.parametrize(
    ("lost_after_s", "came"),
    [(1800.0, (1, 1)), (3600.0, (1, 1)), (3601.0, (0, 1)), (7201.0, (0, 0))],
)
def test_a_loss_counts_within_its_horizon_and_not_after_it(lost_after_s, came):
    found = judged((AT + lost_after_s, {WEB_A}, HELD), end=max(END, AT + lost_after_s))
    assert (tally(found).lost, tally(found, minutes=120).lost) == came
    assert tally(found).n == tally(found, minutes=120).n == 1.0


def test_what_was_said_is_summed_beside_what_came_and_the_memorys_error():
    found = judged((AT + 60.0, {WEB_A}, HELD))
    assert tally(found) == CalibrationTally(
        n=1.0, predicted=0.3, lost=1.0, squared=0.7**2, squared_memory=0.9**2
    )
    assert tally(found).brier == pytest.approx(0.49)
    assert tally(found).observed_ratio == pytest.approx(1.0 / 0.3)
    assert found.pending == ()


def test_an_offering_that_left_tells_only_of_the_time_that_it_was_held():
    found = judged((AT + 5400.0, NOBODY, {WEB_B}))
    assert tally(found).n == 1.0
    assert tally(found, minutes=120).n == 0.0


def test_one_that_was_lost_as_a_whole_came_true_though_it_is_not_held_any_more():
    found = judged((AT + 60.0, {WEB_A}, {WEB_B}))
    assert (tally(found).lost, tally(found, minutes=120).lost) == (1.0, 1.0)


@pytest.mark.parametrize(("left_after_s", "n"), [(3599.0, 0.0), (3600.0, 1.0)])
def test_an_offering_that_left_at_the_end_of_a_horizon_was_held_throughout(left_after_s, n):
    found = judged((AT + left_after_s, NOBODY, {WEB_B}))
    assert tally(found).n == n


def test_of_several_losses_and_departures_the_first_of_each_counts():
    lost = judged((AT + 60.0, {WEB_A}, HELD), (AT + 5000.0, {WEB_A}, HELD))
    assert tally(lost).lost == 1.0
    left = judged((AT + 60.0, NOBODY, {WEB_B}), (AT + 5000.0, NOBODY, {WEB_B}))
    assert tally(left).n == 0.0
    other = judged((AT + 60.0, {WEB_B}, {WEB_A}))
    assert (tally(other).n, tally(other).lost) == (1.0, 0.0)


def test_before_anything_was_judged_there_is_no_error_and_no_ratio():
    assert (CalibrationTally().brier, CalibrationTally().observed_ratio) == (None, None)
    some = CalibrationTally(n=0.5, predicted=0.5, squared=0.25, lost=0.25)
    assert (some.brier, some.observed_ratio) == (0.5, 0.5)


def test_what_is_due_is_judged_and_what_is_not_stays_pending():
    found = judged(of=(ONE, said(at=AT + 1.0)))
    assert tally(found).n == 1.0
    assert [one.at for one in found.pending] == [AT + 1.0]
    assert found.at == END


def test_nothing_is_judged_before_its_time_nor_over_a_gap():
    early = judged(end=END - 1.0)
    assert early.tallies == {}
    assert interrupted(early).pending == ()


def test_where_the_memory_was_not_asked_nothing_is_judged():
    alone = Prediction(at=AT, offering=WEB_A, band=0, said={Predictor.GRAPH: (0.1, 0.2)})
    assert judged(of=(alone,)).tallies == {}


def test_what_is_kept_is_bounded():
    many = [said()] * (MAX_PENDING + 5)
    assert len(noted(NO_CALIBRATION, many).pending) == MAX_PENDING


def test_what_was_judged_fades_with_a_week():
    first = judged()
    later = followed(noted(first, [said(at=END)]), END + DECAY_HOURS * 3600.0, NOBODY, HELD)
    assert tally(later).n == pytest.approx(1.0 + math.exp(-1.0))


def test_a_clock_that_goes_back_fades_nothing():
    first = judged()
    back = followed(noted(first, [said(at=AT - 9000.0)]), END - 600.0, NOBODY, HELD)
    assert tally(back).n == 2.0
    whole = joined(first, first, END - 600.0)
    assert (whole.at, tally(whole).n) == (END, 2.0)


def test_bands_are_kept_apart_and_shown_together():
    found = judged(of=(said(band=4), said(WEB_B)))
    words = [(r.model, r.band, r.minutes) for r in rows_of(found)]
    assert words[:3] == [("memory", "unstated", 60), ("memory", ">20%", 60), ("memory", "all", 60)]
    assert len(words) == 12


def graph_with(n, predicted, lost, squared, squared_memory, *, drifted=False):
    key = TallyKey(Predictor.GRAPH, None, 60)
    sums = CalibrationTally(
        n=n, predicted=predicted, lost=lost, squared=squared, squared_memory=squared_memory
    )
    return Calibration(tallies={key: sums}, at=AT, drifted=drifted)


@pytest.mark.parametrize(
    ("figures", "drifted"),
    [
        ((600.0, 40.0, 40.0, 11.1, 10.0), True),  # worse than the memory by more than a tenth
        ((600.0, 40.0, 40.0, 22.0, 20.0), False),
        ((599.0, 40.0, 40.0, 20.0, 10.0), False),  # too few predictions
        ((600.0, 20.0, 29.0, 20.0, 10.0), False),  # too few losses
        ((600.0, 20.0, 30.0, 20.0, 10.0), True),
        ((600.0, 30.0, 20.0, 20.0, 10.0), True),  # predicted to be counts as well
        ((600.0, 10.0, 30.0, 10.5, 10.0), False),  # just three times as much
        ((600.0, 99.0, 33.0, 10.5, 10.0), False),  # just a third
        ((600.0, 10.0, 31.0, 10.0, 10.0), False),  # the memory is as far off
        ((600.0, 10.0, 31.0, 10.5, 10.0), True),  # three times as much was lost as it said
        ((600.0, 100.0, 33.0, 10.5, 10.0), True),
        ((600.0, 10.0, 31.0, 9.9, 10.0), False),  # as far off, and the memory is further
    ],
)
def test_a_graph_has_drifted_only_by_enough_evidence_that_the_memory_is_better(figures, drifted):
    assert has_drifted(graph_with(*figures)) is drifted


def test_one_horizon_at_which_it_is_off_is_enough():
    sums = CalibrationTally(n=600.0, predicted=40.0, lost=40.0, squared=20.0, squared_memory=10.0)
    for minutes in (60, 120):
        key = TallyKey(Predictor.GRAPH, None, minutes)
        assert has_drifted(Calibration(tallies={key: sums}, at=AT))
        other = TallyKey(Predictor.NETWORK, None, minutes)
        assert not has_drifted(Calibration(tallies={other: sums}, at=AT))


def test_it_drifts_when_what_is_judged_says_so_and_stays_so_through_a_restart():
    off = graph_with(700.0, 40.0, 40.0, 20.0, 10.0)
    now = AT + JUDGED_AFTER_S
    assert followed(noted(off, [ONE]), now, NOBODY, HELD).drifted
    near = graph_with(600.0, 40.0, 40.0, 10.5, 10.0)
    assert not joined(near, NO_CALIBRATION, AT).drifted
    assert joined(replace(near, drifted=True), NO_CALIBRATION, AT).drifted
    assert joined(near, Calibration(drifted=True, at=AT), AT).drifted


@pytest.mark.parametrize(
    ("figures", "drifted"),
    [
        ((600.0, 40.0, 40.0, 10.3, 10.0), True),
        ((600.0, 40.0, 40.0, 10.2, 10.0), False),
        ((600.0, 15.0, 31.0, 9.0, 10.0), True),
        ((600.0, 20.0, 31.0, 9.0, 10.0), False),
    ],
)
def test_it_is_back_only_when_it_is_clearly_better(figures, drifted):
    assert has_drifted(graph_with(*figures, drifted=True)) is drifted


def test_what_was_judged_is_read_back_and_what_is_pending_is_not():
    found = replace(judged(of=(said(band=2), said(WEB_B))), pending=(said(),), drifted=True)
    assert from_lines(to_lines(found)) == replace(found, pending=())
    assert from_lines([]) == NO_CALIBRATION


@pytest.mark.parametrize(
    "line",
    [
        "calibration graph - 60 1 2 3",
        "calibration nobody - 60 1 2 3 4 5 6",
        "calibration graph 9 60 1 2 3 4 5 6",
        "calibration graph - 61 1 2 3 4 5 6",
        "calibration graph - 60 1 2 nan 4 5 6",
        "calibration graph - 60 1 2 inf 4 5 6",
        "calibration graph - 60 1 2 -1 4 5 6",
        "calibration graph 5 60 1 2 3 4 5 6",
        "calibration graph - 60 1 2 3 4 5 6 7",
    ],
)
def test_a_line_that_cannot_be_read_is_refused(line):
    with pytest.raises(ValueError, match=r"."):
        from_lines([line])


def test_every_line_that_there_can_be_is_read_back_and_one_more_is_refused():
    keys = [
        TallyKey(predictor, band, minutes)
        for predictor in Predictor
        for band in (None, *range(len(BANDS)))
        for minutes in HORIZONS_MINUTES
    ]
    sums = CalibrationTally(n=1.0, predicted=0.0, lost=1.0, squared=0.5, squared_memory=0.25)
    full = Calibration(tallies=dict.fromkeys(keys, sums), at=AT, drifted=True)
    lines = to_lines(full)
    assert lines == [*sorted(lines[:-1]), "calibration drifted"]
    assert from_lines(lines) == full
    assert from_lines(lines[:-1]) == replace(full, drifted=False)
    with pytest.raises(ValueError, match=f"more than {len(lines)} lines"):
        from_lines([*lines, lines[0]])


def test_lines_of_several_times_are_as_new_as_the_newest():
    lines = [f"calibration graph - {m} 1 2 3 4 5 {at}" for m, at in ((60, 7.0), (120, 6.0))]
    assert from_lines(lines).at == 7.0


@given(st.lists(st.tuples(st.floats(0.0, 7200.0), st.booleans()), max_size=20))
def test_joining_two_halves_is_as_having_judged_both(events):
    rows = [(said(memory=(p / 7200.0, 0.5)), lost) for p, lost in events]
    halves = [
        judged(
            *([(AT + 60.0, {WEB_A}, HELD)] if came else []),
            of=[r for r, lost in rows if lost == came],
        )
        for came in (True, False)
    ]
    whole = joined(halves[0], halves[1], END)
    assert tally(whole).n == pytest.approx(len(rows))
    assert tally(whole).lost == pytest.approx(sum(lost for _, lost in rows))
