"""What blocks each node's drain."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from spotvortex.app import inspect
from spotvortex.cli.console import console
from spotvortex.cli.options import (
    ContextOption,
    DetailsOption,
    Output,
    OutputOption,
    load_quietly,
)
from spotvortex.report.doctor import screen


def command(
    *,
    context: ContextOption = "",
    output: OutputOption = Output.TEXT,
    details: DetailsOption = False,
    ask: Annotated[
        str,
        typer.Option(
            "--dry-run-evictions",
            metavar="NODE|all",
            help="Ask the API server too, with dryRun=All; needs the right to create evictions.",
        ),
    ] = "",
) -> None:
    """Look at the cluster once, read-only, and say what blocks each node's drain, and the fix."""
    found = asyncio.run(inspect.doctor(load_quietly(context), ask))
    if output is Output.JSON:
        typer.echo(screen.render(found))
    else:
        screen.show(found, console(), details=details)
