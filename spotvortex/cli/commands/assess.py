"""The first look at a cluster."""

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
from spotvortex.report.assess import document, screen, workloads_screen


def command(
    *,
    context: ContextOption = "",
    output: OutputOption = Output.TEXT,
    details: DetailsOption = False,
    workloads: Annotated[
        bool, typer.Option("--workloads", help="Show how far each workload is ready for Spot.")
    ] = False,
) -> None:
    """Look at the cluster once, read-only, and say what there is to gain and what would break."""
    report = asyncio.run(inspect.assess(load_quietly(context)))
    if output is Output.JSON:
        typer.echo(document.render(report))
    elif workloads:
        workloads_screen.show(report, console())
    else:
        screen.show(report, console(), details=details)
