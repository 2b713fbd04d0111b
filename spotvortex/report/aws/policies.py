"""IAM policies as JSON: what the daemon may do, and who may be the daemon.

Comes in: the names of the queue, its key, and the pod's account. Goes out: a policy of least rights
of `rights`, and the trust policy of its role for IRSA or for EKS Pod Identity. May not call AWS.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from spotvortex.errors import SettingsError
from spotvortex.report.aws.rights import GROUP_READS, GROUP_WRITES, RIGHTS, Bound

VERSION: Final = "2012-10-17"
"""The version of the policy language (IAM User Guide, "IAM JSON policy elements: Version")."""

SERVICE_ACCOUNT: Final = "spotvortex"
"""The daemon's, as the manifests name it."""

_ARNS: Final = {
    Bound.QUEUE: re.compile(r"arn:aws[\w-]*:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,80}(\.fifo)?"),
    Bound.KEY: re.compile(r"arn:aws[\w-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]{1,128}"),
}
_ACCOUNT: Final = re.compile(r"\d{12}")
_PROVIDER: Final = re.compile(r"(https://)?(oidc\.eks\.([a-z0-9-]+)\.[a-z0-9.-]+/id/[A-Za-z0-9]+)")
_PARTITIONS: Final = {
    "cn-": "aws-cn",
    "eusc-": "aws-eusc",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
}
"""Partitions by how the names of their regions begin; all other regions are of `aws`."""
_IDS: Final = {
    "ec2": "SpotPrices",
    "pricing": "ListPrices",
    "sqs": "Notices",
    "kms": "KeyOfNotices",
}

Statement = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRights:
    """What is wanted of Auto Scaling groups and EKS node groups.

    Attributes:
        reads: they are read.
        writes: nodes are moved by them.
        cluster: the EKS cluster whose managed node groups count, "" of none.
        tag: the tag by which a group is found.
        region: where they are, "" where that is not known; it tells the partition of ARNs.
    """

    reads: bool = False
    writes: bool = False
    cluster: str = ""
    tag: str = "spotvortex.io/pool"
    region: str = ""


NO_GROUPS: Final = GroupRights()


def rights_policy(queue_arn: str = "", key_arn: str = "", groups: GroupRights = NO_GROUPS) -> str:
    """Return the policy of least rights; without a queue and groups, that of prices alone.

    Raises:
        SettingsError: an ARN is none of what it is said to be, or there is a key without a queue.
    """
    arns = {Bound.QUEUE: _checked(Bound.QUEUE, "--queue-arn", queue_arn)}
    arns[Bound.KEY] = _checked(Bound.KEY, "--key-arn", key_arn)
    arns[Bound.ALL] = "*"
    if key_arn and not queue_arn:
        raise SettingsError("--key-arn is the key of a queue: give --queue-arn too")
    statements: dict[str, Statement] = {}
    for right in RIGHTS:
        resource, service = arns.get(right.scope, ""), right.action.partition(":")[0]
        if resource and service in _IDS and right.action not in GROUP_READS:
            made: Statement = {"Sid": _IDS[service], "Effect": "Allow", "Action": []}
            statement = statements.setdefault(service, made | {"Resource": resource})
            actions = statement["Action"]
            assert isinstance(actions, list)
            actions.append(right.action)
    return _json([*statements.values(), *_of_groups(groups)])


def _of_groups(groups: GroupRights) -> list[Statement]:
    """Return what it takes to read groups, and to move nodes by them, each by tag or by cluster."""
    if not groups.reads:
        return []
    found = [_allow("Groups", sorted(GROUP_READS), "*")]
    grown = [a for a in sorted(GROUP_WRITES) if a.startswith("autoscaling:")]
    if groups.writes:
        tagged = {"Null": {f"aws:ResourceTag/{groups.tag}": "false"}}
        found.append(_allow("TaggedGroups", grown, "*") | {"Condition": tagged})
    if not groups.cluster:
        return found
    named = f"arn:{_partition_of(groups.region)}:eks:*:*:nodegroup/{groups.cluster}/*"
    sized = [r.action for r in RIGHTS if r.scope is Bound.NODEGROUPS]
    sized = [a for a in sized if groups.writes or a not in GROUP_WRITES]
    found.append(_allow("NodeGroups", sized, named))
    if groups.writes:
        of_cluster = {"StringEquals": {"aws:ResourceTag/eks:cluster-name": groups.cluster}}
        ends = [a for a in grown if ":Terminate" in a]
        found.append(_allow("NodesOfNodeGroups", ends, "*") | {"Condition": of_cluster})
    return found


def _partition_of(region: str) -> str:
    """Return the partition of a region, the second word of each ARN there."""
    return next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")


def _allow(sid: str, actions: list[str], resource: str) -> Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}


def trust_policy(namespace: str, oidc: str = "", account: str = "") -> str:
    """Return who may take the role: the daemon's ServiceAccount, by IRSA or by EKS Pod Identity.

    Args:
        namespace: where the daemon runs.
        oidc: the cluster's OIDC issuer, with or without https://; "" means Pod Identity.
        account: the twelve digits of the AWS account, of IRSA alone.

    Raises:
        SettingsError: the issuer or the account is none.
    """
    if not oidc:
        return _json([_by_pod_identity(namespace)])
    if not _ACCOUNT.fullmatch(account):
        raise SettingsError(f"--account={account!r} is no AWS account: give its twelve digits")
    found = _PROVIDER.fullmatch(oidc)
    if found is None:
        raise SettingsError(
            f"--oidc={oidc!r} is no issuer of EKS: give what `aws eks describe-cluster --query "
            "cluster.identity.oidc.issuer` says"
        )
    issuer, partition = found[2], _partition_of(found[3])
    subject = f"system:serviceaccount:{namespace}:{SERVICE_ACCOUNT}"
    return _json(
        [
            {
                "Effect": "Allow",
                "Principal": {
                    "Federated": f"arn:{partition}:iam::{account}:oidc-provider/{issuer}"
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {f"{issuer}:sub": subject, f"{issuer}:aud": "sts.amazonaws.com"}
                },
            }
        ]
    )


def _by_pod_identity(namespace: str) -> Statement:
    """Bind it to the ServiceAccount by the session tags that the agent sets (EKS User Guide)."""
    tags = {
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": SERVICE_ACCOUNT,
    }
    return {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {"StringEquals": tags},
    }


def _checked(scope: Bound, option: str, arn: str) -> str:
    if arn and not _ARNS[scope].fullmatch(arn):
        raise SettingsError(f"{option}={arn!r} is not the ARN of {scope}")
    return arn


def _json(statements: list[Statement]) -> str:
    return json.dumps({"Version": VERSION, "Statement": statements}, indent=2) + "\n"
