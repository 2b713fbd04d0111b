"""A page that is made from the code: write it, or tell whether it is out of date.

Comes in: the page's place, how its text is made, and the arguments. Goes out: an exit status. May
not know what is on the page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path


def write_or_check(place: Path, page: Callable[[], str], script: str) -> int:
    """Write the page; with `--check` write nothing, and return 1 if it is out of date."""
    if "--check" not in sys.argv[1:]:
        place.write_text(page(), "utf-8")
        return 0
    if place.exists() and place.read_text("utf-8") == page():
        return 0
    print(f"{place.name} is out of date: run python -m scripts.{script}")
    return 1
