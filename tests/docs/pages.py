"""What a page shows below a command.

Comes in: a page and a command. Goes out: the block that follows the command's own. May not run it.
"""

import re
from pathlib import Path

from tests.docs.commands import BLOCK

FIGURE = re.compile(r"-?\$?\d[\d,.:-]*")


def shown_below(page: Path, command: str) -> str:
    """Return the output that a page shows below the block that has a command."""
    blocks = [found[2] for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    (at,) = (i for i, text in enumerate(blocks) if command in text)
    return blocks[at + 1]


def without_figures(text: str) -> list[str]:
    """Return the lines of a text with a mark in place of each amount, count, time and way."""
    way = re.compile(r"\b(less|more)$")
    return [way.sub("#", FIGURE.sub("#", line).rstrip()) for line in text.splitlines()]
