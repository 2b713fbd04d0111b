"""A cluster, written down for a backtest."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Annotated

import typer

from spotvortex.app import inspect
from spotvortex.cli.options import ContextOption, check_writable, load_quietly, write_file
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
    check_writable(out, "--out")
    taken = asyncio.run(inspect.snapshot(load_quietly(context)))
    if redact:
        key = secrets.token_bytes(cluster_snapshot.REDACTION_KEY_BYTES)
        taken = cluster_snapshot.redacted(taken, key)
    text = cluster_snapshot.to_text(taken)
    if out is None:
        typer.echo(text)
    else:
        write_file(out, text + "\n", "--out")
