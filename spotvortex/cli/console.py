"""Where a command's text goes.

Comes in: nothing. Goes out: a console as wide as the terminal, on which long lines are wrapped. Off
a terminal no line is wrapped, cut or filled up with spaces: who greps a file looks for whole lines.
"""

from __future__ import annotations

import re
import sys
from io import StringIO
from typing import Final, TextIO

from rich.console import Console

NO_LIMIT: Final = 10_000
"""Columns of what is no terminal; no line is as long."""


def console() -> Console:
    """Return a console on standard output."""
    found = Console(highlight=False)
    if found.is_terminal:
        return found
    return Console(highlight=False, width=NO_LIMIT, file=_Unpadded(sys.stdout))


class _Unpadded(StringIO):
    """A text file without the spaces that fill up a table's last column."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out

    def write(self, text: str, /) -> int:
        return self._out.write(re.sub(r" +(?=\n)", "", text))

    def flush(self) -> None:
        self._out.flush()
