"""Orders as text: the journal that an order leaves in the cluster, and how it is read back.

Comes in: a `DrainOrder`, or the texts that a node and the placeholders carry. Goes out: the text,
or the orders that are in flight by the cluster's own account. So a restart, or another replica,
goes on where the last one was. A text of a newer version is reported as unread, never guessed at.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Final

from spotvortex.core.domain.cloud.notices import NoticeKind
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.observation import ClusterFacts, OwnPod
from spotvortex.core.domain.sides import MAX_SIDES
from spotvortex.core.domain.types import CapacityType, Mode, Offering
from spotvortex.core.drain.messages import DrainOrder, InFlight, OrderKind, reason_of

VERSION: Final = 1
MAX_TEXT: Final = 4096
"""Most characters of a journal; the controller writes no longer one."""

MAX_REASON: Final = 200

MAX_AVOIDED: Final = 16
"""Most offerings to avoid that are read back."""

TAKEN: Final = reason_of(NoticeKind.INTERRUPTION)
"""Why an order was given for a node that the cloud takes."""

MAX_KEPT: Final = 2048
"""Journals that are kept as they were read: each is looked at many times while its node drains."""


def to_text(order: DrainOrder) -> str:
    """Write an order down as compact JSON, at most `MAX_TEXT` characters."""
    document = {
        "v": VERSION,
        "plan": order.plan_id,
        "kind": order.kind.value,
        "pool": order.pool,
        "node": order.node,
        "uid": order.uid,
        "claim": order.claim,
        # Read by older versions, which know one group alone.
        "nodepool": order.sides[0] if order.sides else "",
        "sides": list(order.sides),
        "to": order.to.value,
        # Read by older versions, which know one offering alone.
        "avoid": str(order.avoid[0]) if order.avoid else "",
        "avoids": [str(offering) for offering in order.avoid],
        "reason": order.reason[:MAX_REASON],
        "deadline": order.deadline,
        "bind_by": order.bind_by if math.isfinite(order.bind_by) else None,
        "trace": order.traceparent,
    } | ({"hedged": True} if order.hedged else {})
    return json.dumps(document, separators=(",", ":"))


@lru_cache(maxsize=MAX_KEPT)
def from_text(text: str) -> DrainOrder | None:
    """Read an order back, None where it is of a newer version or no order at all."""
    try:
        document = json.loads(text) if len(text) <= MAX_TEXT else None
        if not isinstance(document, dict) or document.get("v") != VERSION:
            return None
        deadline, bind_by = float(document["deadline"]), document["bind_by"]
        if not math.isfinite(deadline):
            return None
        return DrainOrder(
            plan_id=_text(document, "plan"),
            kind=OrderKind(document["kind"]),
            mode=Mode.ACTIVE,
            pool=_text(document, "pool"),
            node=_text(document, "node"),
            uid=_text(document, "uid"),
            claim=_text(document, "claim"),
            sides=_sides(document),
            to=CapacityType(document["to"]),
            avoid=_avoided(document),
            reason=_text(document, "reason"),
            deadline=deadline,
            bind_by=math.inf if bind_by is None else float(bind_by),
            traceparent=_text(document, "trace"),
            hedged=document.get("hedged") is True,
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def plan_in(text: str) -> str:
    """Return the plan that a journal names, also one that cannot be read else; "" where none does.

    By it a mark is taken away: of a newer version, or of another node, too.
    """
    try:
        document = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return ""
    plan = document.get("plan") if isinstance(document, dict) else None
    return plan if isinstance(plan, str) else ""


def _text(document: dict[str, object], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _sides(document: dict[str, object]) -> tuple[str, ...]:
    """Read the groups that may give room; an older journal names the node's own one."""
    found = document.get("sides")
    if found is None:
        own = _text(document, "nodepool")
        return (own,) if own else ()
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise TypeError("sides")
    return tuple(found[:MAX_SIDES])


def _avoided(document: dict[str, object]) -> tuple[Offering, ...]:
    """Read the offerings to avoid; an older journal names one at most."""
    found = document.get("avoids", [_text(document, "avoid")])
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise TypeError("avoids")
    read = (Offering.parse(text) for text in found[:MAX_AVOIDED])
    return tuple(offering for offering in read if offering is not None)


def _is_taken(order: DrainOrder) -> bool:
    """Tell whether the cloud takes the node; its end or its upkeep is no word on the market."""
    return order.kind is OrderKind.INTERRUPTION and order.reason == TAKEN


def in_flight(cluster: ClusterFacts) -> InFlight:
    """Find every order that has left its journal on a node, or on a placeholder of its own.

    The journal of a node counts before that of placeholders: it is the later one.
    """
    found, unread_pods, shared = _on_placeholders(cluster)
    marks = {node.uid: (node, from_text(node.mark)) for node in cluster.nodes if node.mark}
    read = {uid: order for uid, (_, order) in marks.items() if order and order.uid == uid}
    found |= read
    return InFlight(
        orders=tuple(found[uid] for uid in sorted(found)),
        leaving=frozenset(n.uid for n in cluster.nodes if n.moving and n.uid in found),
        interrupted=frozenset(u for u, o in read.items() if _is_taken(o)),
        unread_marks=tuple(node for uid, (node, _) in marks.items() if uid not in read),
        unread_pods=unread_pods,
        orphaned_plans=shared - {order.plan_id for order in found.values()},
    )


def _on_placeholders(
    cluster: ClusterFacts,
) -> tuple[dict[str, DrainOrder], tuple[OwnPod, ...], frozenset[str]]:
    shared: set[str] = set()
    found: dict[str, DrainOrder] = {}
    unread: list[OwnPod] = []
    for pod in cluster.own_pods:
        if pod.kind is not PodKind.PLACEHOLDER or pod.terminating or pod.finished:
            continue
        if pod.is_shared:
            # Each of its nodes was marked before it was asked for: their journals tell the orders.
            shared.add(pod.plan_id)
            continue
        order = from_text(pod.order)
        if order is None or order.uid != pod.for_uid:
            unread.append(pod)
        else:
            found.setdefault(order.uid, order)
    return found, tuple(unread), frozenset(shared)
