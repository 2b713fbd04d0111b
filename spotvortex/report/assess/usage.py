"""What pools and workloads really use beside what they ask for, as rows for a person.

Comes in: what is measured, and the decisions' inputs. Goes out: `UsageFound`. May not say that
anything would fit: pods are placed by their requests, whatever they use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.usage import UsageFacts, UsageSource, WorkloadUse
from spotvortex.core.pool.input import PoolInput

LITTLE: Final = 0.5
"""Share of what is asked for below which its use is little: twice what is needed is asked for."""

MIN_SPARE_MILLI: Final = 1000
"""CPU, in thousandths of a core, that a workload asks for in vain before it is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUseRow:
    """What the nodes of one pool use and are asked for, of what is allocatable, 0..1.

    Attributes:
        pool: the workload pool.
        source: whose figures count; with `requests` nothing is measured.
        n_nodes: nodes that are measured.
        cpu_requested_ratio: CPU that its pods request, None where no node reports any.
        cpu_used_ratio: CPU in use, None where it is not measured.
        memory_requested_ratio: memory that its pods request, None likewise.
        memory_used_ratio: memory in use, None likewise.
    """

    pool: str
    source: UsageSource
    n_nodes: int
    cpu_requested_ratio: float | None
    cpu_used_ratio: float | None
    memory_requested_ratio: float | None
    memory_used_ratio: float | None

    @property
    def is_overprovisioned(self) -> bool:
        """Tell whether less than half of what is asked for is used, of CPU and memory alike."""
        pairs = (
            (self.cpu_used_ratio, self.cpu_requested_ratio),
            (self.memory_used_ratio, self.memory_requested_ratio),
        )
        known = [(used, asked) for used, asked in pairs if used is not None and asked]
        return len(known) == len(pairs) and all(used < LITTLE * asked for used, asked in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFound:
    """What is used.

    Attributes:
        source: whose figures count as utilisation.
        pools: the pools, by name.
        workloads: those that ask for a core and more in vain, and use less than half, the first
            first; empty where pods are not measured.
    """

    source: UsageSource
    pools: tuple[PoolUseRow, ...]
    workloads: tuple[WorkloadUse, ...]

    @property
    def overprovisioned(self) -> tuple[PoolUseRow, ...]:
        """The pools that use less than half of what they ask for, the largest first."""
        found = (row for row in self.pools if row.is_overprovisioned)
        return tuple(sorted(found, key=lambda row: (-row.n_nodes, row.pool)))


def usage_found(usage: UsageFacts, pools: Iterable[PoolInput]) -> UsageFound:
    """Put together what is used by pools and workloads."""
    return UsageFound(
        source=usage.source,
        pools=tuple(_row(pool) for pool in sorted(pools, key=lambda p: p.pool)),
        workloads=tuple(use for use in usage.workloads if _is_little(use)),
    )


def _row(pool: PoolInput) -> PoolUseRow:
    return PoolUseRow(
        pool=pool.pool,
        source=pool.usage.source,
        n_nodes=pool.usage.n_nodes,
        cpu_requested_ratio=pool.cpu_requested_ratio,
        cpu_used_ratio=pool.usage.cpu_ratio,
        memory_requested_ratio=pool.memory_requested_ratio,
        memory_used_ratio=pool.usage.memory_ratio,
    )


def _is_little(use: WorkloadUse) -> bool:
    spare = use.asked.cpu_milli - use.used.cpu_milli
    return spare >= MIN_SPARE_MILLI and use.used.cpu_milli < LITTLE * use.asked.cpu_milli
