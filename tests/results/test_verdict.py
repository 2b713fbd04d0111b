"""A pass needs every condition in every family and every world, and one line says so."""

from dataclasses import replace

import pytest

from spotvortex.results.verdict import (
    POOLED,
    Evaluation,
    GateStatus,
    conditions_of,
    improvement_words,
    line_of_verdict,
    signed,
)
from tests.results.verdicts import OUTAGES, row, verdict

NO_PROFIT = {"profit_passes": False}
NO_OUTAGE = {"outage_passes": False}


@pytest.mark.parametrize(
    ("given", "standing", "failed_on"),
    [
        ({}, GateStatus.PASS, ()),
        (NO_PROFIT, GateStatus.FAIL, ("profit",)),
        (NO_OUTAGE, GateStatus.FAIL, ("outage",)),
        (NO_PROFIT | NO_OUTAGE, GateStatus.FAIL, ("profit", "outage")),
        ({"n_worlds": 89}, GateStatus.INCOMPLETE, ()),
        (NO_OUTAGE | {"n_worlds": 89}, GateStatus.FAIL, ("outage",)),
    ],
)
def test_a_family_passes_only_with_both_conditions_and_all_worlds(given, standing, failed_on):
    judged = row("calm", **given)
    assert (judged.standing, judged.failed_on) == (standing, failed_on)


def test_the_whole_passes_only_where_every_row_does_and_no_family_is_missing():
    assert verdict().passes
    assert not verdict(row("calm", **NO_PROFIT), row("normal")).passes
    assert not verdict(pooled=row(POOLED, **NO_OUTAGE)).passes
    assert not verdict(missing=("replay",)).passes
    assert not verdict(row("calm", n_worlds=1)).passes


def test_the_line_says_everything_that_the_gate_asks_for():
    assert line_of_verdict(verdict()) == (
        "rules against B3 (v 1.5, cm 3, ci 15): PASS pooled: "
        "net profit +2.4 % [+1.9, +2.9], needs +2 %, +1.25 points of on-demand cost, "
        "worst outage delta +0.0 min, 0 of 180 worlds worse"
    )


def test_the_line_names_every_family_that_does_not_pass():
    told = verdict(
        row("calm", **NO_PROFIT),
        row("normal", **NO_PROFIT, **NO_OUTAGE),
        row("stressed"),
        row("replay", n_worlds=60),
        missing=("tracelike",),
        variant="boot-x2",
    )
    _, *rest = line_of_verdict(told).split("; ")
    assert rest == [
        "FAIL in calm on profit",
        "FAIL in normal on profit and outage",
        "INCOMPLETE in replay: 60 of 90 worlds",
        "not run: tracelike",
    ]
    assert conditions_of(told) == "v 1.5, cm 3, ci 15, boot-x2"


def test_without_any_outage_of_the_rival_the_line_says_that_the_test_has_no_power():
    nothing = replace(OUTAGES, n_rival_hit=0)
    line = line_of_verdict(verdict(pooled=row(POOLED, outages=nothing)))
    assert line.endswith("90 worlds worse, no power")
    assert not nothing.has_power
    assert OUTAGES.has_power


def test_where_every_ratio_is_void_the_points_are_told():
    void = row("stressed", improvement_pct=None, void_points=1.5, n_void=90)
    assert improvement_words(void) == "void in all worlds, +1.50 points"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (-0.04, "+0.0"), (-0.06, "-0.1"), (0.0, "+0.0"), (2.0, "+2.0")]
)
def test_figures_have_a_sign_and_zero_is_not_negative(value, text):
    assert signed(value) == text


def test_an_evaluation_is_the_verdict_and_the_same_question_under_other_constants():
    assert Evaluation(main=verdict()).others == ()
