"""A log of decisions, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spotvortex.code_digest import code_version
from spotvortex.report.explain.replays import replay_all


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A decision log in JSON Lines.")],
) -> None:
    """Make every decision of a log again; end with 1 where one differs or the chain is broken."""
    tally = replay_all(file)
    for line in tally.in_words(code_version()):
        typer.echo(line)
    raise typer.Exit(0 if tally.is_whole else 1)
