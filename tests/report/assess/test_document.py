"""The JSON output holds every figure of the screen, and only what JSON knows."""

import pytest

from spotvortex.core.domain.market import SpotQuote
from spotvortex.report.document import plain
from tests.core.builders import WEB_A, market, observation, pool, quote
from tests.report.reports import document, report, screen

POOLS = (pool("web"), pool("api", n_spot=0, n_on_demand=3), pool("jobs", n_on_demand=0))


def test_the_document_and_the_screen_agree_on_totals():
    made = report(*POOLS)
    found, text = document(made), "\n".join(screen(made))
    t = found["totals"]
    assert t["n_nodes"] == 15
    assert f"{t['n_nodes']} nodes ({t['n_spot']} spot, {t['n_on_demand']} on-demand)" in text
    assert f"{t['n_pools']} pools ({t['n_mixed_pools']} mixed)" in text
    cost = f"${t['cost_usd_per_hour']:,.2f}/h at list price for {t['priced_nodes']} of"
    assert f"{cost} {t['n_nodes']} nodes" in text
    low, high = found["saving_usd_per_hour"]
    free = sum(o["n_free"] for o in found["on_demand"])
    total = sum(o["n_nodes"] for o in found["on_demand"])
    assert f"{free} of {total} nodes   ${low:.2f} .. {high:,.2f}/h" in text


def test_totals_are_the_sums_of_the_groups_and_pools():
    found = document(report(*POOLS))
    groups = found["groups"]
    assert sum(g["n_nodes"] for g in groups) == found["totals"]["n_nodes"]
    cost = sum(g["n_nodes"] * g["price_usd_per_hour"] for g in groups)
    assert cost == pytest.approx(found["totals"]["cost_usd_per_hour"])
    savings = sum(o["saving_usd_per_hour"] for o in found["on_demand"])
    assert found["saving_usd_per_hour"] == [0.0, pytest.approx(savings)]


def test_every_decision_is_there_and_in_words_as_on_the_screen():
    made = report(*POOLS)
    found, text = document(made), "\n".join(screen(made, width=400))
    assert [d["basis"]["pool"]["pool"] for d in found["decisions"]] == ["api", "jobs", "web"]
    for decision in found["decisions"]:
        assert decision["action"] in text
        assert decision["in_words"] in text


def test_what_is_unknown_or_infinite_is_null():
    quotes = market(quote(WEB_A, spot_usd_per_hour=None))
    found = document(report(observed=observation(pool(), market=quotes)))
    spot_groups = [g for g in found["groups"] if g["capacity_type"] == "spot"]
    assert {g["price_usd_per_hour"] for g in spot_groups} == {None}
    assert plain(SpotQuote(offering=WEB_A))["age_s"] is None


def test_plain_values_are_kept_and_others_refused():
    assert plain({"a": (1, "x", True, None, 0.5)}) == {"a": [1, "x", True, None, 0.5]}
    assert plain({1: frozenset({2})}) == {"1": [2]}
    assert plain([float("nan"), float("inf")]) == [None, None]
    with pytest.raises(TypeError, match="no JSON form for object"):
        plain(object())
