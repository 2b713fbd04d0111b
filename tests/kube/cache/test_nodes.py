"""Nodes, NodePools, and the pools they belong to."""

import pytest

from spotvortex.core.domain.cloud.hosting import Hosting
from spotvortex.core.domain.types import CapacityType, Offering, ProvisionerKind
from tests.kube.cache.test_store import Scene, rule
from tests.kube.objects import node, node_pool

KARPENTER = "karpenter.sh/nodepool"
GROUP = "eks.amazonaws.com/nodegroup"
POOL = "spotvortex.io/pool"


def facts_of(*nodes, pools=()):
    facts = Scene().put("node_pools", *pools).put("nodes", *nodes).snapshot()
    return {n.name: n for n in [*facts.unpooled, *(n for p in facts.pools for n in p.nodes)]}


def fact(labels=None, **more):
    return facts_of(node("n", labels, **more))["n"]


def pools_of(*nodes, pools=()):
    return {name: n.pool for name, n in facts_of(*nodes, pools=pools).items()}


@pytest.mark.parametrize(
    ("labels", "pool"),
    [
        ({}, ""),
        ({POOL: "web"}, "web"),
        ({POOL: "web", KARPENTER: "x"}, "web"),
        ({KARPENTER: "x"}, "x"),
        ({GROUP: "g"}, "g"),
        ({KARPENTER: "x", GROUP: "g"}, "x"),
        ({KARPENTER: "x", "node-role.kubernetes.io/control-plane": ""}, ""),
        ({POOL: "web", "node-role.kubernetes.io/master": ""}, ""),
        ({KARPENTER: "web-spot"}, "web-spot"),
        ({KARPENTER: "-spot"}, "-spot"),
    ],
)
def test_a_pool_is_inferred_from_labels(labels, pool):
    assert fact(labels).pool == pool


def test_nodes_of_one_type_and_zone_share_one_offering():
    labels = {"node.kubernetes.io/instance-type": "m6i.large"}
    labels |= {"topology.kubernetes.io/zone": "us-east-1a"}
    found = facts_of(node("a", labels), node("b", labels), node("c"))
    assert found["a"].offering is found["b"].offering
    assert found["c"].offering == Offering(instance_type="unknown", zone="unknown")
    assert Offering.each_once(n.offering for n in found.values()) == {
        found["a"].offering,
        found["c"].offering,
    }


@pytest.mark.parametrize("label", [KARPENTER, GROUP])
def test_a_pair_seen_on_nodes_is_one_pool(label):
    found = pools_of(node("a", {label: "web-spot"}), node("b", {label: "web-od"}))
    assert found == {"a": "web", "b": "web"}


def test_a_pair_is_not_made_across_kinds_of_groups():
    found = pools_of(node("a", {KARPENTER: "web-spot"}), node("b", {GROUP: "web-od"}))
    assert found == {"a": "web-spot", "b": "web-od"}


def test_a_pair_of_node_pools_is_one_pool_before_both_have_nodes():
    pair = (node_pool("web-spot"), node_pool("web-od"))
    scene = Scene().put("node_pools", *pair).put("nodes", node("a", {KARPENTER: "web-od"}))
    (pool,) = scene.snapshot().pools
    assert (pool.name, [p.name for p in pool.node_groups]) == ("web", ["web-od", "web-spot"])


def test_a_pair_outlives_its_last_spot_node():
    scene = Scene().put("nodes", node("a", {GROUP: "web-spot"}), node("b", {GROUP: "web-od"}))
    scene.remove("nodes", "a")
    assert [p.name for p in scene.snapshot().pools] == ["web"]


@pytest.mark.parametrize(
    "pool",
    [
        node_pool("x", labels={POOL: "shop"}),
        node_pool("x", annotations={POOL: "shop"}),
        {
            "metadata": {"name": "x"},
            "spec": {"template": {"metadata": {"labels": {POOL: "shop"}}}},
        },
    ],
)
def test_a_node_pool_may_name_its_pool(pool):
    assert pools_of(node("a", {KARPENTER: "x"}), pools=[pool]) == {"a": "shop"}


