"""What stands in a record, by name: which values are rows, with which columns in which order.

Comes in: nothing. Goes out: the schema that records are written in, and the one before it, which is
read and replayed too, so that a log spans an upgrade. May not read or write anything.

To add a field to a record: give it a default in its class, append its name to its row here, raise
`SCHEMA`'s version, and let `BEFORE` be the schema until now: the rows that have changed, as they
were. What an older record does not say has its default, and is not written when it is made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from spotvortex.core.decision.messages import ClusterBudget, PoolState, Proposal, Verdict
from spotvortex.core.decision.offerings.choice import AvoidedOffering
from spotvortex.core.decision.offerings.expected_cost import OfferingCost
from spotvortex.core.decision.offerings.shift import Shift
from spotvortex.core.domain.cloud.signals import OfferingSignal
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import WriteAuthority
from spotvortex.core.domain.types import Offering
from spotvortex.core.drain.hedge import Hedge, LaunchSpread
from spotvortex.core.pool.input import (
    Candidate,
    CommitmentCover,
    GroupFit,
    Money,
    OfferingInput,
    PoolInput,
    Risk,
)
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.core.pool.survival.loss_safety import LossSafety
from spotvortex.core.pool.survival.safety_vector import SafetyVector
from spotvortex.core.pool.usage import PoolUsage
from spotvortex.core.record.codec import Rows
from spotvortex.core.record.counterfactual import Counterfactual


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """How records of one version are laid out.

    Attributes:
        version: the number in each record's `v`.
        rows: the columns of each class that becomes an array, in order; any other is an object.
        members: what stands at the top of a record, in order.
    """

    version: int
    rows: Rows
    members: tuple[str, ...]


def _columns(names: str) -> tuple[str, ...]:
    return tuple(names.split())


SCHEMA: Final = Schema(
    version=10,
    members=_columns(
        """
        v id time pool mode action reason kind proposal other current_ratio target_ratio n_nodes
        verdicts economics expected avoided shift hedge_ratio hedge savings_usd_per_hour
        flip confidence confidence_limit trace words basis
        """
    ),
    rows={
        Verdict: _columns("gate outcome reason limit numbers"),
        Proposal: _columns("action reason source margin"),
        Counterfactual: _columns("knob now at action"),
        OfferingCost: _columns(
            """
            offering capacity_type node_usd_per_hour loss_usd_per_hour after_usd_per_hour
            on_demand_usd_per_hour spot_usd_per_hour
            """
        ),
        AvoidedOffering: _columns("offering reason"),
        Shift: _columns(
            """
            reason leaves to price_usd_per_hour risk_usd_per_hour least_usd_per_hour
            list_usd_per_hour move_usd payback_hours avoid
            """
        ),
        Hedge: _columns("most_ratio in_time_ratio late_s outage_usd saved_usd node_usd"),
        PoolInput: _columns(
            """
            pool at provisioner n_spot n_on_demand n_reserved n_unknown n_spot_out_of_scope n_moving
            n_not_ready allows_spot allows_on_demand cpu_requested_ratio memory_requested_ratio
            offerings n_offerings spot_risk entry_risk spot_money entry_money safety to_on_demand
            to_spot n_spot_movable n_on_demand_movable room_on_demand room_spot blocked unsupported
            out_of_range outage_hours outage_said_ratio startup_s steps_since_move
            price_deviation_usd_per_hour oldest_input_s bad_inputs confidence_terms q_values
            node_vcpu n_anchored n_spot_leaving n_on_demand_leaving n_in_flight consolidates rules
            n_spot_outside vector commitments others usage signals to_shift room_shift n_shift_safe
            launches
            """
        ),
        OfferingInput: _columns(
            """
            offering n_spot n_on_demand spot_usd_per_hour on_demand_usd_per_hour capacity_score
            runtime_score in_scope risk_factor price_source held_hours lost_hours is_survivor
            refused_hours from_memory idle_nodes
            """
        ),
        Candidate: _columns(
            """
            node uid claim node_group offering n_pods workload_cpu_milli workload_memory_bytes
            anchored sides in_scope age_s
            """
        ),
        Risk: _columns("capacity runtime worst worst_runtime"),
        Money: _columns(
            """
            spot_usd_per_hour on_demand_usd_per_hour covered_ratio last_resort too_old_s
            marginal_usd_per_hour
            """
        ),
        CommitmentCover: _columns("state n_covered n_kept by unused_usd_per_hour"),
        LossSafety: _columns(
            """
            n_pdbs known margin_pods margin_pdb margin_zone safe_to_spot_nodes n_workloads
            words_known unread least_pods least_of least_loss safe_by_word_nodes n_breaking
            n_relieving above_floor_nodes
            """
        ),
        SafetyVector: _columns(
            """
            critical_spot_ratio stateful_ratio evictable_ratio slack_one_pods slack_two_pods
            restart_p95_s spare_on_demand_nodes zone_score recovery_risk safe_spot_ratio
            """
        ),
        GroupFit: _columns(
            """
            node_group n_placed misfit cpu_left_milli memory_left_mib nodes_left launch_cpu_milli
            launch_memory_mib sizes_known no_driver
            """
        ),
        PoolState: _columns(
            """
            target_ratio last_wave_at last_decrease_at last_increase_at last_action n_failed_returns
            n_probation rules fell_from last_shift_at shift_payback_s
            """
        ),
        PoolRules: _columns("mode max_spot_ratio floor_nodes floor_vcpu problem"),
        ClusterBudget: _columns("n_nodes n_moving left"),
        Limits: _columns(
            """
            mode policy_mode emergency_risk emergency_runtime_risk high_risk medium_risk
            min_discount_ratio max_payback_hours min_confidence max_input_age_s max_spot_ratio
            on_demand_floor_nodes on_demand_floor_vcpu max_pool_disruption_ratio
            max_cluster_disruption_ratio max_wave_nodes canary_nodes max_requested_ratio settle_s
            dwell_s max_dwell_s return_risk_ratio drain_deadline_s bind_s interruption_minutes
            move_minutes exit_unsupported leftover_s min_after_offering_loss_ratio
            min_after_zone_loss_ratio budgets_bind reduce_unsafe
            rebalance_risk_factor hold_unstated shift evacuate max_hedge_ratio
            """
        ),
        WriteAuthority: _columns("leader freeze unsure own_node"),
        Offering: _columns("instance_type zone"),
        PoolUsage: _columns("source cpu_ratio memory_ratio n_nodes"),
        LaunchSpread: _columns("n median_s sigma failed_ratio"),
        OfferingSignal: _columns("offering band placement_one placement_many prior_multiple"),
    },
)
"""What is written."""

BEFORE: Final = Schema(
    version=9,
    members=tuple(name for name in SCHEMA.members if name != "hedge"),
    rows={kind: columns for kind, columns in SCHEMA.rows.items() if kind is not Hedge},
)
"""What is read beside it: nothing was said of what extra room costs and spares."""

READABLE: Final[Mapping[int, Schema]] = {schema.version: schema for schema in (SCHEMA, BEFORE)}
