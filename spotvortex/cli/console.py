"""Where a command's text goes.

Comes in: nothing. Goes out: a console as wide as the terminal, on which long lines are wrapped. Off
a terminal no line is wrapped or cut: who greps a file looks for whole lines. May not write.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console

NO_LIMIT: Final = 10_000
"""Columns of what is no terminal; no line is as long."""


def console() -> Console:
    """Return a console on standard output."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=NO_LIMIT)
