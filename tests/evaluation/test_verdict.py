"""A verdict follows the protocol's gate, names where it fails, and never compares two worlds."""

from dataclasses import replace

import pytest

from spotvortex.errors import ResultsError
from spotvortex.evaluation.protocol import load
from spotvortex.evaluation.verdict import evaluate, judge, questions_of
from spotvortex.results.accounting import Costs
from spotvortex.results.verdict import GateStatus, Interval, Spread, line_of_verdict
from tests.evaluation.runs import B3, B3_SLOW, LAZY, but, everywhere, small_protocol

PROTOCOL = small_protocol()
QUESTION = next(questions_of(PROTOCOL, "rules"))
HIT = {"outage_minutes": 4.0}


def verdict_of(*results, question=QUESTION, protocol=PROTOCOL):
    return judge([r for part in results for r in part], protocol, question)


def ours(**given):
    return everywhere("rules", **{"node_usd": 36.0, "outage_minutes": 1.0} | given)


def rivals(policy=B3, **given):
    return everywhere(policy, **{"node_usd": 40.0} | HIT | given)


def test_a_policy_that_earns_enough_and_is_never_out_for_longer_passes():
    verdict = verdict_of(ours(), rivals())
    assert verdict.passes
    pooled = verdict.pooled
    four = pytest.approx(400.0 / 110.0)
    assert pooled.improvement_pct.spread == Spread(low=four, median=four, high=four)
    assert pooled.improvement_pct.interval == Interval(low=four, high=four)
    assert pooled.points.spread.median == pytest.approx(4.0)
    assert (pooled.n_worlds, pooled.n_expected, pooled.n_void) == (16, 16, 0)
    assert [(f.family, f.n_worlds, f.n_expected) for f in verdict.families] == [
        ("normal", 8, 8),
        ("replay", 8, 8),
    ]
    assert verdict.protocol_digest == PROTOCOL.digest


@pytest.mark.parametrize(
    ("node_usd", "standing"), [(37.81, GateStatus.FAIL), (37.79, GateStatus.PASS)]
)
def test_the_gate_is_two_percent_of_net_profit(node_usd, standing):
    assert verdict_of(ours(node_usd=node_usd), rivals()).pooled.standing is standing


def test_one_world_with_longer_outage_fails_its_family_and_the_whole():
    def one(r):
        return (r.family, r.mix, r.seed) == ("replay", "bursty", 2)

    verdict = verdict_of(but(ours(), one, outage_minutes=4.25), rivals())
    assert [f.standing for f in verdict.families] == [GateStatus.PASS, GateStatus.FAIL]
    outages = verdict.pooled.outages
    assert (outages.n_less, outages.n_equal, outages.n_more) == (15, 0, 1)
    assert (outages.worst_delta_minutes, outages.worst_world) == (0.5, "replay/bursty seed 2")
    assert (outages.policy_minutes, outages.rival_minutes) == (15 * 2.0 + 8.5, 16 * 8.0)
    assert not verdict.passes
    assert line_of_verdict(verdict).endswith("FAIL in replay on outage")


def test_equal_outage_passes_and_no_outage_at_all_has_no_power():
    equal = verdict_of(ours(**HIT), rivals()).pooled
    assert (equal.outage_passes, equal.outages.n_equal, equal.outages.has_power) == (True, 16, True)
    calm = verdict_of(ours(outage_minutes=0.0), rivals(outage_minutes=0.0)).pooled
    assert (calm.outage_passes, calm.outages.has_power) == (True, False)


def test_the_median_counts_and_not_the_mean():
    few = verdict_of(ours(node_usd=lambda seed: -500.0 if seed == 0 else 39.0), rivals())
    assert not few.pooled.profit_passes
    assert few.pooled.improvement_pct.spread.high > 400.0


def test_the_rival_is_its_best_setting_in_each_family():
    slow = but(rivals(B3_SLOW), lambda r: r.family == "replay", node_usd=39.0)
    slow = but(slow, lambda r: r.family == "normal", node_usd=41.0)
    verdict = verdict_of(ours(), rivals(), slow)
    assert [f.rivals for f in verdict.families] == [(B3,), (B3_SLOW,)]
    assert verdict.pooled.rivals == (B3, B3_SLOW)
    assert verdict.families[1].points.spread.median == pytest.approx(3.0)


def test_a_setting_that_was_not_run_everywhere_is_no_rival():
    better = everywhere(B3_SLOW, seeds=range(3), node_usd=30.0)
    assert verdict_of(ours(), rivals(), better).pooled.rivals == (B3,)
    with pytest.raises(ResultsError, match=r"no setting of B3 .* in which rules was run in normal"):
        verdict_of(ours(), better)


def test_other_constants_change_the_verdict_without_another_run():
    interrupted = rivals(interrupted_od_usd_per_minute=0.1)
    results = (ours(node_usd=40.0), interrupted)
    assert not verdict_of(*results).pooled.profit_passes
    dear = replace(QUESTION, costs=Costs(v=1.5, cm=3.0, ci=60.0))
    assert verdict_of(*results, question=dear).pooled.profit_passes