def test_a_node_moves_when_its_node_pool_names_another_pool():
    scene = Scene().put("nodes", node("a", {KARPENTER: "x"}))
    assert [p.name for p in scene.snapshot().pools] == ["x"]
    scene.put("node_pools", node_pool("x", labels={POOL: "shop"}))
    assert [p.name for p in scene.snapshot().pools] == ["shop"]
    scene.remove("node_pools", "x")
    assert [p.name for p in scene.snapshot().pools] == ["x"]


@pytest.mark.parametrize(
    ("labels", "provisioner"),
    [
        ({}, ProvisionerKind.UNKNOWN),
        ({KARPENTER: "x"}, ProvisionerKind.KARPENTER),
        ({GROUP: "g"}, ProvisionerKind.MANAGED_NODE_GROUP),
        ({POOL: "web"}, ProvisionerKind.CLUSTER_AUTOSCALER),
        ({GROUP: "g", "spotvortex.io/manager": "cluster-autoscaler"}, "cluster-autoscaler"),
        ({GROUP: "g", "spotvortex.io/manager": "nonsense"}, ProvisionerKind.MANAGED_NODE_GROUP),
    ],
)
def test_who_made_a_node_is_told_by_labels(labels, provisioner):
    assert fact(labels).provisioner == provisioner


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ({}, CapacityType.UNKNOWN),
        ({"karpenter.sh/capacity-type": "spot"}, CapacityType.SPOT),
        ({"karpenter.sh/capacity-type": "reserved"}, CapacityType.RESERVED),
        ({"eks.amazonaws.com/capacityType": "ON_DEMAND"}, CapacityType.ON_DEMAND),
        ({"eks.amazonaws.com/capacityType": "CAPACITY_BLOCK"}, CapacityType.RESERVED),
        ({"node.kubernetes.io/lifecycle": "Ec2Spot"}, CapacityType.SPOT),
        ({"node.kubernetes.io/lifecycle": "normal"}, CapacityType.ON_DEMAND),
        ({"spotvortex.io/capacity-type": "on demand"}, CapacityType.ON_DEMAND),
        ({"spotvortex.io/capacity-type": "odd"}, CapacityType.UNKNOWN),
        (
            {"karpenter.sh/capacity-type": " ", "node.kubernetes.io/lifecycle": "spot"},
            CapacityType.SPOT,
        ),
        (
            {"karpenter.sh/capacity-type": "on-demand", "node.kubernetes.io/lifecycle": "spot"},
            CapacityType.ON_DEMAND,
        ),
    ],
)
def test_capacity_types_are_read_in_everybodys_words(labels, kind):
    assert fact(labels).capacity_type is kind


