"""The way back, rules of pools, and what is in flight: how one cycle follows from the last."""

from dataclasses import replace

import pytest

from spotvortex.core.decision.messages import UNSURE_S, ControllerState, PoolState
from spotvortex.core.decision.reconcile import FAILED_RETURN_S, MAX_GONE, MAX_PROBATION, reconcile
from spotvortex.core.domain.labels import MAX_SPOT_RATIO, MODE, ON_DEMAND_FLOOR
from spotvortex.core.domain.observation import EMPTY_LOAD, NodeGroupFact, NodeLoad, WriteAuthority
from spotvortex.core.domain.types import Action, CapacityType, Freeze, Mode
from spotvortex.core.drain.messages import OrderKind
from spotvortex.core.drain.orders import in_flight
from spotvortex.core.drain.progress import OVERDUE
from spotvortex.core.pool.owner_rules import PoolRules
from tests.core.builders import AT, assessment, capped, cluster, observation, pool
from tests.core.in_flight import (
    anchor,
    loss,
    marked,
    notice,
    on_instances,
    order,
    placeholder,
    with_nodes,
)

ACTIVE = capped(mode=Mode.ACTIVE)
LEADER = WriteAuthority(leader=True)
WIDE = {"max_pool_disruption_ratio": 1.0, "max_cluster_disruption_ratio": 1.0}


def cycle(*pools, state=None, limits=ACTIVE, at=AT, risk=0.03, own_pods=(), **changes):
    """One cycle as the leader; returns the state after it and its plan."""
    facts = cluster(*pools, own_pods=own_pods)
    seen = observation(cluster=facts, at=at, **({"standing": LEADER} | changes))
    assessed = replace(assessment(seen, runtime_score=risk), in_flight=in_flight(facts))
    return reconcile(state or ControllerState(), assessed, limits)


def of_web(state):
    return state.pools["web"]


def remembering(**changes):
    return ControllerState(pools={"web": PoolState(**changes)})


def ruled(*said, **changes):
    """A pool whose NodePool carries annotations."""
    return pool(**changes, node_groups=(NodeGroupFact(name="web", pool="web", rules=said),))


@pytest.mark.parametrize(
    ("returned_s", "n_failed"), [(None, 0), (FAILED_RETURN_S, 0), (FAILED_RETURN_S - 1.0, 1)]
)
def test_a_fall_back_soon_after_a_return_counts_it_as_failed(returned_s, n_failed):
    returned = None if returned_s is None else AT - returned_s
    before = remembering(last_increase_at=returned, n_probation=8)
    after, plan = cycle(pool(n_spot=8), state=before, risk=0.95)
    assert plan.decisions[0].action.away_from_spot
    assert of_web(after).n_failed_returns == n_failed
    assert (of_web(after).last_decrease_at, of_web(after).n_probation) == (AT, 1)


@pytest.mark.parametrize(
    ("n_failed", "wait_s"), [(0, 600.0), (1, 1200.0), (2, 2400.0), (5, 14_400.0), (40, 14_400.0)]
)
def test_each_failed_return_doubles_the_wait_up_to_its_bound(n_failed, wait_s):
    for since_s, returns in ((wait_s - 1.0, False), (wait_s, True)):
        before = remembering(
            last_wave_at=AT - since_s, last_decrease_at=AT - since_s, n_failed_returns=n_failed
        )
        _, plan = cycle(pool(), state=before)
        assert bool(plan.orders) is returns


def test_the_probation_doubles_with_each_wave_of_a_return():
    limits = replace(ACTIVE, **WIDE)
    state = remembering(last_decrease_at=AT - 700.0)
    sizes = []
    for n in range(4):
        state, plan = cycle(
            pool(n_spot=0, n_on_demand=30), state=state, limits=limits, at=AT + 301.0 * n
        )
        sizes.append(plan.decisions[0].n_nodes)
    assert sizes == [1, 2, 4, 5]
    assert of_web(state).n_probation == 16


def test_the_probation_has_a_bound():
    after, _ = cycle(pool(), state=remembering(n_probation=MAX_PROBATION))
    assert of_web(after).n_probation == MAX_PROBATION


def test_failures_are_forgotten_by_a_return_after_a_day_of_peace():
    for fell_s, n_failed in ((86_401.0, 0), (86_400.0, 3)):
        before = remembering(last_decrease_at=AT - fell_s, n_failed_returns=3)
        after, plan = cycle(pool(), state=before)
        assert plan.decisions[0].action.towards_spot
        assert of_web(after).n_failed_returns == n_failed
        assert of_web(after).last_increase_at == AT


