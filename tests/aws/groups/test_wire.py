"""What AWS says of groups becomes values, and what contradicts itself there is named."""

from dataclasses import replace

import pytest

from spotvortex.aws.groups.quotas import UNTOLD, QuotaLeft, last_of, quota_code, quota_in
from spotvortex.aws.groups.wire import (
    GroupTags,
    is_leaving,
    longest_end_hook_s,
    managed,
    subnets_of,
    tagged_group,
    template_of,
    told_apart,
    types_of,
    with_addresses,
    with_vcpus,
)
from spotvortex.core.domain.cloud.scaling_groups import no_growth, no_release
from spotvortex.core.domain.types import CapacityType

TAGS = GroupTags()


def answer(word="spot", pool="web", tags=(), **changes):
    given = {"spotvortex.io/pool": pool, "spotvortex.io/capacity-type": word, **dict(tags)}
    return {
        "AutoScalingGroupName": "asg",
        "MinSize": 1,
        "MaxSize": 5,
        "DesiredCapacity": 2,
        "Tags": [{"Key": k, "Value": v} for k, v in given.items()],
        "Instances": [
            {"InstanceId": "i-b", "LifecycleState": "InService", "ProtectedFromScaleIn": True},
            {"InstanceId": "i-a", "LifecycleState": "Terminating:Wait"},
            {"InstanceId": "i-w", "LifecycleState": "Warmed:Stopped"},
        ],
    } | changes


def of(**changes):
    return tagged_group(answer(**changes), TAGS, 0.0)


def test_a_tagged_group_is_known_by_pool_and_capacity_type():
    group = of()
    assert (group.node_group, group.pool) == ("labels/web/spot", "web")
    assert group.capacity_type is CapacityType.SPOT
    assert (group.smallest, group.largest, group.desired) == (1, 5, 2)
    assert [(i.id, i.leaving, i.protected) for i in group.instances] == [
        ("i-a", True, False),
        ("i-b", False, True),
    ]
    assert [i.id for i in group.living] == ["i-b"]
    assert group.trouble == ""


@pytest.mark.parametrize("word", ["", "SPOT", "cheap"])
def test_a_word_that_is_none_is_named_with_what_to_set(word):
    trouble = of(word=word).trouble
    assert trouble == f"its tag spotvortex.io/capacity-type is {word!r}: set spot or on-demand"


def mixed(base, percent):
    spread = {
        "OnDemandBaseCapacity": base,
        "OnDemandPercentageAboveBaseCapacity": percent,
    }
    return {"MixedInstancesPolicy": {"InstancesDistribution": spread}}


@pytest.mark.parametrize(
    ("word", "base", "percent", "kind", "words"),
    [
        ("spot", 0, 0, CapacityType.SPOT, ""),
        ("on-demand", 0, 100, CapacityType.ON_DEMAND, ""),
        ("on-demand", 2, 100, CapacityType.ON_DEMAND, ""),
        ("spot", 1, 0, CapacityType.UNKNOWN, ""),
        ("on-demand", 0, 50, CapacityType.UNKNOWN, ""),
        ("spot", 0, 100, CapacityType.SPOT, "distribution buys on-demand: mend one"),
        ("on-demand", 0, 0, CapacityType.ON_DEMAND, "distribution buys spot: mend one"),
    ],
)
def test_a_policy_of_mixed_instances_says_how_it_buys(word, base, percent, kind, words):
    group = of(word=word, **mixed(base, percent))
    assert group.capacity_type is kind
    assert group.trouble.endswith(words)
    assert bool(no_growth(group)) is (bool(words) or kind is CapacityType.UNKNOWN)


def test_what_a_policy_leaves_out_has_awss_default():
    assert of(word="on-demand", MixedInstancesPolicy={"LaunchTemplate": {}}).trouble == ""


def overrides(*weights):
    listed = [
        {"InstanceType": "c5.large"} | ({"WeightedCapacity": w} if w else {}) for w in weights
    ]
    return {"MixedInstancesPolicy": {"LaunchTemplate": {"Overrides": listed}}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (overrides("2", "4"), "count weights, not nodes: take WeightedCapacity out"),
        (overrides("", "2"), "count weights, not nodes: take WeightedCapacity out"),
        (overrides("", "1"), ""),
        ({"DesiredCapacityType": "vcpu"}, "count vcpu, not nodes: set its desired capacity type"),
        ({"DesiredCapacityType": "units"}, ""),
    ],
)
def test_a_group_whose_size_counts_no_nodes_is_neither_grown_nor_shrunk(changes, words):
    group = of(word="on-demand", **changes)
    for said in (no_growth(group), group.trouble):
        assert words in said
    assert bool(no_release(replace(group, instances=()))) is bool(words)


