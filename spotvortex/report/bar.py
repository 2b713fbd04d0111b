"""The bar that shows how far a long run has come.

Comes in: nothing. Goes out: a bar on standard error, which draws only where that is a screen.
"""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def bar(*, transient: bool = False) -> Progress:
    """Return a bar; a transient one is gone once it is full."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=transient,
    )
