"""An observation reduced to what decisions read.

Comes in: an observation with the scores made from it. Goes out: `Assessment`. Declares only.
"""

from __future__ import annotations

from dataclasses import dataclass

from spotvortex.core.domain.observation import Observation
from spotvortex.core.drain.messages import NOTHING_IN_FLIGHT, InFlight
from spotvortex.core.pool.input import PoolInput
from spotvortex.core.scoring.calibration.live import NO_CALIBRATION, Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """An observation, reduced pool by pool to what decisions read.

    Attributes:
        observation: what was observed.
        pools: the pools, sorted by name.
        model_digest: the bundle that scored.
        seconds: how long scoring and reducing took.
        in_flight: what the cluster shows to be under way.
        calibration: past predictions against what happened.
    """

    observation: Observation
    pools: tuple[PoolInput, ...]
    model_digest: str
    seconds: float = 0.0
    in_flight: InFlight = NOTHING_IN_FLIGHT
    calibration: Calibration = NO_CALIBRATION
