"""A price file made of what AWS says."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

import typer

from spotvortex.app.price_fetch import Fetched, Wanted, fetch
from spotvortex.cli.options import ContextOption, check_writable, load_quietly


class PricesTask(StrEnum):
    """What is done."""

    FETCH = "fetch"


def command(
    task: Annotated[
        PricesTask, typer.Argument(help="fetch: write prices of AWS into a price file.")
    ],
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The file, .jsonl or .jsonl.gz; replaced whole.")
    ],
    region: Annotated[
        str, typer.Option(help="The region; else AWS_REGION, else that of the nodes.")
    ] = "",
    types: Annotated[
        list[str] | None, typer.Option("--type", help="An instance type; else those of the nodes.")
    ] = None,
    days: Annotated[
        float, typer.Option(min=0.0, max=90.0, help="How far back Spot prices go.")
    ] = 8.0,
    context: ContextOption = "",
) -> None:
    """Fetch Spot and on-demand prices from AWS, once; needs the two rights of `aws policies`."""
    check_writable(output, "--output")
    wanted = Wanted(path=output, region=region, types=tuple(types or ()), days=days)
    match task:
        case PricesTask.FETCH:
            typer.echo(_told(output, asyncio.run(fetch(load_quietly(context), wanted))))
        case _ as never:
            assert_never(never)


def _told(path: Path, found: Fetched) -> str:
    counts = f"{found.n_changes} Spot prices and {found.n_on_demand} on-demand prices"
    text = f"{path}: {counts} of {found.n_types} types in {found.region}"
    return f"{text}; not whole of {', '.join(found.missing)}" if found.missing else text
