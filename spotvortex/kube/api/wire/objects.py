"""What the API server sends, reduced to the fields that are read.

Comes in: nothing. Goes out: frozen structs that the garbage collector need not walk. Lenient:
unknown fields are skipped without being built, missing and null ones are None. `codec` reads bytes
into them. May not interpret anything.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Generic, TypeVar

from msgspec import Raw, Struct, field

from spotvortex.core.domain import labels as label_names
from spotvortex.kube.api.quantities import Quantity

T = TypeVar("T")


class Wire(Struct, frozen=True, gc=False, rename="camel"):
    """The base of all: field names in camel case on the wire."""


class Empty(Wire, frozen=True, gc=False):
    """An object of which only the presence matters."""


class OwnerReference(Wire, frozen=True, gc=False):
    """One entry of `metadata.ownerReferences`."""

    kind: str
    name: str
    controller: bool | None = None


class Meta(Wire, frozen=True, gc=False):
    """Object metadata.

    Attributes:
        name: the one field without which an object is unreadable.
        namespace: None of a cluster-scoped object.
        uid: the object's uid.
        resource_version: the object's version.
        deletion_timestamp: when deletion was asked for, RFC 3339; None while it was not.
        labels: labels by name.
        owner_references: the objects that own this one.
    """

    name: str
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None

    @property
    def key(self) -> str:
        """`namespace/name`, or the name of an object without a namespace."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Requests(Wire, frozen=True, gc=False):
    """The two resources that are summed."""

    cpu: Quantity | None = None
    memory: Quantity | None = None


class Resources(Wire, frozen=True, gc=False):
    """`resources` of a container or a pod."""

    requests: Requests | None = None


class Container(Wire, frozen=True, gc=False):
    """A container; an init container that restarts always is a sidecar."""

    resources: Resources | None = None
    restart_policy: str | None = None


class Requirement(Wire, frozen=True, gc=False):
    """One expression of a label selector, a node selector term or a NodePool."""

    key: str
    operator: str
    values: list[str] | None = None


class NodeSelectorTerm(Wire, frozen=True, gc=False):
    """One term of a node selector: all of its expressions must hold."""

    match_expressions: list[Requirement] | None = None


class NodeSelector(Wire, frozen=True, gc=False):
    """A node selector: one of its terms must hold."""

    node_selector_terms: list[NodeSelectorTerm] | None = None


class NodeAffinity(Wire, frozen=True, gc=False):
    """Node affinity: only what is required."""

    required: NodeSelector | None = field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )


class Affinity(Wire, frozen=True, gc=False):
    """A pod's affinity: only that towards nodes."""

    node_affinity: NodeAffinity | None = None


class Volume(Wire, frozen=True, gc=False):
    """A pod's volume: only the sources that tie the pod to a zone or a node."""

    persistent_volume_claim: Empty | None = None
    ephemeral: Empty | None = None
    host_path: Empty | None = None


class PodAnnotations(Wire, frozen=True, gc=False):
    """The annotations of a pod that are read; the others may be large.

    Attributes:
        do_not_disrupt: Karpenter must leave the pod alone: "true" or a duration.
        safe_to_evict: "false" where Cluster Autoscaler must leave the pod alone.
        mirror: present on a mirror pod of the kubelet.
        outage_penalty: what an interruption costs, "10h" or "10", in hours.
        startup_time: how long the pod takes to start, in seconds.
        critical: "true" on a pod of a critical service.
        min_available_after_loss: the owner's word on what must stay after a loss.
        order: the order that a placeholder belongs to, as JSON.
    """

    do_not_disrupt: str | None = field(default=None, name="karpenter.sh/do-not-disrupt")
    safe_to_evict: str | None = field(
        default=None, name="cluster-autoscaler.kubernetes.io/safe-to-evict"
    )
    mirror: str | None = field(default=None, name="kubernetes.io/config.mirror")
    outage_penalty: str | None = field(default=None, name="spotvortex.io/outage-penalty")
    startup_time: str | None = field(default=None, name="spotvortex.io/startup-time")
    critical: str | None = field(default=None, name=label_names.CRITICAL)
    min_available_after_loss: str | None = field(
        default=None, name=label_names.MIN_AVAILABLE_AFTER_LOSS
    )
    order: str | None = field(default=None, name=label_names.ORDER)


class PodMeta(Meta, frozen=True, gc=False):
    """Metadata of a pod; its time stays text: it is read of the controller's pods alone."""

    annotations: PodAnnotations | None = None
    creation_timestamp: str | None = None


class PodSpec(Wire, frozen=True, gc=False):
    """What a pod asks for, and what ties it down.

    Attributes:
        node_name: the node that it is bound to, None while it waits.
        containers: its containers.
        init_containers: its init containers, sidecars included.
        overhead: what its runtime class adds to its requests.
        resources: requests of the whole pod, in place of those of its containers.
        volumes: its volumes.
        node_selector: labels that its node must have.
        affinity: rules for its node.
        termination_grace_period_seconds: None means the server's default, 30.
        active_deadline_seconds: seconds after its start at which it is ended, None for never.
        priority_class_name: the name of its PriorityClass.
    """

    node_name: str | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: Requests | None = None
    resources: Resources | None = None
    volumes: list[Volume] | None = None
    node_selector: dict[str, str] | None = None
    affinity: Affinity | None = None
    termination_grace_period_seconds: float | None = None
    active_deadline_seconds: int | None = None
    priority_class_name: str | None = None


