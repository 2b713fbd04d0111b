"""Where a memory that is still blank may be recalled from, one place after another.

Comes in: the memory as the store has loaded it, and places in their order. Goes out: what the first
place that has anything gives, once. A memory that is not blank is never added to, since the time of
both might be the same. May not read anything by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from spotvortex.core.scoring.interruption_memory import Memory
from spotvortex.ports.writing import Recall


class FirstStart:
    """Implements `ports.Recall` for a memory that has nothing yet."""

    def __init__(self, places: Sequence[Recall]) -> None:
        """Take the places, the most trusted first."""
        self._places = list(places)
        self._was_asked = False

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing more can come."""
        return not self._places

    def recall(self, memory: Memory) -> Memory | None:
        """Return what is to be joined to a blank memory, once."""
        if not self._was_asked and memory.offerings:
            self._places.clear()
        self._was_asked = True
        while self._places:
            place = self._places[0]
            # What is said before the question may be settled by the time of the answer.
            was_settled = place.is_settled
            found = place.recall(memory)
            if found is not None and found.offerings:
                self._places.clear()
                return found
            if found is None and not was_settled:
                return None
            del self._places[0]
        return None
