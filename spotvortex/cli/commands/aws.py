"""What people need in AWS, as text: policies of least rights, and a queue of the daemon's own."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, assert_never

import typer

from spotvortex.cli.options import load_quietly
from spotvortex.report.aws.policies import rights_policy, trust_policy
from spotvortex.report.aws.resources import Form, resources


class Printed(StrEnum):
    """What is printed."""

    POLICIES = "policies"
    TRUST = "trust"
    RESOURCES = "resources"


def command(
    task: Annotated[
        Printed,
        typer.Argument(
            help="policies: what the role may do. trust: who may take it. resources: a queue of "
            "notices and its rules."
        ),
    ],
    *,
    queue_arn: Annotated[str, typer.Option(help="The queue of notices, where one is read.")] = "",
    key_arn: Annotated[str, typer.Option(help="Its key, where it has one of yours.")] = "",
    oidc: Annotated[
        str, typer.Option(help="The cluster's OIDC issuer, for IRSA; without it, Pod Identity.")
    ] = "",
    account: Annotated[str, typer.Option(help="The AWS account, for IRSA.")] = "",
    form: Annotated[Form, typer.Option(help="What resources are written for.")] = (
        Form.CLOUDFORMATION
    ),
) -> None:
    """Print what SpotVortex needs in AWS; nothing is asked of AWS, and nothing changed."""
    match task:
        case Printed.POLICIES:
            text = rights_policy(queue_arn, key_arn)
        case Printed.TRUST:
            text = trust_policy(load_quietly("").namespace, oidc, account)
        case Printed.RESOURCES:
            text = resources(form)
        case _ as never:
            assert_never(never)
    typer.echo(text, nl=False)
