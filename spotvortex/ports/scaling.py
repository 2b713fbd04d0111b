"""The service that keeps Auto Scaling groups, as the driver that grows them asks it.

Comes in: names of groups, ids of instances. Goes out: groups as they are now, and few writes. May
not decide what is written.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where an instance belongs: its group, and whether it is on its way out already."""

    group: ScalingGroup
    leaving: bool


class ScalingService(Protocol):
    """Reads and changes groups; every method may raise `errors.ScalingError`."""

    async def group(
        self, node_group: str, bound_s: float, *, ahead: bool = True
    ) -> ScalingGroup | None:
        """Read one group anew, None where there is none of that name.

        Args:
            node_group: by which name its nodes belong to it.
            bound_s: how long that may take.
            ahead: what bounds its launches is asked about too, which takes a while; without it
                the group is as it was a moment ago.
        """
        ...

    async def home_of(self, instance_id: str, bound_s: float) -> Home | None:
        """Read the group of an instance anew, None where the instance is in none any more."""
        ...

    async def gone(self, instance_ids: Collection[str], bound_s: float) -> frozenset[str]:
        """Return those of the instances that are in no group any more, or on their way out."""
        ...

    async def set_desired(self, group: ScalingGroup, desired: int, bound_s: float) -> None:
        """Set the size that a group is to have."""
        ...

    async def end(self, instance_id: str, bound_s: float) -> None:
        """End an instance, and have its group one node smaller."""
        ...