@pytest.mark.parametrize(
    ("more", "moving"),
    [
        ({}, False),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, True),
        ({"spec": {"taints": [{"key": "karpenter.sh/disrupted"}]}}, True),
        ({"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}}, True),
        ({"spec": {"taints": [{"key": "aws-node-termination-handler/spot-itn"}]}}, True),
        ({"spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]}}, False),
        ({"spec": {"taints": [{"key": "DeletionCandidateOfClusterAutoscaler"}]}}, False),
        ({"spec": {"taints": None, "unschedulable": True}}, False),
    ],
)
def test_a_node_that_somebody_takes_away_is_moving(more, moving):
    assert fact(**more).moving is moving


@pytest.mark.parametrize(
    ("taints", "ready"),
    [([], True), (["readiness.k8s.io/network-ready"], False), (["readiness.example/x"], True)],
)
def test_a_node_that_waits_for_its_readiness_rules_is_not_ready(taints, ready):
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    spec = {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]}
    assert fact(status=status, spec=spec).ready is ready


def test_a_node_is_reduced_to_what_decisions_read():
    claim = [{"kind": "NodeClaim", "name": "web-x1", "controller": True}]
    found = fact(
        {
            "node.kubernetes.io/instance-type": "m6i.large",
            "topology.kubernetes.io/zone": "us-east-1a",
        },
        spec={"unschedulable": True, "providerID": "aws:///us-east-1a/i-1"},
        status={"allocatable": {"cpu": "1930m", "memory": "7Gi"}},
        annotations={"karpenter.sh/do-not-disrupt": "true"},
        ownerReferences=claim,
        creationTimestamp="1970-01-01T00:01:00Z",
        version="42",
    )
    assert found.offering == Offering(instance_type="m6i.large", zone="us-east-1a")
    assert (found.cordoned, found.ready, found.do_not_disrupt) == (True, True, True)
    assert (found.claim, found.provider_id) == ("web-x1", "aws:///us-east-1a/i-1")
    assert (found.created_at, found.resource_version) == (60.0, "42")
    assert (found.allocatable_cpu_milli, found.allocatable_memory_bytes) == (1930, 7 * 2**30)


def test_a_node_without_labels_has_an_unknown_offering():
    assert str(fact().offering) == "unknown/unknown"


def test_only_the_exact_word_keeps_a_node():
    assert not fact(annotations={"karpenter.sh/do-not-disrupt": "30m"}).do_not_disrupt


CAPACITY = "karpenter.sh/capacity-type"


@pytest.mark.parametrize(
    ("rules", "kinds"),
    [
        ([], ()),
        ([rule(CAPACITY, "In", "spot", "on-demand")], (CapacityType.ON_DEMAND, CapacityType.SPOT)),
        (
            [rule(CAPACITY, "NotIn", "spot")],
            (CapacityType.ON_DEMAND, CapacityType.RESERVED),
        ),
        ([rule(CAPACITY, "Exists")], ()),
        (
            [rule(CAPACITY, "In", "spot", "on-demand"), rule(CAPACITY, "NotIn", "spot")],
            (CapacityType.ON_DEMAND,),
        ),
    ],
)
def test_a_node_pools_requirements_bound_its_capacity_types(rules, kinds):
    (pool,) = Scene().put("node_pools", node_pool("x", rules)).snapshot().pools
    assert pool.node_groups[0].capacity_types == kinds


ZONE = "topology.kubernetes.io/zone"
CAPACITY = "karpenter.sh/capacity-type"


def test_a_node_pool_is_reduced_to_what_it_allows():
    spec = {
        "weight": 10,
        "disruption": {"consolidationPolicy": "WhenEmpty"},
        "template": {
            "metadata": {"labels": {"topology.kubernetes.io/zone": "us-east-1a"}},
            "spec": {
                "requirements": [
                    rule("topology.kubernetes.io/zone", "In", "us-east-1a", "us-east-1b"),
                    rule("node.kubernetes.io/instance-type", "In", "m6i.large", "c6i.large"),
                ]
            },
        },
    }
    pool = {"metadata": {"name": "x"}, "spec": spec}
    found = Scene().put("node_pools", pool).snapshot().pools[0].node_groups[0]
    assert (found.zones, found.instance_types) == (("us-east-1a",), ("c6i.large", "m6i.large"))
    assert (found.weight, found.consolidation) == (10, "WhenEmpty")


@pytest.mark.parametrize(
    ("disruption", "policy"),
    [
        ({"consolidationPolicy": "WhenEmptyOrUnderutilized"}, "WhenEmptyOrUnderutilized"),
        (
            {"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "30s"},
            "WhenEmptyOrUnderutilized",
        ),
        ({"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "Never"}, ""),
        (None, ""),
    ],
)
def test_a_node_pool_that_never_consolidates_has_no_policy(disruption, policy):
    pool = {"metadata": {"name": "x"}, "spec": {"disruption": disruption}}
    found = Scene().put("node_pools", pool).snapshot().pools[0].node_groups[0]
    assert found.consolidation == policy


@pytest.mark.parametrize(
    ("rules", "label"),
    [
        ([rule(ZONE, "In", "z1"), rule(ZONE, "In", "z2")], ZONE),
        ([rule(ZONE, "In", "z1"), rule(ZONE, "NotIn", "z1", "z2")], ZONE),
        ([rule(CAPACITY, "In", "spot"), rule(CAPACITY, "In", "on-demand")], CAPACITY),
        ([rule(ZONE, "In", "z1", "z2"), rule(ZONE, "NotIn", "z1")], ""),
        ([rule(CAPACITY, "NotIn", "spot")], ""),
    ],
)
def test_a_node_pool_whose_requirements_rule_each_other_out_gives_no_room(rules, label):
    spec = {"template": {"spec": {"requirements": rules}}}
    pool = {"metadata": {"name": "x"}, "spec": spec}
    found = Scene().put("node_pools", pool).snapshot().pools[0].node_groups[0]
    assert found.nodes_left == (0 if label else None)
    assert (f"NodePool x: its requirements of {label} rule" in found.words.no_growth) == bool(label)


def limited(limits, resources=None):
    """The fact of a NodePool with these limits and sums."""
    pool = {"metadata": {"name": "x"}, "spec": {"limits": limits}}
    if resources is not None:
        pool["status"] = {"resources": resources}
    found = Scene().put("node_pools", pool).snapshot().pools[0].node_groups[0]
    return found.cpu_left_milli, found.memory_left_bytes, found.nodes_left


def test_what_a_node_pools_limits_leave_is_limit_less_use():
    used = {"cpu": "12500m", "memory": "50Gi", "nodes": "7", "pods": "99"}
    assert limited({"cpu": "64", "memory": "256Gi", "nodes": "10"}, used) == (
        51_500,
        206 << 30,
        3,
    )
    assert limited({"cpu": "64"}, used) == (51_500, None, None)
    assert limited({"nodes": 10}) == (None, None, 10)
    assert limited({}, used) == (None, None, None)


def test_a_node_pool_over_its_limit_has_nothing_left():
    assert limited({"cpu": "8", "nodes": "2"}, {"cpu": "12", "nodes": "6"}) == (0, None, 0)


def test_a_limit_that_cannot_be_read_makes_the_node_pool_unreadable():
    with pytest.raises(ValueError, match="not a quantity"):
        limited({"cpu": "many"})


CPU = "karpenter.k8s.aws/instance-cpu"


@pytest.mark.parametrize(
    ("rules", "most"),
    [
        ([rule(CPU, "In", "4", "8")], 8000),
        ([rule(CPU, "Lt", "9")], 8000),
        ([rule(CPU, "In", "4", "16"), rule(CPU, "Lt", "9")], 8000),
        ([rule(CPU, "Gt", "3")], None),
        ([rule(CPU, "In", "4", "large")], None),
        ([rule(CPU, "Lt", "0")], 0),
        ([], None),
    ],
)
def test_requirements_bound_the_size_of_a_node(rules, most):
    (pool,) = Scene().put("node_pools", node_pool("x", rules)).snapshot().pools
    assert pool.node_groups[0].max_cpu_milli == most


def test_a_bound_on_memory_is_in_mib():
    rules = [rule("karpenter.k8s.aws/instance-memory", "Lt", "16385")]
    (pool,) = Scene().put("node_pools", node_pool("x", rules)).snapshot().pools
    assert pool.node_groups[0].max_memory_bytes == 16 << 30


def test_a_node_that_is_no_ec2_is_of_no_capacity_type_whatever_its_labels_say():
    labels = {KARPENTER: "web", "karpenter.sh/capacity-type": "spot"}
    ids = ("aws:///us-east-1a/i-1", "azure:///subscriptions/1/vm")
    seen = [fact(labels, spec={"providerID": provider_id}) for provider_id in ids]
    assert [(n.hosting, n.capacity_type) for n in seen] == [
        (Hosting.EC2, CapacityType.SPOT),
        (Hosting.OTHER, CapacityType.UNKNOWN),
    ]


@pytest.mark.parametrize(
    ("group", "is_auto"), [("eks.amazonaws.com", True), ("karpenter.k8s.aws", False)]
)
def test_the_nodepools_of_auto_mode_are_told_by_their_nodeclass(group, is_auto):
    made = node_pool("general-purpose")
    reference = {"group": group, "kind": "NodeClass", "name": "default"}
    template = made["spec"].setdefault("template", {})
    template["spec"] = template.get("spec", {}) | {"nodeClassRef": reference}
    (pool,) = Scene().put("node_pools", made).snapshot().pools
    assert [g.auto_mode for g in pool.node_groups] == [is_auto]
