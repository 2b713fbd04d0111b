"""A decision, told from its record."""

from __future__ import annotations

from typing import Annotated

import typer

from spotvortex.cli.console import console
from spotvortex.cli.options import FileOption, Output, OutputOption, UrlOption, record
from spotvortex.report.explain import account as accounts


def command(
    wanted: Annotated[str, typer.Argument(metavar="ID|POOL", help="A decision, or a pool's last.")],
    *,
    file: FileOption = None,
    url: UrlOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what was decided and why, from its record."""
    account = accounts.read_account(record(wanted, file, url))
    if output is Output.JSON:
        typer.echo(accounts.render(account))
    else:
        accounts.show(account, console())
