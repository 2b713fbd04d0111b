"""What helps with Cluster Autoscaler's own objects: the priorities of its groups."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, assert_never

import typer

from spotvortex.app import inspect
from spotvortex.cli.options import ContextOption, load_quietly
from spotvortex.report.priorities import compared, priorities_text


class CaTask(StrEnum):
    """What is done."""

    PRIORITIES = "priorities"


def command(
    task: Annotated[
        CaTask, typer.Argument(help="priorities: the ConfigMap of the priority expander.")
    ],
    *,
    compare: Annotated[
        bool, typer.Option("--compare", help="Say where what is applied leads elsewhere; 1 if so.")
    ] = False,
    context: ContextOption = "",
) -> None:
    """Look at the cluster once, read-only, and print what its priority expander should be told."""
    match task:
        case CaTask.PRIORITIES:
            settings = load_quietly(context)
            plan = asyncio.run(inspect.decide_once(settings))
            if not compare:
                typer.echo(priorities_text(plan), nl=False)
                return
            found = compared(plan, asyncio.run(inspect.applied_priorities(settings)))
            typer.echo("\n".join(found) or "what is applied leads where the proposals do")
            raise typer.Exit(bool(found))
        case _ as never:
            assert_never(never)
