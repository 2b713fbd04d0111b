"""The simulated API server: preconditions, conflicts, refusals, and calls that come twice."""

import pytest

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.calls import (
    Again,
    BlockedByBudget,
    ClearRisk,
    CreateRoom,
    DeleteAnchors,
    DeletePlaceholders,
    Done,
    Gone,
    NoteRisk,
    PodView,
    Refused,
    RoomShape,
    UnmarkNode,
)
from spotvortex.sim.cluster.api_server import NAMESPACE, plan_on
from spotvortex.sim.cluster.scenario import WorkloadKind
from tests.sim.small import (
    PLAN,
    anchor,
    app,
    claim_of,
    eviction,
    journal,
    mark,
    node_of,
    placeholder,
    step,
    world_of,
)


@pytest.fixture
def world():
    return world_of()


@pytest.fixture
def node(world):
    return node_of(world)


def unmark(node, **changes):
    return UnmarkNode(**{"node": node.name, "uid": node.uid, "plan_id": PLAN, **changes})


def test_a_mark_cordons_labels_and_leaves_the_journal_at_once(world, node):
    assert world.apply(mark(node)) == Done()
    assert (node.cordoned, node.labelled, node.mark) == (True, True, journal(node))
    assert plan_on(node) == PLAN


def test_a_mark_on_a_node_that_has_changed_is_a_conflict(world, node):
    late = mark(node)
    world.cluster.taint(node)
    assert isinstance(world.apply(late), Again)
    assert not node.cordoned


def test_a_mark_that_comes_twice_is_done(world, node):
    first = mark(node)
    assert world.apply(first) == world.apply(first) == Done()
    assert isinstance(world.apply(mark(node, plan_id="other", resource_version="0")), Again)


def test_writes_on_another_node_of_the_same_name_find_it_gone(world, node):
    calls = (
        mark(node, uid="other"),
        unmark(node, uid="other"),
        NoteRisk(node=node.name, uid="other", until=0.0),
        ClearRisk(node="nowhere", uid=node.uid),
    )
    assert [world.apply(call) for call in calls] == [Gone()] * 4


def test_an_unmark_takes_away_what_the_mark_left(world, node):
    world.apply(mark(node))
    assert world.apply(unmark(node)) == Done()
    assert (node.cordoned, node.labelled, node.mark) == (False, False, "")


def test_an_unmark_leaves_the_cordon_that_a_person_wants_and_marks_of_other_plans(world, node):
    world.apply(mark(node))
    assert world.apply(unmark(node, plan_id="other")) == Done()
    assert node.labelled
    assert world.apply(unmark(node, uncordon=False)) == Done()
    assert (node.cordoned, node.labelled) == (True, False)


def test_an_unmark_of_no_plan_leaves_a_cordon_that_is_not_ours(world, node):
    world.cluster.cordon(node, cordoned=True)
    assert world.apply(unmark(node, plan_id="")) == Done()
    assert node.cordoned


def test_a_note_of_a_risk_is_written_and_cleared(world, node):
    world.apply(NoteRisk(node=node.name, uid=node.uid, until=0.0))
    assert node.at_risk == "1970-01-01T00:00:00Z"
    world.apply(ClearRisk(node=node.name, uid=node.uid))
    assert node.at_risk == ""


def test_an_eviction_obeys_uid_and_budget_and_may_come_twice(world, node):
    first, second = node.movable[:2]
    assert world.apply(eviction(first, node, uid="other")) == Gone()
    assert world.apply(eviction(first, node, name="nobody")) == Gone()
    assert world.apply(eviction(first, node)) == Done()
    assert first.terminating
    assert world.apply(eviction(first, node)) == Done()
    assert isinstance(world.apply(eviction(second, node)), BlockedByBudget)


