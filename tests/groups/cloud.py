"""Auto Scaling and EKS on loopback: moto behind a proxy that keeps what moto ignores.

Comes in: requests of the daemon and of the scene. Goes out: moto's answers, as far as they are like
AWS's. What the proxy adds, with where it is documented (all in the API References):

- a size beyond the largest or the smallest is a ValidationError (SetDesiredCapacity, "New
  SetDesiredCapacity value is above max value for the AutoScalingGroup"); so is an end with
  decrement below the smallest (TerminateInstanceInAutoScalingGroup);
- a group may get fewer instances than it is to have, and keeps asking (its size and its instances
  then differ, as where an activity fails for InsufficientInstanceCapacity);
- UpdateNodegroupConfig sets the size of the Auto Scaling group that EKS has made (EKS User Guide,
  "Managed node groups"), the group is UPDATING for a while, and takes no other change until it is
  ACTIVE again (EKS API Reference, ResourceInUseException);
- a quota of vCPUs, with the metric that tells its use (Service Quotas API Reference, "ServiceQuota"
  and "MetricInfo"), and that metric (CloudWatch API Reference, "GetMetricStatistics");
- errors, slow and cut answers of one's choice, before or after a request is carried out.
"""

from __future__ import annotations

import json
import math
import threading
import time
import xml.etree.ElementTree as Xml
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from tests.aws.proxied_moto import NO_OTHER_CLOUD, Answer, ProxiedMoto
from tests.groups.wire import NAMESPACE, done, read, refused, told

REGION, ZONE = "us-east-1", "us-east-1a"
SPOT_QUOTAS = ("L-34B43A08",)
WRITES = ("SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup", "UpdateNodegroupConfig")
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
} | NO_OTHER_CLOUD

Before = Callable[[str, dict[str, str]], "tuple[int, str] | None"]
"""Is asked before a request is carried out; an error takes the answer's place."""


