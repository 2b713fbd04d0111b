"""A workload's floor: the pods that stay on-demand, against a clone whose nodes really move."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.domain.workloads import SURVIVAL_DEFAULT, need_of
from spotvortex.core.pool.survival import zone_loss
from spotvortex.core.pool.survival.zone_loss import ALL_SPOT, breaking_losses
from tests.core import odd
from tests.core.builders import WEB_A, on_demand, placed, pool, spot, work

FLOORS = ("", "0", "1", "2", "50%", "100%")


def margins(facts):
    return zone_loss.workload_margins(facts, SURVIVAL_DEFAULT)


def web(floor, *nodes, per_node=3, **more):
    healthy = tuple((n.name, per_node) for n in nodes)
    one = work(healthy_by_node=healthy, floor=floor, floor_by="Deployment shop/api", **more)
    return placed(replace(one, pools=("web",)), *nodes)


def n_on_demand(fact, nodes):
    """The Ready pods that no loss of Spot takes, by no code of the product."""
    spot_nodes = {n.name for n in nodes if n.capacity_type is CapacityType.SPOT}
    return sum(n for name, n in fact.healthy_by_node if name not in spot_nodes)


def floor_of(fact):
    if fact.floor.endswith("%"):
        return -(-int(fact.floor[:-1]) * fact.n_replicas // 100)
    return int(fact.floor or 0)


@odd.few
@given(odd.pools(), st.data())
def test_nodes_said_to_be_safe_leave_every_workload_its_floor(facts, data):
    floors = st.sampled_from(FLOORS)
    works = tuple(replace(w, floor=data.draw(floors)) for w in facts.workloads)
    facts = replace(facts, workloads=tuple(placed(w, *facts.nodes) for w in works))
    order = [n.name for n in facts.nodes if n.capacity_type is CapacityType.ON_DEMAND]
    on_node = zone_loss.pods_on(facts.workloads, set(order))
    safe = set(zone_loss.pick_safe(order, on_node, margins(facts), 99))
    above = zone_loss.n_above_floors(order, on_node, margins(facts))
    for chosen in (safe, set(order[: above or 0])):
        nodes = [
            replace(n, capacity_type=CapacityType.SPOT) if n.name in chosen else n
            for n in facts.nodes
        ]
        for one in facts.workloads:
            if chosen & {name for name, _ in one.healthy_by_node}:
                assert n_on_demand(one, nodes) >= floor_of(one)
    assert (above is None) == (not any(floor_of(w) and w.healthy for w in facts.workloads))


def test_a_floor_counts_pods_on_demand_and_names_the_loss_of_all_spot():
    nodes = spot("s1", WEB_A), on_demand("d1"), on_demand("d2")
    one = web("4", *nodes, said="0")
    ((_, margin),) = margins(pool(nodes=nodes, workloads=(one,))).by_key.values()
    assert (margin.pods, margin.loss, margin.floor_room) == (2, ALL_SPOT, 2)
    assert breaking_losses([(one, need_of(one, SURVIVAL_DEFAULT))]) == ()


def test_pods_on_the_move_may_all_land_on_spot_and_are_not_above_the_floor():
    nodes = (on_demand("d1", cordoned=True), on_demand("d2"), on_demand("d3"))
    facts = pool(nodes=nodes, workloads=(web("2", *nodes),))
    ((_, margin),) = margins(facts).by_key.values()
    assert margin.floor_room == 9 - 2 - 3


def test_a_floor_that_is_not_met_is_a_breaking_loss_and_its_spot_nodes_relieve():
    nodes = spot("s1", WEB_A), spot("s2", WEB_A), on_demand("d1")
    one = web("5", *nodes, said="0")
    facts = pool(nodes=nodes, workloads=(one,))
    (loss,) = breaking_losses([(one, need_of(one, SURVIVAL_DEFAULT))])
    assert (loss.what, loss.n_nodes, loss.healthy_left, loss.needed) == (ALL_SPOT, 2, 3, 5)
    assert {"s1", "s2"} <= zone_loss.relieving_nodes(facts, margins(facts))


def test_a_single_replica_with_a_floor_stays_on_demand():
    nodes = (on_demand("d1"), on_demand("d2"))
    one = web("1", nodes[0], per_node=1)
    facts = pool(nodes=nodes, workloads=(one,))
    on_node = zone_loss.pods_on(facts.workloads, {"d1", "d2"})
    assert zone_loss.pick_safe(["d1", "d2"], on_node, margins(facts), 9) == ["d2"]
    assert zone_loss.n_above_floors(["d2", "d1"], on_node, margins(facts)) == 1


def test_without_a_floor_there_is_nothing_to_be_above():
    one = web("", on_demand("d1"))
    facts = pool(nodes=(on_demand("d1"),), workloads=(one,))
    assert zone_loss.n_above_floors(["d1"], {}, margins(facts)) is None


@pytest.mark.parametrize("bad", ["half", "101%", "-1"])
def test_a_floor_that_cannot_be_read_holds_its_pods_and_names_the_object(bad):
    one = web(bad, on_demand("d1"), per_node=9)
    facts = pool(nodes=(on_demand("d1"),), workloads=(one,))
    on_node = zone_loss.pods_on(facts.workloads, {"d1"})
    assert zone_loss.pick_safe(["d1"], on_node, margins(facts), 9) == []
    assert one.problem.startswith("Deployment shop/api: spotvortex.io/on-demand-floor=")
    for name in ("floor", "said"):
        long = replace(work(), **{name: "x" * 41}).problem
        assert f"={'x' * 40!r}: give" in long
