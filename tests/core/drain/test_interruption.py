"""Notices become orders: the earliest deadline first, one plan a pool, no second plan."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.cloud.notices import NoticeKind
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import NodeGroupFact, WriteAuthority
from spotvortex.core.domain.types import CapacityType, Freeze, Mode, Offering, ProvisionerKind
from spotvortex.core.drain.interruption import (
    LOSSES,
    PLANNED_AHEAD_S,
    SHARED_S,
    interruption_orders,
    nodes_by_instance,
    settled,
)
from spotvortex.core.drain.messages import NOTHING_IN_FLIGHT, OrderKind
from spotvortex.core.drain.orders import in_flight
from tests.core.builders import AT, cluster, observation, pool, spot
from tests.core.in_flight import (
    instance,
    loss,
    marked,
    notice,
    on_instances,
    order,
    placeholder,
    with_nodes,
)

WEB, API = on_instances(pool("web", n_spot=3)), on_instances(pool("api"))
LEADER = WriteAuthority(leader=True)
LIMITS = {"web": Limits(mode=Mode.ACTIVE), "api": Limits(mode=Mode.SHADOW)}


def orders(*notices, pools=(WEB, API), own_pods=(), limits=LIMITS, **changes):
    facts = cluster(*pools, own_pods=own_pods)
    seen = observation(cluster=facts, notices=notices, **({"standing": LEADER} | changes))
    return interruption_orders(seen, limits, in_flight(facts))


def test_a_notice_becomes_an_order_of_the_pools_mode():
    (made,) = orders(notice("web-s0"))
    assert (made.kind, made.mode, made.to) == (
        OrderKind.INTERRUPTION,
        Mode.ACTIVE,
        CapacityType.UNKNOWN,
    )
    assert (made.node, made.uid, made.claim) == ("web-s0", "uid-web-s0", "claim-web-s0")
    assert (made.deadline, made.reason) == (AT + 119.0, "notice interruption")
    assert list(map(str, made.avoid)) == ["m6i.large/us-east-1a"]
    assert orders(notice("api-s0"))[0].mode is Mode.SHADOW


def test_a_lost_node_of_a_pair_asks_both_sides_and_one_without_a_driver_asks_nobody():
    kinds = (("web", CapacityType.SPOT), ("web-od", CapacityType.ON_DEMAND))
    groups = tuple(NodeGroupFact(name=n, pool="web", capacity_types=(k,)) for n, k in kinds)
    (made,) = orders(notice("web-s0"), pools=(replace(WEB, node_groups=groups),))
    assert made.sides == ("web", "web-od")
    foreign = replace(WEB.nodes[0], provisioner=ProvisionerKind.MANAGED_NODE_GROUP)
    pools = (replace(WEB, nodes=(foreign, *WEB.nodes[1:])),)
    (made,) = orders(notice(foreign.name), pools=pools)
    assert made.sides == ()


def test_room_avoids_every_offering_that_a_notice_is_about_and_what_the_pool_avoids_anyhow():
    other = Offering(instance_type="c6i.large", zone="us-east-1c")
    facts = cluster(WEB, API)
    notices = (notice("web-s0"), notice("web-s1"), notice("api-s0"))
    seen = observation(cluster=facts, notices=notices, standing=LEADER)
    made = interruption_orders(seen, LIMITS, in_flight(facts), {"web": (other,)})
    avoided = {order.pool: set(map(str, order.avoid)) for order in made}
    assert avoided["web"] == {"m6i.large/us-east-1a", "m6i.large/us-east-1b", str(other)}
    assert avoided["api"] == {"m6i.large/us-east-1a"}


def test_an_on_demand_node_that_goes_gives_no_offering_to_avoid():
    (made,) = orders(notice("web-d0"))
    assert made.avoid == ()


def test_the_earliest_deadline_comes_first_and_all_of_a_pool_share_a_plan():
    late, early, other = (
        notice("web-s0", deadline=AT + 119.0),
        notice("web-s1", deadline=AT + 39.0),
        notice("api-s0", deadline=AT + 60.0),
    )
    made = orders(late, early, other)
    assert [o.node for o in made] == ["web-s1", "api-s0", "web-s0"]
    assert made[0].plan_id == made[2].plan_id != made[1].plan_id


def test_of_two_notices_about_a_node_the_earlier_deadline_counts():
    first, second = notice(id="a", deadline=AT + 90.0), notice(id="b", deadline=AT + 30.0)
    (made,) = orders(first, second)
    assert made.deadline == AT + 30.0


def test_a_node_in_a_planned_move_keeps_its_plan_and_so_its_room():
    (made,) = orders(notice("web-s0"), own_pods=(placeholder(order("web-s0", plan_id="p7")),))
    assert (made.kind, made.plan_id) == (OrderKind.INTERRUPTION, "p7")


def test_a_later_node_joins_the_plan_that_its_pool_has_in_flight():
    facts = with_nodes(WEB, marked(WEB.nodes[0], loss("web-s0", plan_id="p9")))
    (made,) = orders(notice("web-s0"), notice("web-s1"), pools=(facts,))
    assert (made.node, made.plan_id) == ("web-s1", "p9")


@pytest.mark.parametrize(("ahead_s", "n"), [(PLANNED_AHEAD_S, 1), (PLANNED_AHEAD_S + 1.0, 0)])
def test_a_scheduled_change_is_acted_on_shortly_before_it_starts(ahead_s, n):
    change = notice(kind=NoticeKind.SCHEDULED_CHANGE, deadline=AT + ahead_s)
    assert len(orders(change)) == n


@pytest.mark.parametrize("kind", sorted(NoticeKind))
def test_only_kinds_after_which_a_node_is_lost_drain_it(kind):
    assert len(orders(notice(kind=kind))) == (kind in LOSSES)


def test_a_notice_without_a_deadline_drains_nothing():
    assert orders(notice(deadline=None)) == ()


def test_what_is_no_node_of_a_known_pool_is_left():
    lone = replace(spot("lone", pool=""), provider_id=f"aws:///z/{instance('lone')}")
    facts = cluster(WEB, unpooled=(lone,))
    seen = observation(
        cluster=facts, standing=LEADER, notices=(notice("lone"), notice("foreign"), notice())
    )
    made = interruption_orders(seen, LIMITS, NOTHING_IN_FLIGHT)
    assert [o.node for o in made] == ["web-s0"]


def frozen(freeze):
    return WriteAuthority(leader=True, freeze=freeze)


@pytest.mark.parametrize(
    "standing",
    [
        WriteAuthority(),
        WriteAuthority(leader=False, freeze=Freeze.SOFT),
        *(frozen(f) for f in (Freeze.HARD, Freeze.LEAVE, Freeze.UNKNOWN)),
    ],
)
def test_nothing_is_ordered_where_nothing_may_be_begun(standing):
    assert orders(notice(), standing=standing) == ()


def test_a_soft_freeze_lets_a_node_be_emptied_that_is_lost_anyway():
    assert orders(notice(), standing=frozen(Freeze.SOFT)) == orders(notice()) != ()


def test_an_instance_is_known_by_the_last_part_of_the_provider_id():
    facts = cluster(WEB, pool("other"))
    assert nodes_by_instance(facts)[instance("web-s0")] is WEB.nodes[0]
    assert len(nodes_by_instance(facts)) == len(WEB.nodes)


def settled_ids(*notices, facts=WEB):
    found = cluster(facts)
    return settled(notices, found, in_flight(found))


def test_a_notice_is_settled_once_its_node_carries_the_mark_of_a_loss():
    assert settled_ids(notice()) == set()
    planned = with_nodes(WEB, marked(WEB.nodes[0]))
    assert settled_ids(notice(), facts=planned) == set()
    lost = with_nodes(WEB, marked(WEB.nodes[0], loss("web-s0")))
    assert settled_ids(notice(), notice("web-s1"), facts=lost) == {"notice-web-s0"}


def test_a_notice_of_a_foreign_instance_is_settled():
    lone = replace(spot("lone", pool=""), provider_id=f"aws:///z/{instance('lone')}")
    facts = cluster(WEB, unpooled=(lone,))
    found = settled((notice("lone"), notice("foreign")), facts, NOTHING_IN_FLIGHT)
    assert found == {"notice-lone", "notice-foreign"}


def test_a_recommendation_is_settled_once_it_is_noted_on_its_node():
    advice = notice(kind=NoticeKind.REBALANCE, deadline=None)
    assert settled_ids(advice) == set()
    noted = with_nodes(WEB, replace(WEB.nodes[0], at_risk="2026-07-14T05:00:00Z"))
    assert settled_ids(advice, facts=noted) == {advice.id}


def test_losses_of_one_event_share_a_plan_over_cycles_before_any_mark_is_seen():
    start = AT - AT % SHARED_S
    plans = {
        at: orders(notice(node, deadline=start + 200.0), at=start + at)[0].plan_id
        for node, at in (("web-s0", 0.0), ("web-s1", SHARED_S - 1.0), ("web-s2", SHARED_S))
    }
    assert plans[0.0] == plans[SHARED_S - 1.0] != plans[SHARED_S]
