"""What the object of a node or a NodePool says by itself.

Comes in: a node or a NodePool as the server sends it. Goes out: a `NodeRow`, whose fact lacks only
pool and load, and a `NodeGroupFact` that lacks only its pool. A quantity that cannot be read is a
ValueError. May not know other objects.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.domain import labels as label_names
from spotvortex.core.domain.cloud.hosting import AUTO_MODE_GROUP
from spotvortex.core.domain.group_state import NO_WORDS, GroupState, GroupValues, GroupWords
from spotvortex.core.domain.observation import NodeFact, NodeGroupFact
from spotvortex.core.domain.sides import BY_PODS
from spotvortex.core.domain.types import CapacityType, ProvisionerKind
from spotvortex.kube.api.node_labels import (
    CAPACITY_TYPE,
    CONTROL_PLANE,
    INSTANCE_CPU,
    INSTANCE_MEMORY,
    INSTANCE_TYPE,
    MANAGER,
    NODEGROUP,
    NODEPOOL,
    ZONE,
    autoscaled_group_of,
    hosting_and_kind,
    is_left_alone,
    normalised,
    offering_of,
)
from spotvortex.kube.api.quantities import Quantity, count, cpu_milli, cpu_or_none, memory_bytes
from spotvortex.kube.api.wire import karpenter as karpenter_wire
from spotvortex.kube.api.wire import objects as wire

_MIB: Final = 1 << 20

SILENT_TAINTS: Final = frozenset(
    {
        # The node lifecycle controller evicts what is on these. `not-ready` is left out: a node
        # has it while it starts, and `ready` says it anyway.
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/out-of-service",
        "node.cloudprovider.kubernetes.io/shutdown",
    }
)
"""Taints that only say that the node, or its instance, is not there any more."""

LEAVING_TAINTS: Final = SILENT_TAINTS | {
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",  # the same before v1
    "ToBeDeletedByClusterAutoscaler",
}
"""Taints by which a node goes, by somebody's will or not; DeletionCandidate is left out: only a
maybe."""

NOT_YET_PREFIX: Final = "readiness.k8s.io/"
"""Taints of the Node Readiness Controller: a node that has one is not ready for pods yet, whatever
its condition says; Karpenter knows them since core 1.13 (pull request 3025)."""

INTERRUPTED: Final = "aws-node-termination-handler/spot-itn"
"""The handler's taint for an interruption, where it is told to taint (`taintNode`)."""

LEAVING_PREFIX: Final = "aws-node-termination-handler/"
"""Taints for interruption, rebalance, scheduled maintenance and ASG lifecycle."""

_RULES: Final = tuple(
    sorted((label_names.MODE, label_names.MAX_SPOT_RATIO, label_names.ON_DEMAND_FLOOR))
)
"""The annotations by which the owner of a NodePool instructs the controller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node's own facts and what its pool is inferred from.

    Attributes:
        fact: the node; only its pool and load are still missing.
        pool_label: the pool that its label names, "" where none does.
        node_group: its managed node group by the label, "" of none.
        autoscaled_group: the group that Cluster Autoscaler would grow, "" of none.
        is_control_plane: it carries a label of the control plane.
        taken: somebody takes it away: a cordon, a deletion or a provisioner's taint; what the node
            lifecycle controller says of a silent node is nobody's will.
        interrupted: AWS Node Termination Handler has tainted it for an interruption.
        deleted_at: wall time at which a node of Karpenter's was deleted, where neither a cordon, a
            taint nor our own mark tells of a reason; None else.
        not_ready_since: wall time since which it is not Ready, None where it is, or where that is
            not said.
    """

    fact: NodeFact
    pool_label: str
    node_group: str
    autoscaled_group: str
    is_control_plane: bool
    taken: bool
    interrupted: bool
    deleted_at: float | None
    not_ready_since: float | None


