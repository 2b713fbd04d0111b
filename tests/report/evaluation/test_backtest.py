"""A backtest shows the same figures on the screen, in JSON and on a page that stands alone."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from spotvortex.errors import ResultsError
from spotvortex.report.evaluation.backtest import Backtest, figures_of, render, render_html, show
from spotvortex.results.timeline import EventKind, Hour, RunAccount, TimelineEvent
from tests.report.pages import assert_accessible, assert_stands_alone, cells, parsed
from tests.results.accounts import COSTS, run

FIGURES = {
    "node_usd": 1234.5,
    "all_on_demand_usd": 4000.0,
    "n_interrupted": 7,
    "interrupted_od_usd_per_minute": 0.1,
    "n_moved": 11,
    "moved_od_usd_per_minute": 0.2,
    "outage_minutes": 2.25,
    "unserved_node_minutes": 3.5,
    "unserved_od_usd": 1.0,
}


def account(policy, hours=48, n_events=5, **given):
    return RunAccount(
        result=run(policy, **given),
        hours=tuple(
            Hour(at_h=float(h), cost_usd_per_hour=2.0 + h % 5, spot_ratio=0.5, n_nodes=20)
            for h in range(hours)
        ),
        events=tuple(
            TimelineEvent(at_h=i / 10.0, kind=kind, n=2)
            for i in range(n_events)
            for kind in EventKind
        ),
    )


def backtest(*accounts):
    return Backtest(accounts=accounts or (account("rules", **FIGURES), account("B3")), costs=COSTS)


def screen(shown, width=110):
    console = Console(width=width, record=True, highlight=False)
    show(shown, console)
    return console.export_text()


def test_figures_are_summed_over_days():
    one, _ = figures_of(backtest())
    assert (one.node_usd, one.n_interrupted, one.n_moved) == (2469.0, 14, 22)
    assert one.savings_ratio == pytest.approx(1.0 - 2469.0 / 8000.0)
    assert one.total_usd == pytest.approx(2469.0 + 3.0 * 0.4 + 15.0 * 0.2 + 1.5 * 2.0)
    assert one.net_profit_usd == pytest.approx(300.0 - one.total_usd)
    assert dict(one.n_events) == dict.fromkeys(EventKind, 10)


ROW = ["rules", "2,469.00", "69.1%", "2,476.20", "75.0%", "14", "22", "4.5", "7.0"]


def test_the_screen_has_policies_side_by_side():
    lines = screen(backtest()).splitlines()
    assert lines[0] == "spotvortex backtest   normal/steady seed 0 · 2 days"
    (row,) = [line.split() for line in lines if line.startswith("rules")]
    assert row == ROW
    assert any(line.startswith("B3 ") for line in lines)
    assert "3 on-demand minutes for a move, 15 for a node" in " ".join(lines)


def test_eighty_columns_are_enough_for_every_policy():
    names = [f"B3-10min-{i}pct" for i in range(10, 22)]
    lines = screen(backtest(*(account(name, **FIGURES) for name in names)), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines if line.startswith("B3")] == [
        [name, *ROW[1:]] for name in names
    ]


def test_no_figure_is_cut_on_a_narrow_screen():
    text = screen(backtest(account("rules", **FIGURES | {"node_usd": 123456789.0})), width=40)
    assert "…" not in text


def test_json_has_the_same_figures_and_all_hours_and_events():
    document = json.loads(render(backtest()))
    assert document["world"] == "normal/steady seed 0"
    assert document["figures"][0]["node_usd"] == 2469.0
    assert [len(a["hours"]) for a in document["accounts"]] == [48, 48]
    assert document["accounts"][0]["events"][0] == {
        "at_h": 0.0,
        "detail": "",
        "kind": "interruption",
        "n": 2,
    }


def test_the_page_shows_the_figures_of_the_screen():
    page = render_html(backtest())
    assert cells(page, "Policies side by side")[1] == ROW
    assert cells(page, "Cost of nodes by day, USD") == [
        ["day", "rules", "B3"],
        ["0", "1,234.50", "40.00"],
        ["1", "1,234.50", "40.00"],
    ]
    assert cells(page, "Events by kind")[1] == ["rules", "10", "10", "10"]
    assert [svg.findtext("title") for svg in parsed(page).iter("svg")] == [
        "Cost of nodes over time",
        "Share of nodes on Spot",
        "Events over time",
    ]


def test_a_policy_has_one_colour_in_all_drawings():
    cost, _, events = parsed(render_html(backtest())).iter("svg")
    lines = [e.get("class")[-1] for e in cost.iter("polyline")]
    bars = [e.get("class")[-1] for e in events.iter("rect")]
    assert lines == ["0", "1"]
    assert bars == sorted(bars)
    assert set(bars) == {"0", "1"}


def test_the_page_stands_alone_and_is_accessible():
    page = render_html(backtest())
    assert_stands_alone(page)
    assert_accessible(page)


def test_names_are_escaped():
    odd = "<script>alert(1)</script>&\"'\x00"
    page = render_html(backtest(account(odd)))
    assert_stands_alone(page)
    assert cells(page, "Policies side by side")[1][0] == odd.replace("\x00", "?")
    assert "[bold]x[/bold]" in screen(backtest(account("[bold]x[/bold]")))


def test_the_page_of_a_long_run_is_small():
    longest = [account(f"p{i}", hours=8760, n_events=20_000, days=365) for i in range(3)]
    assert len(render_html(backtest(*longest))) < 300_000


def test_without_hours_and_events_there_are_tables_only():
    page = render_html(backtest(account("rules", hours=0, n_events=0)))
    assert not list(parsed(page).iter("svg"))
    assert_accessible(page)


def test_figures_without_meaning_are_a_dash():
    nothing = backtest(account("rules", all_on_demand_usd=0.0, node_minutes=0.0))
    assert cells(render_html(nothing), "Policies side by side")[1][2] == "-"


def test_a_variant_is_part_of_the_worlds_name():
    assert backtest(account("B3", variant="boot-x2")).world == "normal/steady seed 0, boot-x2"


def test_accounts_of_different_worlds_are_refused():
    other = replace(account("B3"), result=run("B3", seed=1))
    with pytest.raises(ResultsError, match="these are of 2"):
        backtest(account("rules"), other)
    with pytest.raises(ResultsError, match="these are of 0"):
        Backtest(accounts=(), costs=COSTS)
