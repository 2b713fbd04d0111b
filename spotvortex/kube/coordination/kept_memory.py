"""The interruption memory in its ConfigMap.

Comes in: the newest memory. Goes out: what was remembered before, once. See `kept_value` for how it
is kept. A thousand offerings, which is all that a memory keeps, are 400 KiB of text with the
longest names that there can be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from spotvortex.core.domain import labels
from spotvortex.core.scoring import memory_text
from spotvortex.core.scoring.interruption_memory import EMPTY_MEMORY, Memory
from spotvortex.kube.coordination.kept_value import KeptValue


@dataclass(slots=True)
class KeptMemory(KeptValue[Memory]):
    """Implements `ports.MemoryStore` and `ports.Recall` by one ConfigMap; `run` has to be running.

    A loss is urgent to save: the node that goes next may be the daemon's own.
    """

    NAME: ClassVar[str] = labels.MEMORY
    KEY: ClassVar[str] = "memory"

    def load(self) -> Memory:
        """Return an empty memory: what was kept comes later, when the server has answered."""
        return EMPTY_MEMORY

    def recall(self, memory: Memory) -> Memory | None:  # noqa: ARG002 - as the port
        """Return what was remembered, once it has been read."""
        return self._take()

    def save(self, memory: Memory) -> bool:
        """Keep the newest memory for the next writing; called in a thread."""
        losses = (known.last_loss_at or -math.inf for known in memory.offerings.values())
        self._keep(memory, memory_text.to_text(memory), max(losses, default=-math.inf))
        return True

    def _read_text(self, text: str) -> Memory:
        return memory_text.from_text(text) if text else EMPTY_MEMORY
