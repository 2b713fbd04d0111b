"""A log of decisions, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spotvortex.code_digest import code_version
from spotvortex.report.explain.chain import read_expected
from spotvortex.report.explain.replays import replay_all


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A decision log in JSON Lines.")],
    expect: Annotated[
        str,
        typer.Option(
            metavar="N[:DIGEST]",
            help="So many records since the last start, or with this digest, have to be there.",
        ),
    ] = "",
    after: Annotated[
        str,
        typer.Option(metavar="DIGEST", help="The last record of the older file it goes on from."),
    ] = "",
) -> None:
    """Make every decision of a log again; end with 1 where one differs or is missing."""
    tally = replay_all(file, read_expected(expect) if expect else None, after)
    for line in tally.in_words(code_version()):
        typer.echo(line)
    raise typer.Exit(0 if tally.is_whole else 1)
