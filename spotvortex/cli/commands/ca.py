"""What helps with Cluster Autoscaler's own objects: the priorities of its groups."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, assert_never

import typer

from spotvortex.app import inspect
from spotvortex.cli.options import ContextOption, load_quietly
from spotvortex.report.priorities import priorities_text


class Task(StrEnum):
    """What is done."""

    PRIORITIES = "priorities"


def command(
    task: Annotated[
        Task, typer.Argument(help="priorities: the ConfigMap of the priority expander.")
    ],
    *,
    context: ContextOption = "",
) -> None:
    """Look at the cluster once, read-only, and print what its priority expander should be told."""
    match task:
        case Task.PRIORITIES:
            plan = asyncio.run(inspect.decide_once(load_quietly(context)))
            typer.echo(priorities_text(plan), nl=False)
        case _ as never:
            assert_never(never)
