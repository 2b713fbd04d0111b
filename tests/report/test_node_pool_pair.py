"""A mixed NodePool becomes a pair in which nothing else has changed; bad input is said."""

import copy

import pytest
import yaml

from spotvortex.core.domain import labels
from spotvortex.errors import NodePoolError
from spotvortex.report.node_pool_pair import CAPACITY_TYPE, pair_of, pair_text

MIXED = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodePool",
    "metadata": {
        "name": "web",
        "uid": "u-1",
        "resourceVersion": "7",
        "generation": 3,
        "labels": {"team": "shop"},
        "annotations": {
            "spotvortex.io/on-demand-floor": "3",
            "karpenter.sh/nodepool-hash": "1",
            labels.RESTORE: "{}",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
    },
    "spec": {
        "weight": 20,
        "limits": {"cpu": "1000", "memory": "4Ti"},
        "disruption": {
            "consolidationPolicy": "WhenEmptyOrUnderutilized",
            "consolidateAfter": "5m",
            "budgets": [{"nodes": "10%"}, {"nodes": "0", "schedule": "@daily", "duration": "1h"}],
        },
        "template": {
            "metadata": {"labels": {"tier": "web"}, "annotations": {"a": "b"}},
            "spec": {
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "n"},
                "expireAfter": "720h",
                "terminationGracePeriod": "1h",
                "taints": [{"key": "web", "effect": "NoSchedule"}],
                "startupTaints": [{"key": "cni", "effect": "NoExecute"}],
                "requirements": [
                    {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
                    {"key": CAPACITY_TYPE, "operator": "In", "values": ["spot", "on-demand"]},
                    {
                        "key": "karpenter.k8s.aws/instance-family",
                        "operator": "In",
                        "values": ["m6i", "c6i"],
                        "minValues": 2,
                    },
                ],
            },
        },
    },
    "status": {"resources": {"cpu": "40"}},
}


def mixed(**spec):
    made = copy.deepcopy(MIXED)
    made["spec"] |= spec
    return made


def buying(*rules):
    made = copy.deepcopy(MIXED)
    other = {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}
    made["spec"]["template"]["spec"]["requirements"] = [other, *rules]
    return made


def kinds(side):
    rules = side["spec"]["template"]["spec"]["requirements"]
    (values,) = [rule["values"] for rule in rules if rule["key"] == CAPACITY_TYPE]
    return values


def without(side):
    """A side less all in which it may differ from what it was made of."""
    spec = copy.deepcopy(side["spec"])
    spec.pop("weight", None)
    inner = spec["template"]["spec"]
    inner["requirements"] = [r for r in inner["requirements"] if r["key"] != CAPACITY_TYPE]
    spec["template"]["metadata"]["labels"].pop(labels.POOL, None)
    return spec


def test_everything_but_name_capacity_types_weight_and_the_label_of_the_pool_is_kept():
    before = copy.deepcopy(MIXED)
    spot, other = pair_of(MIXED)
    assert before == MIXED
    assert [side["metadata"]["name"] for side in (spot, other)] == ["web-spot", "web-od"]
    assert (kinds(spot), kinds(other)) == (["spot"], ["on-demand"])
    for side in (spot, other):
        assert side.keys() == {"apiVersion", "kind", "metadata", "spec"}
        assert without(side) == without(MIXED)
        assert side["spec"]["template"]["metadata"]["labels"][labels.POOL] == "web"
        assert side["metadata"].keys() == {"name", "labels", "annotations"}
        assert side["metadata"]["annotations"] == {"spotvortex.io/on-demand-floor": "3"}


@pytest.mark.parametrize(
    ("weight", "spot", "other"), [(None, 1, None), (20, 21, 20), (99, 100, 99), (100, 100, 99)]
)
def test_spot_is_the_heavier_side_and_both_stand_where_the_mixed_one_stood(weight, spot, other):
    sides = pair_of(mixed(weight=weight))
    assert [side["spec"].get("weight") for side in sides] == [spot, other]


@pytest.mark.parametrize(
    ("rules", "other"),
    [
        ([], ["on-demand", "reserved"]),
        ([{"key": CAPACITY_TYPE, "operator": "Exists"}], ["on-demand", "reserved"]),
        ([{"key": CAPACITY_TYPE, "operator": "NotIn", "values": ["reserved"]}], ["on-demand"]),
    ],
)
def test_what_else_may_be_bought_goes_to_the_on_demand_side(rules, other):
    sides = pair_of(buying(*rules))
    assert [kinds(side) for side in sides] == [["spot"], other]


def test_a_nodepool_that_names_its_pool_keeps_that_name():
    made = copy.deepcopy(MIXED)
    made["metadata"]["labels"][labels.POOL] = "shop"
    assert pair_of(made)[1]["spec"]["template"]["metadata"]["labels"][labels.POOL] == "shop"
    assert "one pool, shop." in pair_text(made)


def test_the_text_is_yaml_of_both_with_the_steps_in_comments():
    text = pair_text(MIXED)
    assert list(yaml.safe_load_all(text)) == list(pair_of(MIXED))
    head = text.partition("---")[0].splitlines()
    assert all(line.startswith("#") for line in head)
    steps = [line[2] for line in head if line[2:3].isdigit()]
    assert steps == sorted(steps)
    assert "the whole limit" in text
    assert "counts each side by itself" not in text
    assert "counts each side by itself" in pair_text(
        mixed(disruption={"budgets": [{"nodes": "5"}]})
    )


def renamed(name):
    return MIXED | {"metadata": {"name": name}}


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        ({"kind": "Deployment"}, "it is a Deployment, and no NodePool"),
        ({}, "text without a kind"),
        (MIXED | {"apiVersion": "karpenter.sh/v1beta1"}, "its version is karpenter.sh/v1beta1"),
        (MIXED | {"metadata": {}}, "no metadata.name"),
        (renamed("web-spot"), "like a side of a pair already"),
        (renamed("web-od"), "like a side of a pair already"),
        (renamed("a" * 59), "longer than 63"),
        (
            buying({"key": CAPACITY_TYPE, "operator": "In", "values": ["spot"]}),
            "is not mixed: it allows spot alone",
        ),
        (
            buying({"key": CAPACITY_TYPE, "operator": "NotIn", "values": ["spot"]}),
            "is not mixed: it allows on-demand, reserved alone",
        ),
        (mixed(template={}), "no spec.template.spec.requirements"),
        (mixed(replicas=3), "fixed number of nodes"),
    ],
)
def test_what_cannot_be_split_is_said(pool, why):
    with pytest.raises(NodePoolError, match=why):
        pair_text(pool)
