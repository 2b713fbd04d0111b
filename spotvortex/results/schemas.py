"""The names of what is printed and served as JSON; docs/schemas.md has what each holds.

Comes in: nothing. Goes out: names. A version only ever gains fields.
"""

from __future__ import annotations

from typing import Final

ASSESS: Final = "spotvortex.io/assess/v1"
POOLS: Final = "spotvortex.io/pools/v1"
EVALUATION: Final = "spotvortex.io/evaluation/v1"
DECISIONS: Final = "spotvortex.io/decisions/v1"
HISTORY: Final = "spotvortex.io/history/v1"
WHAT_IF: Final = "spotvortex.io/what-if/v1"
