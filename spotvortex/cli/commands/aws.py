"""What people need in AWS, as text: policies of least rights, and a queue of the daemon's own."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, assert_never

import typer

from spotvortex.app.groups import described_nodegroup
from spotvortex.cli.options import load_quietly
from spotvortex.errors import SettingsError
from spotvortex.report.aws.policies import NO_GROUPS, GroupRights, rights_policy, trust_policy
from spotvortex.report.aws.resources import TemplateForm, resources
from spotvortex.report.aws.twin import eksctl_text, terraform_text
from spotvortex.settings.load import aws_region


class Printed(StrEnum):
    """What is printed."""

    POLICIES = "policies"
    TRUST = "trust"
    RESOURCES = "resources"
    TWIN = "twin"


class Groups(StrEnum):
    """What is wanted of groups."""

    NONE = "none"
    READ = "read"
    MOVE = "move"


def command(  # noqa: PLR0913 - one parameter an option
    task: Annotated[
        Printed,
        typer.Argument(
            help="policies: what the role may do. trust: who may take it. resources: a queue of "
            "notices and its rules. twin: the other half of a managed node group."
        ),
    ],
    *,
    queue_arn: Annotated[str, typer.Option(help="The queue of notices, where one is read.")] = "",
    key_arn: Annotated[str, typer.Option(help="Its key, where it has one of yours.")] = "",
    oidc: Annotated[
        str, typer.Option(help="The cluster's OIDC issuer, for IRSA; without it, Pod Identity.")
    ] = "",
    account: Annotated[str, typer.Option(help="The AWS account, for IRSA.")] = "",
    groups: Annotated[
        Groups, typer.Option(help="Auto Scaling groups and EKS node groups: read, or moved too.")
    ] = Groups.NONE,
    cluster: Annotated[str, typer.Option(help="The EKS cluster, for managed node groups.")] = "",
    nodegroup: Annotated[str, typer.Option(help="The managed node group to make a twin of.")] = "",
    form: Annotated[
        TemplateForm,
        typer.Option(help="What resources are written for; a twin for eksctl or Terraform."),
    ] = TemplateForm.CLOUDFORMATION,
) -> None:
    """Print what SpotVortex needs in AWS. Nothing is changed; only `twin` asks, one read."""
    match task:
        case Printed.POLICIES:
            text = rights_policy(queue_arn, key_arn, _wanted(groups, cluster))
        case Printed.TRUST:
            text = trust_policy(load_quietly("").namespace, oidc, account)
        case Printed.RESOURCES:
            text = resources(form)
        case Printed.TWIN:
            text = _twin(cluster, nodegroup, form)
        case _ as never:
            assert_never(never)
    typer.echo(text, nl=False)


def _wanted(groups: Groups, cluster: str) -> GroupRights:
    """Return what is wanted of groups, which are found by the tag of the settings."""
    if groups not in (Groups.READ, Groups.MOVE):
        return NO_GROUPS
    return GroupRights(
        reads=True,
        writes=groups is Groups.MOVE,
        cluster=cluster,
        tag=load_quietly("").pool_tag,
        region=aws_region(),
    )


def _twin(cluster: str, nodegroup: str, form: TemplateForm) -> str:
    if not cluster or not nodegroup:
        raise SettingsError("of what? Give --cluster and --nodegroup")
    group = asyncio.run(described_nodegroup(cluster, nodegroup))
    return (
        terraform_text(group)
        if form is TemplateForm.TERRAFORM
        else eksctl_text(group, aws_region())
    )
