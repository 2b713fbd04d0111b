"""Gauges of what is under way, and of who may do it.

Comes in: a plan, as every replica makes one. Goes out: series. Of two replicas only the one that
speaks for the cluster shows what is of the cluster. May not name a node or a pod.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable

from spotvortex.core.decision.messages import Decision, Plan
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.types import RATIO_STEP, Freeze, Mode
from spotvortex.telemetry.collectors import LiveGauge


class StandingGauges:
    """Shows the leader, the freeze, orders, marks, the daemon's own pods, and what is wanted.

    Args:
        gauge: makes a gauge of a name, a help text and labels.
    """

    def __init__(self, gauge: Callable[..., LiveGauge]) -> None:
        self._leader = gauge("leader", "1 where this replica speaks for the cluster.", "mode")
        self._frozen = gauge("frozen", "1 where a person has stopped it, or may have.", "freeze")
        self._orders = gauge("orders_in_flight", "Nodes that are being moved.", "pool")
        self._marked = gauge("marked_nodes", "Nodes that carry the cordon of a move.", "pool")
        self._pods = gauge("own_pods", "Pods that it made, by whether they run.", "kind", "state")
        self._wanted = gauge("spot_ratio_wanted", "Ratio that the policy proposes.", "pool")

    def show(self, plan: Plan, mode: Mode) -> bool:
        """Show what a plan tells; return whether this replica speaks for the cluster."""
        standing = plan.observation.standing
        speaks = standing.leader or not mode.writes
        self._leader.show({(mode.value,): float(speaks)})
        kinds = [freeze for freeze in Freeze if freeze is not Freeze.NONE and mode.writes]
        self._frozen.show({(kind.value,): float(standing.freeze is kind) for kind in kinds})
        decisions = plan.decisions if speaks else ()
        self._wanted.show({(d.pool,): _wanted(d) for d in decisions})
        self._show_moves(plan, speaks=speaks)
        return speaks

    def _show_moves(self, plan: Plan, *, speaks: bool) -> None:
        cluster = plan.observation.cluster
        orders = Tally(order.pool for order in (*plan.resumed, *plan.orders))
        pools = cluster.pools if speaks else ()
        self._orders.show({(pool.name,): orders[pool.name] for pool in pools})
        self._marked.show({(p.name,): sum(bool(n.mark) for n in p.nodes) for p in pools})
        live = [pod for pod in cluster.own_pods if not (pod.finished or pod.terminating)]
        states = Tally((pod.kind, "bound" if pod.node else "pending") for pod in live)
        kinds = tuple(PodKind) if speaks else ()
        self._pods.show(
            {(k.value, state): states[k, state] for k in kinds for state in ("bound", "pending")}
        )


def _wanted(decision: Decision) -> float:
    step = RATIO_STEP[decision.proposal.action]
    return min(1.0, max(0.0, decision.current_ratio + step))
