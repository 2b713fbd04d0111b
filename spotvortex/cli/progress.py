"""How far a long run has come, on standard error.

Comes in: counts. Goes out: a bar, which draws only where standard error is a screen, and lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spotvortex.cli.common import QUIET

Advance: TypeAlias = Callable[[int, int, str], None]
"""Shows how many of how many are done; a text that is not empty takes the place of the bar's."""


@contextmanager
def bar(what: str, *, transient: bool = False) -> Iterator[Advance]:
    """Show a bar; a transient one is gone once it is full."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=QUIET.get() or not console.is_terminal,
        transient=transient,
    )
    with progress:
        task = progress.add_task(what, total=None)

        def advance(n_done: int, n_total: int, text: str = "") -> None:
            progress.update(task, completed=n_done, total=n_total, description=text or what)

        yield advance


def tell(line: str) -> None:
    """Write a line, unless nothing but the answer is wanted."""
    if not QUIET.get():
        typer.echo(line, err=True)
