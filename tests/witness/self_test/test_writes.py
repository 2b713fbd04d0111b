"""The audit log keeps the bodies that the witness reads, and no others."""

import json

import pytest

from tests.controlplane.manifests import PodShape, pod_manifest
from tests.witness.judge.names import PLACEHOLDER
from tests.witness.writes import writes_of

pytestmark = pytest.mark.controlplane


def seen_of(stage, resource: str, name: str, verb: str) -> list[dict]:
    """Return the events about one object, whoever made them."""
    wanted = (resource, name, verb)
    return [
        event
        for event in stage.plane.audit_events()
        if (e := event.get("objectRef", {}))
        and (
            "/".join(filter(None, (e["resource"], e.get("subresource")))),
            e.get("name"),
            event["verb"],
        )
        == wanted
    ]


def test_marks_evictions_and_our_pods_are_kept_whole(stage):
    node, hand = stage.spot[0], stage.hand()
    pod, name = stage.pods_on(node)[0], node["metadata"]["name"]
    hand.placeholder("whole", node, "plan-1")
    hand.await_running("whole")
    hand.mark(node, "plan-1")
    hand.evict(pod)
    hand.unmark(node)
    hand.delete_own(PLACEHOLDER, plan="plan-1")
    # The scheduler's binding tells where a placeholder went.
    assert seen_of(stage, "pods/binding", "whole", "create")[-1]["requestObject"]["target"]
    ours = stage.plane.username("replica-a")
    patches = seen_of(stage, "nodes", name, "patch")
    mark = next(event for event in patches if event["user"].get("username") == ours)
    assert mark["responseObject"]["spec"]["unschedulable"] is True
    assert "managedFields" not in mark["responseObject"]["metadata"]
    evicted = seen_of(stage, "pods/eviction", pod["metadata"]["name"], "create")[0]
    assert evicted["requestObject"]["deleteOptions"]["preconditions"]["uid"]
    assert len(json.dumps(mark)) < 8_000


def test_pods_of_others_and_new_nodes_leave_a_line_without_a_body(stage):
    shape = PodShape(namespace=stage.namespace, node_name="none")
    stage.plane.api().create(pod_manifest("bodyless", shape))
    assert "requestObject" not in seen_of(stage, "pods", "bodyless", "create")[0]
    name = stage.spot[0]["metadata"]["name"]
    assert "requestObject" not in seen_of(stage, "nodes", name, "create")[0]


def test_replicas_of_one_account_are_told_apart(stage):
    node = stage.spot[0]
    for user in ("replica-a", "replica-b"):
        stage.hand(user).patch_node(node, {"metadata": {"uid": node["metadata"]["uid"]}})
    ours = {stage.plane.username("replica-a")}
    writes = [
        write
        for write in writes_of(stage.plane.audit_events(), ours)
        if write.name == node["metadata"]["name"]
    ]
    assert [write.writer[1] for write in writes] == ["uid-replica-a", "uid-replica-b"]
    assert {write.writer[0] for write in writes} == ours
