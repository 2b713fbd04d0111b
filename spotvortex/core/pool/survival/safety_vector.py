"""How well a pool would stand a loss, as the Go agent's safety vector says it.

Comes in: a pool's nodes and budgets, and what its workloads can spare. Goes out: a `SafetyVector`
for records and people. It bounds nothing: `zone_loss` says what a loss may take. The tables are the
Go agent's, with two of its faults left out: a pool without budgets is not taken for one without
slack, and the headroom is of what is requested, not a constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from spotvortex.core.domain.observation import NodeFact, PoolFacts
from spotvortex.core.domain.types import CapacityType, short
from spotvortex.core.pool.survival.zone_loss import Margins

UNKNOWN_STARTUP_S: Final = 60.0
"""Seconds that a start is taken to last where no owner says; the Go agent's figure for a pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyVector:
    """The figures of one pool; shares are 0..1, of pods but those of DaemonSets and mirror pods.

    Attributes:
        critical_spot_ratio: share of the critical pods that run on Spot, 0 without one.
        stateful_ratio: share of pods of StatefulSets.
        evictable_ratio: share of pods that no PodDisruptionBudget holds now.
        slack_one_pods: least that a workload can spare beyond the node with most of its pods, None
            without a workload of which something must stay.
        slack_two_pods: the same beyond the two nodes with most of its pods.
        restart_p95_s: start that 95 % of the pods do not exceed, in seconds, 60 where nobody says.
        spare_on_demand_nodes: on-demand nodes' worth of room that is not requested.
        zone_score: 0, 0.5 or 1 for nodes in one zone, two, or more.
        recovery_risk: how likely a loss is not made good in time, 0..1, by the table of the agent.
        safe_spot_ratio: highest Spot share that the agent would allow, 0..1.
    """

    critical_spot_ratio: float
    stateful_ratio: float
    evictable_ratio: float
    slack_one_pods: int | None
    slack_two_pods: int | None
    restart_p95_s: float
    spare_on_demand_nodes: float
    zone_score: float
    recovery_risk: float = 0.0
    safe_spot_ratio: float = 1.0


Steps = Sequence[tuple[float, float]]

_CAP_CONCENTRATION: Final[Steps] = ((0.80, 0.10), (0.50, 0.25), (0.25, 0.50))
_CAP_STATEFUL: Final[Steps] = ((0.50, 0.50), (0.25, 0.70))
_CAP_RESTART: Final[Steps] = ((600.0, 0.25), (300.0, 0.50))
_CAP_RISK: Final[Steps] = ((0.90, 0.10), (0.75, 0.25), (0.60, 0.40))
_RISK_RESTART: Final[Steps] = ((600.0, 0.75), (300.0, 0.50), (120.0, 0.30))

_NO_CAP: Final = 1.0
_NO_RISK: Final = 0.0
"""What a figure gives that speaks against nothing."""


def _at_least(value: float, steps: Steps, other: float) -> float:
    """Return what stands beside the first step that a value reaches."""
    return next((result for step, result in steps if value >= step), other)


def _under(value: float | None, steps: Steps, other: float) -> float:
    """Return what stands beside the first step that a value is under."""
    if value is None:
        return other
    return next((result for step, result in steps if value < step), other)


