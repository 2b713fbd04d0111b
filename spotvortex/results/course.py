"""How a simulated cluster has fared so far.

Comes in: nothing. Goes out: values that a simulated world writes and a page shows. Declares only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALONE: Final = "Karpenter alone"
"""The name of the same cluster whose provisioner has it for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoursePoint:
    """One simulated cluster at one instant.

    Attributes:
        at: simulated wall time, seconds since the epoch.
        usd: what its nodes have cost since the start, in USD.
        usd_per_hour: what they cost now.
        spot_ratio: Spot nodes / nodes, 0..1.
        n_lost: Spot nodes that were taken since the start.
        missing_pod_minutes: minutes that pods of Deployments and StatefulSets were not Ready since
            the start, summed over pods.
    """

    at: float
    usd: float
    usd_per_hour: float
    spot_ratio: float
    n_lost: int
    missing_pod_minutes: float
