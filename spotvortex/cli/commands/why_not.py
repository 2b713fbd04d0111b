"""Why an action was not taken, and what would have to change."""

from __future__ import annotations

from typing import Annotated

import typer

from spotvortex.cli.console import console
from spotvortex.cli.options import FileOption, Output, OutputOption, UrlOption, record
from spotvortex.core.domain.types import Action
from spotvortex.report.explain import account as accounts


def _action(text: str) -> Action:
    """Read an action, in small letters too."""
    try:
        return Action(text.upper())
    except ValueError:
        raise typer.BadParameter(f"{text} is none of {', '.join(Action)}") from None


def command(
    pool: Annotated[str, typer.Argument(metavar="POOL", help="By its newest record.")],
    action: Annotated[
        Action, typer.Argument(metavar="ACTION", help=", ".join(Action), parser=_action)
    ],
    *,
    file: FileOption = None,
    url: UrlOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Say which gates would refuse an action, and the nearest change that would allow it."""
    answer = accounts.why_not(accounts.read_account(record(pool, file, url)), action)
    if output is Output.JSON:
        typer.echo(accounts.render_why_not(answer))
    else:
        accounts.show_why_not(answer, console())
