"""Every right of AWS that the daemon can make use of, in one table.

Comes in: nothing. Goes out: the table, which policies and their page are made of. A test holds it
against the operations that the code calls: neither side has one more. Nothing in AWS is required,
so each right says by which setting it is used. May not grant anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Bound(StrEnum):
    """What an operation can be bound to (Service Authorization Reference)."""

    QUEUE = "the queue"
    KEY = "the queue's key"
    GROUPS = "groups by their tag"
    NODEGROUPS = "the cluster's node groups"
    ALL = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One operation.

    Attributes:
        action: its name in a policy.
        scope: what it is bound to.
        used_by: the setting by which it is used.
        why: what it is for.
    """

    action: str
    scope: Bound
    used_by: str
    why: str


_QUEUE: Final = "SPOTVORTEX_INTERRUPTION_QUEUE"
_GROUPS: Final = "SPOTVORTEX_PROVISIONER"

RIGHTS: Final = (
    Right(
        action="ec2:DescribeSpotPriceHistory",
        scope=Bound.ALL,
        used_by="SPOTVORTEX_PRICE_SOURCE",
        why="Spot prices of the types in use; it can be bound to no resource",
    ),
    Right(
        action="pricing:GetProducts",
        scope=Bound.ALL,
        used_by="SPOTVORTEX_PRICE_SOURCE",
        why="on-demand list prices of the types in use; it can be bound to no resource",
    ),
    Right(
        action="ec2:GetSpotPlacementScores",
        scope=Bound.ALL,
        used_by="SPOTVORTEX_PLACEMENT_SCORES",
        why="how likely requests for the types in use would be fulfilled; bound to no resource",
    ),
    Right(
        action="ec2:DescribeAvailabilityZones",
        scope=Bound.ALL,
        used_by="SPOTVORTEX_PLACEMENT_SCORES",
        why="the names of the zones that scores give by id; it can be bound to no resource",
    ),
    Right(
        action="sqs:GetQueueUrl",
        scope=Bound.QUEUE,
        used_by=_QUEUE,
        why="find the queue where it is given by name",
    ),
    Right(
        action="sqs:ReceiveMessage",
        scope=Bound.QUEUE,
        used_by=_QUEUE,
        why="read notices",
    ),
    Right(
        action="sqs:DeleteMessage",
        scope=Bound.QUEUE,
        used_by=_QUEUE,
        why="take away what was read, or settled",
    ),
    Right(
        action="sqs:ChangeMessageVisibility",
        scope=Bound.QUEUE,
        used_by=_QUEUE,
        why="give back at a stop what is not settled",
    ),
    Right(
        action="kms:Decrypt",
        scope=Bound.KEY,
        used_by=_QUEUE,
        why="read messages of a queue with a key of your own; SQS asks for it, not the daemon",
    ),
    Right(
        action="autoscaling:DescribeAutoScalingGroups",
        scope=Bound.ALL,
        used_by=_GROUPS,
        why="find groups and read their sizes; it can be bound to no resource",
    ),
    Right(
        action="autoscaling:DescribeAutoScalingInstances",
        scope=Bound.ALL,
        used_by=_GROUPS,
        why="tell which group a node's instance is of; it can be bound to no resource",
    ),
    Right(
        action="autoscaling:DescribeLifecycleHooks",
        scope=Bound.ALL,
        used_by=_GROUPS,
        why="see what holds an instance that ends; it can be bound to no resource",
    ),
    Right(
        action="ec2:DescribeSubnets",
        scope=Bound.ALL,
        used_by=_GROUPS,
        why="free addresses, before a wave is begun; optional, and bound to no resource",
    ),
    Right(
        action="ec2:DescribeLaunchTemplateVersions",
        scope=Bound.ALL,
        used_by=_GROUPS,
        why="whether a group's launch template is there; optional, and bound to no resource",
    ),
    Right(
        action="ec2:DescribeImages",
        scope=Bound.ALL,
        used_by=_GROUPS,
        why="whether the image of that template is there; optional, and bound to no resource",
    ),
    Right(
        action="ec2:DescribeInstanceTypes",
        scope=Bound.ALL,
        used_by=_GROUPS,
        why="vCPUs of a group's types, to compare with a quota; optional, bound to no resource",
    ),
    Right(
        action="servicequotas:GetServiceQuota",
        scope=Bound.ALL,
        used_by=_GROUPS,
        why="how many vCPUs of Spot or on-demand there may be; optional, bound to no resource",
    ),
    Right(
        action="cloudwatch:GetMetricStatistics",
        scope=Bound.ALL,
        used_by=_GROUPS,
        why="how many of them are in use; optional, and bound to no resource",
    ),
    Right(
        action="eks:DescribeNodegroup",
        scope=Bound.NODEGROUPS,
        used_by=_GROUPS,
        why="read status, bounds and capacity type of a managed node group",
    ),
    Right(
        action="autoscaling:SetDesiredCapacity",
        scope=Bound.GROUPS,
        used_by=_GROUPS,
        why="grow a tagged group for a wave, and give back what was not used; modes that write",
    ),
    Right(
        action="autoscaling:TerminateInstanceInAutoScalingGroup",
        scope=Bound.GROUPS,
        used_by=_GROUPS,
        why="end a drained node's instance, with its group one smaller; modes that write",
    ),
    Right(
        action="eks:UpdateNodegroupConfig",
        scope=Bound.NODEGROUPS,
        used_by=_GROUPS,
        why="the size of a managed node group; modes that write",
    ),
)
"""In modes that write nothing, `GROUP_WRITES` are not used."""

GROUP_READS: Final = frozenset(
    r.action for r in RIGHTS if r.used_by == _GROUPS and r.scope is Bound.ALL
)

GROUP_WRITES: Final = frozenset(
    {
        "autoscaling:SetDesiredCapacity",
        "autoscaling:TerminateInstanceInAutoScalingGroup",
        "eks:UpdateNodegroupConfig",
    }
)
