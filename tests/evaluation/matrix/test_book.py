"""Bills under a commitment, settings chosen, and STATIC put together by class."""

import pytest

from spotvortex.errors import ResultsError
from spotvortex.evaluation.matrix import rivals
from spotvortex.evaluation.matrix.book import RunBook, chosen_of, ours_of, static_of
from spotvortex.results.accounting import total_of
from tests.evaluation.matrix.small import OF, chosen_for, extent_of, run_of, specs_of

FAMILIES = ("calm",)
PLACES = [("bursty", 0), ("bursty", 1)]
PLAN = rivals.plan_usd_per_hour(OF, "bursty", "sp30")
FEE = PLAN * (1.0 - OF.plan_discount_ratio)


def book(cost):
    specs = specs_of(extent_of(families=FAMILIES), chosen_for(FAMILIES))
    return RunBook(OF, {key: cost(spec) for key, spec in specs.items()})


def test_a_plan_is_three_tenths_of_the_smallest_demand():
    night = rivals.plan_usd_per_hour(OF, "diurnal", "sp30")
    assert night == pytest.approx(PLAN / 2.0)
    assert pytest.approx(0.3 * 12 * (0.153 + 0.192 + 0.1728)) == PLAN
    assert rivals.plan_usd_per_hour(OF, "bursty", "none") == 0.0


@pytest.mark.parametrize("used", [0.0, PLAN / 2.0, PLAN, 3.0 * PLAN])
def test_every_hour_the_fee_is_due_and_on_demand_up_to_the_plan_is_paid_for(used):
    found = book(lambda spec: run_of(spec, 50.0, od_usd_per_hour=used))
    (one, _) = ours_of(found, "spotvortex", "calm", "sp30", PLACES)
    for day in one.days:
        assert day.node_usd == pytest.approx(50.0 + 24.0 * (FEE - min(used, PLAN)))
        assert day.all_on_demand_usd == 50.0
    (plain, _) = ours_of(found, "spotvortex", "calm", "none", PLACES)
    assert {day.node_usd for day in plain.days} == {50.0}


def test_the_setting_with_the_highest_net_profit_is_chosen():
    cheap = OF.rivals.k_under[2].name
    found = book(lambda spec: run_of(spec, 40.0 if spec.policy == cheap else 50.0))
    assert chosen_of(found, FAMILIES, PLACES)["calm", "K-under"] == cheap


def test_static_takes_the_best_share_of_each_class():
    best = {"batch": "STATIC-0pct", "web": "STATIC-50pct", "api": "STATIC-100pct"}
    found = book(lambda spec: run_of(spec, 10.0 if best.get(spec.pool) == spec.policy else 20.0))
    words, results = static_of(found, "calm", "none", PLACES)
    assert words == "batch 0 %, web 50 %, api 100 %"
    assert [total_of(r.days).node_usd for r in results] == [7 * 30.0] * 2


def test_static_uses_a_plan_that_floats_over_the_classes():
    """One class on on-demand costs nothing where the plan covers it, and two do not fit in."""

    def cost(spec):
        pinned = spec.policy == "STATIC-100pct"
        return run_of(spec, 24.0 * PLAN if pinned else 1.0, od_usd_per_hour=PLAN * pinned)

    words, results = static_of(book(cost), "calm", "sp30", PLACES)
    assert words.count("100 %") == 1
    assert results[0].days[0].node_usd == pytest.approx(2.0 + 24.0 * FEE)


def test_a_run_that_is_missing_is_named():
    with pytest.raises(ResultsError, match="calm/bursty/0//spotvortex/none/ was not run"):
        ours_of(RunBook(OF, {}), "spotvortex", "calm", "none", PLACES)