def row_of(node: wire.Node) -> NodeRow:
    """Reduce a node.

    Raises:
        ValueError: a quantity cannot be read.
    """
    labels = node.metadata.labels or {}
    return NodeRow(
        fact=_fact(node, labels),
        pool_label=labels.get(label_names.POOL, ""),
        node_group=labels.get(NODEGROUP, ""),
        autoscaled_group=autoscaled_group_of(labels) if provisioner_of(labels) in BY_PODS else "",
        is_control_plane=any(name in labels for name in CONTROL_PLANE),
        taken=_is_taken(node),
        interrupted=any(taint.key == INTERRUPTED for taint in _taints(node)),
        deleted_at=_deleted_at(node, labels),
        not_ready_since=_not_ready_since(node),
    )


def _taints(node: wire.Node) -> Iterable[wire.Taint]:
    return (node.spec.taints or ()) if node.spec is not None else ()


def _is_taken(node: wire.Node) -> bool:
    if node.metadata.deletion_timestamp is not None:
        return True
    if node.spec is not None and node.spec.unschedulable:
        return True
    return any(_is_leaving(taint) and taint.key not in SILENT_TAINTS for taint in _taints(node))


def _deleted_at(node: wire.Node, labels: Mapping[str, str]) -> float | None:
    """Return when a node of Karpenter's was deleted, where nothing else of its end shows yet."""
    at = node.metadata.deletion_timestamp
    if at is None or provisioner_of(labels) is not ProvisionerKind.KARPENTER:
        return None
    notes = node.metadata.annotations or {}
    told = (node.spec is not None and node.spec.unschedulable) or label_names.DRAIN in notes
    if told or any(_is_leaving(taint) for taint in _taints(node)):
        return None
    try:
        return dt.datetime.fromisoformat(at).timestamp()
    except (ValueError, OverflowError):
        return None


def _not_ready_since(node: wire.Node) -> float | None:
    conditions = (node.status.conditions or ()) if node.status is not None else ()
    ready = next((c for c in conditions if c.type == "Ready"), None)
    if ready is None or ready.status == "True" or not ready.last_transition_time:
        return None
    try:
        return dt.datetime.fromisoformat(ready.last_transition_time).timestamp()
    except (ValueError, OverflowError):
        return None


def _is_ready(spec: wire.NodeSpec, status: wire.NodeStatus) -> bool:
    waits = any(taint.key.startswith(NOT_YET_PREFIX) for taint in spec.taints or ())
    return wire.is_true(status.conditions, "Ready") and not waits


def _fact(node: wire.Node, labels: Mapping[str, str]) -> NodeFact:
    meta = node.metadata
    spec, status = node.spec or wire.NodeSpec(), node.status or wire.NodeStatus()
    room = status.allocatable or wire.Requests()
    annotations = meta.annotations or {}
    hosting, bought = hosting_and_kind(labels, spec.provider_id or "")
    return NodeFact(
        name=meta.name,
        uid=meta.uid or "",
        pool="",
        provisioner=provisioner_of(labels),
        offering=offering_of(labels),
        capacity_type=bought,
        created_at=meta.creation_timestamp.timestamp() if meta.creation_timestamp else 0.0,
        ready=_is_ready(spec, status),
        cordoned=bool(spec.unschedulable),
        moving=meta.deletion_timestamp is not None or any(map(_is_leaving, spec.taints or ())),
        do_not_disrupt=is_left_alone(annotations),
        node_group=labels.get(NODEPOOL, ""),
        claim=next(_claims(meta), ""),
        provider_id=spec.provider_id or "",
        hosting=hosting,
        resource_version=meta.resource_version or "",
        allocatable_cpu_milli=0 if room.cpu is None else cpu_milli(room.cpu),
        allocatable_memory_bytes=0 if room.memory is None else memory_bytes(room.memory),
        mark=annotations.get(label_names.DRAIN, ""),
        labelled=label_names.CORDONED in labels,
        at_risk=annotations.get(label_names.AT_RISK, ""),
        kept=annotations.get(label_names.KEPT, ""),
    )


def _is_leaving(taint: wire.Taint) -> bool:
    return taint.key in LEAVING_TAINTS or taint.key.startswith(LEAVING_PREFIX)


def _claims(meta: wire.Meta) -> Iterator[str]:
    return (owner.name for owner in meta.owner_references or () if owner.kind == "NodeClaim")


