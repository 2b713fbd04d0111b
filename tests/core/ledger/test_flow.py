"""What a cluster costs and saves by the hour at one instant."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import Action, CapacityType, Mode
from spotvortex.core.ledger.flow import PROJECTED_S, Pricing, flow_of, priced
from tests.core.builders import (
    WEB_A,
    market,
    node,
    on_demand,
    plan_of,
    pool,
    quote,
    spot,
    stated,
)
from tests.core.ledger.looks import START, look, web
from tests.telemetry.decisions import decision

SPOT, ON_DEMAND = ("web", CapacityType.SPOT), ("web", CapacityType.ON_DEMAND)


def seen(*pools, at=START, before=None, baselines=None, decisions=None, **changes):
    """The flow of one look, and what is carried on."""
    plan = look(at, *pools, decisions=decisions, **changes)
    pricing = priced(plan.observation, plan.decisions, before or Pricing())
    return flow_of(plan, pricing, baselines or {}), pricing


def money(*pools, **changes):
    return seen(*pools, **changes)[0].pools["web"]


def going(target_ratio, at=START):
    return decision(
        pool="web",
        at=at,
        mode=Mode.SHADOW,
        n_nodes=1,
        action=Action.INCREASE_30,
        target_ratio=target_ratio,
    )


def test_an_offering_that_nobody_quotes_is_counted_without_a_price():
    found, _ = seen(web(n_spot=0, n_on_demand=4), market=market(quote(WEB_A)))
    assert found.nodes[ON_DEMAND].node_hours == found.nodes[ON_DEMAND].unpriced_hours == 2.0


def test_on_demand_without_a_spot_price_would_cost_the_same_on_spot():
    no_spot = market(quote(WEB_A, spot_usd_per_hour=None))
    facts = web(nodes=(on_demand("d"),))
    found = money(facts, market=no_spot, decisions=[going(1.0)])
    assert found.projected_usd == pytest.approx(0.0)
    found = money(facts, market=market(quote(WEB_A)), decisions=[going(1.0)])
    assert found.projected_usd == pytest.approx(0.07)


def test_a_commitment_pays_for_what_it_covers_at_the_mean_of_what_several_save():
    plans = stated(
        plan_of("a", usd_per_hour=1.0, discount_ratio=0.2),
        plan_of("b", usd_per_hour=0.03, discount_ratio=0.4),
    )
    found, _ = seen(web(n_spot=0, n_on_demand=1), market=market(commitments=plans))
    cost = found.nodes[ON_DEMAND]
    assert cost.uncovered_usd == pytest.approx(0.0)
    assert cost.committed_usd == pytest.approx(0.10 * (1.0 - 0.3))
    assert cost.on_demand_usd == pytest.approx(0.0)


def test_a_node_that_a_commitment_covers_in_part_costs_the_rest():
    half = stated(plan_of(usd_per_hour=0.05 * 0.75))
    cost = seen(web(n_spot=0, n_on_demand=1), market=market(commitments=half))[0].nodes[ON_DEMAND]
    assert cost.uncovered_usd == cost.on_demand_usd == pytest.approx(0.05)
    assert cost.committed_usd == pytest.approx(0.05 * 0.75)


def test_a_commitment_is_shared_among_what_on_demand_would_have_needed():
    """Neither a node that is emptied, nor one of which nobody knows how it is bought, is that."""
    nodes = (
        spot("s"),
        on_demand("d", mark="{}", cordoned=True),
        node("x", capacity_type=CapacityType.UNKNOWN),
    )
    one = stated(plan_of(usd_per_hour=0.075))
    found, _ = seen(web(nodes=nodes), market=market(commitments=one))
    assert found.nodes[SPOT].on_demand_usd == pytest.approx(0.0)
    assert found.pools["web"].double_usd == pytest.approx(0.0)
    assert (found.nodes[SPOT].node_hours, found.pools["web"].double_hours) == (1.0, 1.0)


def test_a_node_that_is_being_emptied_would_cost_nothing_on_demand():
    found = seen(web(nodes=(spot("s"), on_demand("e", mark="{}"))))[0].nodes[ON_DEMAND]
    assert (found.on_demand_usd, found.on_demand_list_usd) == (0.0, 0.0)
    assert found.list_usd > 0.0


def test_only_nodes_that_do_not_run_double_make_the_spot_share():
    nodes = (spot("s"), on_demand("d"), on_demand("e", mark="{}"), spot("f", mark="{}"))
    _, pricing = seen(web(nodes=nodes))
    known = pricing.pools["web"]
    assert (known.n_nodes, known.n_spot, known.spot_ratio) == (2, 1, 0.5)
    assert known.double == (2.0, pytest.approx(0.13))
    assert known.spot_list_usd == pytest.approx(0.10)
    assert seen(web(nodes=()))[1].pools["web"].spot_ratio == 0.0


def test_what_it_cost_at_the_share_of_before_leaves_out_what_runs_double():
    nodes = (spot("s"), on_demand("d"), on_demand("e", mark="{}"))
    found = money(web(nodes=nodes), baselines={"web": 0.0})
    assert found.before_usd == pytest.approx(0.20)
    assert money(web(nodes=nodes)).before_usd == pytest.approx(0.23)
    all_spot = money(web(nodes=nodes), baselines={"web": 1.0})
    assert all_spot.before_usd == pytest.approx(0.06)


@pytest.mark.parametrize(("later_s", "projected_usd"), [(PROJECTED_S - 1.0, 0.7), (PROJECTED_S, 0)])
def test_a_target_counts_for_an_hour_after_it_was_decided_on(later_s, projected_usd):
    facts = web(n_spot=0, n_on_demand=10)
    _, pricing = seen(facts, decisions=[going(1.0)])
    found = money(facts, at=START + later_s, before=pricing)
    assert found.projected_usd == pytest.approx(projected_usd)


def test_the_target_of_a_pool_that_is_gone_is_forgotten():
    _, pricing = seen(web(), decisions=[going(1.0)])
    assert pricing.wanted == {"web": (1.0, START)}
    _, after = seen(pool("api"), before=pricing)
    assert after.wanted == {}


def test_less_spot_than_now_never_projects_less_than_nothing():
    dear = market(quote(WEB_A, spot_usd_per_hour=0.15))
    found = money(web(nodes=(on_demand("d"),)), market=dear, decisions=[going(1.0)])
    assert (found.projected_usd, found.saved_usd, found.overspent_usd) == (0.0, 0.0, 0.0)


def test_with_commitments_stated_nothing_is_at_stake():
    facts = web(nodes=(spot("s"),))
    assert money(facts).at_stake_usd == pytest.approx(0.10)
    found, _ = seen(facts, market=market(commitments=stated()))
    assert (found.pools["web"].at_stake_usd, found.cluster.stated_hours) == (0.0, 1.0)
    assert found.cluster.seen_hours == 1.0


def test_what_commitments_pay_for_is_worked_out_anew_only_where_something_changed():
    facts, paid = web(), market(commitments=stated(plan_of()))
    _, first = seen(facts, market=paid)
    _, again = seen(facts, at=START + 30.0, before=first, market=paid)
    assert again.covers is first.covers
    assert again.pools["web"] is first.pools["web"]
    other = market(commitments=stated(plan_of(usd_per_hour=0.2)))
    _, changed = seen(facts, at=START + 60.0, before=again, market=other)
    assert changed.covers is not first.covers
    _, none = seen(facts, at=START + 90.0, before=changed)
    assert none.covers.all_on_demand.shares == {}
    _, still = seen(web(n_spot=3), at=START + 120.0, before=none)
    assert still.covers is none.covers


def test_nodes_of_no_pool_are_priced_under_an_empty_name_only_where_there_are_any():
    plan = look(START, web())
    assert set(seen(web())[0].pools) == {"web"}
    cluster = replace(plan.observation.cluster, unpooled=(on_demand("x", pool=""),))
    lone = replace(plan.observation, cluster=cluster)
    assert set(priced(lone, (), Pricing()).pools) == {"web", ""}
