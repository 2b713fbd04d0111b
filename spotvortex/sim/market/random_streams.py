"""Seeded chance: named streams of random numbers, the only source of randomness in the simulator.

Comes in: a seed and names. Goes out: a generator of its own for each name, so that what one part
of the world draws never shifts what another part gets. May not read a clock or the process.
"""

from __future__ import annotations

import random


def stream(seed: int, *names: object) -> random.Random:
    """Return the random stream of these names; the same in every process."""
    words = "/".join(str(name) for name in (seed, *names))
    return random.Random(words)  # noqa: S311 -- a simulation must be repeatable