def provisioner_of(labels: Mapping[str, str]) -> ProvisionerKind:
    """Return who makes and removes a node; a user's own label wins if its value is known."""
    said = labels.get(MANAGER, "")
    if said in list(ProvisionerKind):
        return ProvisionerKind(said)
    if labels.get(NODEPOOL):
        return ProvisionerKind.KARPENTER
    if labels.get(NODEGROUP):
        return ProvisionerKind.MANAGED_NODE_GROUP
    return (
        ProvisionerKind.CLUSTER_AUTOSCALER
        if labels.get(label_names.POOL)
        else ProvisionerKind.UNKNOWN
    )


def named_pool(pool: karpenter_wire.NodePool) -> str:
    """Return the pool that a NodePool names, "" where it names none.

    Its own label or annotation, or the label that it gives its nodes.
    """
    meta, template = pool.metadata, _template(pool)
    given = (template.metadata.labels if template.metadata else None) or {}
    return (
        first(meta.labels or {}, label_names.POOL)
        or first(meta.annotations or {}, label_names.POOL)
        or first(given, label_names.POOL)
    )


def node_pool_fact(pool: karpenter_wire.NodePool) -> NodeGroupFact:
    """Reduce a NodePool; its pool is left empty.

    Raises:
        ValueError: a quantity cannot be read.
    """
    spec, template = pool.spec or karpenter_wire.NodePoolSpec(), _template(pool)
    notes = pool.metadata.annotations or {}
    limits, state = spec.limits or karpenter_wire.Amounts(), _state(pool)
    used = (pool.status and pool.status.resources) or karpenter_wire.Amounts()
    rules = list((template.spec.requirements if template.spec else None) or ())
    given = (template.metadata.labels if template.metadata else None) or {}
    rules += [wire.Requirement(key, "In", [value]) for key, value in given.items()]
    opposed = _opposed(rules)
    return NodeGroupFact(
        name=pool.metadata.name,
        pool="",
        capacity_types=_capacity_types(rules),
        instance_types=_values(rules, INSTANCE_TYPE),
        zones=_values(rules, ZONE),
        consolidation=_consolidation(spec.disruption or karpenter_wire.Disruption()),
        weight=spec.weight or 0,
        rules=tuple((name, notes[name]) for name in _RULES if name in notes),
        max_cpu_milli=_largest(rules, INSTANCE_CPU, 1000),
        max_memory_bytes=_largest(rules, INSTANCE_MEMORY, _MIB),
        cpu_left_milli=_cpu_left(state),
        memory_left_bytes=_left(limits.memory, used.memory, memory_bytes),
        nodes_left=0 if opposed else _left(limits.nodes, used.nodes, count),
        state=state,
        auto_mode=karpenter_wire.class_group_of(template) == AUTO_MODE_GROUP,
        words=GroupWords(no_growth=f"NodePool {pool.metadata.name}: {opposed}")
        if opposed
        else NO_WORDS,
    )


def _state(pool: karpenter_wire.NodePool) -> GroupState:
    now = karpenter_wire.settable_of(pool)
    try:
        owners = karpenter_wire.owners_of(pool)
    except ValueError:
        # Nobody steers it until a person has set that right; see `kube.write.node_pools`.
        owners = None
    return GroupState(
        uid=pool.metadata.uid or "",
        generation=pool.metadata.generation or 0,
        values=_values_of(now),
        used_cpu_milli=karpenter_wire.used_cpu_milli(pool),
        owners=None if owners is None else _values_of(owners),
    )


def _values_of(settable: karpenter_wire.Settable) -> GroupValues:
    return GroupValues(weight=settable.weight or 0, cpu_limit_milli=cpu_or_none(settable.cpu))


def _cpu_left(state: GroupState) -> int | None:
    """Return what the owner's own limit leaves: one that the controller has set binds nobody."""
    limit = (state.owners or state.values).cpu_limit_milli
    return None if limit is None else max(0, limit - state.used_cpu_milli)


def _consolidation(disruption: karpenter_wire.Disruption) -> str:
    """Return the policy, "" where the NodePool never consolidates."""
    never = disruption.consolidate_after == "Never"
    return "" if never else disruption.consolidation_policy or ""