def vector_of(
    pool: PoolFacts, margins: Margins, requested_ratio: float | None
) -> SafetyVector | None:
    """Return the vector of a pool, None of one without pods.

    Args:
        pool: whose vector.
        margins: what its workloads can spare.
        requested_ratio: the larger of CPU and memory requested / allocatable, None where unknown.
    """
    n_pods = sum(node.load.n_workload_pods for node in pool.nodes)
    if not n_pods:
        return None
    critical = sum(node.load.n_critical_pods for node in pool.nodes)
    on_spot = sum(n.load.n_critical_pods for n in _of(pool.nodes, CapacityType.SPOT))
    n_on_demand = sum(1 for _ in _of(pool.nodes, CapacityType.ON_DEMAND))
    slacks = [(m.slack_one_pods, m.slack_two_pods) for _, m in margins.by_key.values()]
    return judged(
        SafetyVector(
            critical_spot_ratio=short(on_spot / critical) if critical else 0.0,
            stateful_ratio=short(sum(n.load.n_stateful_pods for n in pool.nodes) / n_pods),
            evictable_ratio=short(1.0 - min(1.0, _n_held(pool) / n_pods)),
            slack_one_pods=min((one for one, _ in slacks), default=None),
            slack_two_pods=min((two for _, two in slacks), default=None),
            restart_p95_s=_restart_p95_s(pool.nodes, n_pods),
            spare_on_demand_nodes=short(
                n_on_demand * max(0.0, 1.0 - (1.0 if requested_ratio is None else requested_ratio))
            ),
            zone_score=min(1.0, 0.5 * (len({n.offering.zone for n in pool.nodes}) - 1)),
        )
    )


def _of(nodes: Iterable[NodeFact], kind: CapacityType) -> Iterable[NodeFact]:
    return (node for node in nodes if node.capacity_type is kind)


def _n_held(pool: PoolFacts) -> int:
    """Count the pods here whose budget lets nobody be evicted now."""
    names = {node.name for node in pool.nodes}
    return sum(
        n
        for pdb in pool.pdbs
        if pdb.disruptions_allowed <= 0
        for name, n in (*pdb.healthy_by_node, *pdb.unready_by_node)
        if name in names
    )


def _restart_p95_s(nodes: Iterable[NodeFact], n_pods: int) -> float:
    """Return the start at which 95 % of the pods are; a node's longest one counts for all there."""
    passed = 0
    starts = sorted((n.load.startup_s or UNKNOWN_STARTUP_S, n.load.n_workload_pods) for n in nodes)
    for startup_s, count in starts:
        passed += count
        if passed >= 0.95 * n_pods:
            return startup_s
    return UNKNOWN_STARTUP_S


def judged(found: SafetyVector) -> SafetyVector:
    """Add the risk and the share that the agent's tables give for these figures."""
    risk = _risk(found)
    caps = (
        _at_least(found.critical_spot_ratio, _CAP_CONCENTRATION, _NO_CAP),
        _under(found.slack_one_pods, ((0, 0.10), (1, 0.35)), _NO_CAP),
        _under(found.slack_two_pods, ((0, 0.25), (1, 0.50)), _NO_CAP),
        _at_least(found.stateful_ratio, _CAP_STATEFUL, _NO_CAP),
        _at_least(found.restart_p95_s, _CAP_RESTART, _NO_CAP),
        _at_least(risk, _CAP_RISK, _NO_CAP),
        _under(found.spare_on_demand_nodes, ((1.0, 0.60),), _NO_CAP),
        _under(found.zone_score, ((0.5, 0.60),), _NO_CAP),
        _under(found.evictable_ratio, ((0.25, 0.20), (0.50, 0.40)), _NO_CAP),
    )
    return replace(found, recovery_risk=risk, safe_spot_ratio=min(caps))


def _risk(found: SafetyVector) -> float:
    concentration, stateful = found.critical_spot_ratio, found.stateful_ratio
    worst = max(
        _under(found.slack_one_pods, ((0, 0.95), (1, 0.70)), _NO_RISK),
        _under(found.slack_two_pods, ((0, 0.85), (1, 0.55)), _NO_RISK),
        0.20 + 0.80 * concentration if concentration > 0.0 else 0.0,
        0.15 + 0.65 * stateful if stateful > 0.0 else 0.0,
        _at_least(found.restart_p95_s, _RISK_RESTART, _NO_RISK),
        _under(found.spare_on_demand_nodes, ((1.0, 0.55),), _NO_RISK),
        (1.0 - found.zone_score) * 0.60,
        (1.0 - found.evictable_ratio) * 0.85,
    )
    return short(worst)
