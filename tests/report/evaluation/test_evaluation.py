"""An evaluation shows every family, also those that fail, in all its forms alike."""

import json
from dataclasses import replace

from rich.console import Console

from spotvortex.report.evaluation.evaluation import render, render_html, show
from spotvortex.results.verdict import POOLED, Evaluation, line_of_verdict
from tests.report.pages import assert_accessible, assert_stands_alone, cells, parsed
from tests.results.verdicts import OUTAGES, gain, row, verdict

NO_POWER = replace(OUTAGES, rival_minutes=0.0, policy_minutes=0.0, n_rival_hit=0)
CALM = row("calm", improvement_pct=gain(0.0, 0.1), profit_passes=False, outages=NO_POWER)
VOID = row("replay", improvement_pct=None, void_points=1.5, n_void=90, regret_closed_ratio=None)
MAIN = verdict(CALM, row("stressed"), VOID)
DEAR = verdict(costs=replace(MAIN.costs, ci=60.0), rival="B3 lazy", variant="boot-x2")
EVALUATION = Evaluation(main=MAIN, others=(DEAR,))


def screen(evaluation, width=150):
    console = Console(width=width, record=True, highlight=False)
    show(evaluation, console)
    return console.export_text()


def test_the_screen_begins_with_the_verdict_and_names_what_fails():
    lines = screen(EVALUATION, width=400).splitlines()
    assert lines[:2] == ["spotvortex evaluate", line_of_verdict(MAIN)]
    assert "FAIL in calm on profit" in lines[1]


def test_every_family_has_its_gate_its_interval_and_its_outages():
    page = render_html(EVALUATION)
    assert cells(page, "Net profit by family")[1:] == [
        ["calm", "FAIL", "90 of 90", "+0.0 [-0.1, +0.1]", "-0.2..+0.2", "+1.25", "0",
         "0.001 (0.002)", "+6.0", "40%"],
        ["stressed", "PASS", "90 of 90", "+2.4 [+1.9, +2.9]", "+1.4..+3.4", "+1.25", "0",
         "0.001 (0.002)", "+6.0", "40%"],
        ["replay", "PASS", "90 of 90", "void in all worlds, +1.50 points", "-", "+1.25", "90",
         "0.001 (0.002)", "+6.0", "-"],
        ["pooled", "PASS", "180 of 180", "+2.4 [+1.9, +2.9]", "+1.4..+3.4", "+1.25", "0",
         "0.001 (0.002)", "+6.0", "40%"],
    ]  # fmt: skip
    outages = cells(page, "Outage minutes by family")
    assert outages[1] == [
        "calm", "+0.0", "20/70/0", "0.0", "0.0", "4.0", "9.0", "no power: the rival had no outage"
    ]  # fmt: skip
    assert outages[2] == ["stressed", "+0.0", "20/70/0", "10.0", "25.0", "4.0", "9.0", ""]


def test_sensitivities_are_told_with_their_conditions():
    name = "The same question under other conditions, pooled"
    assert cells(render_html(EVALUATION), name)[1] == [
        "B3 lazy",
        "v 1.5, cm 3, ci 60, boot-x2",
        "PASS",
        "+2.4 [+1.9, +2.9]",
        "+1.25",
        "+0.0",
    ]
    assert "ci 60, boot-x2" in screen(EVALUATION)
    without = Evaluation(main=MAIN)
    assert "ensitivities" not in screen(without) + render_html(without)


def test_screen_and_page_have_the_same_figures():
    text = " ".join(screen(EVALUATION, width=400).split())
    for caption in ("Net profit by family", "Outage minutes by family"):
        for cell in (c for line in cells(render_html(EVALUATION), caption)[1:] for c in line):
            assert cell in text


def test_no_figure_is_cut_on_a_narrow_screen():
    assert "…" not in screen(EVALUATION, width=80)


def test_the_gate_the_settings_and_the_protocol_are_stated():
    for shown in (screen(EVALUATION, width=400), render_html(EVALUATION)):
        assert "median net profit +2 % or more" in shown
        assert "B3 is its best setting, B3-0min-10pct" in shown
        assert f"protocol {'ab' * 32}" in shown


def test_the_worst_world_is_noted():
    worse = replace(OUTAGES, n_more=1, worst_delta_minutes=2.5)
    broken = verdict(pooled=row(POOLED, outages=worse))
    pooled = cells(render_html(Evaluation(main=broken)), "Outage minutes by family")[-1]
    assert pooled[1] == "+2.5"
    assert pooled[-1] == "worst in stressed/steady seed 3"


def test_json_has_every_row_with_its_standing():
    document = json.loads(render(EVALUATION))
    told = document["verdict"]
    assert told["line"] == line_of_verdict(MAIN)
    assert not told["passes"]
    assert [(f["family"], f["standing"], f["has_power"]) for f in told["families"]] == [
        ("calm", "FAIL", False),
        ("stressed", "PASS", True),
        ("replay", "PASS", True),
    ]
    assert told["pooled"]["improvement_pct"]["interval"] == {"low": 1.9, "high": 2.9}
    assert document["sensitivities"][0]["costs"]["ci"] == 60.0


def test_the_page_stands_alone_and_is_accessible():
    page = render_html(EVALUATION)
    assert_stands_alone(page)
    assert_accessible(page)
    assert [t.text for t in parsed(page).iter("circle")] == [None] * 3


def test_where_every_ratio_is_void_nothing_is_drawn():
    void = verdict(VOID, pooled=replace(VOID, family=POOLED))
    assert not list(parsed(render_html(Evaluation(main=void))).iter("svg"))


def test_names_are_escaped():
    odd = verdict(row("<b>&"), policy="<i>", rival='"')
    page = render_html(Evaluation(main=odd))
    assert_stands_alone(page)
    assert parsed(page).findtext("head/title") == 'SpotVortex evaluation: <i> against "'
    assert "[red]" in screen(Evaluation(main=verdict(row("[red]"))))
