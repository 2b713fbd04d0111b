"""Snapshots: sums against a naive recount, and the sameness of what has not changed."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from spotvortex.core.domain.cloud.exits import NodeExit
from spotvortex.core.domain.types import Blocker, CapacityType, ProvisionerKind
from spotvortex.core.pool.blocking import blockers_of, pdb_blocked_nodes
from spotvortex.core.pool.survival.eviction import Blocked, eviction_verdict
from spotvortex.kube.api.wire import karpenter as karpenter_wire
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire import owners as owner_wire
from spotvortex.kube.api.wire.codec import Codec
from spotvortex.kube.api.wire.events import Event
from spotvortex.kube.cache.snapshot import SnapshotBuilder
from spotvortex.kube.cache.store import Store
from spotvortex.kube.cache.workloads.pdbs import Lookup
from tests.examples import examples
from tests.kube.objects import container, node, node_pool, pdb, pod, replica_set

CODECS = {
    "nodes": Codec(wire.Node),
    "pods": Codec(wire.Pod),
    "budgets": Codec(wire.Pdb),
    "workloads": Codec(owner_wire.Owner),
    "stateful_sets": Codec(owner_wire.Owner),
    "namespaces": Codec(owner_wire.Owner),
    "node_pools": Codec(karpenter_wire.NodePool),
    "interruptions": Codec(Event),
    "launches": Codec(Event),
}


class Scene:
    """A store fed with objects as the server would send them."""

    def __init__(self, namespace=""):
        self.store = Store(namespace)
        self.cluster = SnapshotBuilder(self.store)

    def put(self, table, *objects):
        for plain in objects:
            obj = CODECS[table].object(Raw(json.dumps(plain).encode()))
            self.table(table).put(obj.metadata.key, obj)
        return self

    def remove(self, table, key):
        self.table(table).remove(key)

    def table(self, name):
        words = name in ("stateful_sets", "namespaces")
        return getattr(self.store.workloads if words else self.store, name)

    def snapshot(self):
        return self.cluster.snapshot(())

    def load(self, name="n1"):
        facts = self.snapshot()
        nodes = [n for p in facts.pools for n in p.nodes] + list(facts.unpooled)
        return next(n.load for n in nodes if n.name == name)

    def blocked(self, name="n1"):
        return [(b.blocker, b.workload) for b in self.load(name).blocked]


def pooled(name, pool="web", **labels):
    return node(name, {"karpenter.sh/nodepool": pool} | labels)


def test_requests_are_summed_and_daemons_told_apart():
    scene = Scene().put("nodes", node("n1"))
    scene.put(
        "pods",
        pod("a", owner=("StatefulSet", "db")),
        pod("b", owner=("StatefulSet", "db")),
        pod("d", owner=("DaemonSet", "agent")),
        pod("m", owner=("Node", "n1")),
        pod("elsewhere", node="n2", owner=("StatefulSet", "db")),
    )
    load = scene.load()
    assert (load.n_pods, load.n_workload_pods) == (4, 2)
    assert (load.cpu_milli, load.workload_cpu_milli) == (400, 200)
    assert (load.memory_bytes, load.workload_memory_bytes) == (512 * 2**20, 256 * 2**20)
    assert (load.largest_cpu_milli, load.largest_memory_bytes) == (100, 128 * 2**20)


def test_a_node_without_pods_has_no_largest_one():
    load = Scene().put("nodes", node("n1")).load()
    assert (load.largest_cpu_milli, load.largest_memory_bytes, load.n_pods) == (0, 0, 0)
    assert (load.outage_hours, load.startup_s, load.blocked) == (None, None, ())


@pytest.mark.parametrize(
    ("spec", "requests"),
    [
        ({"containers": [container("100m"), container("200m")]}, 300),
        ({"initContainers": [container("500m")]}, 500),
        ({"initContainers": [container("50m")]}, 100),
        ({"initContainers": [container("50m", restartPolicy="Always")]}, 150),
        (
            {
                "initContainers": [
                    container("50m", restartPolicy="Always"),
                    container("400m"),
                    container("70m", restartPolicy="Always"),
                ]
            },
            450,
        ),
        ({"overhead": {"cpu": "10m"}}, 110),
        ({"resources": {"requests": {"cpu": "1"}}, "overhead": {"cpu": "10m"}}, 1010),
        ({"containers": [{}, {"resources": {}}, {"resources": {"requests": {"cpu": 1}}}]}, 1000),
        ({"containers": None}, 0),
    ],
)
def test_a_pod_requests_what_the_scheduler_counts(spec, requests):
    scene = Scene().put("nodes", node("n1")).put("pods", pod("a", spec=spec))
    assert scene.load().cpu_milli == requests


def test_the_overhead_of_a_pod_counts_beside_its_containers():
    overhead = {"overhead": {"cpu": "10m", "memory": "1Mi"}}
    load = Scene().put("nodes", node("n1")).put("pods", pod("a", spec=overhead)).load()
    assert (load.cpu_milli, load.memory_bytes) == (110, 129 * 2**20)


def test_a_node_that_leaves_without_a_pod_of_a_budget_takes_none_away():
    scene = Scene().put("budgets", pdb("web", {}))
    scene.put("nodes", node("n1"), node("n2", spec={"unschedulable": True}))
    scene.put("pods", pod("a"), pod("b", "n2", ready=False))
    (found,) = scene.snapshot().pdbs
    assert (found.healthy_by_node, found.n_leaving) == ((("n1", 1),), 0)
    scene.put("pods", pod("b", "n2"))
    assert scene.snapshot().pdbs[0].n_leaving == 1


def test_finished_pods_do_not_count():
    scene = Scene().put("nodes", node("n1")).put("pods", pod("a"), pod("b", phase="Failed"))
    assert scene.load().n_pods == 1
    scene.put("pods", pod("a", phase="Succeeded"))
    assert scene.load().n_pods == 0
    assert scene.snapshot().n_pods == 0


@pytest.mark.parametrize(
    ("blocker", "more"),
    [
        (Blocker.DO_NOT_DISRUPT, {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}),
        (Blocker.DO_NOT_DISRUPT, {"annotations": {"karpenter.sh/do-not-disrupt": "30m"}}),
        (
            Blocker.DO_NOT_DISRUPT,
            {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}},
        ),
        (Blocker.LOCAL_STORAGE, {"spec": {"volumes": [{"hostPath": {"path": "/x"}}]}}),
        (Blocker.VOLUME, {"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "x"}}]}}),
        (Blocker.VOLUME, {"spec": {"volumes": [{"ephemeral": {}}]}}),
        (
            Blocker.PINNED_ON_DEMAND,
            {"spec": {"nodeSelector": {"karpenter.sh/capacity-type": "on-demand"}}},
        ),
        (Blocker.PINNED_ON_DEMAND, {"spec": {"nodeSelector": {"karpenter.sh/nodepool": "web-od"}}}),
        (
            Blocker.PINNED_SPOT,
            {"spec": {"nodeSelector": {"karpenter.sh/capacity-type": "spot"}}},
        ),
        (Blocker.PINNED_SPOT, {"spec": {"nodeSelector": {"karpenter.sh/nodepool": "web-spot"}}}),
    ],
)
def test_what_a_pod_says_of_itself_blocks_its_node(blocker, more):
    scene = Scene().put("nodes", node("n1"), node("n2"))
    scene.put("pods", pod("a", owner=("Job", "j"), **more), pod("b", "n2", owner=("Job", "j")))
    assert scene.blocked() == [(blocker, "default/Job/j")]


@pytest.mark.parametrize(
    "more",
    [
        {"annotations": {"karpenter.sh/do-not-disrupt": "false"}},
        {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}},
        {"spec": {"volumes": [{"emptyDir": {}}, {"configMap": {}}]}},
        {"spec": {"nodeSelector": {"karpenter.sh/nodepool": "web"}}},
    ],
)
def test_what_does_not_block(more):
    scene = Scene().put("nodes", node("n1"))
    scene.put("pods", pod("a", owner=("Job", "j"), **more), pod("b", "n2", owner=("Job", "j")))
    assert scene.blocked() == []


def affinity(*terms):
    required = {"nodeSelectorTerms": [{"matchExpressions": list(term)} for term in terms]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def rule(key, operator, *values):
    return {"key": key, "operator": operator, "values": list(values)}


CAPACITY = "eks.amazonaws.com/capacityType"


@pytest.mark.parametrize(
    ("terms", "pinned"),
    [
        ([[rule(CAPACITY, "In", "ON_DEMAND")]], Blocker.PINNED_ON_DEMAND),
        ([[rule(CAPACITY, "NotIn", "SPOT")]], Blocker.PINNED_ON_DEMAND),
        ([[rule(CAPACITY, "In", "ON_DEMAND", "SPOT")]], None),
        ([[rule(CAPACITY, "In", "ON_DEMAND")], [rule("zone", "In", "a")]], None),
        (
            [[rule("zone", "In", "a"), rule(CAPACITY, "In", "ON_DEMAND", "reserved")]],
            Blocker.PINNED_ON_DEMAND,
        ),
        ([[rule("karpenter.sh/nodepool", "In", "a-od", "b-od")]], Blocker.PINNED_ON_DEMAND),
        ([[rule("karpenter.sh/nodepool", "In", "a-od", "b-spot")]], None),
        ([[rule("zone", "NotIn", "spot")]], None),
        ([[rule(CAPACITY, "In", "SPOT")]], Blocker.PINNED_SPOT),
        ([[rule(CAPACITY, "NotIn", "ON_DEMAND", "reserved")]], Blocker.PINNED_SPOT),
        ([[rule(CAPACITY, "In", "SPOT")], [rule(CAPACITY, "In", "ON_DEMAND")]], None),
        ([[rule("karpenter.sh/nodepool", "In", "a-spot")]], Blocker.PINNED_SPOT),
        ([[rule("eks.amazonaws.com/nodegroup", "In", "a-spot")]], Blocker.PINNED_SPOT),
        ([], None),
        ([[]], None),
    ],
)
def test_required_affinity_pins_to_one_side_if_every_term_does(terms, pinned):
    scene = Scene().put("nodes", node("n1"))
    spec = {"affinity": affinity(*terms)}
    scene.put("pods", pod("a", owner=("Job", "j"), spec=spec), pod("b", "x", owner=("Job", "j")))
    expected = [(pinned, "default/Job/j")] if pinned else []
    assert scene.blocked() == expected


def test_a_pod_without_controller_is_bare_and_a_mirror_pod_is_not():
    scene = Scene().put("nodes", node("n1"))
    scene.put("pods", pod("a"), pod("m", annotations={"kubernetes.io/config.mirror": "x"}))
    assert scene.blocked() == [(Blocker.BARE_POD, "default/Pod/a")]


def test_a_daemon_blocks_only_where_karpenter_would_heed_it():
    scene = Scene().put("nodes", node("n1"))
    host = {"volumes": [{"hostPath": {}}]}
    safe = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    scene.put("pods", pod("a", owner=("DaemonSet", "x"), spec=host, annotations=safe))
    assert scene.blocked() == []
    peace = {"karpenter.sh/do-not-disrupt": "true"}
    scene.put("pods", pod("b", owner=("DaemonSet", "y"), annotations=peace))
    assert scene.blocked() == [(Blocker.DO_NOT_DISRUPT, "default/DaemonSet/y")]


def test_the_last_replica_blocks_until_a_second_one_lives():
    scene = Scene().put("nodes", node("n1"), node("n2"))
    scene.put("pods", pod("a", owner=("StatefulSet", "db")))
    assert scene.blocked() == [(Blocker.SINGLE_REPLICA, "default/StatefulSet/db")]
    scene.put("pods", pod("b", "n2", owner=("StatefulSet", "db")))
    assert scene.blocked() == []
    scene.put("pods", pod("b", "n2", owner=("StatefulSet", "db"), deletionTimestamp="now"))
    assert scene.blocked() == [(Blocker.SINGLE_REPLICA, "default/StatefulSet/db")]
    assert scene.blocked("n2") == []


def test_replicas_are_counted_over_all_replica_sets_of_a_deployment():
    scene = Scene().put("nodes", node("n1"), node("n2"))
    scene.put("pods", pod("a", owner=("ReplicaSet", "new")))
    scene.put("pods", pod("b", "n2", owner=("ReplicaSet", "old")))
    assert scene.blocked() == [(Blocker.SINGLE_REPLICA, "default/ReplicaSet/new")]
    scene.put("workloads", replica_set("new", "web"), replica_set("old", "web"))
    assert scene.blocked() == []
    scene.remove("pods", "default/b")
    assert scene.blocked() == [(Blocker.SINGLE_REPLICA, "default/Deployment/web")]


def test_a_hashed_replica_set_is_taken_for_its_deployment_until_told_otherwise():
    scene = (
        Scene().put("nodes", node("n1")).put("pods", pod("a", owner=("ReplicaSet", "web-7d9f8b")))
    )
    assert scene.blocked() == [(Blocker.SINGLE_REPLICA, "default/Deployment/web")]
    scene.put("workloads", replica_set("web-7d9f8b"))
    assert scene.blocked() == [(Blocker.SINGLE_REPLICA, "default/ReplicaSet/web-7d9f8b")]
    assert scene.store.workloads.keys() == {"default/web-7d9f8b"}
    scene.remove("workloads", "default/web-7d9f8b")
    assert scene.blocked() == [(Blocker.SINGLE_REPLICA, "default/Deployment/web")]


def test_a_pod_under_two_budgets_blocks_its_node_until_one_goes():
    scene = Scene().put("nodes", node("n1"))
    web = {"labels": {"app": "web"}, "owner": ("Job", "j")}
    scene.put("pods", pod("a", **web), pod("b", "n2", **web))
    scene.put("budgets", pdb("one", {"matchLabels": {"app": "web"}}), pdb("two", {}))
    assert scene.blocked() == [(Blocker.TWO_PDBS, "default/Job/j")]
    scene.put("budgets", pdb("two", {"matchLabels": {"app": "db"}}))
    assert scene.blocked() == []


def test_a_budget_counts_ready_pods_by_node_and_names_their_workload():
    scene = Scene().put("nodes", pooled("n1"), pooled("n2", "db"))
    web = {"labels": {"app": "web"}, "owner": ("StatefulSet", "web")}
    scene.put(
        "pods",
        pod("a", **web),
        pod("b", **web),
        pod("c", "n2", **web, ready=False),
        pod("d", "n2", **web, deletionTimestamp="now"),
        pod("e", "", **web),
        pod("odd", "n2", labels={"app": "web"}),
    )
    scene.put("budgets", pdb("web", {"matchLabels": {"app": "web"}}, desired=2, allowed=1))
    facts = scene.snapshot()
    assert [p.name for p in facts.pools] == ["db", "web"]
    found = facts.pools[0].pdbs[0]
    assert found is facts.pools[1].pdbs[0]
    assert (found.key, found.workload) == ("default/web", "default/StatefulSet/web")
    assert found.healthy_by_node == (("n1", 2), ("n2", 1))
    assert (found.desired_healthy, found.disruptions_allowed) == (2, 1)
    assert facts.n_pdbs == 1


def on_spot(name, pool, zone, kind="spot"):
    return pooled(
        name,
        pool,
        **{
            "karpenter.sh/capacity-type": kind,
            "node.kubernetes.io/instance-type": "m5.large",
            "topology.kubernetes.io/zone": zone,
        },
    )


def shares(scene):
    (budget,) = scene.snapshot().pdbs
    return [(s.offering.zone, s.n_nodes, s.n_pods) for s in budget.spot_by_offering]


def test_a_budget_counts_its_pods_on_spot_over_all_pools_as_nodes_change():
    scene = Scene().put("nodes", on_spot("n1", "web", "a"), on_spot("n2", "db", "a"))
    scene.put("budgets", pdb("all", {}))
    scene.put("pods", *(pod(f"p{i}", f"n{i % 2 + 1}", owner=("Job", "j")) for i in range(3)))
    scene.put("pods", pod("unready", "n1", ready=False, owner=("Job", "j")))
    assert shares(scene) == [("a", 2, 3)]
    scene.put("nodes", on_spot("n2", "db", "a") | {"spec": {"unschedulable": True}})
    assert scene.snapshot().pdbs[0].n_leaving == 1
    assert scene.snapshot().pdbs[0].spot_by_offering[0].n_leaving == 1
    scene.put("nodes", on_spot("n2", "db", "b"))
    assert shares(scene) == [("a", 1, 2), ("b", 1, 1)]
    scene.put("nodes", on_spot("n1", "web", "a", "on-demand"))
    assert shares(scene) == [("b", 1, 1)]
    scene.put("nodes", on_spot("n1", "", "a"))
    assert shares(scene) == [("a", 1, 2), ("b", 1, 1)]
    assert scene.snapshot().pdbs[0].pools == ("db",)
    scene.remove("nodes", "n2")
    assert shares(scene) == [("a", 1, 2)]
    assert scene.snapshot().unpooled_pdbs == scene.snapshot().pdbs
    assert [p.pdbs for p in scene.snapshot().pools] == []
    scene.put("nodes", on_spot("n2", "db", "c"))
    assert shares(scene) == [("a", 1, 2), ("c", 1, 1)]


def test_a_budget_keeps_apart_what_can_hold_a_node_and_what_cannot():
    scene = Scene().put("nodes", pooled("n1"), pooled("n2"))
    scene.put(
        "pods",
        pod("ready", owner=("Job", "j")),
        pod("daemon", owner=("DaemonSet", "d")),
        pod("daemon-down", owner=("DaemonSet", "d"), ready=False),
        pod("crashing", "n2", owner=("Job", "j"), ready=False),
        pod("pulling", "n2", owner=("Job", "j"), ready=False, phase="Pending"),
        pod("going", "n2", owner=("Job", "j"), ready=False, deletionTimestamp="now"),
    )
    scene.put("budgets", pdb("all", {}))
    (found,) = scene.snapshot().pdbs
    assert found.healthy_by_node == (("n1", 2),)
    assert found.free_by_node == (("n1", 1),)
    assert found.unready_by_node == (("n2", 1),)


@pytest.mark.parametrize(
    ("spec", "terms", "evicts_unhealthy"),
    [
        ({"maxUnavailable": 0}, "maxUnavailable 0", False),
        ({"minAvailable": "100%"}, "minAvailable 100%", False),
        (
            {"minAvailable": 2, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
            "minAvailable 2",
            True,
        ),
        ({"unhealthyPodEvictionPolicy": "IfHealthyBudget"}, "", False),
    ],
)
def test_a_budget_says_what_it_asks_for(spec, terms, evicts_unhealthy):
    plain = pdb("all", {})
    plain["spec"] |= spec
    plain["status"] |= {"currentHealthy": 3, "expectedPods": 4, "observedGeneration": 1}
    plain["metadata"]["generation"] = 1
    scene = Scene().put("nodes", node("n1")).put("pods", pod("a")).put("budgets", plain)
    (found,) = scene.snapshot().pdbs
    assert (found.terms, found.evicts_unhealthy) == (terms, evicts_unhealthy)
    assert (found.current_healthy, found.expected_pods, found.observed) == (3, 4, True)
    plain["metadata"]["generation"] = 2
    scene.put("budgets", plain)
    assert not scene.snapshot().pdbs[0].observed


def test_a_budget_that_nobody_has_looked_at_yet_allows_nothing():
    plain = pdb("all", {})
    plain["status"] = {}
    plain["metadata"]["generation"] = 1
    scene = Scene().put("nodes", node("n1")).put("pods", pod("a")).put("budgets", plain)
    (found,) = scene.snapshot().pdbs
    assert (found.desired_healthy, found.disruptions_allowed) == (0, 0)
    assert (found.current_healthy, found.expected_pods, found.observed) == (0, 0, False)


def test_a_pending_pod_is_asked_about_no_budget():
    scene = Scene().put("nodes", node("n1")).put("budgets", pdb("one", {}), pdb("two", {}))
    more = {"owner": ("Job", "j"), "ready": False}
    scene.put("pods", pod("a", phase="Pending", **more), pod("b", "n2", **more))
    assert scene.blocked() == []
    scene.put("pods", pod("a", phase="Running", **more))
    assert scene.blocked() == [(Blocker.TWO_PDBS, "default/Job/j")]


def test_a_budget_belongs_to_the_pools_where_its_pods_are():
    scene = Scene().put("budgets", pdb("web", {}))
    scene.put("pods", pod("a", owner=("Job", "j")))
    scene.put("nodes", pooled("n1"), pooled("n2", "db"))
    assert [len(p.pdbs) for p in scene.snapshot().pools] == [0, 1]
    scene.put("nodes", pooled("n1", "db"))
    assert [(p.name, len(p.pdbs)) for p in scene.snapshot().pools] == [("db", 1)]
    scene.remove("budgets", "default/web")
    assert [(p.name, len(p.pdbs)) for p in scene.snapshot().pools] == [("db", 0)]


def test_what_has_not_changed_is_the_same_object():
    scene = Scene().put("nodes", pooled("n1"), pooled("n2"), pooled("n3", "db"))
    scene.put("pods", pod("a", owner=("Job", "j")), pod("b", "n2", owner=("Job", "j")))
    scene.put("budgets", pdb("all", {}))
    before = scene.snapshot()
    assert scene.snapshot().pools is before.pools
    scene.put("pods", pod("b", "n2", owner=("Job", "j")))
    assert scene.snapshot().pools is before.pools
    scene.put("pods", pod("c", "n2", owner=("DaemonSet", "d")))
    after = scene.snapshot()
    assert after.pools[0] is before.pools[0]
    assert after.pools[1].nodes[0] is before.pools[1].nodes[0]
    assert after.pools[1].nodes[1] is not before.pools[1].nodes[1]


@pytest.mark.parametrize(
    ("last", "in_order"),
    [
        ({}, False),
        ({"unschedulable": True}, True),
        ({"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}, True),
    ],
)
def test_how_a_node_went_is_told_although_no_snapshot_saw_it(last, in_order):
    scene = Scene().put("nodes", pooled("n1"))
    uid = scene.snapshot().nodes[0].uid
    going = pooled("n1")
    going["spec"] |= last
    scene.put("nodes", going)
    scene.remove("nodes", "n1")
    assert scene.snapshot().exits == (NodeExit(uid=uid, in_order=in_order),)


def test_pods_of_a_node_carry_their_blockers_for_a_drain():
    scene = Scene().put("nodes", node("n1"))
    spec = {"terminationGracePeriodSeconds": 5}
    scene.put("pods", pod("b", spec=spec), pod("a", owner=("DaemonSet", "d")))
    views = [scene.store.pods.view_of(p) for p in scene.store.pods.on("n1")]
    bare, daemon = views
    assert (bare.namespace, bare.name, bare.uid, bare.grace_s) == ("default", "b", "uid-b", 5.0)
    assert (bare.blockers, bare.stays) == ((Blocker.BARE_POD,), False)
    assert (daemon.blockers, daemon.stays, daemon.grace_s) == ((), True, 30.0)


def test_an_unreadable_request_leaves_the_store_as_it_was():
    scene = Scene().put("nodes", node("n1")).put("pods", pod("a"))
    with pytest.raises(ValueError, match="not a quantity"):
        scene.put("pods", pod("a", spec={"containers": [container("lots")]}))
    assert scene.load().cpu_milli == 100


def test_a_pool_is_made_by_whoever_made_most_of_its_nodes():
    scene = Scene().put("nodes", pooled("n1"), node("n2", {"spotvortex.io/pool": "web"}))
    scene.put("nodes", pooled("n3"))
    assert scene.snapshot().pools[0].provisioner is ProvisionerKind.KARPENTER


def test_a_node_pool_without_nodes_is_a_pool():
    spot = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}
    scene = Scene().put("node_pools", node_pool("batch", [spot]))
    (pool,) = scene.snapshot().pools
    assert (pool.name, pool.nodes) == ("batch", ())
    assert pool.node_groups[0].capacity_types == (CapacityType.SPOT,)
    scene.remove("node_pools", "batch")
    assert scene.snapshot().pools == ()


# A naive recount: a fresh store fed with the final state, all at once.

NODES = ("n1", "n2", "n3", "n4")
PODS = ("a", "b", "c", "d", "e")
LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["x", "y"]))
OWNERS = st.sampled_from(
    [
        None,
        ("ReplicaSet", "web-bcdfg"),
        ("ReplicaSet", "web-xyz22"),
        ("StatefulSet", "db"),
        ("StatefulSet", "solo"),
        ("DaemonSet", "agent"),
    ]
)
SELECTORS = st.sampled_from(
    [
        None,
        {},
        {"matchLabels": {"app": "x"}},
        {"matchExpressions": [rule("app", "NotIn", "x")]},
        {"matchExpressions": [rule("tier", "Exists")]},
    ]
)


@st.composite
def pods(draw):
    more = {"deletionTimestamp": "now"} if draw(st.booleans()) else {}
    return pod(
        draw(st.sampled_from(PODS)),
        draw(st.sampled_from([*NODES, ""])),
        owner=draw(OWNERS),
        ready=draw(st.booleans()),
        labels=draw(LABELS),
        phase=draw(st.sampled_from(["Running", "Running", "Pending", "Failed"])),
        spec={"containers": [container(draw(st.sampled_from(["1", "50m"])))]},
        **more,
    )


@st.composite
def nodes(draw):
    labels = {
        "karpenter.sh/nodepool": draw(st.sampled_from(["web-spot", "web-od", "db", ""])),
        "karpenter.sh/capacity-type": draw(st.sampled_from(["spot", "spot", "on-demand"])),
        "topology.kubernetes.io/zone": draw(st.sampled_from("ab")),
    }
    spec = {"unschedulable": draw(st.booleans())}
    return node(
        draw(st.sampled_from(NODES)), labels, version=draw(st.sampled_from("12")), spec=spec
    )


@st.composite
def changes(draw):
    table, strategy = draw(
        st.sampled_from(
            [
                ("pods", pods()),
                ("pods", pods()),
                ("nodes", nodes()),
                (
                    "budgets",
                    st.builds(
                        pdb, st.sampled_from(["p", "q"]), SELECTORS, desired=st.integers(0, 2)
                    ),
                ),
                (
                    "workloads",
                    st.builds(
                        replica_set,
                        st.sampled_from(["web-bcdfg", "web-xyz22"]),
                        st.sampled_from([None, "web", "shop"]),
                    ),
                ),
                (
                    "node_pools",
                    st.builds(
                        node_pool,
                        st.sampled_from(["db", "batch"]),
                        labels=st.sampled_from([{}, {"spotvortex.io/pool": "shop"}]),
                    ),
                ),
            ]
        )
    )
    return table, draw(strategy), draw(st.sampled_from(["put", "put", "remove", "snapshot"]))


def key_of(plain):
    meta = plain["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"]


# A pair once seen stays a pair, so both sides are there from the start and stay.
PAIR = (node("p1", {"karpenter.sh/nodepool": "web-spot"}), pooled("p2", "web-od"))

# Histories begin with a living cluster, so that every step has something to change.
START = [
    ("nodes", pooled("n1", "web-spot")),
    ("nodes", pooled("n2", "web-od")),
    ("nodes", pooled("n3", "db")),
    ("nodes", pooled("n4", "db")),
    ("budgets", pdb("p", {"matchLabels": {"app": "x"}})),
    ("budgets", pdb("q", {"matchExpressions": [rule("tier", "Exists")]})),
    ("workloads", replica_set("web-bcdfg", "web")),
    ("pods", pod("a", "n1", owner=("ReplicaSet", "web-bcdfg"), labels={"app": "x"})),
    ("pods", pod("b", "n2", owner=("ReplicaSet", "web-bcdfg"), labels={"app": "x"})),
    ("pods", pod("c", "n3", owner=("StatefulSet", "db"), labels={"tier": "y"})),
    ("pods", pod("d", "n3", owner=("StatefulSet", "db"), labels={"tier": "y", "app": "x"})),
    ("pods", pod("e", "n4", owner=("StatefulSet", "solo"))),
    ("node_pools", node_pool("db")),
]


@examples(400)
@given(st.lists(changes(), min_size=1, max_size=12))
def test_any_history_gives_the_snapshot_of_its_final_state(history):
    lived, final = Scene().put("nodes", *PAIR), {}
    for table, plain in START:
        lived.put(table, plain)
        final[table, key_of(plain)] = plain
    lived.snapshot()
    for table, plain, verb in history:
        if verb == "put":
            lived.put(table, plain)
            final[table, key_of(plain)] = plain
        elif verb == "remove":
            lived.remove(table, key_of(plain))
            final.pop((table, key_of(plain)), None)
        else:
            lived.snapshot()
    fresh = Scene().put("nodes", *PAIR)
    for (table, _), plain in reversed(final.items()):
        fresh.put(table, plain)
    # How nodes went is of the history itself.
    assert replace(lived.snapshot(), exits=()) == fresh.snapshot()
    assert recounted(final) == {
        n.name: (n.load.n_pods, n.load.cpu_milli) for n in all_nodes(lived) if n.name in NODES
    }


def all_nodes(scene):
    facts = scene.snapshot()
    return [*facts.unpooled, *(n for pool in facts.pools for n in pool.nodes)]


def recounted(final):
    """Count pods and milli-CPU by node from the plain objects, without our code."""
    milli = {"1": 1000, "100m": 100, "50m": 50}
    counts = {name: (0, 0) for table, name in final if table == "nodes"}
    for (table, _), plain in final.items():
        where = plain["spec"].get("nodeName") if table == "pods" else None
        if where in counts and plain["status"]["phase"] != "Failed":
            n_pods, cpu = counts[where]
            request = plain["spec"]["containers"][0]["resources"]["requests"]["cpu"]
            counts[where] = n_pods + 1, cpu + milli[request]
    return counts


@examples(100)
@given(st.lists(pods(), max_size=8), st.lists(SELECTORS, max_size=3))
def test_budgets_found_by_label_sets_are_those_found_pod_by_pod(found, selectors):
    scene = Scene().put("nodes", *(node(n) for n in NODES))
    scene.put("pods", *found)
    budgets = [pdb(f"p{i}", selector) for i, selector in enumerate(selectors)]
    scene.put("budgets", *budgets)
    last = {key_of(p): p for p in found}
    living = [p for p in last.values() if p["status"]["phase"] != "Failed"]
    for budget in budgets:
        lookup = Lookup(workload=scene.store.workloads.name_of, node=scene.cluster.node)
        fact, _ = scene.store.budgets.fact(key_of(budget), lookup)
        assert fact.healthy == sum(is_healthy(p) for p in living if covers(budget, p))


BUDGET_STATES = st.fixed_dictionaries(
    {
        "desiredHealthy": st.integers(0, 2),
        "currentHealthy": st.integers(0, 2),
        "disruptionsAllowed": st.integers(0, 1),
        "observedGeneration": st.integers(1, 2),
    }
)


@examples(200)
@given(
    st.lists(pods(), max_size=8),
    st.lists(st.tuples(SELECTORS, BUDGET_STATES, st.booleans()), max_size=3),
)
def test_the_nodes_that_budgets_hold_are_those_of_pods_that_cannot_be_evicted(found, budgets):
    scene = Scene().put("nodes", *(pooled(n) for n in NODES)).put("pods", *found)
    for i, (selector, status, always) in enumerate(budgets):
        plain = pdb(f"p{i}", selector)
        plain["metadata"]["generation"] = 2
        plain["status"] = status
        plain["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow" if always else None
        scene.put("budgets", plain)
    facts = scene.snapshot()
    by_key = {budget.key: budget for budget in facts.pdbs}
    (web,) = facts.pools
    held = pdb_blocked_nodes(web)
    for fact in web.nodes:
        standings = [scene.store.pods.standing_of(p) for p in scene.store.pods.on(fact.name)]
        verdicts = [
            eviction_verdict(s, [by_key[key] for key in s.budgets if key in by_key])
            for s in standings
            if not s.stays
        ]
        refused = any(isinstance(v, Blocked) for v in verdicts)
        found = {Blocker.PDB_ALLOWS_ZERO, Blocker.TWO_PDBS} & blockers_of(fact, held)
        assert refused == bool(found)


def is_healthy(plain):
    ready = plain["status"]["conditions"][0]["status"] == "True"
    leaving = "deletionTimestamp" in plain["metadata"]
    return ready and not leaving and bool(plain["spec"]["nodeName"])


def covers(budget, plain):
    """Match one of SELECTORS by hand."""
    selector, labels = budget["spec"]["selector"], plain["metadata"]["labels"]
    if not selector:
        return selector is not None
    if "matchLabels" in selector:
        return labels.get("app") == "x"
    operator = selector["matchExpressions"][0]["operator"]
    return labels.get("app") != "x" if operator == "NotIn" else "tier" in labels


COSTS = ("spotvortex.io/outage-penalty", "spotvortex.io/startup-time")


@pytest.mark.parametrize(
    ("said", "costs"),
    [
        ([("10h", "90")], (10.0, 90.0)),
        ([("0.5", "90s"), ("4", "30")], (4.0, 90.0)),
        ([("soon", "-1"), ("2", "nan")], (2.0, None)),
        ([("1e9", "1e9")], (None, None)),
        ([], (None, None)),
    ],
)
def test_the_dearest_workload_that_its_owner_prices_counts_for_the_node(said, costs):
    scene = Scene().put("nodes", node("n1"))
    scene.put("pods", pod("plain", owner=("Job", "j")))
    for number, texts in enumerate(said):
        notes = dict(zip(COSTS, texts, strict=True))
        scene.put("pods", pod(f"p{number}", owner=("Job", "j"), annotations=notes))
    load = scene.load()
    assert (load.outage_hours, load.startup_s) == costs


@pytest.mark.parametrize(
    ("name", "said", "hours"),
    [
        ("system-cluster-critical", None, 48.0),
        ("high-priority", None, 12.0),
        ("low", None, 1.0),
        ("default", None, 4.0),
        ("gold", None, None),
        ("high-priority", "2h", 2.0),
        ("high-priority", "soon", 12.0),
    ],
)
def test_a_priority_class_says_what_a_loss_costs_where_its_owner_does_not(name, said, hours):
    notes = {"annotations": {COSTS[0]: said}} if said else {}
    one = pod("p", owner=("Job", "j"), **notes)
    one["spec"]["priorityClassName"] = name
    scene = Scene().put("nodes", node("n1")).put("pods", one)
    assert scene.load().outage_hours == hours
