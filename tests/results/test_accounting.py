"""A run's money follows the protocol's formulas, and a line holds a result exactly."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.record.codec import CodecError, decode, encode
from spotvortex.results.accounting import (
    DayTotals,
    RunResult,
    gain_points,
    is_void,
    net_profit_improvement_pct,
    net_profit_usd,
    outage_delta_minutes,
    regret_closed_ratio,
    savings_ratio,
    spot_ratio,
    total_cost_usd,
    total_of,
)
from tests.results.accounts import COSTS, day, run

PRICY = {"moved_od_usd_per_minute": 1.0, "interrupted_od_usd_per_minute": 0.4}


def test_total_cost_is_nodes_moves_interruptions_and_unserved_demand():
    totals = day(unserved_od_usd=2.0, **PRICY)
    assert total_cost_usd(totals, COSTS) == pytest.approx(40.0 + 3.0 + 6.0 + 3.0)
    assert net_profit_usd(totals, COSTS) == pytest.approx(150.0 - 52.0)


@pytest.mark.parametrize(("ci", "cost"), [(5.0, 45.0), (15.0, 49.0), (60.0, 67.0)])
def test_another_cost_of_an_interruption_needs_no_new_run(ci, cost):
    assert total_cost_usd(day(**PRICY), replace(COSTS, ci=ci)) == pytest.approx(cost)


def test_improvement_is_measured_against_the_rivals_net_profit():
    policy, rival = day(node_usd=38.0), day(node_usd=50.0)
    assert net_profit_improvement_pct(policy, rival, COSTS) == pytest.approx(12.0)
    assert gain_points(policy, rival, COSTS) == pytest.approx(12.0)
    assert net_profit_improvement_pct(rival, policy, COSTS) == pytest.approx(-1200.0 / 112.0)


@pytest.mark.parametrize(
    ("node_usd", "void"), [(139.9, False), (140.0, False), (140.1, True), (200.0, True)]
)
def test_the_ratio_is_void_where_the_rival_earns_next_to_nothing(node_usd, void):
    rival = day(node_usd=node_usd)
    assert is_void(rival, COSTS, 0.1) is void
    assert (net_profit_improvement_pct(day(), rival, COSTS) is None) is void


def test_a_rival_that_earns_nothing_at_all_gives_no_ratio_whatever_the_rule():
    assert net_profit_improvement_pct(day(), day(node_usd=150.0), COSTS, 0.0) is None


def test_figures_without_meaning_are_none():
    nothing = day(all_on_demand_usd=0.0, node_minutes=0.0)
    assert gain_points(day(), nothing, COSTS) is None
    assert savings_ratio(nothing) is None
    assert spot_ratio(nothing) is None
    assert regret_closed_ratio(day(), day(), day(), COSTS) is None


def test_shares_of_savings_spot_and_regret():
    assert savings_ratio(day()) == pytest.approx(0.6)
    assert spot_ratio(day()) == pytest.approx(0.75)
    best, rival = day(node_usd=30.0), day(node_usd=50.0)
    assert regret_closed_ratio(day(node_usd=45.0), rival, best, COSTS) == pytest.approx(0.25)
    assert regret_closed_ratio(day(node_usd=55.0), rival, best, COSTS) == pytest.approx(-0.25)


def test_outage_delta_is_above_zero_where_the_policy_is_worse():
    assert outage_delta_minutes(day(outage_minutes=3.0), day(outage_minutes=1.0)) == 2.0


def test_days_add_up_and_keep_the_first_number():
    total = total_of((day(3, n_moved=2, outage_minutes=1.5), day(4, n_moved=1)))
    assert total == day(
        3,
        node_usd=80.0,
        demanded_od_usd=200.0,
        all_on_demand_usd=200.0,
        n_moved=3,
        outage_minutes=1.5,
        node_minutes=2880.0,
        spot_node_minutes=2160.0,
    )


def test_a_run_without_days_has_no_total():
    with pytest.raises(ValueError, match="without days"):
        total_of(())


def test_runs_of_one_world_are_told_by_family_mix_seed_and_variant():
    assert run("B3", seed=4).world == run("O1", seed=4).world == ("normal", "steady", 4, "")
    assert run("B3", variant="boot-x2").world != run("B3").world


_KINDS = {int: st.integers(0, 10**12), float: st.floats(allow_nan=False, allow_infinity=False)}
_DAYS = st.builds(
    DayTotals,
    day=_KINDS[int],
    **{
        name: _KINDS[int if name.startswith("n_") else float]
        for name in DayTotals.__dataclass_fields__
        if name != "day"
    },
)


@given(
    result=st.builds(
        RunResult,
        family=st.text(),
        mix=st.text(),
        seed=st.integers(),
        policy=st.text(),
        days=st.lists(_DAYS, max_size=3).map(tuple),
        digest=st.text(),
        variant=st.text(),
    )
)
def test_a_result_written_and_read_back_is_the_very_same(result):
    text = json.dumps(encode(result), allow_nan=False)
    assert decode(RunResult, json.loads(text)) == result


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ('"n_moved":0', '"n_moved":0.5', r"days\[0\].n_moved: int"),
        ('"node_usd":40.0', '"node_usd":NaN', r"days\[0\].node_usd: a finite number"),
        ('"seed":0', '"seed":null', "seed: int is expected"),
    ],
)
def test_a_bad_result_is_told_by_its_field(good, bad, words):
    text = json.dumps(encode(run("B3")), separators=(",", ":")).replace(good, bad)
    with pytest.raises(CodecError, match=words):
        decode(RunResult, json.loads(text))


def test_a_result_without_variant_is_refused_like_any_missing_field():
    data = encode(run("B3"))
    del data["variant"]
    with pytest.raises(CodecError, match="exactly the fields"):
        decode(RunResult, data)
