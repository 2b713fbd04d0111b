"""How far a long run has come, on standard error.

Comes in: counts. Goes out: a bar where standard error is a screen, elsewhere a line for each tenth
and each minute of what lasts longer than that, and lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spotvortex.cli.common import QUIET

Advance: TypeAlias = Callable[[int, int, str], None]
"""Shows how many of how many are done; a text that is not empty takes the place of the bar's."""


LINE_S: Final = 60.0
"""Off a screen what ends sooner writes no line, and what lasts longer one as often."""


@contextmanager
def bar(
    what: str, *, transient: bool = False, clock: Callable[[], float] | None = None
) -> Iterator[Advance]:
    """Show a bar; a transient one is gone once it is full."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(what, clock or console.get_time)
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=QUIET.get(),
        transient=transient,
    )
    with progress:
        task = progress.add_task(what, total=None)

        def advance(n_done: int, n_total: int, text: str = "") -> None:
            progress.update(task, completed=n_done, total=n_total, description=text or what)

        yield advance


def _lines(what: str, clock: Callable[[], float]) -> Advance:
    began_at = told_at = clock()
    tenths = 0

    def advance(n_done: int, n_total: int, text: str = "") -> None:
        nonlocal told_at, tenths
        now, done = clock(), 10 * n_done // max(1, n_total)
        if now - began_at >= LINE_S and (done > tenths or now - told_at >= LINE_S):
            told_at, tenths = now, done
            tell(f"{text or what}: {n_done} of {n_total}")

    return advance


def tell(line: str) -> None:
    """Write a line, unless nothing but the answer is wanted."""
    if not QUIET.get():
        typer.echo(line, err=True)
