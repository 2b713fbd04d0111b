"""What an instance type's name tells, and which families a model knows.

Comes in: instance type names and the scope list of a manifest. Goes out: family, generation, size
and membership. May not look anything up outside its arguments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_SIZES: Final = {"nano": 0.125, "micro": 0.25, "small": 0.5, "medium": 1.0, "large": 2.0}
_GENERATION = re.compile(r"^[a-z-]+?(\d+)")
_MULTIPLE = re.compile(r"^(\d*)xlarge$")


def family_of(instance_type: str) -> str:
    """Return the family of an instance type: `m6i` of `m6i.2xlarge`, or "" where it has none."""
    family, dot, _ = instance_type.partition(".")
    return family if dot else ""


def generation_of(instance_type: str) -> int:
    """Return the generation in the family's name: 6 of `m6i.large`, 0 where there is none."""
    match = _GENERATION.match(instance_type)
    return int(match.group(1)) if match else 0


@lru_cache(maxsize=4096)
def vcpus_of(instance_type: str) -> float:
    """Return the nominal vCPU count that AWS's size names stand for, 0 where unknown.

    `large` is 2 and `Nxlarge` is 4 N in the families that the product supports; burstable small
    sizes are given their fraction of a core.
    """
    size = instance_type.partition(".")[2]
    if size in _SIZES:
        return _SIZES[size]
    match = _MULTIPLE.match(size)
    return 4.0 * int(match.group(1) or 1) if match else 0.0


@dataclass(frozen=True, slots=True)
class Scope:
    """The instance families that a bundle was made for; an empty list knows none.

    An entry is a family (`c6i`), a pattern (`c6i.*` or `c6i*`), or an exact type (`c6i.large`).
    """

    entries: tuple[str, ...]

    def covers(self, instance_type: str) -> bool:
        """Tell whether an instance type is in scope; an unreadable name never is."""
        return _covers(self.entries, instance_type)


@lru_cache(maxsize=4096)
def _covers(entries: tuple[str, ...], instance_type: str) -> bool:
    family = family_of(instance_type)
    return bool(family) and any(_matches(e, family, instance_type) for e in entries)


def _matches(entry: str, family: str, instance_type: str) -> bool:
    if entry.endswith(".*"):
        return entry[:-2] == family
    if entry.endswith("*"):
        return family.startswith(entry[:-1])
    return entry in (family, instance_type)