class Condition(Wire, frozen=True, gc=False):
    """One entry of `status.conditions`."""

    type: str
    status: str
    message: str | None = None


class PodStatus(Wire, frozen=True, gc=False):
    """How far a pod has come."""

    phase: str | None = None
    conditions: list[Condition] | None = None
    start_time: str | None = None


class Pod(Wire, frozen=True, gc=False):
    """A pod."""

    metadata: PodMeta
    spec: PodSpec | None = None
    status: PodStatus | None = None


class AnnotatedMeta(Meta, frozen=True, gc=False):
    """Metadata with all annotations, of kinds that are few; `generation` counts spec changes."""

    annotations: dict[str, str] | None = None
    creation_timestamp: dt.datetime | None = None
    generation: int | None = None


class Taint(Wire, frozen=True, gc=False):
    """A taint of a node."""

    key: str


class NodeSpec(Wire, frozen=True, gc=False):
    """What is wanted of a node."""

    provider_id: str | None = field(default=None, name="providerID")
    unschedulable: bool | None = None
    taints: list[Taint] | None = None


class NodeCondition(Condition, frozen=True, gc=False):
    """The same of a node, with the time since which it stands so."""

    last_transition_time: str | None = None


class NodeStatus(Wire, frozen=True, gc=False):
    """What a node offers."""

    allocatable: Requests | None = None
    conditions: list[NodeCondition] | None = None


class Node(Wire, frozen=True, gc=False):
    """A node."""

    metadata: AnnotatedMeta
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class LabelSelector(Wire, frozen=True, gc=False):
    """A label selector."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None


class PdbMeta(Meta, frozen=True, gc=False):
    """Metadata of a budget."""

    generation: int | None = None


class PdbSpec(Wire, frozen=True, gc=False):
    """Which pods a PodDisruptionBudget covers, and what it asks for.

    Attributes:
        selector: which pods of its namespace.
        min_available: pods, or a percentage, that must stay healthy.
        max_unavailable: pods, or a percentage, that may be unhealthy.
        unhealthy_pod_eviction_policy: when a pod that is not Ready may go; None means
            `IfHealthyBudget`.
    """

    selector: LabelSelector | None = None
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    unhealthy_pod_eviction_policy: str | None = None


class PdbStatus(Wire, frozen=True, gc=False):
    """The disruption controller's figures.

    Attributes:
        observed_generation: the version of the budget that the figures are of.
        desired_healthy: healthy pods that the budget demands.
        current_healthy: pods that are healthy.
        expected_pods: pods that it counts.
        disruptions_allowed: pods that may be evicted now.
    """

    observed_generation: int | None = None
    desired_healthy: int | None = None
    current_healthy: int | None = None
    expected_pods: int | None = None
    disruptions_allowed: int | None = None


class Pdb(Wire, frozen=True, gc=False):
    """A PodDisruptionBudget, policy/v1."""

    metadata: PdbMeta
    spec: PdbSpec | None = None
    status: PdbStatus | None = None


class ConfigMap(Wire, frozen=True, gc=False):
    """A ConfigMap."""

    metadata: Meta
    data: dict[str, str] | None = None


class StatusCause(Wire, frozen=True, gc=False):
    """One entry of `details.causes`."""

    reason: str | None = None


class StatusDetails(Wire, frozen=True, gc=False):
    """What an error says beyond its words."""

    causes: list[StatusCause] | None = None
    retry_after_seconds: int | None = None


class ApiStatus(Wire, frozen=True, gc=False):
    """The body of an error.

    Attributes:
        kind: "Status" of an error of the API server; anything else is not its word.
        message: the error in words.
        reason: the error as one of the server's own words, as "Conflict".
        code: the HTTP status.
        details: causes, and when to ask again.
    """

    kind: str | None = None
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: StatusDetails | None = None


class ListMeta(Wire, frozen=True, gc=False):
    """Where a list stands."""

    resource_version: str | None = None
    token: str | None = field(default=None, name="continue")


class ObjectList(Wire, Generic[T], frozen=True, gc=False):
    """One page of a list."""

    metadata: ListMeta = ListMeta()
    items: list[T] | None = None


class WatchEvent(Wire, frozen=True, gc=False):
    """One line of a watch; what `object` is depends on `type`."""

    type: str
    object: Raw = Raw(b"{}")


class Versioned(Wire, frozen=True, gc=False):
    """Any object of which only the version is wanted."""

    metadata: ListMeta = ListMeta()


def is_true(conditions: Iterable[Condition] | None, name: str) -> bool:
    """Tell whether a condition is there and True."""
    return any(c.type == name and c.status == "True" for c in conditions or ())