def test_a_fall_back_remembers_from_where_until_a_return_has_undone_it():
    limits = replace(ACTIVE, **WIDE)
    state, _ = cycle(pool(n_spot=8, n_on_demand=2), limits=limits, risk=0.95)
    assert of_web(state).fell_from == 0.8
    # A further wave begins lower, and does not lower what is remembered.
    state, plan = cycle(
        pool(n_spot=4, n_on_demand=6), limits=limits, risk=0.95, state=state, at=AT + 301.0
    )
    assert plan.decisions[0].action.away_from_spot
    assert of_web(state).fell_from == 0.8
    held = pool(n_spot=7, n_on_demand=3)
    anchors = tuple(anchor(node) for node in held.nodes if "-d" in node.name)
    for at, returned, remembered in (
        (AT + 400.0, None, 0.8),
        (AT + 5000.0, AT + 100.0, 0.8),
        (AT + 5000.0, AT + 4990.0, 0.8),
    ):
        before = ControllerState(pools={"web": replace(of_web(state), last_increase_at=returned)})
        after, _ = cycle(held, state=before, at=at, own_pods=anchors)
        assert of_web(after).fell_from == remembered, (at, returned)
    # Its anchors are gone, or its nodes are back; the cap lets no more of them move.
    for back, own_pods, cap in ((held, (), 0.7), (pool(n_spot=8, n_on_demand=2), anchors, 0.8)):
        before = ControllerState(
            pools={"web": replace(of_web(state), last_increase_at=AT + 4990.0)}
        )
        capped = replace(ACTIVE, max_spot_ratio=cap)
        after, _ = cycle(back, state=before, at=AT + 5000.0, own_pods=own_pods, limits=capped)
        assert of_web(after).fell_from is None


def test_a_rule_in_an_annotation_bounds_its_pool_alone():
    said = ((MAX_SPOT_RATIO, "0.2"), (MODE, "canary"), (ON_DEMAND_FLOOR, "3"))
    _, plan = cycle(ruled(*said), replace(pool("api"), node_groups=()))
    api, web = plan.decisions
    assert (api.mode, api.basis.limits) == (Mode.ACTIVE, ACTIVE)
    assert web.basis.limits == replace(
        ACTIVE, mode=Mode.CANARY, max_spot_ratio=0.2, on_demand_floor_nodes=3
    )


def test_an_owners_cap_in_an_annotation_takes_from_the_budget_before_growth():
    capped_pool = ruled((MAX_SPOT_RATIO, "0"), n_spot=8, n_on_demand=2)
    _, plan = cycle(pool("a"), capped_pool)
    assert {d.pool: d.n_nodes for d in plan.decisions} == {"a": 0, "web": 1}


@pytest.mark.parametrize("mode", [Mode.ACTIVE, Mode.SHADOW])
def test_a_pool_that_is_only_recorded_takes_no_budget_from_those_that_move(mode):
    _, plan = cycle(ruled((MODE, "shadow")), pool("zoo"), limits=replace(ACTIVE, mode=mode))
    wanted = {"web": 1, "zoo": 1 if mode is Mode.ACTIVE else 0}
    assert {d.pool: d.n_nodes for d in plan.decisions} == wanted


@pytest.mark.parametrize(
    ("later_s", "risk", "n"), [(9.0, 0.95, 0), (10.0, 0.95, 1), (301.0, 0.7, 1)]
)
def test_a_clock_that_was_set_back_holds_nothing_longer_than_a_wave_would(later_s, risk, n):
    tomorrow = AT + 86_400.0
    before = remembering(
        last_wave_at=tomorrow,
        last_decrease_at=tomorrow,
        last_increase_at=tomorrow,
        last_shift_at=tomorrow,
    )
    state, plan = cycle(pool(n_spot=8, n_on_demand=2), state=before, risk=0.95)
    assert (plan.decisions[0].n_nodes, plan.decisions[0].refused_by) == (0, ("budgets",))
    _, plan = cycle(pool(n_spot=8, n_on_demand=2), state=state, risk=risk, at=AT + later_s)
    assert plan.decisions[0].n_nodes == n


def test_a_rule_that_vanished_stays_in_force_through_the_state():
    state, _ = cycle(ruled((MODE, "advise")))
    state, plan = cycle(ruled(), state=state)
    assert plan.decisions[0].mode is Mode.ADVISE
    _, plan = cycle(ruled((MODE, "canary")), state=state)
    assert plan.decisions[0].mode is Mode.CANARY


def test_a_rule_that_cannot_be_read_stops_its_pool():
    _, plan = cycle(ruled((MODE, "bold")))
    assert plan.decisions[0].refused_by == ("mode",)
    assert plan.orders == ()


