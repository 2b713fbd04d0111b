"""What results were made under: protocol, code of the simulator and of the core, models.

Comes in: the protocol, and what else decided, as digests of models. Goes out: one line of text that
is the same exactly where results belong together. May not look at anything that changes while runs
are made.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import spotvortex
from spotvortex import __version__
from spotvortex.sim.protocol import Protocol

_ROOMS: Final = ("core", "sim")
_KINDS: Final = (".py", ".csv")
_DIGITS: Final = 12


@cache
def simulator_version() -> str:
    """Return the version and the digest of the sources of core and simulator.

    A protocol is not among them: its own digest counts.
    """
    root = Path(spotvortex.__file__).parent
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in _KINDS:
                digest.update(path.relative_to(root).as_posix().encode() + b"\0")
                digest.update(path.read_bytes() + b"\0")
    return f"{__version__}+{digest.hexdigest()[:_DIGITS]}"


def made_under(protocol: Protocol, *more: str) -> str:
    """Return the line; `more` names what else decided, as `model 3f2a9c1d7b44`."""
    return ", ".join((f"protocol {protocol.digest}", f"simulator {simulator_version()}", *more))
