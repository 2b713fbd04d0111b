"""Owners' words on what a loss may take: where they are read, and which one counts."""

from spotvortex.core.domain.workloads import WorkloadFact
from tests.kube.cache.test_store import Scene
from tests.kube.objects import meta, node, pod, replica_set

WORD = "spotvortex.io/min-available-after-loss"
SPOT = {
    "karpenter.sh/nodepool": "web",
    "karpenter.sh/capacity-type": "spot",
    "node.kubernetes.io/instance-type": "m5.large",
    "topology.kubernetes.io/zone": "a",
}


def said(word):
    return {"annotations": {WORD: word}}


def space(word=None):
    return {"metadata": meta("default", **(said(word) if word else {}))}


def stateful_set(word=None):
    return {"metadata": meta("db", "default", **(said(word) if word else {}))}


def rolled_out(name, revision, word=None):
    notes = {"deployment.kubernetes.io/revision": str(revision)} | ({WORD: word} if word else {})
    return replica_set(name, "web", annotations=notes)


def town(*pods):
    return Scene().put("nodes", node("n1", SPOT)).put("pods", *pods)


def web(name="a", owner="web-1", **more):
    return pod(name, owner=("ReplicaSet", owner), **more)


def works(scene):
    (found,) = scene.snapshot().pools
    return {work.key: work for work in found.workloads}


def word_of(scene, key="default/Deployment/web"):
    work = works(scene)[key]
    return work.said, work.said_by


def test_a_workload_is_known_without_any_budget():
    scene = town(web("a"), web("b"), web("c", ready=False), web("d", node=""))
    scene.put("workloads", replica_set("web-1", "web"))
    (share,) = works(scene)["default/Deployment/web"].spot_by_offering
    assert (share.n_nodes, share.n_pods) == (1, 2)
    assert works(scene)["default/Deployment/web"] == WorkloadFact(
        namespace="default",
        kind="Deployment",
        name="web",
        n_replicas=4,
        healthy_by_node=(("n1", 2),),
        spot_by_offering=(share,),
        pools=("web",),
    )


def test_the_word_on_a_deployment_is_read_on_its_replica_set_before_all_others():
    scene = town(web(**said("2"))).put("workloads", replica_set("web-1", "web", **said("1")))
    scene.put("namespaces", space("3"))
    assert word_of(scene) == ("1", "Deployment default/web")


def test_of_several_rollouts_the_newest_with_pods_counts():
    scene = town(web("a", "web-9"), web("b", "web-10"))
    scene.put("workloads", rolled_out("web-9", 9, "1"), rolled_out("web-10", 10, "2"))
    scene.put("workloads", rolled_out("web-11", 11, "3"))
    assert word_of(scene) == ("2", "Deployment default/web")
    scene.put("pods", web("c", "web-11"))
    assert word_of(scene) == ("3", "Deployment default/web")
    scene.remove("workloads", "default/web-11")
    assert word_of(scene)[0] == "2"


def test_the_word_on_a_stateful_set_is_its_own():
    db = pod("db-0", owner=("StatefulSet", "db"))
    scene = town(db).put("stateful_sets", stateful_set("1")).put("namespaces", space("0"))
    assert word_of(scene, "default/StatefulSet/db") == ("1", "StatefulSet default/db")
    scene.put("stateful_sets", stateful_set())
    assert word_of(scene, "default/StatefulSet/db") == ("0", "Namespace default")


def test_of_the_words_on_pods_the_one_that_asks_for_most_counts():
    scene = town(web("a", **said("50%")), web("b", **said("2")), web("c"))
    scene.put("workloads", replica_set("web-1", "web"))
    assert word_of(scene) == ("50%", "pods of Deployment default/web")
    scene.put("pods", web("d", **said("all")))
    assert word_of(scene) == ("all", "pods of Deployment default/web")


def test_a_word_on_the_namespace_comes_changes_and_goes():
    scene = town(web()).put("workloads", replica_set("web-1", "web"))
    assert word_of(scene) == ("", "")
    scene.put("namespaces", space("1"))
    assert word_of(scene) == ("1", "Namespace default")
    scene.put("namespaces", space("75%"))
    assert word_of(scene)[0] == "75%"
    scene.remove("namespaces", "default")
    assert word_of(scene) == ("", "")


def test_a_floor_stands_on_the_workload_or_else_on_its_namespace():
    floor = {"spotvortex.io/on-demand-floor": "2"}
    scene = town(web("a"), web("b")).put("namespaces", {"metadata": meta("default")})
    scene.put("workloads", replica_set("web-1", "web", annotations=floor))
    work = works(scene)["default/Deployment/web"]
    assert (work.floor, work.floor_by, work.said) == ("2", "Deployment default/web", "")
    scene.put("workloads", replica_set("web-1", "web"))
    scene.put("namespaces", {"metadata": meta("default", annotations=floor)})
    work = works(scene)["default/Deployment/web"]
    assert (work.floor, work.floor_by) == ("2", "Namespace default")
    scene.remove("namespaces", "default")
    assert works(scene)["default/Deployment/web"].floor == ""


def test_jobs_are_judged_by_a_word_on_their_pods_alone():
    batch = pod("batch-1", owner=("Job", "batch"))
    scene = town(batch).put("namespaces", space("1"))
    assert works(scene) == {}
    scene.put("pods", batch | {"metadata": batch["metadata"] | said("1")})
    assert word_of(scene, "default/Job/batch") == ("1", "pods of Job default/batch")


def test_daemon_sets_bare_pods_and_pods_on_their_way_out_are_no_part_of_a_workload():
    going = web("b", deletionTimestamp="2026-07-13T03:33:20Z")
    scene = town(web("a"), going, pod("bare"), pod("agent", owner=("DaemonSet", "agent")))
    scene.put("workloads", replica_set("web-1", "web"))
    assert [(w.key, w.n_replicas) for w in works(scene).values()] == [("default/Deployment/web", 1)]


def test_a_pool_whose_workloads_did_not_change_is_the_same_object():
    scene = town(web()).put("workloads", replica_set("web-1", "web"))
    (before,) = scene.snapshot().pools
    scene.put("pods", web()).put("namespaces", space("")).put("workloads", rolled_out("web-1", 1))
    (after,) = scene.snapshot().pools
    assert after is before


def test_pods_of_a_node_that_is_gone_are_not_ready_whatever_they_still_say():
    scene = Scene().put("nodes", node("n1", SPOT), node("n2", SPOT))
    scene.put("pods", web("a", node="n1"), web("b", node="n2"), web("c", node="n2"))
    assert works(scene)["default/ReplicaSet/web-1"].healthy == 3
    scene.remove("nodes", "n2")
    left = works(scene)["default/ReplicaSet/web-1"]
    assert (left.n_replicas, left.healthy_by_node) == (3, (("n1", 1),))
    scene.put("nodes", node("n2", SPOT))
    assert works(scene)["default/ReplicaSet/web-1"].healthy == 3


def test_a_node_that_becomes_cordoned_counts_its_pods_as_leaving():
    scene = town(web()).put("workloads", replica_set("web-1", "web"))
    assert works(scene)["default/Deployment/web"].n_leaving == 0
    scene.put("nodes", node("n1", SPOT, spec={"unschedulable": True}))
    assert works(scene)["default/Deployment/web"].n_leaving == 1
    scene.remove("pods", "default/a")
    assert works(scene) == {}
