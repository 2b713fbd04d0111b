"""The fault search: random episodes in which much goes wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from spotvortex.cli.options import Output, OutputOption, WorkersOption
from spotvortex.cli.progress import bar
from spotvortex.errors import SettingsError, in_words
from spotvortex.faultsearch import report


def command(
    *,
    episodes: Annotated[int, typer.Option(min=1, help="How many are played.")] = 100,
    seed: Annotated[
        int, typer.Option(min=0, help="The first one's seed; the next ones follow.")
    ] = 1,
    workers: WorkersOption = 0,
    episode: Annotated[
        Path | None, typer.Option("--episode", metavar="FILE", help="Play one that was kept.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Write failing ones here.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Play random episodes in which much goes wrong; end with 1 where a promise is broken."""
    if episode is not None:
        result = report.play_file(episode)
    else:
        if keep is not None:
            _make(keep)
        seeds = range(seed, seed + episodes)
        with bar("episodes") as advance:
            result = report.play_seeds(seeds, workers or os.cpu_count() or 1, keep, advance)
    if output is Output.JSON:
        typer.echo(result.render())
    else:
        for line in result.in_words():
            typer.echo(line)
    raise typer.Exit(result.exit_code)


def _make(folder: Path) -> None:
    """Make the folder before long work begins.

    Raises:
        SettingsError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--keep {folder}: cannot be made: {in_words(error)}") from error
