"""The stand-in guesses an empty group as Cluster Autoscaler does, and judges pods by its rules."""

import pytest

from tests.autoscaler.stand_in import CAPACITY, NODEGROUP, Group, _bins, _keeps_its_node, _may_be_on

GROUP = Group(name="web-od", capacity_type="on-demand")


def asking(*rules):
    terms = [
        {
            "matchExpressions": [
                dict(zip(("key", "operator", "values"), r, strict=True)) for r in rules
            ]
        }
    ]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"spec": {"affinity": {"nodeAffinity": required}}}


def test_a_demand_for_the_label_of_the_capacity_type_is_never_met_by_an_empty_group():
    named = (NODEGROUP, "In", ["web-od"])
    real = GROUP.node("n")["metadata"]["labels"]
    demanded = asking(named, (CAPACITY, "In", ["ON_DEMAND"]))
    assert _may_be_on(demanded, real)
    assert not _may_be_on(demanded, GROUP.template)
    ruled_out = asking(named, (CAPACITY, "NotIn", ["SPOT"]))
    assert _may_be_on(ruled_out, real)
    assert _may_be_on(ruled_out, GROUP.template)


@pytest.mark.parametrize(
    ("said", "made", "keeps"),
    [(None, True, False), (None, False, True), ("true", False, False), ("false", True, True)],
)
def test_what_keeps_a_node(said, made, keeps):
    notes = {} if said is None else {"cluster-autoscaler.kubernetes.io/safe-to-evict": said}
    owners = [{"controller": made}]
    assert _keeps_its_node({"metadata": {"annotations": notes, "ownerReferences": owners}}) is keeps


def test_pods_are_packed_into_whole_nodes():
    def pod(cpu):
        return {"spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}}

    assert _bins([], 4000) == 0
    assert _bins([pod("900m")] * 5, 4000) == 2
    assert _bins([pod("5")], 4000) == 0