def test_a_pool_without_nodes_keeps_its_rules_and_is_otherwise_forgotten():
    before = ControllerState(
        pools={"ruled": PoolState(rules=PoolRules(floor_nodes=2)), "old": PoolState()}
    )
    after, _ = cycle(pool(), state=before)
    assert set(after.pools) == {"web", "ruled"}
    assert after.pools["ruled"] == before.pools["ruled"]


def test_only_so_many_pools_without_nodes_are_remembered():
    rules = PoolRules(floor_nodes=2)
    before = {f"p{i:04}": PoolState(rules=rules) for i in range(MAX_GONE + 5)}
    after, _ = cycle(pool(), state=ControllerState(pools=before))
    assert set(after.pools) == {"web"} | {f"p{i:04}" for i in range(MAX_GONE)}


def test_while_what_was_remembered_is_lost_nothing_is_moved_for_its_price_and_then_it_is_again():
    state = ControllerState(unsure_until=AT + 60.0)
    after, plan = cycle(on_instances(pool()), state=state, notices=(notice("web-s0"),))
    assert plan.decisions[0].refused_by == ("mode",)
    assert [o.kind for o in plan.orders] == [OrderKind.INTERRUPTION]
    _, plan = cycle(pool(), state=after, at=AT + 60.0)
    assert len(plan.orders) == 1


def test_while_what_was_remembered_is_lost_a_risk_is_left_once_an_earlier_wave_has_settled():
    state = ControllerState(unsure_until=AT + UNSURE_S)
    after, plan = cycle(pool(n_spot=8), state=state, risk=0.75)
    assert "cooldown" in plan.decisions[0].refused_by
    _, plan = cycle(pool(n_spot=8), state=after, risk=0.75, at=AT + capped().settle_s)
    assert {o.to for o in plan.orders} == {CapacityType.ON_DEMAND}


@pytest.mark.parametrize("freeze", [f for f in Freeze if f is not Freeze.NONE])
def test_a_freeze_stops_planned_moves_and_a_soft_one_no_interruption(freeze):
    facts = on_instances(pool(n_spot=8))
    standing = WriteAuthority(leader=True, freeze=freeze)
    _, plan = cycle(facts, standing=standing, notices=(notice("web-s0"),), risk=0.95)
    assert "freeze" in plan.decisions[0].refused_by
    lost = [OrderKind.INTERRUPTION] if freeze is Freeze.SOFT else []
    assert [o.kind for o in plan.orders] == lost


def test_interruptions_come_before_planned_moves_and_are_written_whatever_holds_the_pool():
    facts = on_instances(pool(n_spot=8))
    _, plan = cycle(facts, notices=(notice("web-s7"),), risk=0.95)
    assert [o.kind for o in plan.orders] == [OrderKind.INTERRUPTION, OrderKind.DRAIN]
    held = remembering(last_wave_at=AT - 1.0)
    _, plan = cycle(facts, notices=(notice("web-s7"),), state=held)
    assert [(o.node, o.mode) for o in plan.orders] == [("web-s7", Mode.ACTIVE)]


def test_all_orders_of_a_wave_tell_its_size_and_the_time_to_bind():
    _, plan = cycle(pool(n_spot=8), limits=replace(ACTIVE, **WIDE), risk=0.95)
    assert [(o.n_wave, o.bind_by, o.deadline) for o in plan.orders] == [
        (5, AT + 600.0, AT + 1800.0)
    ] * 5
    assert len({o.plan_id for o in plan.orders}) == 1


def test_a_wave_counts_only_what_it_drains_itself():
    consolidating = (NodeGroupFact(name="web", pool="web", consolidation="WhenUnderutilized"),)
    pods = (anchor("web-d0"), anchor("web-d2"))
    _, plan = cycle(
        pool(n_spot=0, node_groups=consolidating), limits=replace(ACTIVE, **WIDE), own_pods=pods
    )
    assert plan.decisions[0].action is Action.INCREASE_30
    assert plan.decisions[0].n_nodes == 2
    assert {o.n_wave for o in plan.orders} == {len(plan.orders)} == {1}


FLYING = with_nodes(pool(), marked(pool().nodes[0]))


def test_an_order_in_flight_goes_on_and_its_node_is_moving():
    _, plan = cycle(FLYING)
    (resumed,) = plan.resumed
    assert (resumed.node, resumed.deadline) == ("web-s0", AT + 1800.0)
    assert plan.decisions[0].input.n_moving == 1
    assert plan.orders == ()


