"""How far a pool's nodes are really used.

Comes in: a pool's nodes and what is measured of them. Goes out: a `PoolUsage`. Where too few nodes
are measured, requests count. May never stand for a request where it is asked what fits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.observation import NodeFact
from spotvortex.core.domain.types import short
from spotvortex.core.domain.usage import UsageFacts, UsageSource

MIN_MEASURED_RATIO: Final = 0.5
"""Share of a pool's usable nodes that has to be measured for the measure to count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUsage:
    """What the usable nodes of a pool use of what is allocatable.

    Attributes:
        source: whose figures count; with `requests` the others are as if nobody had measured.
        cpu_ratio: CPU used / allocatable of the nodes that are measured, None where none is.
        memory_ratio: the same of memory.
        n_nodes: the nodes that are measured.
    """

    source: UsageSource = UsageSource.REQUESTS
    cpu_ratio: float | None = None
    memory_ratio: float | None = None
    n_nodes: int = 0

    @property
    def is_measured(self) -> bool:
        """Tell whether anything but requests counts."""
        return self.source is not UsageSource.REQUESTS


UNMEASURED: Final = PoolUsage()


def usage_of(nodes: Iterable[NodeFact], facts: UsageFacts) -> PoolUsage:
    """Return what the usable nodes of a pool use."""
    if not facts.nodes:
        return UNMEASURED
    usable = [n for n in nodes if n.ready and not n.leaving]
    measured = [(n, used) for n in usable if (used := facts.nodes.get(n.name)) is not None]
    if not measured or len(measured) < MIN_MEASURED_RATIO * len(usable):
        return UNMEASURED
    cpu = sum(n.allocatable_cpu_milli for n, _ in measured)
    memory = sum(n.allocatable_memory_bytes for n, _ in measured)
    return PoolUsage(
        source=facts.source,
        cpu_ratio=_ratio(sum(used.cpu_milli for _, used in measured), cpu),
        memory_ratio=_ratio(sum(used.memory_bytes for _, used in measured), memory),
        n_nodes=len(measured),
    )


def _ratio(used: int, room: int) -> float | None:
    return short(used / room) if room > 0 else None
