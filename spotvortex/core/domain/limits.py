"""The numbers that bound every decision, in one frozen value.

Comes in: settings, read once. Goes out: thresholds for the policy, the gates and the planning.
May not hold anything that changes while the daemon runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spotvortex.core.domain.labels import LONGEST_LIFE_S
from spotvortex.core.domain.types import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds and thresholds.

    The three risk thresholds and the two of economics start from the Go agent's code defaults;
    `interruption_minutes` and `move_minutes` price an interruption and a planned move in minutes
    of the node's on-demand price (15 and 3, the constants that the evaluation fixes beforehand).
    """

    RECORDED_AS_ROW: ClassVar = True

    mode: Mode = Mode.SHADOW
    policy_mode: str = "deterministic"
    emergency_risk: float = 0.90
    emergency_runtime_risk: float = 0.80
    high_risk: float = 0.60
    medium_risk: float = 0.35
    min_discount_ratio: float = 0.15
    max_payback_hours: float = 6.0
    min_confidence: float = 0.50
    max_input_age_s: float = 20.0
    max_spot_ratio: float = 1.0
    on_demand_floor_nodes: int = 0
    on_demand_floor_vcpu: int = 0
    max_pool_disruption_ratio: float = 0.10
    max_cluster_disruption_ratio: float = 0.05
    max_wave_nodes: int = 5
    canary_nodes: int = 1
    max_requested_ratio: float = 0.95
    settle_s: float = 300.0
    dwell_s: float = 600.0
    max_dwell_s: float = 14_400.0
    return_risk_ratio: float = 0.8
    drain_deadline_s: float = 1800.0
    bind_s: float = 600.0
    interruption_minutes: float = 15.0
    move_minutes: float = 3.0
    exit_unsupported: bool = False
    leftover_s: int = LONGEST_LIFE_S