def test_the_lifetime_of_leftovers_goes_with_every_order_and_bounds_the_wait_for_room():
    limits = capped(mode=Mode.ACTIVE, leftover_s=90)
    _, plan = cycle(FLYING, limits=limits)
    assert [o.leftover_s for o in plan.resumed] == [90]
    _, plan = cycle(pool(), limits=replace(limits, max_spot_ratio=0.0))
    assert {(o.leftover_s, o.bind_by) for o in plan.orders} == {(90, AT + 90.0)}


def emptied(made):
    return with_nodes(pool(), replace(marked(pool().nodes[0], made), load=EMPTY_LOAD))


@pytest.mark.parametrize("claim", ["", "node/uid-web-s0"])
def test_an_emptied_node_that_only_waits_for_its_machine_to_go_is_left_alone(claim):
    made = loss("web-s0", claim=claim)
    _, plan = cycle(emptied(made))
    assert plan.resumed == ()
    assert plan.decisions[0].input.n_moving == 1


@pytest.mark.parametrize(
    ("made", "changes"),
    [
        (order("web-s0", claim=""), {}),
        (loss("web-s0"), {}),
        (loss("web-s0", claim="", deadline=AT - 120.0), {}),
        (loss("web-s0", claim=""), {"cordoned": False}),
        (loss("web-s0", claim=""), {"load": NodeLoad(n_pods=1, n_workload_pods=1)}),
    ],
    ids=["planned", "with-a-claim", "outlives-its-deadline", "uncordoned", "not-empty"],
)
def test_an_order_that_has_something_left_to_do_goes_on(made, changes):
    facts = emptied(made)
    facts = with_nodes(facts, replace(facts.nodes[0], **changes))
    _, plan = cycle(facts)
    assert [o.uid for o in plan.resumed] == [made.uid]


def test_an_emptied_node_whose_room_is_still_asked_for_is_gone_on_with():
    made = loss("web-s0", claim="")
    _, plan = cycle(emptied(made), own_pods=(placeholder(made),))
    assert [o.uid for o in plan.resumed] == [made.uid]


@pytest.mark.parametrize("made", [order("web-s0"), loss("web-s0")])
@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.ADVISE])
def test_an_order_in_flight_is_undone_where_its_pool_may_no_longer_be_written_to(made, mode):
    facts = pool()
    facts = with_nodes(facts, marked(facts.nodes[0], made))
    _, plan = cycle(facts, limits=capped(mode=mode))
    assert [(o.uid, o.deadline) for o in plan.resumed] == [(made.uid, OVERDUE)]
    assert plan.resumed[0].mode.writes


@pytest.mark.parametrize(
    ("changes", "ratio", "undone"),
    [
        ({"to": CapacityType.SPOT}, 0.0, True),
        ({"to": CapacityType.SPOT}, 0.01, False),
        ({"to": CapacityType.ON_DEMAND}, 0.0, False),
        ({"to": CapacityType.SPOT, "kind": OrderKind.INTERRUPTION}, 0.0, False),
    ],
)
def test_a_wave_to_spot_in_flight_is_undone_where_nothing_may_be_on_spot_any_more(
    changes, ratio, undone
):
    made = order("web-s0", **changes)
    facts = with_nodes(pool(), marked(pool().nodes[0], made))
    _, plan = cycle(facts, limits=capped(mode=Mode.ACTIVE, max_spot_ratio=ratio))
    (resumed,) = plan.resumed
    assert (resumed.deadline == OVERDUE) is undone


def test_an_order_of_a_pool_that_is_gone_is_undone():
    facts = with_nodes(pool(), marked(pool().nodes[0], order("web-s0", pool="old")))
    _, plan = cycle(facts)
    assert plan.resumed[0].deadline == OVERDUE


@pytest.mark.parametrize(
    ("node_vcpu", "floor_vcpu", "n"), [(2000, 3, 2), (2000, 4, 2), (1930, 4, 2), (0, 1, 8)]
)
def test_a_floor_in_vcpu_is_whole_nodes_and_all_where_no_size_is_known(node_vcpu, floor_vcpu, n):
    facts = pool(n_spot=0, n_on_demand=8)
    sized = (replace(x, allocatable_cpu_milli=node_vcpu) for x in facts.nodes)
    limits = replace(ACTIVE, on_demand_floor_vcpu=floor_vcpu, **WIDE)
    _, plan = cycle(replace(facts, nodes=tuple(sized)), limits=limits)
    (decision,) = plan.decisions
    if n == 8:
        assert (decision.action, decision.n_nodes) == (Action.HOLD, 0)
    floor = next(v for v in decision.verdicts if v.gate == "on_demand_floor")
    assert dict(floor.numbers).get("floor", n) == n
    assert all(o.to is CapacityType.SPOT for o in plan.orders)
