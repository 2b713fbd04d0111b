"""What is kept up beside waves: anchors, notes on nodes, leftovers; always a bounded number."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from spotvortex.core.decision.maintenance import MAX_CHORES, RENEW_BEFORE, maintenance_calls
from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.autoscaling import note_of
from spotvortex.core.domain.cloud.notices import NoticeKind, instance_id_of, risk_until
from spotvortex.core.domain.labels import LONGEST_LIFE_S
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import NodeGroupFact, WriteAuthority
from spotvortex.core.domain.types import Action, CapacityType, Mode, ProvisionerKind
from spotvortex.core.drain.calls import (
    ClearRisk,
    CreateAnchor,
    DeleteAnchors,
    DeletePlaceholders,
    NoteRisk,
    UnmarkNode,
)
from spotvortex.core.drain.group_calls import SettleGroup
from spotvortex.core.drain.keeping import FreeNode, anchored_until
from spotvortex.core.drain.orders import in_flight, to_text
from tests.core.builders import AT, assessment, cluster, load, node, observation, on_demand, pool
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

LEADER = WriteAuthority(leader=True)
CONSOLIDATING = (NodeGroupFact(name="web", pool="web", consolidation="WhenEmptyOrUnderutilized"),)
MIXED = {"node_groups": CONSOLIDATING}
IDLE = load(n_workload_pods=0)
FRESH = AT + RENEW_BEFORE * LONGEST_LIFE_S


def planned(*pools, own_pods=(), state=None, notices=(), limits=None, unpooled=(), risk=0.03):
    """The plan of one cycle in active mode; `own_pods` and nodes say what is in flight."""
    facts = cluster(*pools, own_pods=own_pods, unpooled=unpooled)
    seen = observation(cluster=facts, standing=LEADER, notices=notices)
    assessed = replace(assessment(seen, runtime_score=risk), in_flight=in_flight(facts))
    limits = Limits(**({"mode": Mode.ACTIVE} | (limits or {})))
    return reconcile(state or ControllerState(), assessed, limits)[1]


def wanted(*pools, **changes):
    return planned(*pools, **changes).maintenance_calls


def calls(found, kind):
    return [c.call for c in found if isinstance(c.call, kind)]


def anchored(found):
    return [c.node for c in calls(found, CreateAnchor)]


SETTLING = ControllerState(pools={"web": PoolState(last_wave_at=AT - 1.0)})
"""A state in which nothing is moved."""


def test_an_anchor_is_renewed_when_little_is_left_of_it():
    pods = (anchor("web-d0", FRESH - 1.0), anchor("web-d1", FRESH + 1.0))
    (chore,) = wanted(pool(), own_pods=pods, state=SETTLING)
    assert (chore.call.node, chore.call.node_uid) == ("web-d0", "uid-web-d0")
    assert (chore.call.expires_s, chore.mode) == (LONGEST_LIFE_S, Mode.ACTIVE)
    assert (chore.key, chore.reason) == ("anchor/uid-web-d0", "still wanted")
    assert chore.call.name.startswith("spotvortex-anchor-")


def test_a_short_lifetime_of_leftovers_shortens_the_anchors_and_their_renewal():
    pods = (anchor("web-d0", AT + 29.0), anchor("web-d1", AT + 30.0))
    limits = {"leftover_s": 90}
    (chore,) = wanted(pool(), own_pods=pods, state=SETTLING, limits=limits)
    assert (chore.call.node, chore.call.expires_s) == ("web-d0", 90)


def test_while_what_was_remembered_is_lost_anchors_are_kept_and_none_is_made_or_released():
    pods = (anchor("web-d0", FRESH - 1.0), anchor("web-d1", FRESH + 1.0))
    lost = ControllerState(unsure_until=AT + 1.0)
    limits = {"on_demand_floor_nodes": 3}
    found = wanted(pool(), own_pods=pods, state=lost, limits=limits)
    assert [(c.call.node, c.reason) for c in found] == [("web-d0", "still wanted")]
    sure = wanted(pool(), own_pods=pods, state=SETTLING, limits=limits)
    assert len(sure) == 2


def test_of_two_anchors_on_a_node_the_longer_counts():
    pods = (anchor("web-d0", AT + 5.0), anchor("web-d0", FRESH + 1.0))
    assert wanted(pool(), own_pods=pods, state=SETTLING) == ()


@pytest.mark.parametrize("changes", [{"finished": True}, {"terminating": True}, {"ends_at": AT}])
def test_an_anchor_that_is_over_keeps_nothing(changes):
    assert anchored_until([anchor("web-d0", **changes)], AT) == {}


def test_the_floor_is_anchored_on_the_oldest_nodes_that_are_held_anyway_first():
    facts = pool(n_spot=2, n_on_demand=4)
    held = replace(facts.nodes[5], do_not_disrupt=True)
    old = replace(facts.nodes[4], created_at=1.0)
    found = wanted(
        with_nodes(facts, held, old), state=SETTLING, limits={"on_demand_floor_nodes": 3}
    )
    assert anchored(found) == ["web-d3", "web-d2", "web-d0"]
    assert {c.reason for c in found} == {"on-demand floor"}


def test_the_floor_is_anchored_on_nodes_that_the_wave_leaves():
    plan = planned(pool(), limits={"on_demand_floor_nodes": 3})
    assert [o.node for o in plan.orders] == ["web-d0"]
    assert anchored(plan.maintenance_calls) == ["web-d1", "web-d2", "web-d3"]


def test_anchors_that_are_there_count_for_the_floor():
    found = wanted(
        pool(), own_pods=(anchor("web-d5"),), state=SETTLING, limits={"on_demand_floor_nodes": 2}
    )
    assert anchored(found) == ["web-d0"]


def test_the_floor_in_vcpu_is_anchored_in_whole_nodes():
    found = wanted(pool(), state=SETTLING, limits={"on_demand_floor_vcpu": 5})
    assert len(anchored(found)) == 3


def test_the_cap_on_spot_is_kept_by_anchors_too():
    found = wanted(pool(n_spot=2, n_on_demand=8), state=SETTLING, limits={"max_spot_ratio": 0.75})
    assert len(anchored(found)) == 3


def test_reserved_nodes_count_for_the_floor():
    facts = pool()
    reserved = replace(facts.nodes[2], capacity_type=CapacityType.RESERVED)
    found = wanted(with_nodes(facts, reserved), state=SETTLING, limits={"on_demand_floor_nodes": 2})
    assert len(anchored(found)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"ready": False},
        {"moving": True},
        {"cordoned": True},
        {"provisioner": ProvisionerKind.CLUSTER_AUTOSCALER},
    ],
)
def test_no_anchor_goes_to_a_node_that_is_going_not_ready_or_without_a_driver(changes):
    facts = pool(n_spot=2, n_on_demand=3)
    facts = with_nodes(facts, replace(facts.nodes[2], **changes))
    found = wanted(facts, state=SETTLING, limits={"on_demand_floor_nodes": 3})
    assert anchored(found) == ["web-d1", "web-d2"]


def test_in_a_mode_that_does_not_write_nothing_is_kept_up():
    limits = {"mode": Mode.ADVISE, "on_demand_floor_nodes": 3}
    assert wanted(pool(), own_pods=(anchor("web-d0", AT + 1.0),), limits=limits) == ()


def test_a_return_where_the_provisioner_consolidates_releases_anchors_and_drains_nothing():
    pods = tuple(anchor(f"web-d{i}") for i in range(8))
    plan = planned(pool(**MIXED), own_pods=pods)
    (decision,) = plan.decisions
    assert decision.n_nodes == 1
    assert plan.orders == ()
    assert [c.node for c in calls(plan.maintenance_calls, DeleteAnchors)] == ["web-d0"]
    assert plan.maintenance_calls[0].reason == "INCREASE_30 economic_increase"


@pytest.mark.parametrize(
    ("changes", "pods"), [({}, (anchor("web-d0"),)), (MIXED, ())], ids=["no-consolidation", "free"]
)
def test_any_other_return_is_a_drain(changes, pods):
    plan = planned(pool(n_on_demand=1, **changes), own_pods=pods)
    assert [o.node for o in plan.orders] == ["web-d0"]
    assert calls(plan.maintenance_calls, DeleteAnchors) == []


ALL_SPOT_WANTED = {"medium_risk": 0.01, "high_risk": 0.9}
"""Limits under which a calm pool holds: its entry risk counts as too high."""


@pytest.mark.parametrize("kind", [k for k in ProvisionerKind if k is not ProvisionerKind.KARPENTER])
def test_where_no_driver_moves_nodes_the_decision_is_made_and_nothing_is_written(kind):
    facts = pool(provisioner=kind)
    nodes = tuple(replace(n, provisioner=kind, node_group="", claim="") for n in facts.nodes)
    plan = planned(
        replace(facts, nodes=nodes), limits={"max_spot_ratio": 0.0, "on_demand_floor_nodes": 9}
    )
    (decision,) = plan.decisions
    assert decision.proposal.action is Action.DECREASE_10
    assert (decision.action, decision.reason) == (Action.HOLD, "refused_by_fit")
    assert (plan.orders, plan.maintenance_calls) == ((), ())


def test_a_return_to_the_other_side_of_a_pair_is_a_drain_even_where_both_consolidate():
    pair = tuple(
        NodeGroupFact(
            name=name, pool="web", capacity_types=(kind,), consolidation="WhenUnderutilized"
        )
        for name, kind in (("web-spot", CapacityType.SPOT), ("web", CapacityType.ON_DEMAND))
    )
    plan = planned(pool(n_on_demand=1, node_groups=pair), own_pods=(anchor("web-d0"),))
    assert [(o.node, o.sides) for o in plan.orders] == [("web-d0", ("web-spot",))]


def test_an_anchor_beyond_what_is_wanted_is_released_where_nothing_runs():
    pods = tuple(anchor(f"web-d{i}") for i in range(4))
    held = pool(n_spot=0)
    facts = with_nodes(held, *(replace(held.nodes[i], load=IDLE) for i in (0, 1)))
    found = wanted(facts, own_pods=pods, limits=ALL_SPOT_WANTED | {"on_demand_floor_nodes": 3})
    assert [c.node for c in calls(found, DeleteAnchors)] == ["web-d1"]
    assert found[0].reason == "nothing runs there"


def test_an_idle_nodes_anchor_stays_while_the_pool_is_busy_or_settling():
    held = pool(n_spot=0)
    facts = with_nodes(held, replace(held.nodes[0], load=IDLE))
    pods = (anchor("web-d0"),)
    in_hand = placeholder(order("web-d5"))
    limits = ALL_SPOT_WANTED
    assert wanted(facts, own_pods=(*pods, in_hand), limits=limits) == ()
    assert wanted(facts, own_pods=pods, state=SETTLING, limits=limits) == ()
    assert calls(wanted(facts, own_pods=pods, limits=limits), DeleteAnchors)
    settled = AT - Limits().settle_s
    for at, n in ((settled, 1), (settled + 0.1, 0)):
        state = ControllerState(pools={"web": PoolState(last_wave_at=at)})
        found = wanted(facts, own_pods=pods, state=state, limits=limits)
        assert len(calls(found, DeleteAnchors)) == n


def test_a_recommendation_is_noted_once_and_cleared_when_it_has_run_out():
    facts = on_instances(pool())
    advice = notice("web-s0", kind=NoticeKind.REBALANCE, deadline=None, until=AT + 60.0)
    (noted,) = calls(wanted(facts, notices=(advice,), state=SETTLING), NoteRisk)
    assert (noted.node, noted.uid, noted.until) == ("web-s0", "uid-web-s0", AT + 60.0)
    for until, cleared in ((AT + 60.0, 0), (AT, 1), (AT - 60.0, 1)):
        text = datetime.fromtimestamp(until, UTC).isoformat().replace("+00:00", "Z")
        there = with_nodes(facts, replace(facts.nodes[0], at_risk=text))
        found = wanted(there, notices=(advice,), state=SETTLING)
        assert calls(found, NoteRisk) == []
        assert len(calls(found, ClearRisk)) == cleared


@pytest.mark.parametrize(
    ("found", "limits"),
    [
        (notice("web-s0"), {}),
        (notice("foreign", kind=NoticeKind.REBALANCE), {}),
        (notice("web-s0", kind=NoticeKind.REBALANCE, until=AT), {}),
        (notice("web-s0", kind=NoticeKind.REBALANCE), {"mode": Mode.ADVISE}),
    ],
)
def test_what_is_no_recommendation_for_us_to_note_is_not_noted(found, limits):
    facts = on_instances(pool())
    assert calls(wanted(facts, notices=(found,), state=SETTLING, limits=limits), NoteRisk) == []


def test_a_note_that_is_no_time_is_over_and_one_without_a_zone_is_utc():
    assert risk_until("soon") == 0.0
    assert risk_until("2026-07-14T03:33:20") == risk_until("2026-07-14T03:33:20Z") == AT


def test_a_note_on_a_node_of_no_pool_is_cleared_too():
    lone = node("lone", pool="", at_risk="soon")
    (chore,) = wanted(pool(), unpooled=(lone,), state=SETTLING)
    assert (chore.call, chore.mode) == (ClearRisk(node="lone", uid="uid-lone"), Mode.ACTIVE)


def test_what_carries_a_journal_that_cannot_be_read_is_undone():
    facts = pool()
    strange = with_nodes(facts, replace(facts.nodes[0], mark="{", cordoned=True))
    pods = tuple(placeholder(order("web-s1"), n, order="{") for n in range(2))
    found = wanted(strange, own_pods=pods, state=SETTLING)
    assert [c.call for c in found] == [
        UnmarkNode(node="web-s0", uid="uid-web-s0", plan_id=""),
        DeletePlaceholders(plan_id="p1", for_uid="uid-web-s1"),
    ]
    assert {c.reason for c in found} == {"its journal cannot be read"}


@pytest.mark.parametrize("changes", [{"v": 2}, {"uid": "another"}, {"deadline": "soon"}])
def test_a_mark_that_cannot_be_read_goes_by_the_plan_that_it_names(changes):
    """Of a newer version, after a rollback: whoever takes a mark away compares its plan."""
    facts = pool()
    text = json.dumps(json.loads(to_text(order("web-s0"))) | changes)
    node = replace(facts.nodes[0], mark=text, cordoned=True)
    (chore,) = wanted(with_nodes(facts, node), state=SETTLING)
    assert chore.call == UnmarkNode(node="web-s0", uid="uid-web-s0", plan_id="p1")


def keeping(facts, text):
    return with_nodes(facts, replace(facts.nodes[-1], kept=text))


@pytest.mark.parametrize("text", [note_of("over"), "what nobody can read"])
def test_a_node_is_given_back_to_cluster_autoscaler_once_its_wave_is_over(text):
    facts = keeping(pool(), text)
    (chore,) = wanted(facts, state=SETTLING)
    name = facts.nodes[-1].name
    plan_id = "over" if text == note_of("over") else ""
    assert chore.call == FreeNode(node=name, uid=f"uid-{name}", plan_id=plan_id)
    assert chore.mode is Mode.ACTIVE


def test_a_node_is_kept_while_its_wave_lasts_or_may_not_show_yet():
    facts = keeping(pool(), note_of("p1"))
    assert wanted(facts, own_pods=(placeholder(order("web-s1")),), state=SETTLING) == ()
    marking = with_nodes(facts, marked(facts.nodes[0]))
    assert wanted(marking, state=SETTLING) == ()
    facts = cluster(facts)
    held = observation(cluster=facts, standing=LEADER, in_hand=frozenset({"uid-web-s0"}))
    assert maintenance_calls(held, (), in_flight(facts)) == ()


def grown(facts, **changes):
    return cluster(facts, growths=(("labels/web/spot", "p1"),), **changes)


def test_a_group_gives_back_what_a_wave_that_is_over_did_not_use_but_no_node_in_use():
    facts = on_instances(pool())
    used, idle, *others = (replace(n, node_group="labels/web/spot") for n in facts.nodes)
    facts = replace(facts, nodes=(used, replace(idle, load=IDLE), *others[:1]))
    (chore,) = maintenance_calls(
        observation(cluster=grown(facts), standing=LEADER), (), in_flight(cluster(facts))
    )
    in_use = tuple(sorted(instance_id_of(n.provider_id) for n in (used, *others[:1])))
    assert chore.call == SettleGroup(
        group="labels/web/spot",
        plan_id="p1",
        in_use=in_use,
        idle=((instance_id_of(idle.provider_id), idle.name),),
    )
    assert chore.mode is Mode.ACTIVE


def test_a_group_stays_as_it_is_while_its_wave_lasts_or_may_not_show_yet():
    facts = pool()
    flying = grown(facts, own_pods=(placeholder(order("web-s1")),))
    seen = observation(cluster=flying, standing=LEADER)
    assert maintenance_calls(seen, (), in_flight(flying)) == ()
    held = observation(cluster=grown(facts), standing=LEADER, in_hand=frozenset({"uid-web-s0"}))
    assert maintenance_calls(held, (), in_flight(grown(facts))) == ()


def test_what_can_be_read_is_no_leftover():
    facts = pool()
    facts = with_nodes(facts, marked(facts.nodes[0]))
    assert wanted(facts, own_pods=(placeholder(order("web-s1")),), state=SETTLING) == ()


def test_one_cycle_has_a_bounded_number_of_chores_with_a_key_each():
    nodes = tuple(on_demand(f"d{i}") for i in range(MAX_CHORES + 50))
    found = wanted(pool(nodes=nodes), limits={"on_demand_floor_nodes": MAX_CHORES + 50})
    assert len(found) == len({c.key for c in found}) == MAX_CHORES


def test_room_that_no_lost_node_is_left_for_is_deleted_once_nothing_unseen_is_in_hand():
    room = placeholder(loss(), for_uid=loss().plan_id, order="")
    (chore,) = [c for c in wanted(pool(), own_pods=(room,)) if c.key.startswith("orphaned/")]
    assert chore.call == DeletePlaceholders(plan_id=loss().plan_id, for_uid=loss().plan_id)
    facts = cluster(pool(), own_pods=(room,))
    held = observation(cluster=facts, standing=LEADER, in_hand=frozenset({"uid-web-s0"}))
    flying = in_flight(facts)
    assert [c.key for c in maintenance_calls(held, (), flying)] == []
