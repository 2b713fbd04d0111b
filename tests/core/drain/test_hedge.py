"""At notices more room is asked for than was lost: as much as launches were seen to need."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.autoscaling import claim_of, managed_group
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.drain.hedge import (
    ASKED_BEFORE_S,
    ASSUMED_SPREAD,
    IN_TIME_S,
    LEAST_KNOWN,
    MOST_KNOWN,
    NO_HEDGE,
    NO_LAUNCHES,
    UNKNOWN_RATIO,
    UNKNOWN_SPREAD,
    Hedge,
    LaunchSpread,
    hedge_ratio,
    learned,
    spread_of,
    with_extras,
)
from spotvortex.core.drain.messages import NOTHING_IN_FLIGHT, InFlight
from spotvortex.core.drain.orders import from_text, to_text
from tests.core.builders import AT, cluster, node, observation, pool
from tests.core.in_flight import anchor, loss, order, placeholder

GROUP = NodeGroupFact(name="web", pool="web")
WEB = pool("web", n_spot=10, node_groups=(GROUP,))
LOST = [loss(f"web-s{i}") for i in range(10)]


def paying(ratio, **changes):
    """A pool in which every extra pays, as long as the ratio allows it."""
    values = {"most_ratio": ratio, "in_time_ratio": 0.8, "saved_usd": 1.0}
    return {"web": Hedge(**(values | changes)), "gone": Hedge(**values)}


def n_hedged(orders, ratio=0.3, *, flying=NOTHING_IN_FLIGHT, facts=WEB, **seen):
    found = with_extras(orders, flying, observation(facts, **seen), paying(ratio))
    assert [replace(o, hedged=False) for o in found] == orders
    return sum(o.hedged for o in found)


@pytest.mark.parametrize(("n_lost", "n_extra"), [(1, 1), (3, 1), (4, 2), (10, 3)])
def test_of_d_lost_nodes_the_ratio_times_d_rounded_up_ask_for_their_room_twice(n_lost, n_extra):
    assert n_hedged(LOST[:n_lost]) == n_extra


def test_without_a_ratio_nothing_more_is_asked_for():
    assert n_hedged(LOST, 0.0) == 0
    found = with_extras(LOST, NOTHING_IN_FLIGHT, observation(WEB), {})
    assert not any(o.hedged for o in found)
    assert n_hedged([loss("api-s0", pool="api")]) == 0


def test_what_the_plan_has_in_flight_counts_and_what_asks_twice_already_is_not_asked_again():
    flying = InFlight(orders=(replace(LOST[0], hedged=True), LOST[1], LOST[2]))
    assert n_hedged(LOST[3:4], flying=flying) == 1
    assert n_hedged(LOST[3:4], 0.25, flying=flying) == 0
    other = InFlight(orders=(order("web-d0"), replace(LOST[0], plan_id="p0", hedged=True)))
    assert n_hedged(LOST[3:4], flying=other) == 1


def test_of_orders_that_come_again_those_in_hand_ask_twice_as_before():
    early = [replace(LOST[0], deadline=AT + 30.0), *LOST[1:3]]
    seen = observation(WEB, in_hand=frozenset({"uid-web-s2"}))
    found = with_extras(early, NOTHING_IN_FLIGHT, seen, paying(0.3))
    assert [o.node for o in found if o.hedged] == ["web-s2"]


@pytest.mark.parametrize(
    ("limits", "n_extra"),
    [
        ({}, 3),
        ({"nodes_left": 12}, 2),
        ({"cpu_left_milli": 22_000}, 1),
        ({"memory_left_bytes": 9 * 8 * 2**30}, 0),
        ({"nodes_left": 30, "cpu_left_milli": 26_000}, 3),
    ],
)
def test_no_more_is_asked_for_than_the_limits_leave_beyond_what_was_lost(limits, n_extra):
    facts = replace(WEB, node_groups=(replace(GROUP, **limits),))
    assert n_hedged(LOST, facts=facts) == n_extra


def test_only_the_groups_that_may_give_the_room_count_and_all_of_them_together():
    side = replace(GROUP, nodes_left=6)
    other = replace(GROUP, name="web-2", nodes_left=5)
    assert n_hedged(LOST, facts=replace(WEB, node_groups=(side, other))) == 0
    both = [replace(o, sides=("web", "web-2")) for o in LOST]
    assert n_hedged(both, facts=replace(WEB, node_groups=(side, other))) == 1


def test_room_is_left_for_nodes_as_large_as_the_largest_that_is_lost():
    large = replace(WEB.nodes[0], allocatable_cpu_milli=4000)
    facts = replace(
        WEB,
        nodes=(large, *WEB.nodes[1:]),
        node_groups=(replace(GROUP, cpu_left_milli=22_000),),
    )
    assert n_hedged(LOST[:4], facts=facts) == 1
    assert n_hedged(LOST[:5], facts=facts) == 0
    assert n_hedged(LOST[1:6], facts=facts) == 2


def test_of_lost_nodes_that_are_gone_already_no_size_is_known_and_only_their_number_counts():
    gone = [replace(o, uid=f"gone-{o.uid}") for o in LOST[:4]]
    tight = replace(WEB, node_groups=(replace(GROUP, cpu_left_milli=2, memory_left_bytes=2),))
    assert n_hedged(gone, facts=tight) == 2
    assert n_hedged(LOST[:4], facts=tight) == 0
    few = replace(WEB, node_groups=(replace(GROUP, nodes_left=5),))
    assert n_hedged(gone, facts=few) == 1


def test_a_pool_that_is_not_seen_gets_nothing_more():
    assert n_hedged([replace(o, pool="gone") for o in LOST], 0.3) == 0
    gone = [replace(o, pool="gone") for o in LOST]
    found = with_extras(gone, NOTHING_IN_FLIGHT, observation(WEB), paying(0.3))
    assert not any(o.hedged for o in found)


def test_of_a_plan_those_with_the_nearest_deadline_ask_twice_then_by_name():
    orders = [replace(o, deadline=AT + 100.0 - i) for i, o in enumerate(LOST[:4])]
    found = with_extras(orders, NOTHING_IN_FLIGHT, observation(WEB), paying(0.3))
    assert [o.node for o in found if o.hedged] == ["web-s2", "web-s3"]
    alike = with_extras(LOST[3::-1], NOTHING_IN_FLIGHT, observation(WEB), paying(0.3))
    assert sorted(o.node for o in alike if o.hedged) == ["web-s0", "web-s1"]


def test_where_limits_cannot_be_read_nothing_more_is_asked_for():
    assert n_hedged(LOST, facts=replace(WEB, node_groups=())) == 0


@pytest.mark.parametrize(
    "changes", [{"sides": ()}, {"sides": (managed_group("ng"),)}, {"claim": claim_of("u")}]
)
def test_where_extras_could_not_be_given_back_soon_none_are_asked_for(changes):
    assert n_hedged([replace(o, **changes) for o in LOST]) == 0


def test_an_order_says_in_its_journal_that_it_asks_twice():
    twice = replace(LOST[0], hedged=True)
    assert from_text(to_text(twice)).hedged
    assert "hedged" not in to_text(LOST[0])


def needed(n_lost, k, p):
    """The chance that the k-th extra is needed, counted out: fewer than d of d + k - 1 in time."""
    n = n_lost + k - 1
    return sum(math.comb(n, i) * p**i * (1.0 - p) ** (n - i) for i in range(n_lost))


@given(
    n_lost=st.integers(1, 60),
    p=st.floats(0.05, 0.99),
    most=st.floats(0.0, 1.0),
    price=st.floats(0.001, 2.0),
)
def test_every_extra_pays_and_the_next_one_would_not(n_lost, p, most, price):
    hedge = Hedge(most_ratio=most, in_time_ratio=p, saved_usd=1.0, node_usd=price)
    found = hedge.n_extra(n_lost)
    bound = math.ceil(most * n_lost - 1e-9)
    assert 0 <= found <= bound
    assert all(needed(n_lost, k, p) * p > price - 1e-9 for k in range(1, found + 1))
    if found < bound:
        assert needed(n_lost, found + 1, p) * p <= price + 1e-9


@given(n_lost=st.integers(1, 500), p=st.floats(0.0, 1.0), saved=st.floats(0.0, 9.0))
def test_a_dearer_outage_never_asks_for_less_nor_a_dearer_node_for_more(n_lost, p, saved):
    hedge = Hedge(most_ratio=1.0, in_time_ratio=p, saved_usd=saved, node_usd=0.1)
    assert replace(hedge, saved_usd=saved + 0.5).n_extra(n_lost) >= hedge.n_extra(n_lost)
    assert replace(hedge, node_usd=0.2).n_extra(n_lost) <= hedge.n_extra(n_lost)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_where_no_node_or_every_node_is_in_time_no_extra_helps(p):
    assert Hedge(most_ratio=1.0, in_time_ratio=p, saved_usd=1.0).n_extra(10) == 0


def test_of_thousands_of_lost_nodes_the_bound_and_the_mean_count():
    hedge = Hedge(most_ratio=0.3, in_time_ratio=0.8, saved_usd=1.0, node_usd=0.4)
    assert 0.24 * 5000 < hedge.n_extra(5000) < 0.26 * 5000
    assert replace(hedge, most_ratio=0.1).n_extra(5000) == 500
    assert NO_HEDGE.n_extra(5000) == 0


def test_extras_that_do_not_pay_are_not_asked_for():
    found = with_extras(LOST, NOTHING_IN_FLIGHT, observation(WEB), paying(0.3, node_usd=1.0))
    assert not any(o.hedged for o in found)


def test_how_late_a_node_is_where_it_is_late():
    # E[T - 75 | T > 75] by hand: 50 exp(0.0981) Phi(-0.472) / Phi(-0.915) - 75 = 22.7.
    assert spread().late_s == pytest.approx(22.7, abs=0.3)
    assert spread(sigma=0.0, median_s=95.0).late_s == pytest.approx(20.0)
    assert spread(sigma=0.0, median_s=50.0).late_s == 0.0
    assert spread(sigma=0.0, failed_ratio=0.2).late_s == pytest.approx(50.0)
    assert spread(median_s=0.0, sigma=0.0, failed_ratio=1.0).late_s == 0.0
    assert 22.7 < ASSUMED_SPREAD.late_s < 50.0


def spread(**changes):
    return LaunchSpread(**({"n": 50, "median_s": 50.0, "sigma": 0.443} | changes))


def test_the_ratio_is_what_launches_need_on_average_to_be_ready_in_time():
    # Normal distribution: ln(75 / 50) / 0.443 is 0.915 deviations, below which are 82 %.
    assert hedge_ratio(spread(), 1.0) == pytest.approx(1.0 / 0.82 - 1.0, abs=2e-3)
    assert hedge_ratio(spread(failed_ratio=0.1), 1.0) == pytest.approx(
        1.0 / (0.9 * 0.82) - 1.0, abs=2e-3
    )


def test_slower_launches_more_spread_and_more_failures_never_ask_for_less():
    ratios = [hedge_ratio(spread(median_s=float(s)), 1.0) for s in range(10, 300, 10)]
    assert ratios == sorted(ratios)
    assert ratios[-1] == 1.0
    ratios = [hedge_ratio(spread(failed_ratio=n / 10), 1.0) for n in range(11)]
    assert ratios == sorted(ratios)


def test_few_launches_say_nothing_yet_and_the_bound_counts_in_any_case():
    few = spread(n=LEAST_KNOWN - 1, median_s=10.0)
    assert hedge_ratio(few, 1.0) == UNKNOWN_RATIO
    assert hedge_ratio(replace(few, n=LEAST_KNOWN), 1.0) < 0.01
    assert hedge_ratio(few, 0.1) == 0.1
    assert hedge_ratio(spread(median_s=500.0), 0.5) == 0.5
    assert hedge_ratio(few, 0.0) == hedge_ratio(spread(), 0.0) == 0.0


def test_launches_that_all_take_the_same_time_are_in_time_or_are_not():
    assert hedge_ratio(spread(sigma=0.0, median_s=74.0), 1.0) == 0.0
    assert hedge_ratio(spread(sigma=0.0, median_s=IN_TIME_S), 1.0) == 0.0
    assert hedge_ratio(spread(sigma=0.0, median_s=76.0), 1.0) == 1.0
    half = spread(sigma=0.0, median_s=74.0, failed_ratio=0.2)
    assert hedge_ratio(half, 1.0) == pytest.approx(0.25)


def test_a_median_under_a_second_counts_as_a_second():
    assert (
        spread(median_s=0.0, sigma=3.0).in_time_ratio
        == spread(median_s=1.0, sigma=3.0).in_time_ratio
    )
    assert NO_LAUNCHES.with_launch(0.2, AT).mean == 0.0
    assert NO_LAUNCHES.with_launch(0.2, AT).until == AT
    late = NO_LAUNCHES.with_launch(9.0, AT).with_launch(9.0, AT - 5.0)
    assert late.until == AT


def test_of_a_pool_without_launches_nothing_is_known():
    assert spread_of(NO_LAUNCHES, 0.0, 0.0) == UNKNOWN_SPREAD
    assert spread_of(NO_LAUNCHES, 0.5, 0.0).failed_ratio == 0.0
    assert spread_of(NO_LAUNCHES, 0.0, 0.5).failed_ratio == 1.0


def came(number, took_s, *, asked_at=AT - 300.0, **changes):
    """A node of the pool that came for a placeholder, and that placeholder."""
    made = node(f"new-{number}", created_at=asked_at + 20.0)
    pod = placeholder(
        loss(), number, node=made.name, created_at=asked_at, bound_at=asked_at + took_s
    )
    return made, replace(pod, **changes)


def after(*came_to, known=None):
    nodes, pods = zip(*came_to, strict=True)
    facts = cluster(replace(WEB, nodes=(*WEB.nodes, *dict.fromkeys(nodes))), own_pods=pods)
    return learned(known or {}, facts)


def test_a_launch_is_learned_once_from_the_first_placeholder_on_its_node():
    first, later = came(1, 40.0), came(1, 42.0)
    found = after(first, later)
    assert found["web"].n == 1
    assert found["web"].mean == pytest.approx(math.log(40.0))
    assert after(first, later, known=found) == found


def test_nodes_that_were_there_and_pods_without_a_node_teach_nothing():
    old = came(1, 1.0)
    assert after((replace(old[0], created_at=AT - 4000.0), old[1]))["web"] == NO_LAUNCHES
    assert after((old[0], replace(old[1], bound_at=None)))["web"] == NO_LAUNCHES
    assert after((old[0], replace(anchor("new-1"), bound_at=AT)))["web"] == NO_LAUNCHES


@pytest.mark.parametrize(("older_s", "n"), [(ASKED_BEFORE_S, 1), (ASKED_BEFORE_S + 0.5, 0)])
def test_a_node_hardly_older_than_the_pod_that_asked_came_for_it(older_s, n):
    made, pod = came(1, 40.0)
    assert after((replace(made, created_at=pod.created_at - older_s), pod))["web"].n == n


def test_launches_are_learned_in_the_order_in_which_they_were_ready():
    found = after(came(1, 40.0), came(2, 20.0), came(3, 30.0))["web"]
    assert (found.n, found.until) == (3, AT - 300.0 + 40.0)
    known = {"web": replace(NO_LAUNCHES, until=AT - 300.0 + 30.0)}
    assert after(came(1, 40.0), came(2, 20.0), came(3, 30.0), known=known)["web"].n == 1


def test_a_node_of_another_pool_or_of_none_teaches_nothing():
    made, pod = came(1, 40.0)
    assert after((replace(made, pool="gone"), pod)) == {"web": NO_LAUNCHES}


def test_median_and_spread_are_those_of_the_launches_and_old_ones_fade():
    times = NO_LAUNCHES
    for i in range(20):
        times = times.with_launch(50.0 * math.exp(0.4 if i % 2 else -0.4), AT + i)
    found = spread_of(times, n_launched=9.0, n_failed=1.0)
    assert (found.n, found.failed_ratio) == (20, 0.1)
    assert found.median_s == pytest.approx(50.0)
    assert found.sigma == pytest.approx(0.4)
    for i in range(6 * MOST_KNOWN):
        times = times.with_launch(100.0, AT + 100.0 + i)
    found = spread_of(times, n_launched=0.0, n_failed=0.0)
    assert (found.n, found.failed_ratio) == (MOST_KNOWN, 0.0)
    assert found.median_s == pytest.approx(100.0, rel=0.01)
