"""The numbers that bound every decision, in one frozen value.

Comes in: settings, read once. Goes out: thresholds for the policy, the gates and the planning.
May not hold anything that changes while the daemon runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.labels import LONGEST_LIFE_S
from spotvortex.core.domain.types import Mode, PolicyMode
from spotvortex.core.domain.workloads import SurvivalDefault

OFF: Final = 1.0
"""A threshold of a score that is no cap at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds and thresholds of the decisions.

    A pool moves by what its offerings are expected to cost. The four risk thresholds are an owner's
    caps beside that, and off: `OFF` is no cap. The Go agent's were 0.90, 0.80, 0.60 and 0.35.

    Attributes:
        mode: what the controller may do with a decision, at most.
        policy_mode: whose proposals count, "deterministic" (the ordered rules) or "rl" (the learned
            policy).
        emergency_risk: either score from which a pool leaves Spot altogether, 0..1.
        emergency_runtime_risk: runtime score from which a pool leaves Spot altogether, 0..1.
        high_risk: score from which the Spot ratio falls by 30 points, 0..1.
        medium_risk: score from which the Spot ratio falls by 10 points, 0..1.
        min_discount_ratio: least (on-demand - spot) / on-demand for a move towards Spot, 0..1.
        max_payback_hours: longest time in which a move towards Spot must pay for itself, in hours.
        min_confidence: least confidence for a move that confidence binds, 0..1; see `moves`.
        max_input_age_s: age from which an input that nobody confirmed is stale, in seconds.
        max_spot_ratio: highest share of a pool's nodes that may be Spot, 0..1.
        on_demand_floor_nodes: nodes of each pool that stay on-demand.
        on_demand_floor_vcpu: vCPU of each pool that stay on-demand, rounded up to whole nodes.
        max_pool_disruption_ratio: share of a pool's nodes that may be on the move at once, by
            anybody, 0..1.
        max_cluster_disruption_ratio: share of all nodes that may be on the move at once, by
            anybody, 0..1.
        max_wave_nodes: most nodes of one wave.
        canary_nodes: most nodes of one wave of a pool in mode `canary`.
        max_requested_ratio: requests / allocatable above which a pool falls back one node at a
            time, 0..1.
        settle_s: time after a wave in which its pool is left alone, in seconds.
        dwell_s: least time after a fall back in which its pool does not return to Spot, in seconds;
            what the moves cost may ask for more.
        max_dwell_s: longest such time, however often a return failed, in seconds.
        return_risk_ratio: share of `medium_risk` under which the risk must be for a return to Spot,
            where that is a cap, 0..1.
        drain_deadline_s: time after which a node that is not drained yet is given up and undone, in
            seconds.
        bind_s: time in which all room of a wave must be there, in seconds; else it ends before any
            eviction.
        interruption_minutes: price of one interruption, in minutes of the node's on-demand price;
            15 is the constant that the evaluation fixes beforehand.
        move_minutes: price of one planned move, in the same unit; 3 is that constant.
        exit_unsupported: true lets nodes of families that the model does not know leave Spot; else
            they hold.
        min_after_offering_loss_ratio: least share of a workload's replicas that stays after the
            loss of one Spot offering, where its owner says nothing, 0..1.
        min_after_zone_loss_ratio: the same after the loss of a zone's Spot; never no pod at all.
        budgets_bind: true makes PodDisruptionBudgets bound what a loss may take as well.
        reduce_unsafe: true lets a pool leave Spot where a loss would leave a workload with too few
            pods.
        leftover_s: time after which whatever the controller made is gone without it, in seconds.
        rebalance_risk_factor: by which a rebalance recommendation raises the hazard of its offering
            while it counts, at least 1.
        hold_unstated: growth waits until commitments are stated.
        shift: Spot nodes move to other Spot offerings where the expected cost falls by more than
            the move costs.
        evacuate: what a partial loss of an offering has left on it moves to others, where that is
            expected to cost less.
        max_hedge_ratio: most room that is asked for beyond what is lost at notices, as a share of
            that, 0..1; 0 asks for none.
    """

    mode: Mode = Mode.SHADOW
    policy_mode: PolicyMode = PolicyMode.DETERMINISTIC
    emergency_risk: float = OFF
    emergency_runtime_risk: float = OFF
    high_risk: float = OFF
    medium_risk: float = OFF
    min_discount_ratio: float = 0.15
    max_payback_hours: float = 6.0
    min_confidence: float = 0.50
    max_input_age_s: float = 20.0
    max_spot_ratio: float = 1.0
    on_demand_floor_nodes: int = 0
    on_demand_floor_vcpu: int = 0
    max_pool_disruption_ratio: float = 0.10
    max_cluster_disruption_ratio: float = 0.05
    max_wave_nodes: int = 20
    canary_nodes: int = 1
    max_requested_ratio: float = 0.95
    settle_s: float = 300.0
    dwell_s: float = 0.0
    max_dwell_s: float = 14_400.0
    return_risk_ratio: float = 0.8
    drain_deadline_s: float = 1800.0
    bind_s: float = 600.0
    interruption_minutes: float = 15.0
    move_minutes: float = 3.0
    exit_unsupported: bool = False
    leftover_s: int = LONGEST_LIFE_S
    min_after_offering_loss_ratio: float = 0.5
    min_after_zone_loss_ratio: float = 0.3333
    budgets_bind: bool = False
    reduce_unsafe: bool = False
    rebalance_risk_factor: float = 3.0
    hold_unstated: bool = False
    shift: bool = False
    evacuate: bool = False
    max_hedge_ratio: float = 0.0

    def reaches(self, risk: float, cap: float) -> bool:
        """Tell whether a score is at a cap, if that is one."""
        return cap < OFF and risk >= cap

    @property
    def survival(self) -> SurvivalDefault:
        """What must stay of a workload of which nobody said it."""
        return SurvivalDefault(
            offering_ratio=self.min_after_offering_loss_ratio,
            zone_ratio=self.min_after_zone_loss_ratio,
        )
