"""A file that is replaced whole or not at all, and put aside where it cannot be read.

Comes in: a path and a text. Goes out: whether it was written. May not know what the text means.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def replace_whole(path: Path, text: str, what: str) -> bool:
    """Replace a file; False where that failed, which is logged as `<what>.not_saved`."""
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(text, "utf-8")
        os.replace(fresh, path)
    except OSError as error:
        log.warning("%s.not_saved", what, extra={"path": str(path), "error": str(error)})
        return False
    return True


def keep_aside(path: Path, error: str, what: str) -> None:
    """Give a file that cannot be read another name, and say so as `<what>.unreadable`."""
    aside = path.with_suffix(".unreadable")
    log.warning("%s.unreadable", what, extra={"kept_as": str(aside), "error": error})
    try:
        os.replace(path, aside)
    except OSError as failure:
        log.warning("%s.not_kept", what, extra={"error": str(failure)})
