"""What a provisioner has found out by launching, and by being told: capacity that it did not get.

Comes in and goes out: values. May not judge what they prove: `core.scoring.loss_evidence` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spotvortex.core.domain.types import Offering


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRefusal:
    """A launch on Spot that a provisioner said has failed for lack of capacity.

    Attributes:
        offering: what was asked for.
        at: wall time of the latest such failure.
    """

    offering: Offering
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFacts:
    """What Karpenter has shown and said lately.

    Attributes:
        falls: wall time at which an offering was last seen to become unavailable on Spot, from
            available: a launch there failed, or a node there was interrupted.
        interrupted_at: wall times at which the count of interrupted Spot nodes was seen to rise,
            the latest last.
        refusals: launches that its Events said have failed, the latest by offering.
    """

    falls: Mapping[Offering, float] = field(default_factory=dict)
    interrupted_at: tuple[float, ...] = ()
    refusals: tuple[LaunchRefusal, ...] = ()


NO_LAUNCHES = LaunchFacts()
