"""What the daemon has left in a cluster, and its removal."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from spotvortex.app.uninstall import uninstall
from spotvortex.cli.options import ContextOption, Output, OutputOption, load_quietly
from spotvortex.cli.progress import tell
from spotvortex.report import uninstall as report


def command(
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Remove it; else only look.")] = False,
    wait: Annotated[
        float, typer.Option(min=0.0, max=3600.0, help="Seconds given to a running daemon to undo.")
    ] = 120.0,
    context: ContextOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """List what the daemon has left in the cluster, or remove it; end with 1 if any is left."""
    found = asyncio.run(uninstall(load_quietly(context), wait, tell, apply=apply))
    if output is Output.JSON:
        typer.echo(report.render(found))
    else:
        for line in report.in_words(found):
            typer.echo(line)
    raise typer.Exit(report.exit_code(found))