def _left(
    limit: Quantity | None, used: Quantity | None, amount: Callable[[Quantity], int]
) -> int | None:
    """Return what a limit leaves, None without a limit; an amount used that is not given is 0."""
    if limit is None:
        return None
    return max(0, amount(limit) - (0 if used is None else amount(used)))


def _largest(rules: Iterable[wire.Requirement], key: str, unit: int) -> int | None:
    """Return the largest number that `In` and `Lt` allow for a label, None where none bounds it.

    A value that is no number bounds nothing.
    """
    bounds = []
    for rule in rules:
        if rule.key != key or rule.operator not in ("In", "Lt"):
            continue
        numbers = [int(value) for value in rule.values or () if value.isdecimal()]
        if numbers and len(numbers) == len(rule.values or ()):
            bounds.append(max(numbers) if rule.operator == "In" else max(0, min(numbers) - 1))
    return min(bounds) * unit if bounds else None


def _template(pool: karpenter_wire.NodePool) -> karpenter_wire.NodeTemplate:
    return (pool.spec and pool.spec.template) or karpenter_wire.NodeTemplate()


def _opposed(rules: Iterable[wire.Requirement]) -> str:
    """Return which requirements let nothing be launched together, "" where none do."""
    rules = list(rules)
    for key in (CAPACITY_TYPE, INSTANCE_TYPE, ZONE):
        allowed = _allowed(rules, key)
        refused = {v for r in rules if r.key == key and r.operator == "NotIn" for v in _named(r)}
        if allowed is not None and allowed <= refused:
            return f"its requirements of {key} rule each other out, so that it launches nothing"
    return ""


def _values(rules: Iterable[wire.Requirement], key: str) -> tuple[str, ...]:
    """Return what `In` allows for a label, sorted; several rules must all hold."""
    return tuple(sorted(_allowed(rules, key) or ()))


def _allowed(rules: Iterable[wire.Requirement], key: str) -> set[str] | None:
    """Return what all of `In` allow for a label together, None without one."""
    allowed = [_named(r) for r in rules if r.key == key and r.operator == "In"]
    return set.intersection(*allowed) if allowed else None


def _named(rule: wire.Requirement) -> set[str]:
    """Return the values of a rule; of capacity types in the one way in which they are written."""
    values = rule.values or ()
    return set(map(normalised, values)) if rule.key == CAPACITY_TYPE else set(values)


def _capacity_types(rules: Iterable[wire.Requirement]) -> tuple[CapacityType, ...]:
    possible = {CapacityType.SPOT, CapacityType.ON_DEMAND, CapacityType.RESERVED}
    allowed = set(possible)
    for rule in rules:
        if rule.key != CAPACITY_TYPE:
            continue
        named = {normalised(value) for value in rule.values or ()}
        if rule.operator == "In":
            allowed &= named
        elif rule.operator == "NotIn":
            allowed -= named
    return () if allowed == possible else tuple(sorted(allowed))


SIDES = ("-spot", "-od")


def base_of(name: str, known: AbstractSet[str]) -> str:
    """Return the pool of a NodePool or node group that says nothing about it."""
    for side in SIDES:
        base = name.removesuffix(side)
        if base and base != name and all(base + other in known for other in SIDES):
            return base
    return name


@dataclass(slots=True)
class GroupNames:
    """The names of one kind of group: served by the API server, or seen on nodes.

    A name once seen is kept while the process runs. Otherwise a pair of node groups would fall
    apart, and its pool be renamed, just when the last Spot node is lost.
    """

    served: dict[str, str] = field(default_factory=dict)
    """Name to the pool that the group itself names, "" where it names none."""

    seen: set[str] = field(default_factory=set)

    def see(self, name: str) -> bool:
        """Take note of a name on a node, and tell whether it is new."""
        if not name or name in self.seen:
            return False
        self.seen.add(name)
        return name not in self.served

    def pool_of(self, name: str) -> str:
        """Return the pool of a group."""
        return self.served.get(name) or base_of(name, self.seen | self.served.keys())


def first(labels: Mapping[str, str], *names: str) -> str:
    """Return the first label that is not empty."""
    return next((value for name in names if (value := labels.get(name, ""))), "")
