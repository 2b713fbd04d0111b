"""The page of what is under way: each wave, and how far each of its nodes is.

Comes in: the newest plan. Goes out: the parts of a page. How far a node is is read off the cluster
that the plan has seen: its room, its mark, its pods. May not ask anybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from spotvortex.core.decision.messages import Plan
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.observation import NodeFact, OwnPod
from spotvortex.core.drain.messages import DrainOrder, OrderKind
from spotvortex.report.console.frame import ROOT, moment
from spotvortex.report.html.page import heading, link, paragraph, table

MAX_WAVES: Final = 20
MAX_NODES: Final = 50
"""Waves that are shown, and nodes of each."""


def waves_page(plan: Plan) -> Iterator[str]:
    """Yield the parts of the page."""
    waves: dict[str, list[DrainOrder]] = {}
    for order in (*plan.resumed, *plan.orders):
        waves.setdefault(order.plan_id, []).append(order)
    if not waves:
        yield paragraph("No wave is under way.")
        return
    nodes = {node.uid: node for node in plan.observation.cluster.nodes}
    own_pods = plan.observation.cluster.own_pods
    for plan_id, orders in list(waves.items())[:MAX_WAVES]:
        yield from _wave(plan_id, orders, nodes, own_pods)
    if len(waves) > MAX_WAVES:
        yield paragraph(f"and {len(waves) - MAX_WAVES} more", "faint")


def _wave(
    plan_id: str,
    orders: Sequence[DrainOrder],
    nodes: Mapping[str, NodeFact],
    own_pods: Sequence[OwnPod],
) -> Iterator[str]:
    first = orders[0]
    n = f"{len(orders)} node" + ("" if len(orders) == 1 else "s")
    yield heading(f"{first.pool}: {n} to {first.to.value}")
    words = (
        f"{first.reason}; {first.mode.value}; over by {moment(first.deadline)} UTC at the latest"
    )
    yield paragraph(words)
    rows = (
        (o.node, *_standing(o, nodes.get(o.uid), _room_of(o, own_pods))) for o in orders[:MAX_NODES]
    )
    yield table(f"Wave {plan_id}", ("node", "how far", "room bound", "pods left"), rows)
    if first.kind is OrderKind.DRAIN:
        yield f"<p>{link(f'{ROOT}/decisions/{plan_id}', 'The decision')}</p>"


def _room_of(order: DrainOrder, own_pods: Sequence[OwnPod]) -> Sequence[OwnPod]:
    """Return the placeholders that hold room for a node: its own, or those that its plan shares."""
    owners = {order.uid, order.plan_id}
    kept = (p for p in own_pods if p.kind is PodKind.PLACEHOLDER and not p.finished)
    return [p for p in kept if p.plan_id == order.plan_id and p.for_uid in owners]


def _standing(
    order: DrainOrder, node: NodeFact | None, room: Sequence[OwnPod]
) -> tuple[str, str, str]:
    """Say how far a node is, how much of its room is bound, and how many pods it still has."""
    if node is None:
        return "gone", "-", "-"
    bound = f"{sum(bool(p.node) for p in room)} of {len(room)}" if room else "-"
    left = str(node.load.n_workload_pods)
    if node.moving:
        return "leaving: its provisioner removes it", bound, left
    if node.mark:
        return "being emptied", bound, left
    if not order.mode.writes:
        return "recorded alone: this mode moves nothing", bound, left
    waiting = next((p.pending_reason for p in room if p.pending_reason), "")
    return f"waits for room{f': {waiting}' if waiting else ''}", bound, left