def test_a_pending_pod_is_evicted_at_once():
    world = world_of(workloads=(app(replicas=2), app(name="wide", replicas=1, cpu_milli=900_000)))
    pod = next(iter(world.cluster.pending.values()))
    assert world.apply(eviction(pod, node_of(world))) == Done()
    assert pod.key not in world.cluster.pods


def test_a_placeholder_asks_as_its_pod_would(world, node):
    pod = node.movable[0]
    assert world.apply(placeholder(pod, node, zone="us-east-1b")) == Done()
    ours = world.cluster.own[f"{NAMESPACE}/room-{pod.name}"]
    assert (ours.workload.cpu_milli, ours.zone) == (pod.workload.cpu_milli, "us-east-1b")
    assert ours.workload.capacity_type is CapacityType.ON_DEMAND
    assert ours.own.expires_at == world.at + 600


def test_a_placeholder_for_any_capacity_names_none(world, node):
    pod = node.movable[0]
    world.apply(placeholder(pod, node, capacity_type=CapacityType.UNKNOWN))
    assert next(iter(world.cluster.own.values())).workload.capacity_type is None


def test_a_placeholder_for_a_pod_that_is_no_more_finds_it_gone(world, node):
    pod = node.movable[0]
    assert world.apply(placeholder(pod, node, for_pod="web/nobody")) == Gone()
    assert world.apply(placeholder(pod, node, pod_uid="other")) == Gone()
    assert not world.cluster.own


def test_a_placeholder_that_is_there_is_done_for_its_plan_and_refused_for_another(world, node):
    pod = node.movable[0]
    first = placeholder(pod, node)
    assert world.apply(first) == world.apply(first) == Done()
    assert len(world.cluster.own) == 1
    assert isinstance(world.apply(placeholder(pod, node, plan_id="other")), Refused)


def test_the_quota_bounds_what_we_can_ask_for(world, node):
    world.server.quota_pods = 1
    first, second = node.movable[:2]
    assert world.apply(placeholder(first, node)) == Done()
    refused = world.apply(placeholder(second, node))
    assert isinstance(refused, Refused)
    assert "quota" in refused.reason
    assert isinstance(world.apply(anchor(node)), Refused)


def test_an_anchor_is_bound_to_its_node_and_may_come_twice(world, node):
    assert world.apply(anchor(node)) == world.apply(anchor(node)) == Done()
    assert [pod.node for pod in world.cluster.own.values()] == [node.name]
    assert any(pod.keeps_node for pod in node.pods.values())


def test_an_anchor_on_a_node_that_is_gone_goes_with_it(world, node):
    assert world.apply(anchor(node, node_uid="other")) == Done()
    assert not world.cluster.own


def test_anchors_and_placeholders_are_deleted_by_node_and_plan(world, node):
    pod, other = node.movable[0], node_of(world, CapacityType.ON_DEMAND)
    for call in (anchor(node), anchor(other), placeholder(pod, node)):
        world.apply(call)
    assert world.apply(DeleteAnchors(node=node.name, node_uid=node.uid)) == Done()
    assert len(world.cluster.own) == 2
    assert world.apply(DeletePlaceholders(plan_id="other", for_uid=node.uid)) == Done()
    assert len(world.cluster.own) == 2
    world.apply(DeletePlaceholders(plan_id=PLAN, for_uid=node.uid))
    assert [p.name for p in world.cluster.own.values()] == [f"anchor-{other.name}"]


def test_a_node_claim_is_deleted_once_and_only_for_the_node_it_names(world, node):
    assert world.apply(claim_of(node, claim="web-none")) == Gone()
    assert isinstance(world.apply(claim_of(node, node="other")), Refused)
    assert not node.deleting
    assert world.apply(claim_of(node)) == Done()
    version = node.version
    assert world.apply(claim_of(node)) == Done()
    assert (node.deleting, node.moving, node.version) == (True, True, version)


def test_what_we_make_expires(world, node):
    world.apply(anchor(node, expires_s=60))
    step(world, 55.0)
    assert world.cluster.own
    step(world, 5.0)
    assert not world.cluster.own


