"""What a placeholder takes over from a pod, term by term."""

import msgspec
import pytest

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.kube.write.manifests import PlaceholderOptions, placeholder
from spotvortex.kube.write.placeholder_spec import Original, UnsatisfiableError, placeholder_spec
from spotvortex.kube.write.wanted_nodes import nodes_wanted_of_karpenter
from tests.kube.scenes import placeholder_call

POD = {"metadata": {"namespace": "web", "name": "a", "uid": "u"}, "spec": {}}
NOT_TYPE = {"key": "node.kubernetes.io/instance-type", "operator": "NotIn", "values": ["m5.large"]}
NOT_ZONE = {"key": "topology.kubernetes.io/zone", "operator": "NotIn", "values": ["us-east-1a"]}
BOUGHT = {
    "key": "karpenter.sh/capacity-type",
    "operator": "In",
    "values": ["on-demand", "reserved"],
}
BOUGHT_BY_GROUP = {
    "key": "eks.amazonaws.com/capacityType",
    "operator": "In",
    "values": ["ON_DEMAND"],
}
WAYS = (NOT_TYPE, NOT_ZONE, BOUGHT, BOUGHT_BY_GROUP)
"""Not to be one Spot offering."""

FAST = {"key": "disk", "operator": "In", "values": ["fast"]}
NEAR = {"key": "room", "operator": "Exists"}
OF_OTHERS = {"key": "spotvortex.io/cordoned", "operator": "DoesNotExist"}
EVERYTHING = {"operator": "Exists"}
OURS = {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["web"]}
AVOID = Offering(instance_type="m5.large", zone="us-east-1a")


def like(spec, **changes):
    pod = msgspec.json.decode(msgspec.json.encode(POD | {"spec": spec}), type=Original)
    call = placeholder_call(POD, **changes)
    return placeholder_spec(call, nodes_wanted_of_karpenter(call), pod.spec)


def required(*terms, **more):
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"affinity": {"nodeAffinity": {name: {"nodeSelectorTerms": list(terms)}} | more}}


def terms_of(found):
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    return found.node_affinity.get(name, {}).get("nodeSelectorTerms")


def test_a_plain_pod_leaves_only_what_the_call_wants():
    found = like({}, zone="us-east-1b")
    assert found.node_selector == {
        "karpenter.sh/capacity-type": "on-demand",
        "topology.kubernetes.io/zone": "us-east-1b",
    }
    assert terms_of(found) == [{"matchExpressions": [OURS]}]
    assert (found.tolerations, found.requests) == ([], {})
    assert like({}, capacity_type=CapacityType.UNKNOWN).node_selector == {}


def test_each_of_the_pods_terms_is_combined_with_each_way_to_avoid_an_offering():
    field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
    spec = required({"matchExpressions": [FAST]}, {"matchExpressions": [NEAR]}, field)
    assert terms_of(like(spec, avoid=(AVOID,))) == [
        term
        for way in WAYS
        for term in (
            {"matchExpressions": [FAST, OURS, way]},
            {"matchExpressions": [NEAR, OURS, way]},
            field | {"matchExpressions": [OURS, way]},
        )
    ]
    assert terms_of(like(spec)) == [
        {"matchExpressions": [FAST, OURS]},
        {"matchExpressions": [NEAR, OURS]},
        field | {"matchExpressions": [OURS]},
    ]


def test_every_term_keeps_a_placeholder_to_the_nodepools_that_may_receive_it():
    found = like(required({"matchExpressions": [FAST]}), sides=("web-spot", "web-od"))
    ours = OURS | {"values": ["web-spot", "web-od"]}
    assert terms_of(found) == [{"matchExpressions": [FAST, ours]}]


def test_a_pod_without_terms_avoids_an_offering_by_type_zone_or_how_it_is_bought():
    assert terms_of(like({}, avoid=(AVOID,))) == [{"matchExpressions": [OURS, way]} for way in WAYS]


def test_a_term_that_matches_no_node_still_matches_none():
    assert terms_of(like(required({}), avoid=(AVOID,))) == [{}] * len(WAYS)


def test_what_is_preferred_is_taken_over():
    preferred = [{"weight": 5, "preference": {"matchExpressions": [FAST]}}]
    name = "preferredDuringSchedulingIgnoredDuringExecution"
    found = like({"affinity": {"nodeAffinity": {name: preferred}}})
    assert found.node_affinity[name] == preferred


def test_pod_affinity_is_not_taken_over():
    found = like({"affinity": {"podAntiAffinity": {"x": []}}})
    assert found.node_affinity == like({}).node_affinity


def test_no_toleration_lets_a_placeholder_onto_a_node_that_we_cordoned():
    cordon = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
    dedicated = {"key": "dedicated", "operator": "Exists", "tolerationSeconds": 5}
    found = like({"tolerations": [cordon, dedicated]})
    assert (found.tolerations, terms_of(found)) == ([dedicated], [{"matchExpressions": [OURS]}])
    found = like({"tolerations": [EVERYTHING, cordon]})
    assert found.tolerations == [EVERYTHING]
    assert terms_of(found) == [{"matchExpressions": [OURS, OF_OTHERS]}]
    found = like({"tolerations": [EVERYTHING]} | required({"matchExpressions": [FAST]}))
    assert terms_of(found) == [{"matchExpressions": [FAST, OURS, OF_OTHERS]}]
    found = like({"tolerations": [EVERYTHING]}, avoid=(AVOID,))
    assert terms_of(found) == [{"matchExpressions": [OURS, OF_OTHERS, way]} for way in WAYS]


@pytest.mark.parametrize(
    ("key", "own"),
    [
        ("karpenter.sh/capacity-type", "spot"),
        ("karpenter.sh/nodepool", "other"),
        ("topology.kubernetes.io/zone", "us-east-1c"),
    ],
)
def test_a_selector_of_the_pod_that_contradicts_is_never_dropped(key, own):
    with pytest.raises(UnsatisfiableError, match=f"web/a itself demands {key}={own}"):
        like({"nodeSelector": {key: own}}, zone="us-east-1b")


def test_a_selector_of_the_pod_that_agrees_stays_as_it_is_written():
    own = {"karpenter.sh/capacity-type": "on-demand", "disk": "fast"}
    assert like({"nodeSelector": own}).node_selector == own


def container(restart=None, **requests):
    named = {name.replace("_", "."): amount for name, amount in requests.items()}
    found = {"resources": {"requests": named}}
    return found | ({"restartPolicy": restart} if restart else {})


def test_devices_and_scratch_space_are_asked_for_as_the_scheduler_counts_them():
    spec = {
        "containers": [
            container(cpu="1", memory="1Gi", gpu_test="1"),
            container(gpu_test="2", **{"ephemeral-storage": "1Gi"}),
            {},
        ],
        "initContainers": [container(gpu_test="5"), container("Always", gpu_test="1")],
    }
    found = like(spec)
    assert found.requests == {"gpu.test": "5", "ephemeral-storage": str(2**30)}
    assert found.limits == {"gpu.test": "5"}
    call = placeholder_call(POD, pool="no label, this")
    pod = placeholder(call, found, PlaceholderOptions(namespace="ours"), {})
    resources = pod["spec"]["containers"][0]["resources"]
    assert resources["requests"] == found.requests | {"cpu": "100m", "memory": str(2**27)}
    assert "spotvortex.io/pool" not in pod["metadata"]["labels"]