@dataclass(slots=True)
class Cloud:
    """moto with the proxy before it.

    Attributes:
        withheld: by group, instances that it is to have and does not get.
        shortage: by group, how many of the next instances are not to be had.
        before: asked before each request is carried out.
        after: told of each write that was carried out, before it is answered.
        cut: operations whose answer is cut off, once each.
        refuses: by operation, reads too, the error that it is answered with for as long.
        quotas: most vCPUs at once by the code of the quota; others are not known.
        used_vcpus: what CloudWatch says is in use of each quota.
        updating_s: how long a managed group is UPDATING after its size was set.
        asked: every operation with its parameters, in order.
    """

    withheld: dict[str, int] = field(default_factory=dict)
    shortage: dict[str, int] = field(default_factory=dict)
    before: Before | None = None
    after: Callable[[str, dict[str, str]], None] | None = None
    cut: list[str] = field(default_factory=list)
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    quotas: dict[str, float] = field(default_factory=dict)
    used_vcpus: int = 0
    updating_s: float = 2.0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    _turn: threading.RLock = field(default_factory=threading.RLock)
    _updated: dict[str, float] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _behind: ProxiedMoto = field(init=False)
    url: str = ""

    def __enter__(self) -> Self:
        self._behind = self._stack.enter_context(ProxiedMoto(self.answer))
        self.url = self._behind.url
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def client(self, service: str) -> Any:
        """Return a client of the scene's own, which the proxy does not see."""
        return self._behind.client(service, REGION)

    def variables(self) -> dict[str, str]:
        """Return what the daemon needs to ask this cloud and no other."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL": self.url}

    # -- groups ----------------------------------------------------------------

    def make_group(
        self, name: str, tags: dict[str, str], size: int, largest: int = 10, **more: Any
    ) -> None:
        """Make a group with so many instances."""
        ec2, autoscaling = self.client("ec2"), self.client("autoscaling")
        template = f"of-{name}"
        image = ec2.register_image(Name=template)["ImageId"]
        data = {"ImageId": image, "InstanceType": "c5.xlarge"}
        ec2.create_launch_template(LaunchTemplateName=template, LaunchTemplateData=data)
        in_zone = [{"Name": "availability-zone", "Values": [ZONE]}]
        (subnet,) = ec2.describe_subnets(Filters=in_zone)["Subnets"]
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateName": template, "Version": "$Latest"},
            MinSize=0,
            MaxSize=largest,
            DesiredCapacity=size,
            VPCZoneIdentifier=subnet["SubnetId"],
            Tags=[
                {
                    "ResourceId": name,
                    "ResourceType": "auto-scaling-group",
                    "Key": key,
                    "Value": value,
                    "PropagateAtLaunch": True,
                }
                for key, value in tags.items()
            ],
            **more,
        )

    def make_nodegroup(
        self, cluster: str, name: str, word: str, size: int, largest: int = 10
    ) -> None:
        """Make a managed node group, and the Auto Scaling group that EKS makes of it."""
        eks = self.client("eks")
        role = "arn:aws:iam::123456789012:role/node"
        if cluster not in eks.list_clusters()["clusters"]:
            eks.create_cluster(
                name=cluster, roleArn=role, resourcesVpcConfig={"subnetIds": ["subnet-1"]}
            )
        scaling = {"minSize": 0, "maxSize": largest, "desiredSize": size}
        eks.create_nodegroup(
            clusterName=cluster,
            nodegroupName=name,
            scalingConfig=scaling,
            subnets=["subnet-1"],
            nodeRole=role,
            capacityType=word,
        )
        tags = {"eks:nodegroup-name": name, "eks:cluster-name": cluster}
        self.make_group(made_of(name), tags, size, largest)

    def described(self, name: str) -> dict[str, Any]:
        """Return a group as the daemon would see it."""
        asked = {"AutoScalingGroupNames": [name]}
        (found,) = self.client("autoscaling").describe_auto_scaling_groups(**asked)[
            "AutoScalingGroups"
        ]
        with self._turn:
            found["DesiredCapacity"] += self.withheld.get(name, 0)
        return dict(found)

    def desired(self, name: str) -> int:
        """Return the size that a group is to have."""
        return int(self.described(name)["DesiredCapacity"])

    def instances(self, name: str) -> list[str]:
        """Return the ids of a group's instances."""
        return sorted(i["InstanceId"] for i in self.described(name)["Instances"])

    def resize(self, name: str, desired: int) -> None:
        """Set a size by another hand than the daemon's."""
        with self._turn:
            self._resize(name, desired)

    def writes(self) -> list[tuple[str, dict[str, str]]]:
        """Return the writes that came, refused ones among them."""
        return [(operation, asked) for operation, asked in self.asked if operation in WRITES]

    # -- the proxy -----------------------------------------------------------------

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Answer a request as AWS would."""
        operation, asked = read(method, path, headers, body)
        with self._turn:
            self.asked.append((operation, asked))
            refusal = self._refusal(operation, asked)
            if refusal is not None:
                return refused(operation, asked, *refusal)
            answer = self._carried_out(operation, asked, method, path, headers, body)
            if operation in WRITES and self.after is not None:
                self.after(operation, asked)
            if operation in self.cut:
                self.cut.remove(operation)
                return Answer(status=0)
        return answer

    def _refusal(self, operation: str, asked: dict[str, str]) -> tuple[int, str] | None:
        if operation in self.refuses:
            return self.refuses[operation]
        said = self.before(operation, asked) if self.before is not None else None
        if said is not None or operation not in WRITES:
            return said
        if operation == "SetDesiredCapacity":
            group = self.described(asked["AutoScalingGroupName"])
            within = group["MinSize"] <= int(asked["DesiredCapacity"]) <= group["MaxSize"]
            return None if within else (400, "ValidationError")
        if operation == "UpdateNodegroupConfig":
            return self._refused_by_eks(asked)
        if operation == "TerminateInstanceInAutoScalingGroup":
            group = self._home(asked["InstanceId"])
            least = group is not None and group["DesiredCapacity"] > group["MinSize"]
            return None if least else (400, "ValidationError")
        return None

    def _refused_by_eks(self, asked: dict[str, str]) -> tuple[int, str] | None:
        name = asked["nodegroupName"]
        if self._is_updating(name):
            return 409, "ResourceInUseException"
        group = self.described(self._made_for(name))
        size = json.loads(asked["body"])["scalingConfig"].get("desiredSize", group["MinSize"])
        within = group["MinSize"] <= int(size) <= group["MaxSize"]
        return None if within else (400, "InvalidParameterException")

    def _is_updating(self, nodegroup: str) -> bool:
        return time.monotonic() - self._updated.get(nodegroup, -math.inf) < self.updating_s

    def _carried_out(
        self,
        operation: str,
        asked: dict[str, str],
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
    ) -> Answer:
        if operation == "GetServiceQuota":
            return self._quota(json.loads(asked["body"])["QuotaCode"])
        if operation == "GetMetricStatistics":
            return self._use(json.loads(asked["body"]))
        if operation == "SetDesiredCapacity":
            self._resize(asked["AutoScalingGroupName"], int(asked["DesiredCapacity"]))
            return done(operation)
        answer = self._behind.forward(method, path, headers, body)
        if operation == "UpdateNodegroupConfig" and answer.status == 200:
            size = json.loads(body)["scalingConfig"].get("desiredSize")
            if size is not None:
                self._resize(self._made_for(asked["nodegroupName"]), int(size))
            self._updated[asked["nodegroupName"]] = time.monotonic()
        if operation == "DescribeNodegroup" and self._is_updating(asked["nodegroupName"]):
            answer.body = answer.body.replace(b'"ACTIVE"', b'"UPDATING"')
        if operation == "DescribeAutoScalingGroups" and self.withheld:
            answer.body = self._with_sizes(answer.body)
        return answer

    def _quota(self, code: str) -> Answer:
        if code not in self.quotas:
            return refused("GetServiceQuota", {}, 400, "NoSuchResourceException")
        kind = "Spot" if code in SPOT_QUOTAS else "OnDemand"
        dimensions = {"Class": f"Standard/{kind}", "Resource": "vCPU"}
        metric = {
            "MetricNamespace": "AWS/Usage",
            "MetricName": "ResourceCount",
            "MetricDimensions": dimensions | {"Service": "EC2", "Type": "Resource"},
            "MetricStatisticRecommendation": "Maximum",
        }
        quota = {"QuotaCode": code, "Value": self.quotas[code], "UsageMetric": metric}
        return told({"Quota": quota})

    def _use(self, question: dict[str, Any]) -> Answer:
        assert question["Namespace"] == "AWS/Usage", question
        assert question["StartTime"] < question["EndTime"], question
        points = [
            {"Timestamp": question["EndTime"] - age_s, "Maximum": float(used)}
            for age_s, used in ((60.0, self.used_vcpus), (900.0, 0))
        ]
        return told({"Label": "ResourceCount", "Datapoints": points})

    def _resize(self, name: str, desired: int) -> None:
        """Have moto launch what is to be had; a smaller size takes off what is withheld first."""
        there = len(self.instances(name))
        before = self.desired(name)
        held = self.withheld.get(name, 0)
        if desired > before:
            held += min(self.shortage.get(name, 0), desired - before)
        else:
            held = max(0, min(held, desired - there))
        self.withheld[name] = held
        self.client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=name, DesiredCapacity=desired - held
        )

    def _home(self, instance: str) -> dict[str, Any] | None:
        asked = {"InstanceIds": [instance]}
        found = self.client("autoscaling").describe_auto_scaling_instances(**asked)
        names = [i["AutoScalingGroupName"] for i in found["AutoScalingInstances"]]
        return self.described(names[0]) if names else None

    def _made_for(self, nodegroup: str) -> str:
        groups = self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        return next(
            g["AutoScalingGroupName"]
            for g in groups
            if any(t["Key"] == "eks:nodegroup-name" and t["Value"] == nodegroup for t in g["Tags"])
        )

    def _with_sizes(self, body: bytes) -> bytes:
        root, names = Xml.fromstring(body), {"": NAMESPACE}
        for group in root.iterfind(".//AutoScalingGroups/member", names):
            name = group.findtext("AutoScalingGroupName", "", names)
            size = group.find("DesiredCapacity", names)
            if size is not None and size.text:
                size.text = str(int(size.text) + self.withheld.get(name, 0))
        return Xml.tostring(root, default_namespace=NAMESPACE)


def made_of(nodegroup: str) -> str:
    """Return the name of the Auto Scaling group of a managed node group."""
    return f"eks-{nodegroup}-0a1b2c3d-1111-2222-3333-444455556666"
