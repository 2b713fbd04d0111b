"""How AWS names its zones. Comes in: a zone. Goes out: its region. May not guess."""

from __future__ import annotations

import functools
import re
from typing import Final

_ZONE: Final = re.compile(r"^(.+-\d+)[a-z]$")


@functools.lru_cache(maxsize=1024)
def region_of(zone: str) -> str:
    """Return the region of an availability zone (`us-east-1` of `us-east-1a`), "" if it has none.

    A local zone (`us-west-2-lax-1a`) gives its own group (`us-west-2-lax-1`): prices differ there.
    """
    match = _ZONE.match(zone)
    return match.group(1) if match else ""
