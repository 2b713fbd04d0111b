"""What of ours is in a cluster: placeholders, anchors, marked nodes, and notices about nodes."""

import hashlib
from dataclasses import replace

from spotvortex.core.domain.cloud.notices import Notice, NoticeKind
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.observation import OwnPod
from spotvortex.core.domain.types import CapacityType, Mode
from spotvortex.core.drain.calls import CreatePlaceholder
from spotvortex.core.drain.messages import DrainOrder, OrderKind
from spotvortex.core.drain.orders import to_text
from tests.core.builders import AT


def order(node="web-s0", **changes):
    values = {
        "plan_id": "p1",
        "pool": "web",
        "node": node,
        "uid": f"uid-{node}",
        "claim": f"claim-{node}",
        "sides": ("web",),
        "to": CapacityType.ON_DEMAND,
        "reason": "DECREASE_10 medium_risk",
        "deadline": AT + 1800.0,
        "bind_by": AT + 600.0,
        "mode": Mode.ACTIVE,
    }
    return DrainOrder(**(values | changes))


def loss(node="web-s0", **changes):
    values = {
        "kind": OrderKind.INTERRUPTION,
        "to": CapacityType.UNKNOWN,
        "deadline": AT + 120.0,
        "reason": "notice interruption",
    }
    return order(node, **(values | changes))


def placeholder(made, n=0, **changes):
    values = {
        "name": f"spotvortex-placeholder-{made.plan_id}-{made.node}-{n}",
        "kind": PodKind.PLACEHOLDER,
        "plan_id": made.plan_id,
        "for_uid": made.uid,
        "node": "",
        "ends_at": AT + 1800.0,
        "order": to_text(made),
    }
    return OwnPod(**(values | changes))


def placeholder_call(**changes):
    """The request for the room of one pod, as a drain to on-demand makes it."""
    values = {
        "name": "p-0",
        "plan_id": "p1",
        "for_uid": "u1",
        "pool": "web",
        "capacity_type": CapacityType.ON_DEMAND,
        "sides": ("web",),
        "for_pod": "shop/a",
        "pod_uid": "uid-a",
        "cpu_milli": 100,
        "memory_bytes": 1,
        "zone": "",
        "avoid": (),
        "order": "{}",
        "expires_s": 900,
    }
    return CreatePlaceholder(**(values | changes))


def anchor(node, until=AT + 1700.0, **changes):
    values = {
        "name": f"spotvortex-anchor-{node}-{until}",
        "kind": PodKind.ANCHOR,
        "plan_id": "p0",
        "for_uid": f"uid-{node}",
        "node": node,
        "ends_at": until,
    }
    return OwnPod(**(values | changes))


def marked(fact, made=None, **changes):
    """A node with the journal of an order on it, that of its own by default."""
    made = made or order(fact.name, uid=fact.uid, pool=fact.pool)
    return replace(fact, mark=to_text(made), labelled=True, cordoned=True, **changes)


def with_nodes(facts, *changed):
    """A pool in which some nodes are replaced by others of the same name."""
    by_name = {n.name: n for n in changed}
    return replace(facts, nodes=tuple(by_name.get(n.name, n) for n in facts.nodes))


def instance(node):
    """The instance that a node of this name runs on."""
    return f"i-{hashlib.sha256(node.encode()).hexdigest()[:17]}"


def on_instances(facts):
    """A pool whose nodes run on instances of their own, see `instance`."""
    nodes = (replace(n, provider_id=f"aws:///z/{instance(n.name)}") for n in facts.nodes)
    return replace(facts, nodes=tuple(nodes))


def notice(node="web-s0", **changes):
    values = {
        "id": f"notice-{node}",
        "kind": NoticeKind.INTERRUPTION,
        "instance_id": instance(node),
        "at": AT - 1.0,
        "deadline": AT + 119.0,
        "until": AT + 3600.0,
        "received_at": AT - 0.5,
    }
    return Notice(**(values | changes))
