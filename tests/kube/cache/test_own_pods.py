"""Pods of ours in the store: seen as such, never as workload, and only where they can be ours."""

import pytest

from spotvortex.core.domain import labels as label_names
from spotvortex.core.domain.types import Blocker
from tests.kube.cache.test_store import Scene as AnyScene
from tests.kube.objects import node, node_pool, pod

OURS = "spotvortex"
DEADLINE = {"activeDeadlineSeconds": 1800}


class Scene(AnyScene):
    def __init__(self):
        super().__init__(namespace=OURS)


def own_pod(name, node_name="n1", *, kind="placeholder", namespace=OURS, **more):
    labels = {label_names.KIND: kind, label_names.PLAN: "p1", label_names.FOR: "uid-n0"}
    notes = {"karpenter.sh/do-not-disrupt": "true", label_names.ORDER: '{"v":1}'}
    status = more.pop("status", {"phase": "Running", "startTime": "2026-01-01T00:01:00Z"})
    found = pod(
        name,
        node_name,
        labels=labels,
        annotations=notes,
        creationTimestamp="2026-01-01T00:00:00Z",
        spec=DEADLINE,
        **more,
    )
    found["metadata"]["namespace"] = namespace
    found["status"] = status
    return found


def test_a_pod_of_ours_is_told_with_all_that_is_asked_of_it():
    scene = Scene().put("pods", own_pod("b"), own_pod("a", kind="anchor"), pod("c"))
    one, two = scene.store.own_pods()
    assert (one.name, one.kind, two.name, two.kind) == ("a", "anchor", "b", "placeholder")
    assert (two.plan_id, two.for_uid, two.node, two.order) == ("p1", "uid-n0", "n1", '{"v":1}')
    assert two.ends_at == 1767225660.0 + 1800
    assert (two.finished, two.terminating, two.pending_reason) == (False, False, "")
    assert scene.store.own_pods() is scene.store.own_pods()
    assert scene.store.own_pods_about("uid-n0") == (one, two)
    assert scene.store.own_pods_about("another") == ()


def test_one_that_waits_says_why():
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    waiting = own_pod("a", None, status={"phase": "Pending", "conditions": [condition]})
    (found,) = Scene().put("pods", waiting).store.own_pods()
    assert (found.node, found.ends_at) == ("", 1767225600.0 + 1800)
    assert found.pending_reason == "0/3 nodes are available"
    del condition["message"]
    (found,) = Scene().put("pods", waiting).store.own_pods()
    assert found.pending_reason == "not scheduled"


def test_the_pods_about_a_node_are_told_until_the_last_of_them_goes():
    store = Scene().put("pods", own_pod("a"), own_pod("b")).store
    key = f"{OURS}/a"
    store.pods.remove(key)
    assert [p.name for p in store.own_pods_about("uid-n0")] == ["b"]
    store.pods.remove(f"{OURS}/b")
    assert store.own_pods_about("uid-n0") == store.own_pods() == ()


def test_one_without_any_time_is_over():
    timeless = own_pod("a", status={"phase": "Pending"})
    del timeless["metadata"]["creationTimestamp"]
    (found,) = Scene().put("pods", timeless).store.own_pods()
    assert found.ends_at == 1800.0
    del timeless["spec"]["activeDeadlineSeconds"]
    (found,) = Scene().put("pods", timeless).store.own_pods()
    assert found.ends_at == 0.0


def test_a_pod_of_ours_is_no_workload_and_blocks_nothing():
    scene = Scene().put("nodes", node("n1")).put("pods", own_pod("a"), own_pod("b"))
    load = scene.load()
    assert (load.n_pods, load.n_workload_pods, load.workload_cpu_milli) == (2, 0, 0)
    assert (load.cpu_milli, load.blocked) == (200, ())
    (view, _) = [scene.store.pods.view_of(p) for p in scene.store.pods.on("n1")]
    assert (view.stays, view.blockers) == (True, ())


@pytest.mark.parametrize("change", [{"namespace": "default"}, {"kind": "other"}])
def test_labels_alone_make_no_pod_ours(change):
    scene = Scene().put("nodes", node("n1")).put("pods", own_pod("a", **change))
    assert scene.store.own_pods() == ()
    assert [b for b, _ in scene.blocked()] == [Blocker.BARE_POD, Blocker.DO_NOT_DISRUPT]


def test_without_a_namespace_of_ours_no_pod_is_ours():
    scene = AnyScene().put("pods", own_pod("a", namespace=""))
    assert scene.store.own_pods() == ()


def test_a_pod_that_loses_our_label_is_no_longer_ours():
    scene = Scene().put("pods", own_pod("a"))
    scene.put("pods", own_pod("a", kind="other"))
    assert scene.store.own_pods() == ()


def test_a_finished_one_takes_no_room_and_is_known_until_it_is_deleted():
    scene = Scene().put("nodes", node("n1")).put("pods", own_pod("a"))
    scene.put("pods", own_pod("a", status={"phase": "Failed"}, deletionTimestamp="x"))
    (found,) = scene.store.own_pods()
    assert (found.finished, found.terminating) == (True, True)
    assert scene.load().n_pods == 0
    assert scene.store.pods.keys() == {f"{OURS}/a"}
    scene.remove("pods", f"{OURS}/a")
    assert scene.store.own_pods() == ()
    assert scene.store.own_pods_about("uid-n0") == ()
    assert scene.store.pods.keys() == set()


def test_a_time_that_cannot_be_read_is_a_bad_pod():
    bad = own_pod("a", None, status={"phase": "Pending"})
    bad["metadata"]["creationTimestamp"] = "yesterday"
    with pytest.raises(ValueError, match="yesterday"):
        Scene().put("pods", bad)


def test_what_we_left_on_a_node_is_a_fact_of_it():
    marked = node(
        "n1",
        {label_names.CORDONED: "true"},
        annotations={label_names.DRAIN: "{", label_names.AT_RISK: "t"},
    )
    facts = AnyScene().put("nodes", marked, node("n2")).snapshot().unpooled
    assert [(n.mark, n.labelled, n.at_risk) for n in facts] == [("{", True, "t"), ("", False, "")]


def test_what_an_owner_says_on_a_node_pool_is_a_fact_of_it():
    notes = {label_names.ON_DEMAND_FLOOR: "2", label_names.MODE: "active", "other": "x"}
    scene = AnyScene().put("node_pools", node_pool("web", annotations=notes), node_pool("web2"))
    pools = [p for pool in scene.snapshot().pools for p in pool.node_groups]
    assert [p.rules for p in pools] == [
        ((label_names.MODE, "active"), (label_names.ON_DEMAND_FLOOR, "2")),
        (),
    ]


@pytest.mark.parametrize(("text", "n"), [("8", 8), ("", 1), ("x", 1), ("-1", 1), ("1234", 1)])
def test_a_placeholder_says_for_how_many_pods_it_stands(text, n):
    made = own_pod("a")
    made["metadata"]["labels"][label_names.ROOM] = text
    (found,) = Scene().put("pods", made).store.own_pods()
    assert found.n_pods == n


def test_a_placeholder_says_when_it_was_made_and_when_a_node_took_it():
    (found,) = Scene().put("pods", own_pod("a")).store.own_pods()
    assert (found.created_at, found.bound_at) == (1767225600.0, 1767225660.0)
    (found,) = Scene().put("pods", own_pod("a", None, status={"phase": "Pending"})).store.own_pods()
    assert found.bound_at is None