def test_what_holds_a_group_is_read():
    group = of(
        SuspendedProcesses=[{"ProcessName": "Launch", "SuspensionReason": "r"}],
        NewInstancesProtectedFromScaleIn=True,
        WarmPoolConfiguration={"MinSize": 0},
        Status="Delete in progress",
    )
    assert (group.suspended, group.protects, group.warm_pool) == (("Launch",), True, True)
    assert group.status == "Delete in progress"


def test_only_hooks_on_the_way_out_count_and_the_longest_of_them():
    ends, starts = "autoscaling:EC2_INSTANCE_TERMINATING", "autoscaling:EC2_INSTANCE_LAUNCHING"
    hooks = [
        {"LifecycleTransition": ends, "HeartbeatTimeout": 300},
        {"LifecycleTransition": ends, "HeartbeatTimeout": 600},
        {"LifecycleTransition": starts, "HeartbeatTimeout": 9000},
    ]
    assert longest_end_hook_s(hooks) == 600.0
    assert longest_end_hook_s(hooks[2:]) == 0.0


def test_two_groups_that_claim_to_be_the_same_hold_each_other_and_the_fix_is_said():
    first, second = of(), of(AutoScalingGroupName="other")
    (one,) = told_apart([second, first])
    assert one.trouble.startswith("asg, other have the same tags")
    assert "SPOTVORTEX_CLUSTER_NAME" in one.trouble
    assert told_apart([first, of(word="on-demand")])[0].trouble == ""


def test_groups_of_another_cluster_are_not_ours():
    ours = GroupTags(cluster="blue")
    assert ours.are_ours({"kubernetes.io/cluster/blue": "owned"})
    assert ours.are_ours({"eks:cluster-name": "blue"})
    assert not ours.are_ours({"kubernetes.io/cluster/green": "owned", "eks:cluster-name": "green"})
    assert TAGS.are_ours({})


def described(**changes):
    return {
        "nodegroupName": "web-spot",
        "status": "ACTIVE",
        "capacityType": "SPOT",
        "scalingConfig": {"minSize": 2, "maxSize": 7, "desiredSize": 2},
        "labels": {"spotvortex.io/pool": "shop"},
    } | changes


def of_eks(**changes):
    tags = {"eks:nodegroup-name": "web-spot", "eks:cluster-name": "blue"}
    return managed(answer(tags=tags), described(**changes), 0.0)


def test_a_managed_group_has_its_bounds_from_eks_and_its_size_from_its_group():
    group = of_eks()
    assert (group.node_group, group.managed, group.cluster) == (
        "nodegroup/web-spot",
        "web-spot",
        "blue",
    )
    assert (group.smallest, group.largest, group.desired, group.pool) == (2, 7, 2, "shop")
    assert (group.capacity_type, group.status) == (CapacityType.SPOT, "")


def test_a_managed_group_that_is_busy_or_buys_blocks_is_held():
    assert "it is UPDATING" in no_growth(of_eks(status="UPDATING"))
    assert of_eks(capacityType="CAPACITY_BLOCK").capacity_type is CapacityType.UNKNOWN
    assert of_eks(labels=None).pool == ""


def test_a_group_is_bounded_by_the_free_addresses_of_its_subnets():
    assert subnets_of({"VPCZoneIdentifier": "subnet-b, subnet-a,"}) == ("subnet-a", "subnet-b")
    assert subnets_of({}) == ()
    subnets = [
        {"SubnetId": "subnet-b", "AvailableIpAddressCount": 2},
        {"SubnetId": "subnet-a", "AvailableIpAddressCount": 1},
    ]
    group = with_addresses(of(), subnets)
    assert (group.room_nodes, group.room_words) == (3, "3 free addresses in subnet-a, subnet-b")
    assert with_addresses(of(), []).room_nodes is None


