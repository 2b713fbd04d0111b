"""Which code decides, and which code simulates.

Comes in: nothing but the installed sources, read once. Goes out: the version with a digest of them,
for decision records and for results. Every package counts unless it stands below by name, so that a
new package cannot be forgotten. May not look at anything that changes while the process runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import spotvortex
from spotvortex import __version__

SHOWING: Final = frozenset({"__main__.py", "cli", "report", "server", "telemetry"})
"""What only shows what was decided."""

SIMULATING: Final = frozenset({"batch", "evaluation", "faultsearch", "sim"})
"""What makes worlds and judges runs; it decides nothing in a cluster."""

_KINDS: Final = frozenset({".py", ".csv"})
_DATA_THAT_DECIDES: Final = "on_demand_*.json"
"""Data beside the sources: prices. A protocol is not among them: its own digest counts."""

_DIGITS: Final = 12


@cache
def code_version() -> str:
    """Return the version and the digest of all that shapes a decision: `0.1.0+3f2a9c1d7b44`."""
    return f"{__version__}+{digest_of(_root(), SHOWING | SIMULATING)}"


@cache
def simulator_version() -> str:
    """Return the version and the digest of all that shapes a simulated run."""
    return f"{__version__}+{digest_of(_root(), SHOWING)}"


def digest_of(root: Path, without: Iterable[str]) -> str:
    """Return the first digits of the SHA-256 of a package's sources, with their sub-packages.

    Args:
        root: the package's folder.
        without: names of packages and modules directly below it that do not count.
    """
    digest = hashlib.sha256()
    for path in _sources(root, frozenset(without)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:_DIGITS]


def _sources(root: Path, without: frozenset[str]) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        counts = path.suffix in _KINDS or path.match(_DATA_THAT_DECIDES)
        if counts and path.relative_to(root).parts[0] not in without:
            yield path


def _root() -> Path:
    return Path(spotvortex.__file__).parent
