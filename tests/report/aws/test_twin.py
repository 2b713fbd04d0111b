"""The twin of a managed node group is alike but for how it is bought; its name tells the pool."""

import pytest
import yaml

from spotvortex.errors import SettingsError
from spotvortex.report.aws.twin import eksctl_text, terraform_text, twin_of

ROLE = "arn:aws:iam::123456789012:role/node"
GROUP = {
    "clusterName": "blue",
    "nodegroupName": "web-od",
    "capacityType": "ON_DEMAND",
    "scalingConfig": {"minSize": 3, "maxSize": 9, "desiredSize": 4},
    "instanceTypes": ["m5.large", "m5a.large"],
    "subnets": ["subnet-1", "subnet-2"],
    "nodeRole": ROLE,
    "labels": {"team": "shop"},
    "taints": [{"key": "only", "value": "web", "effect": "NO_SCHEDULE"}],
    "launchTemplate": {"id": "lt-1", "version": "3", "name": "t"},
}


@pytest.mark.parametrize(
    ("name", "word", "labels", "twin", "also"),
    [
        ("web-od", "ON_DEMAND", {}, "web-spot", ""),
        ("web-spot", "SPOT", {}, "web-od", ""),
        ("workers", "ON_DEMAND", {}, "workers-spot", "spotvortex.io/pool=workers"),
        ("workers", "SPOT", {"spotvortex.io/pool": "web"}, "workers-od", ""),
        # Its end tells another way of buying than its own.
        ("web-spot", "ON_DEMAND", {}, "web-spot-spot", "spotvortex.io/pool=web-spot"),
    ],
)
def test_a_twin_is_told_by_its_name_or_by_a_label_that_both_carry(name, word, labels, twin, also):
    found = twin_of(GROUP | {"nodegroupName": name, "capacityType": word, "labels": labels})
    assert (found.name, found.also_label) == (twin, also)
    assert {found.buys, word} == {"SPOT", "ON_DEMAND"}


def test_what_buys_neither_way_has_no_twin():
    with pytest.raises(SettingsError, match="web-od buys CAPACITY_BLOCK: it has no twin"):
        twin_of(GROUP | {"capacityType": "CAPACITY_BLOCK"})


def test_for_eksctl_it_is_a_whole_file_and_begins_with_no_node():
    found = yaml.safe_load(eksctl_text(GROUP, "eu-west-1"))
    assert found["metadata"] == {"name": "blue", "region": "eu-west-1"}
    (made,) = found["managedNodeGroups"]
    assert made == {
        "name": "web-spot",
        "spot": True,
        "minSize": 0,
        "maxSize": 9,
        "desiredCapacity": 0,
        "subnets": ["subnet-1", "subnet-2"],
        "iam": {"instanceRoleARN": ROLE},
        "labels": {"team": "shop"},
        "instanceTypes": ["m5.large", "m5a.large"],
        "taints": [{"key": "only", "value": "web", "effect": "NoSchedule"}],
        "launchTemplate": {"id": "lt-1", "version": "3"},
    }


def test_for_terraform_its_size_is_left_to_the_daemon():
    text = terraform_text(GROUP | {"labels": {"a": "${b}"}})
    assert 'resource "aws_eks_node_group" "web-spot" {' in text
    assert 'capacity_type   = "SPOT"' in text
    assert "ignore_changes = [scaling_config[0].desired_size]" in text
    assert '"a" = "$${b}"' in text
    assert text.count("{") == text.count("}")


OWN = {"team": "shop", "spotvortex.io/pool": "web"}
MADE = {"aws:cloudformation:stack-id": "x", "alpha.eksctl.io/nodegroup-name": "web-od"}


@pytest.mark.parametrize(
    ("image", "family"),
    [
        ("AL2_ARM_64", "AmazonLinux2"),
        ("AL2023_x86_64_STANDARD", "AmazonLinux2023"),
        ("BOTTLEROCKET_ARM_64", "Bottlerocket"),
        ("CUSTOM", None),
    ],
)
def test_image_disk_and_the_owners_tags_are_those_of_the_group(image, family):
    group = GROUP | {"amiType": image, "diskSize": 80, "tags": OWN | MADE}
    (made,) = yaml.safe_load(eksctl_text(group, "eu-west-1"))["managedNodeGroups"]
    assert (made.get("amiFamily"), made["volumeSize"], made["tags"]) == (family, 80, OWN)
    text = terraform_text(group)
    assert (f'  ami_type        = "{image}"\n' in text) is (family is not None)
    assert "  disk_size       = 80\n" in text
    assert '  tags = {\n    "spotvortex.io/pool" = "web"\n    "team" = "shop"\n  }\n' in text


def test_what_a_group_does_not_say_is_left_out_and_what_both_need_is_said():
    bare = {"nodegroupName": "w", "clusterName": "blue", "capacityType": "SPOT"}
    for text in (eksctl_text(bare, "r"), terraform_text(bare)):
        assert text.startswith("# Label the nodes of w spotvortex.io/pool=w as well.\n")
        assert "taint" not in text
        assert "nstance_types" not in text