def test_lifecycle_states_are_read():
    leaving = ["Terminating", "Terminating:Proceed", "Terminated", "Detaching"]
    assert all(is_leaving({"LifecycleState": s}) for s in leaving)
    assert not any(is_leaving({"LifecycleState": s}) for s in ("InService", "Pending:Wait", ""))


@pytest.mark.parametrize(
    ("types", "bought", "code"),
    [
        (["c5.xlarge", "m6i.large", "t3.micro", "im4gn.large", "z1d.large"], "spot", "L-34B43A08"),
        (["c5.xlarge"], "on-demand", "L-1216C47A"),
        (["g5.xlarge", "gr6.4xlarge", "vt1.3xlarge"], "on-demand", "L-DB2E81BA"),
        (["c5.xlarge", "g5.xlarge"], "spot", ""),
        (["inf2.xlarge"], "spot", ""),
        (["trn1.2xlarge"], "spot", ""),
        (["hpc7a.12xlarge"], "on-demand", ""),
        (["u-6tb1.metal"], "on-demand", ""),
        ([], "spot", ""),
    ],
)
def test_types_are_counted_by_one_quota_or_by_none_that_is_known(types, bought, code):
    assert quota_code(types, CapacityType(bought)) == code


def test_the_types_of_a_group_are_those_of_its_policy_or_of_its_instances_or_not_known():
    listed = {"Overrides": [{"InstanceType": "m5.large"}, {"InstanceType": "c5.large"}]}
    assert types_of({"MixedInstancesPolicy": {"LaunchTemplate": listed}}) == (
        "c5.large",
        "m5.large",
    )
    by_need = {"Overrides": [{"InstanceRequirements": {}}]}
    there = {"Instances": [{"InstanceType": "m5.large"}]}
    assert types_of(there | {"MixedInstancesPolicy": {"LaunchTemplate": by_need}}) == ()
    assert types_of(there) == ("m5.large",)
    assert types_of({}) == ()


def test_a_launch_template_is_known_by_its_id_else_by_its_name():
    named = {"LaunchTemplateName": "t", "Version": "3"}
    assert template_of({"LaunchTemplate": named}).question == {"LaunchTemplateName": "t"}
    mixed = {"LaunchTemplate": {"LaunchTemplateSpecification": {"LaunchTemplateId": "lt-1"}}}
    found = template_of({"MixedInstancesPolicy": mixed})
    assert found.question == {"LaunchTemplateId": "lt-1"}
    assert str(found) == "lt-1, version $Default"
    assert template_of({"LaunchConfigurationName": "old"}) is None


def test_the_tighter_of_two_bounds_counts():
    free = {"SubnetId": "subnet-1", "AvailableIpAddressCount": 3}
    left = QuotaLeft(code="L-1", n_vcpus=20, used=10)
    bounded = with_vcpus(with_addresses(of(), [free]), left, 4)
    assert (bounded.room_nodes, bounded.room_words.partition(" ")[0]) == (2, "10")
    assert with_addresses(with_vcpus(of(), left, 2), [free]).room_nodes == 3
    assert with_vcpus(of(), QuotaLeft(code="L-1", n_vcpus=1, used=9), 4).room_nodes == 0


def test_health_issues_that_stop_every_launch_are_named_and_lack_of_spot_is_none_of_them():
    described = {"status": "ACTIVE", "capacityType": "SPOT"}
    ill = {"issues": [{"code": "Ec2LaunchTemplateNotFound"}, {"code": "AsgInstanceLaunchFailures"}]}
    found = managed(answer(), described | {"health": ill}, 0.0)
    assert "EKS says Ec2LaunchTemplateNotFound of it" in no_growth(found)
    short = {"issues": [{"code": "AsgInstanceLaunchFailures"}]}
    assert no_growth(managed(answer(), described | {"health": short}, 0.0)) == ""


def test_the_latest_use_of_a_quota_counts_and_a_quota_without_a_metric_is_none():
    points = [{"Timestamp": "2026-01-02", "Maximum": 8.0}, {"Timestamp": "2026-01-01"}]
    assert last_of({"Datapoints": points}) == 8
    assert last_of({}) is None
    assert quota_in({"Quota": {"Value": 5.0}}) == UNTOLD
    assert quota_in({"Quota": {"UsageMetric": {"MetricName": "x"}}}) == UNTOLD
