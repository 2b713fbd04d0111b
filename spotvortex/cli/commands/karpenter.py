"""What helps with Karpenter's own objects: a pair of NodePools made of a mixed one."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

import typer

from spotvortex.app import node_pools
from spotvortex.cli.options import ContextOption, load_quietly
from spotvortex.report.node_pool_pair import pair_text


class KarpenterTask(StrEnum):
    """What is done."""

    SPLIT = "split"


def command(
    task: Annotated[KarpenterTask, typer.Argument(help="split: print a pair x-spot, x-od.")],
    nodepool: Annotated[str, typer.Argument(help="The NodePool's name.", show_default=False)] = "",
    *,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read it from YAML, - for standard input.")
    ] = None,
    context: ContextOption = "",
) -> None:
    """Print, read-only, a pair of NodePools made of a mixed one, and what to do in which order."""
    match task:
        case KarpenterTask.SPLIT:
            typer.echo(pair_text(_found(nodepool, file, context)), nl=False)
        case _ as never:
            assert_never(never)


def _found(nodepool: str, file: Path | None, context: str) -> dict[str, object]:
    if file is not None:
        return node_pools.of_file(file, nodepool)
    return asyncio.run(node_pools.of_cluster(load_quietly(context), nodepool))
