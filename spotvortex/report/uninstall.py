"""What leaving a cluster has found and done, for `uninstall`.

Comes in: a `UninstallResult`. Goes out: text or JSON with the same facts, and the exit code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from spotvortex.core.uninstall import Leftover, UninstallResult
from spotvortex.report.document import Json


def exit_code(leaving: UninstallResult) -> int:
    """Return 0 if nothing that the controller made is left, else 1; the same for a dry run."""
    return 1 if leaving.left else 0


def in_words(leaving: UninstallResult) -> Iterator[str]:
    """Yield the lines for a person."""
    for removed in leaving.removed:
        yield f"removed  {_named(removed)}"
    for left in leaving.left:
        yield f"{'left' if leaving.applied else 'found':7}  {_named(left.leftover)}" + (
            f": {left.reason}" if left.reason else ""
        )
    if not leaving.left:
        yield "Nothing of SpotVortex is in this cluster beside what was installed by its manifests."
    elif not leaving.applied:
        yield "This was a dry run and nothing was written; --apply removes it."


def render(leaving: UninstallResult) -> str:
    """Render the same as indented JSON."""
    left: list[Json] = [_plain(entry.leftover) | {"reason": entry.reason} for entry in leaving.left]
    document = {
        "applied": leaving.applied,
        "found": [_plain(found) for found in leaving.found],
        "removed": [_plain(removed) for removed in leaving.removed],
        "left": left,
    }
    return json.dumps(document, indent=2, sort_keys=True)


def _named(leftover: Leftover) -> str:
    return f"{leftover.thing} {leftover.name} ({leftover.detail})"


def _plain(leftover: Leftover) -> dict[str, Json]:
    return {
        "thing": str(leftover.thing),
        "name": leftover.name,
        "detail": leftover.detail,
    }