def test_a_mark_that_cannot_be_read_has_no_plan(world, node):
    world.cluster.mark(node, "{}")
    assert plan_on(node) == ""
    assert node.movable[0].workload.kind is WorkloadKind.DEPLOYMENT


# -- calls that read before they write ------------------------------------------


def test_an_unmark_of_what_has_changed_since_it_was_read_is_a_conflict(world, node):
    world.apply(mark(node))
    seen = world.server.read(unmark(node))
    world.cluster.taint(node)
    assert isinstance(world.apply(unmark(node), seen), Again)
    assert node.cordoned
    assert world.apply(unmark(node), world.server.read(unmark(node))) == Done()
    assert not node.cordoned


def test_a_read_that_leaves_nothing_to_do_ends_the_call(world, node):
    assert world.server.read(unmark(node)) == Done()
    assert world.server.read(unmark(node, uid="other")) == Gone()
    world.apply(claim_of(node))
    assert world.server.read(claim_of(node)) == Done()


def test_a_node_may_go_between_the_two_requests_of_a_call(world, node):
    world.apply(mark(node))
    calls = (unmark(node), claim_of(node))
    seen = [world.server.read(call) for call in calls]
    world.cluster.delete_claim(node)
    step(world, 600.0)
    assert [world.apply(call, s) for call, s in zip(calls, seen, strict=True)] == [Gone(), Gone()]


def test_room_is_made_for_a_pod_that_has_gone_since_it_was_read(world, node):
    call = placeholder(node.movable[0], node)
    seen = world.server.read(call)
    world.cluster.delete_pod(node.movable[0], world.at)
    assert world.server.read(call) == Gone()
    assert world.apply(call, seen) == Done()


def room_of(pods, node, n_extra=0):
    """What a lost node asks for at once."""
    seen = tuple(
        PodView(
            namespace=pod.workload.namespace,
            name=pod.name,
            uid=pod.uid,
            cpu_milli=pod.workload.cpu_milli,
            memory_bytes=pod.workload.memory_bytes,
            grace_s=30.0,
            stays=False,
        )
        for pod in pods
    )
    return CreateRoom(
        plan_id=PLAN,
        for_uids=(node.uid,),
        pool=node.group.pool,
        capacity_type=CapacityType.UNKNOWN,
        sides=(node.group.name,),
        shapes=(RoomShape(pods=seen, zone="", avoid=(), n_extra=n_extra),),
        expires_s=600,
    )


def extras(world):
    return [pod for pod in world.cluster.own.values() if pod.own.extra]


def test_extra_room_is_on_other_nodes_than_the_rest_of_its_plan(world, node):
    assert world.apply(room_of(node.movable, node, n_extra=2)) == Done()
    step(world, 30.0)
    hosts = {pod.node or pod.promised for pod in extras(world)}
    others = {p.node or p.promised for p in world.cluster.own.values() if not p.own.extra}
    assert len(extras(world)) == 2
    assert all(hosts)
    assert not hosts & others


def test_a_quota_ends_what_is_extra_before_what_is_needed(world, node):
    world.server.quota_pods = len(node.movable) + 1
    assert world.apply(room_of(node.movable, node, n_extra=2)) == Done()
    assert (len(world.cluster.own), len(extras(world))) == (len(node.movable) + 1, 1)


def test_room_without_a_node_is_given_back_and_that_of_others_stays(world, node):
    pod = node.movable[0]
    world.apply(room_of([pod], node))
    step(world, 400.0)
    (bound,) = world.cluster.own.values()
    assert bound.node
    world.apply(room_of(node.movable[1:], node, n_extra=3))
    assert len(world.cluster.own) > 1
    world.apply(DeletePlaceholders(plan_id=PLAN, for_uid=PLAN, unbound=True))
    assert list(world.cluster.own.values()) == [bound]