def test_where_the_rival_earns_nothing_points_decide():
    poor = rivals(node_usd=145.0)
    for node_usd, passes in ((144.1, False), (143.9, True)):
        pooled = verdict_of(ours(node_usd=node_usd), poor).pooled
        assert pooled.improvement_pct is None
        assert pooled.n_void == 16
        assert pooled.void_points == pytest.approx(145.0 - node_usd)
        assert pooled.profit_passes is passes


def test_void_worlds_are_judged_by_points_beside_the_others():
    def poor(r):
        return r.family == "replay"

    found = verdict_of(but(ours(), poor, node_usd=144.5), but(rivals(), poor, node_usd=145.0))
    assert found.pooled.n_void == 8
    assert found.pooled.improvement_pct.spread.median == pytest.approx(400.0 / 110.0)
    assert found.pooled.void_points == pytest.approx(0.5)
    assert [f.profit_passes for f in found.families] == [True, False]
    assert not found.pooled.profit_passes


def test_a_missing_world_or_family_makes_the_verdict_incomplete():
    some = verdict_of([r for r in ours() if r.seed], rivals())
    assert some.pooled.standing is GateStatus.INCOMPLETE
    normal = verdict_of(ours(families=("normal",)), rivals())
    assert normal.missing == ("replay",)
    assert (normal.families[0].standing, normal.pooled.standing) == (
        GateStatus.PASS,
        GateStatus.INCOMPLETE,
    )
    assert not normal.passes


def test_the_sign_test_counts_seeds_and_holm_corrects_for_families():
    verdict = verdict_of(ours(), rivals())
    assert [f.sign_p for f in verdict.families] == [2 / 16, 2 / 16]
    assert [f.holm_p for f in verdict.families] == [4 / 16, 4 / 16]
    assert verdict.pooled.sign_p == verdict.pooled.holm_p == 2 / 256


def test_headroom_and_regret_need_the_bound():
    assert verdict_of(ours(), rivals()).pooled.headroom_pct is None
    pooled = verdict_of(ours(), rivals(), everywhere("O1", node_usd=29.0)).pooled
    assert pooled.headroom_pct == pytest.approx(10.0)
    assert pooled.regret_closed_ratio == pytest.approx(4.0 / 11.0)
    poor = verdict_of(ours(), rivals(node_usd=145.0), everywhere("O1", node_usd=145.0)).pooled
    assert (poor.headroom_pct, poor.regret_closed_ratio) == (None, None)


def test_replayed_days_are_drawn_for_all_seeds_at_once_so_that_the_interval_is_wider():
    protocol = small_protocol(n_seeds=40)
    results = [
        [
            replace(r, days=(r.days[0], replace(r.days[1], node_usd=cost)))
            for r in everywhere(name, node_usd=40.0, seeds=range(40))
        ]
        for name, cost in (("rules", 30.0), (B3, 40.0))
    ]
    normal, replay = (f.points.interval for f in verdict_of(*results, protocol=protocol).families)
    assert (replay.low, replay.high) == (pytest.approx(0.0), pytest.approx(10.0))
    assert replay.high - replay.low > normal.high - normal.low


def test_the_same_results_in_another_order_give_the_same_verdict():
    results = ours(node_usd=lambda seed: 36.0 + seed) + rivals()
    assert judge(results[::-1], PROTOCOL, QUESTION) == judge(results, PROTOCOL, QUESTION)


def test_sensitivities_are_judged_where_they_were_run():
    changed = [everywhere(name, variant="boot-x2") for name in ("rules", B3)]
    evaluation = evaluate(
        [r for part in (ours(), rivals(), rivals(LAZY), *changed) for r in part], PROTOCOL, "rules"
    )
    assert evaluation.main == verdict_of(ours(), rivals())
    assert [(v.rival, v.costs.ci, v.variant) for v in evaluation.others] == [
        ("B3", 5.0, ""),
        ("B3", 60.0, ""),
        ("B3", 15.0, "boot-x2"),
        ("B3 lazy", 15.0, ""),
    ]
    assert len(list(questions_of(load(), "rules"))) == 1 + 2 + 5 + 1


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ([], "rules was not run; run it"),
        (ours() + ours(), "rules in normal/steady seed 0 is there twice"),
        (ours(families=("calm",)), "the protocol has no family calm; it has normal, replay"),
        ([replace(ours()[0], mix="web")], "the protocol has no mix web; it has steady, bursty"),
        (ours(days=3), "has 3 days, the protocol 2; run it again"),
        (ours(all_on_demand_usd=0.0), "all on-demand costs nothing"),
        (ours(demanded_od_usd=99.0) + rivals(), "differ in days or demand"),
        (ours() + rivals() + everywhere("O1", day=7), "rules in .* and O1 differ in days"),
    ],
)
def test_results_that_do_not_belong_together_are_refused(results, words):
    with pytest.raises(ResultsError, match=words):
        judge(results, PROTOCOL, QUESTION)


def test_an_error_names_the_variant():
    question = replace(QUESTION, variant="boot-x2")
    with pytest.raises(ResultsError, match="rules was not run in worlds of boot-x2"):
        verdict_of(ours(), rivals(), question=question)
    with pytest.raises(ResultsError, match=r"seed 0 \(boot-x2\) is there twice"):
        verdict_of(2 * ours(variant="boot-x2"), question=question)
