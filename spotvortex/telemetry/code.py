"""Which code decides.

Comes in: nothing but the installed sources of the core, read once. Goes out: the version with a
digest of them, for the records. May not look at anything that changes while the daemon runs.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from spotvortex import __version__

_DIGITS = 12


@cache
def code_version() -> str:
    """Return the version and the digest of the core's sources, as in `0.1.0+3f2a9c1d7b44`."""
    digest = hashlib.sha256()
    sources = (source for source in files("spotvortex.core").iterdir() if _is_python(source.name))
    for source in sorted(sources, key=lambda source: source.name):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return f"{__version__}+{digest.hexdigest()[:_DIGITS]}"


def _is_python(name: str) -> bool:
    return name.endswith(".py")
