"""What a provisioner has found out by launching, and by being told: capacity that it did not get.

Comes in and goes out: values. May not judge what they prove: `core.scoring.loss_evidence` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spotvortex.core.domain.types import Offering


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFacts:
    """What Karpenter's metrics have shown lately.

    Attributes:
        falls: wall time at which an offering was last seen to become unavailable on Spot, from
            available: a launch there failed, or a node there was interrupted.
        interrupted_at: wall times at which the count of interrupted Spot nodes was seen to rise,
            the latest last.
    """

    falls: Mapping[Offering, float] = field(default_factory=dict)
    interrupted_at: tuple[float, ...] = ()


NO_LAUNCHES = LaunchFacts()
