"""The commands that a page tells a person to type."""

import re
from dataclasses import dataclass
from pathlib import Path

WORDS = ("kubectl ", "spotvortex ", "python -m spotvortex ", "helm ", "make ", "sh ", "openssl ")
"""How a command begins, so that a name or a value between backticks is none."""

DAGGER = "†"
"""Stands behind a command that no test runs."""

BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(rf"`([^`\n]+)`(?: ({DAGGER}))?")
COMMENT = re.compile(r"\s+#(?:\s.*)?$")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a page.

    Attributes:
        page: the name of the page's file.
        text: the command, without a comment behind it.
        is_run: False where the page says that no test runs it.
    """

    page: str
    text: str
    is_run: bool


def commands_of(page: Path) -> list[Command]:
    """Return what stands in blocks of `sh` and between backticks, in the order of the page."""
    text = page.read_text(encoding="utf-8")
    found: list[tuple[int, str, bool]] = []
    for block in BLOCK.finditer(text):
        if block[1] == "sh":
            joined = block[2].replace("\\\n", " ")
            found += [(block.start(), *_line(line)) for line in joined.splitlines() if line.strip()]
    prose = BLOCK.sub(lambda block: " " * len(block[0]), text)
    for inline in INLINE.finditer(prose):
        if inline[1].startswith(WORDS):
            found.append((inline.start(), inline[1], inline[2] is None))
    return [Command(page.name, " ".join(t.split()), run) for _, t, run in sorted(found)]


def _line(line: str) -> tuple[str, bool]:
    return COMMENT.sub("", line.strip()), DAGGER not in line
