"""What the daemon needs, looked at before it is started."""

from __future__ import annotations

import asyncio

import typer

from spotvortex.app.check import check
from spotvortex.cli.console import console
from spotvortex.cli.options import ContextOption, ModeOption, Output, OutputOption, load
from spotvortex.errors import SpotVortexError
from spotvortex.report import checks
from spotvortex.telemetry import logs


def command(
    *,
    context: ContextOption = "",
    mode: ModeOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Look at settings, bundle, prices and rights, and name each thing missing with the fix.

    Rights and objects are those of the mode that will run.
    """
    found: tuple[checks.Check, ...]
    try:
        loaded = load(context, mode)
    except SpotVortexError as error:
        found = (checks.wrong("settings", str(error)),)
    else:
        logs.set_up("ERROR", loaded.log_format)
        found = asyncio.run(check(loaded))
    if output is Output.JSON:
        typer.echo(checks.render(found))
    else:
        checks.show(found, console())
    raise typer.Exit(checks.exit_code(found))
