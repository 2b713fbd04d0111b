"""What nodes cost is added up hour by hour; what nobody saw is named, and never made up."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import Action, CapacityType, Mode
from spotvortex.core.ledger.ledger import (
    GAP_S,
    MAX_POOLS,
    OTHERS,
    Baseline,
    Beside,
    Restarts,
)
from spotvortex.core.ledger.periods import PeriodLength
from spotvortex.core.ledger.sums import NO_CLUSTER, plus
from tests.core.builders import (
    WEB_A,
    WEB_B,
    load,
    market,
    node,
    on_demand,
    plan_of,
    pool,
    quote,
    spot,
    stated,
)
from tests.core.ledger.looks import START, Book, look, web
from tests.telemetry.decisions import decision

SPOT, ON_DEMAND = ("web", CapacityType.SPOT), ("web", CapacityType.ON_DEMAND)


def hours_of(book):
    return [p for p in book.ledger.periods if p.span is PeriodLength.HOUR]


def test_a_steady_hour_costs_its_nodes_and_saves_what_spot_is_cheaper():
    book = Book().steady(web())
    (hour,) = hours_of(book)
    assert hour.start == START
    assert hour.nodes[SPOT].node_hours == pytest.approx(2.0)
    assert hour.nodes[SPOT].list_usd == pytest.approx(0.06)
    assert hour.nodes[ON_DEMAND].list_usd == pytest.approx(0.80)
    assert hour.nodes[ON_DEMAND].on_demand_list_usd == pytest.approx(0.80)
    assert hour.pools["web"].saved_usd == pytest.approx(0.14)
    assert hour.pools["web"].overspent_usd == 0.0
    assert hour.cluster.seen_hours == pytest.approx(1.0)
    assert book.total() == pytest.approx(hour.pools["web"])


def test_time_over_the_end_of_an_hour_falls_into_both():
    book = Book().steady(web(), since=START - 900.0, hours=0.5)
    first, second = hours_of(book)
    assert (first.start, second.start) == (START - 3600.0, START)
    assert first.nodes[SPOT].node_hours == second.nodes[SPOT].node_hours == pytest.approx(0.5)


def test_a_node_that_comes_between_two_looks_counts_for_half_of_the_time():
    book = Book()
    for at, n in ((0.0, 0), (60.0, 2), (120.0, 0)):
        book.take(look(START + at, web(n_spot=n)))
    assert hours_of(book)[0].nodes[SPOT].node_hours == pytest.approx(2 * 60.0 / 3600.0)


def test_a_price_that_is_not_known_is_counted_and_never_guessed():
    unknown = market(quote(WEB_A), quote(WEB_B, spot_usd_per_hour=None))
    odd = replace(web(), nodes=(*web().nodes, node("x", capacity_type=CapacityType.UNKNOWN)))
    book = Book().steady(odd, market=unknown)
    (hour,) = hours_of(book)
    assert hour.nodes[SPOT].unpriced_hours == pytest.approx(1.0)
    assert hour.nodes[SPOT].list_usd == pytest.approx(0.03)
    assert hour.nodes["web", CapacityType.UNKNOWN].unpriced_hours == pytest.approx(1.0)
    assert book.total().saved_usd == pytest.approx(0.07)


def test_spot_that_is_dearer_than_on_demand_is_overspent_and_saves_nothing():
    dear = market(quote(WEB_A, spot_usd_per_hour=0.15), quote(WEB_B, spot_usd_per_hour=0.15))
    total = Book().steady(web(), market=dear).total()
    assert total.overspent_usd == pytest.approx(0.10)
    assert total.saved_usd == 0.0
    assert total.net_usd == pytest.approx(-0.10)


def test_a_stretch_without_a_look_is_unknown_hours_and_no_money():
    book = Book().take(look(START, web()))
    book.take(look(START + 3 * 3600.0 + 60.0, web()))
    known = [p.cluster for p in hours_of(book)]
    assert [round(c.unknown_hours, 6) for c in known] == [1.0, 1.0, 1.0, round(1 / 60, 6)]
    assert not book.ledger.totals
    assert all(not p.nodes and not p.pools for p in book.ledger.periods)


def test_a_gap_of_years_is_told_in_a_few_periods():
    book = Book().take(look(START, web())).take(look(START + 3 * 365 * 86_400.0, web()))
    sums = NO_CLUSTER
    for period in book.ledger.periods:
        sums = plus(sums, period.cluster)
    assert sums.unknown_hours == pytest.approx(3 * 365 * 24)
    assert len(book.ledger.periods) < 150


def test_a_restart_is_no_gap():
    book = Book().take(look(START, web())).take(look(START + GAP_S, web()))
    assert hours_of(book)[0].cluster.seen_hours == pytest.approx(GAP_S / 3600.0)
    assert hours_of(book)[0].cluster.unknown_hours == 0.0


def test_a_clock_that_goes_back_a_little_is_waited_for():
    book = Book().take(look(START, web()))
    before = book.ledger
    assert book.take(look(START - GAP_S, web())).ledger == before
    assert book.take(look(START, web())).ledger == before


def test_a_clock_that_was_far_ahead_costs_no_money_and_stops_no_count():
    book = Book().steady(web())
    before = book.ledger
    book.take(look(START - 7200.0, web()))
    assert (book.ledger.totals, book.ledger.periods) == (before.totals, before.periods)
    assert book.ledger.baselines["web"] == before.baselines["web"]
    assert book.ledger.since == START - 7200.0
    book.take(look(START - 7200.0 + 300.0, web()))
    assert sum(p.cluster.seen_hours for p in hours_of(book)) == pytest.approx(1.0 + 1 / 12)


def test_without_a_word_on_commitments_the_saving_is_a_range_down_to_what_spot_costs():
    total = Book().steady(web()).total()
    assert total.net_usd == pytest.approx(0.14)
    assert total.least_usd == pytest.approx(-0.06)


def test_spot_beside_an_unused_commitment_saves_nothing_and_costs_its_price():
    """A Savings Plan for all ten nodes: two on Spot leave a part of it unused."""
    paid = market(commitments=stated(plan_of(usd_per_hour=10 * 0.075)))
    book = Book().steady(web(), market=paid)
    (hour,) = hours_of(book)
    total = book.total()
    assert total.net_usd == total.least_usd == pytest.approx(-0.06)
    assert hour.nodes[ON_DEMAND].uncovered_usd == pytest.approx(0.0)
    assert hour.nodes[ON_DEMAND].committed_usd == pytest.approx(8 * 0.075)
    assert hour.cluster.unused_usd == pytest.approx(2 * 0.075)
    assert hour.cluster.stated_hours == pytest.approx(1.0)


def test_with_a_commitment_that_is_used_up_spot_saves_the_whole_price():
    paid = market(commitments=stated(plan_of(usd_per_hour=4 * 0.075)))
    total = Book().steady(web(), market=paid).total()
    assert total.net_usd == total.least_usd == pytest.approx(0.14)


def test_a_node_that_is_emptied_is_a_cost_and_nothing_that_on_demand_would_have_needed():
    nodes = (spot("s"), on_demand("d", mark="{}", cordoned=True))
    total = Book().steady(web(nodes=nodes)).total()
    assert total.double_hours == pytest.approx(1.0)
    assert total.double_usd == pytest.approx(0.10)
    assert total.net_usd == pytest.approx(0.07 - 0.10)


def test_evicted_pods_cost_the_room_in_which_they_start_again():
    beside = Beside(restarts={"web": Restarts(pods=6, pod_hours=0.5)})
    book = Book().take(look(START, web())).take(look(START + 30.0, web()), beside)
    assert book.total().n_restarts == 6
    assert book.total().restart_usd == pytest.approx(0.5 * 1.00 / 30)


def test_pods_of_a_pool_whose_price_is_not_known_restart_for_nothing():
    beside = Beside(restarts={"gone": Restarts(pods=6, pod_hours=0.5)})
    book = Book().take(look(START, web())).take(look(START + 30.0, web()), beside)
    assert (book.total(OTHERS).n_restarts, book.total(OTHERS).restart_usd) == (6, 0.0)


def test_pods_of_a_pool_without_pods_restart_for_nothing():
    empty = web(nodes=(on_demand("d", load=load(n_workload_pods=0)),))
    beside = Beside(restarts={"web": Restarts(pods=6, pod_hours=0.5)})
    book = Book().take(look(START, empty)).take(look(START + 30.0, empty), beside)
    assert (book.total().n_restarts, book.total().restart_usd) == (6, 0.0)


def moving(at, mode):
    return decision(
        pool="web", at=at, mode=mode, n_nodes=1, action=Action.INCREASE_30, target_ratio=0.5
    )


def test_what_it_cost_before_keeps_the_spot_share_of_before_the_first_move():
    book = Book().steady(web(n_spot=2, n_on_demand=8))
    at = START + 3630.0
    book.take(look(at, web(), decisions=[moving(at, Mode.ACTIVE)]))
    assert book.ledger.baselines["web"].spot_ratio == pytest.approx(0.2)
    assert book.ledger.baselines["web"].ended_at == at
    later = START + 2 * 3600.0
    book = Book(replace(book.ledger, totals={}, periods=()))
    book.steady(web(n_spot=10, n_on_demand=0), since=later)
    cost = hours_of(book)[-1].nodes[SPOT].list_usd
    assert cost == pytest.approx(0.30, rel=0.01)
    assert hours_of(book)[-1].pools["web"].before_usd == pytest.approx(0.86, rel=0.01)


def test_the_share_before_the_first_move_is_a_mean_over_the_hours_that_were_seen():
    book = Book().steady(web(), step_s=GAP_S).take(look(START + 3600.0 + GAP_S, web()))
    baseline = book.ledger.baselines["web"]
    assert (baseline.node_hours, baseline.spot_hours) == (
        pytest.approx(10.0 + 10.0 * GAP_S / 3600.0),
        pytest.approx(2.0 + 2.0 * GAP_S / 3600.0),
    )
    later = START + 7200.0
    book.take(look(later, web())).steady(
        web(n_spot=8, n_on_demand=2), since=later + 30.0, step_s=GAP_S
    )
    hours = 1.0 + GAP_S / 3600.0
    wanted = (2.0 * hours + 8.0 * (1.0 + 30.0 / 3600.0)) / (10.0 * (hours + 1.0 + 30.0 / 3600.0))
    assert book.ledger.baselines["web"].spot_ratio == pytest.approx(wanted)


def test_less_than_an_hour_of_one_node_tells_a_share_too():
    assert Baseline(node_hours=0.5, spot_hours=0.25, ended_ratio=0.9).spot_ratio == 0.5
    assert Baseline(ended_ratio=0.9).spot_ratio == 0.9


def test_in_shadow_before_is_what_it_costs_and_the_target_is_what_might_be_saved():
    book = Book().take(look(START, web()))
    at = START + 30.0
    book.take(look(at, web(), decisions=[moving(at, Mode.SHADOW)]))
    book.steady(web(), since=at + 30.0, hours=0.5)
    total = book.total()
    assert book.ledger.baselines["web"].ended_at is None
    assert total.before_usd == pytest.approx(0.86 * total.saved_usd / 0.14)
    assert total.projected_usd == pytest.approx(0.35 * total.saved_usd / 0.14, rel=0.02)


def test_the_same_cluster_under_its_provisioner_alone_is_added_up_beside_it():
    book = Book().take(look(START, web()))
    book.take(look(START + 36.0, web()), Beside(alone_usd=0.02))
    (hour,) = hours_of(book)
    assert hour.cluster.alone_usd == 0.02
    assert hour.cluster.alone_hours == pytest.approx(0.01)


def test_nodes_of_no_pool_are_on_the_bill_too():
    observed = look(START, web())
    book = Book()
    for at in (START, START + 360.0):
        plan = look(at, web())
        cluster = replace(plan.observation.cluster, unpooled=(on_demand("x", pool=""),))
        book.take(replace(plan, observation=replace(plan.observation, cluster=cluster)))
    assert observed.decisions
    assert hours_of(book)[0].nodes["", CapacityType.ON_DEMAND].list_usd == pytest.approx(0.01)


def test_pools_beyond_those_that_have_rows_are_added_up_under_one_name():
    many = [pool(f"p{i:03}", n_spot=1, n_on_demand=0) for i in range(MAX_POOLS + 5)]
    book = Book().steady(*many, hours=0.1)
    before = set(book.ledger.baselines)
    book.steady(pool("a-new-one", n_spot=1, n_on_demand=0), *many, since=START + 390, hours=0.1)
    assert len(book.ledger.totals) == MAX_POOLS + 1
    assert book.total(OTHERS).saved_usd == pytest.approx(5.5 * book.total("p000").saved_usd, 0.1)
    # A pool that has been moved does not begin its baseline anew for one that comes later.
    assert set(book.ledger.baselines) == before
    assert len(before) == MAX_POOLS


def test_a_pool_that_did_not_change_is_not_priced_again():
    same, other = web(), pool("api")
    book = Book().take(look(START, same, other))
    before = book.pricing.pools
    book.take(look(START + 30.0, same, pool("api", n_spot=3)))
    assert book.pricing.pools["web"] is before["web"]
    assert book.pricing.pools["api"] is not before["api"]
    book.take(look(START + 60.0, same, market=market(quote(spot_usd_per_hour=0.05), quote(WEB_B))))
    assert book.pricing.pools["web"] is not before["web"]
    assert book.pricing.pools.keys() == {"web"}
