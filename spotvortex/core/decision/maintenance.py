"""What has to be kept up beside the waves: anchors, notes on nodes, and leftovers.

Comes in: an observation, the decisions made from it, and what is in flight. Goes out: chores, each
one request by itself, in a fixed order. An anchor is renewed for as long as nobody releases it;
more are made where the floor, or the cap on Spot, needs more nodes kept; a return releases some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from spotvortex.core.decision.messages import Decision, MaintenanceCall, Move
from spotvortex.core.decision.rule_policy import floor_nodes, max_spot_nodes
from spotvortex.core.domain.autoscaling import plan_noted
from spotvortex.core.domain.cloud.notices import NoticeKind, risk_until
from spotvortex.core.domain.observation import ClusterFacts, NodeFact, Observation, PoolFacts
from spotvortex.core.domain.sides import is_driven
from spotvortex.core.domain.types import CapacityType, Mode
from spotvortex.core.drain.calls import (
    Call,
    ClearRisk,
    DeleteAnchors,
    DeletePlaceholders,
    NoteRisk,
    UnmarkNode,
    anchor_call,
)
from spotvortex.core.drain.group_calls import SettleGroup
from spotvortex.core.drain.interruption import nodes_by_instance
from spotvortex.core.drain.keeping import FreeNode, anchored_until
from spotvortex.core.drain.messages import InFlight
from spotvortex.core.drain.orders import plan_in

RENEW_BEFORE: Final = 1 / 3
"""An anchor is renewed when it has less than this share of its lifetime left."""

MAX_CHORES: Final = 200
"""Chores of one cycle; what is left over comes up again in the next."""


def maintenance_calls(
    observation: Observation, decisions: Iterable[Decision], flying: InFlight
) -> tuple[MaintenanceCall, ...]:
    """Say what is to be kept up, released or cleared away, at most `MAX_CHORES`."""
    by_pool = {decision.pool: decision for decision in decisions}
    found = [*_leftovers(observation, flying), *_risks(observation, by_pool)]
    until = anchored_until(observation.cluster.own_pods, observation.at)
    busy = {order.pool for order in flying.orders}
    for pool in observation.cluster.pools:
        decision = by_pool.get(pool.name)
        if decision is not None and decision.mode.writes:
            found += _anchors(pool, decision, until, is_busy=pool.name in busy)
    return tuple(found[:MAX_CHORES])


def is_released(decision: Decision, move: Move) -> bool:
    """Tell whether a move to Spot needs no drain by the controller.

    Where the provisioner consolidates, it replaces an on-demand node by Spot, replacement first,
    once no anchor keeps it (seen with Karpenter 1.15 within 5 minutes). That is so within one
    NodePool alone: of a pair, the sibling's weight decides whether it would.
    """
    node = move.candidate
    stays = node.sides == (node.node_group,)
    return move.to is CapacityType.SPOT and node.anchored and stays and decision.input.consolidates


def _anchors(
    pool: PoolFacts, decision: Decision, until: Mapping[str, float], *, is_busy: bool
) -> Iterator[MaintenanceCall]:
    released = {m.candidate.uid: m for m in decision.moves if is_released(decision, m)}
    for uid, move in sorted(released.items()):
        call = DeleteAnchors(node=move.candidate.node, node_uid=uid)
        yield _chore(f"release/{uid}", decision, call, f"{decision.action} {decision.reason}")
    leaving = {move.candidate.uid for move in decision.moves}
    staying = [n for n in _on_demand(pool) if n.uid not in leaving]
    kept = [n for n in staying if n.uid in until]
    kept.sort(key=lambda n: (n.load.n_workload_pods == 0, n.created_at, n.name))
    renew_before_s = decision.basis.limits.leftover_s * RENEW_BEFORE
    wanted = n_to_keep(decision) - decision.input.n_reserved
    unsure = decision.basis.standing.unsure
    idle = not unsure and not is_busy and not decision.moves and _is_settled(decision)
    for rank, node in enumerate(kept):
        if idle and rank >= wanted and node.load.n_workload_pods == 0:
            call = DeleteAnchors(node=node.name, node_uid=node.uid)
            yield _chore(f"release/{node.uid}", decision, call, "nothing runs there")
        elif until[node.uid] - decision.at < renew_before_s:
            yield _anchor(node, decision, "still wanted")
    # What was remembered is lost: what is kept stays kept, and nothing new is begun.
    missing = 0 if unsure else wanted - len(kept)
    others = sorted(
        (n for n in staying if n.uid not in until),
        key=lambda n: (not n.do_not_disrupt, n.created_at, n.name),
    )
    for node in others[: max(0, missing)]:
        yield _anchor(node, decision, "on-demand floor")


def _is_settled(decision: Decision) -> bool:
    last = decision.basis.state.last_wave_at
    return last is None or decision.at - last >= decision.basis.limits.settle_s


def n_to_keep(decision: Decision) -> int:
    """Return how many nodes must stay on-demand by the floor or by the cap on Spot."""
    pool, limits = decision.input, decision.basis.limits
    by_cap = pool.n_staying - max_spot_nodes(pool, limits)
    return min(pool.n_staying, max(floor_nodes(pool, limits), by_cap))


def _on_demand(pool: PoolFacts) -> list[NodeFact]:
    """Return the nodes that an anchor may keep: none of a provisioner without a driver."""
    return [
        n
        for n in pool.nodes
        if n.capacity_type is CapacityType.ON_DEMAND
        and n.ready
        and not n.moving
        and not n.cordoned
        and is_driven(n)
    ]


def _anchor(node: NodeFact, decision: Decision, reason: str) -> MaintenanceCall:
    call = anchor_call(
        node.name,
        node.uid,
        decision.pool,
        decision.decision_id,
        decision.at,
        expires_s=decision.basis.limits.leftover_s,
    )
    return _chore(f"anchor/{node.uid}", decision, call, reason)


def _chore(key: str, decision: Decision, call: Call, reason: str) -> MaintenanceCall:
    return MaintenanceCall(
        key=key,
        pool=decision.pool,
        call=call,
        mode=decision.mode,
        reason=reason,
        traceparent=decision.basis.traceparent,
    )


def _risks(observation: Observation, by_pool: Mapping[str, Decision]) -> Iterator[MaintenanceCall]:
    """Note rebalance recommendations on their nodes, and take away the notes that have run out."""
    nodes = nodes_by_instance(observation.cluster)
    for notice in observation.notices:
        node = nodes.get(notice.instance_id)
        decision = by_pool.get(node.pool) if node is not None else None
        if notice.kind is not NoticeKind.REBALANCE or node is None or decision is None:
            continue
        may_note = decision.mode.writes and not decision.basis.standing.unsure
        if may_note and not node.at_risk and observation.at < notice.until:
            call = NoteRisk(node=node.name, uid=node.uid, until=notice.until)
            yield _chore(f"risk/{node.uid}", decision, call, "rebalance recommendation")
    for node in observation.cluster.nodes:
        if node.at_risk and not observation.at < risk_until(node.at_risk):
            yield MaintenanceCall(
                key=f"risk/{node.uid}",
                pool=node.pool,
                call=ClearRisk(node=node.name, uid=node.uid),
                mode=Mode.ACTIVE,
                reason="the recommendation has run out",
            )


def _leftovers(observation: Observation, flying: InFlight) -> Iterator[MaintenanceCall]:
    """Undo nodes and pods whose journal cannot be read, and room that no node is left for.

    Nobody else goes on with them. While a node is in hand that does not show its journal yet, the
    room may be its.
    """
    for node in flying.unread_marks:
        yield MaintenanceCall(
            key=f"unread/{node.uid}",
            pool=node.pool,
            call=UnmarkNode(node=node.name, uid=node.uid, plan_id=plan_in(node.mark)),
            mode=Mode.ACTIVE,
            reason="its journal cannot be read",
        )
    plans = {(pod.plan_id, pod.for_uid) for pod in flying.unread_pods}
    for plan_id, for_uid in sorted(plans):
        yield MaintenanceCall(
            key=f"unread/{plan_id}/{for_uid}",
            pool="",
            call=DeletePlaceholders(plan_id=plan_id, for_uid=for_uid),
            mode=Mode.ACTIVE,
            reason="its journal cannot be read",
        )
    if observation.in_hand - flying.uids:
        return
    yield from _kept_no_more(observation.cluster.nodes, flying)
    yield from _grown_no_more(observation.cluster, flying)
    for plan_id in sorted(flying.orphaned_plans):
        yield MaintenanceCall(
            key=f"orphaned/{plan_id}",
            pool="",
            call=DeletePlaceholders(plan_id=plan_id, for_uid=plan_id),
            mode=Mode.ACTIVE,
            reason="no node of its plan is left",
        )


def _kept_no_more(nodes: Iterable[NodeFact], flying: InFlight) -> Iterator[MaintenanceCall]:
    """Give back to Cluster Autoscaler the nodes that were kept for a wave that is over.

    However it ended: this is the only place where they are given back.
    """
    under_way = {order.plan_id for order in flying.orders}
    for node in nodes:
        plan_id = plan_noted(node.kept)
        if node.kept and plan_id not in under_way:
            yield MaintenanceCall(
                key=f"kept/{node.uid}",
                pool=node.pool,
                call=FreeNode(node=node.name, uid=node.uid, plan_id=plan_id),
                mode=Mode.ACTIVE,
                reason="the wave is over that it was kept for",
            )


def _grown_no_more(cluster: ClusterFacts, flying: InFlight) -> Iterator[MaintenanceCall]:
    """Have a group give back what a wave that is over did not use; the only place that does so."""
    under_way = {order.plan_id for order in flying.orders}
    for group, plan_id in cluster.growths:
        if plan_id in under_way:
            continue
        nodes = sorted(nodes_by_instance(cluster).items())
        there = [(i, node) for i, node in nodes if node.node_group == group]
        yield MaintenanceCall(
            key=f"grown/{group}",
            pool="",
            call=SettleGroup(
                group=group,
                plan_id=plan_id,
                in_use=tuple(i for i, node in there if node.load.n_workload_pods),
                idle=tuple((i, node.name) for i, node in there if not node.load.n_workload_pods),
            ),
            mode=Mode.ACTIVE,
            reason="the wave is over that it was grown for",
        )
