"""What Karpenter needs to find in an AWS account, and the objects by which it is told to look.

Comes in: a cloud. Goes out: tagged subnets, a security group, a role, an EKS cluster and a queue
with a rule in the cloud; and the EC2NodeClass that selects them. May not make a node.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.controlplane.manifests import Manifest
from tests.karpenter_aws.cloud import Cloud

CLUSTER, QUEUE, ROLE = "test", "karpenter-test", "KarpenterNodeRole-test"
DISCOVERY = "karpenter.sh/discovery"
KUBERNETES = "1.36"


@dataclass(frozen=True, slots=True)
class Account:
    """What was made in it: images by architecture, and the URL of the queue."""

    images: dict[str, str]
    queue_url: str

    def node_class(self) -> Manifest:
        """Return the EC2NodeClass of everything here."""
        mine = [{"tags": {DISCOVERY: CLUSTER}}]
        return {
            "apiVersion": "karpenter.k8s.aws/v1",
            "kind": "EC2NodeClass",
            "metadata": {"name": "default"},
            "spec": {
                "amiFamily": "AL2023",
                "amiSelectorTerms": [{"id": image} for image in self.images.values()],
                "role": ROLE,
                "subnetSelectorTerms": mine,
                "securityGroupSelectorTerms": mine,
            },
        }


def make_account(cloud: Cloud) -> Account:
    """Make all of it in a cloud that is empty."""
    _make_network(cloud)
    cloud.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}", Path="/")
    cloud.client("eks").create_cluster(
        name=CLUSTER,
        version=KUBERNETES,
        roleArn="arn:aws:iam::123456789012:role/x",
        resourcesVpcConfig={"subnetIds": []},
        # Nodes of AL2023 are told it.
        kubernetesNetworkConfig={"serviceIpv4Cidr": "10.96.0.0/16"},
    )
    return Account(_images(cloud), _make_queue(cloud))


def _make_network(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"]
    group = ec2.create_security_group(
        GroupName="nodes", Description="nodes", VpcId=subnets[0]["VpcId"]
    )
    tagged = [subnet["SubnetId"] for subnet in subnets] + [group["GroupId"]]
    ec2.create_tags(Resources=tagged, Tags=[{"Key": DISCOVERY, "Value": CLUSTER}])


def _images(cloud: Cloud) -> dict[str, str]:
    """Return one image of each architecture."""
    found: dict[str, str] = {}
    listed: list[dict[str, Any]] = cloud.client("ec2").describe_images(Owners=["amazon"])["Images"]
    for image in listed:
        if "al2023" in image.get("Name", "") or "amzn2" in image.get("Name", ""):
            found.setdefault(image["Architecture"], image["ImageId"])
    return found


def _make_queue(cloud: Cloud) -> str:
    """Make the queue, and the rule by which events of EC2 come to it."""
    sqs, events = cloud.client("sqs"), cloud.client("events")
    url: str = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    events.put_rule(Name="spot", EventPattern=json.dumps({"source": ["aws.ec2"]}))
    events.put_targets(Rule="spot", Targets=[{"Id": "q", "Arn": told["Attributes"]["QueueArn"]}])
    return url
