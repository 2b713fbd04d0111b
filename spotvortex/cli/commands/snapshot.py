"""A cluster, written down for a backtest."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from spotvortex.app import inspect
from spotvortex.cli.options import ContextOption, load_quietly
from spotvortex.results import cluster_snapshot


def command(
    *,
    out: Annotated[Path | None, typer.Option(help="A file; else standard output.")] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="Replace names of pools, namespaces, workloads.")
    ] = False,
    context: ContextOption = "",
) -> None:
    """Write down, read-only, what a backtest needs to know of the cluster."""
    taken = asyncio.run(inspect.snapshot(load_quietly(context)))
    text = cluster_snapshot.to_text(cluster_snapshot.redacted(taken) if redact else taken)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text + "\n")
