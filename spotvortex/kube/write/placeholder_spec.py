"""What a placeholder takes over from the pod whose room it asks for.

Comes in: the pod as the server sends it, and a call. Goes out: a `PlaceholderSpec`, or the reason
why there can be none. The placeholder may run on those nodes where the pod may, less what the call
rules out. May not know how either is read or written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Struct, field

from spotvortex.core.domain import labels
from spotvortex.core.drain.calls import CreatePlaceholder
from spotvortex.kube.api.node_labels import (
    CAPACITY_TYPE,
    ZONE,
    normalised,
)
from spotvortex.kube.api.quantities import Quantity, memory_bytes
from spotvortex.ports.provisioner import NodeRule, RuleOperator, WantedNodes

Json = dict[str, object]

UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
"""The taint that a cordon puts on a node."""

_IN: Final = RuleOperator.IN

_GIVEN: Final = frozenset({"cpu", "memory"})
_UNLIMITED: Final = frozenset({"ephemeral-storage"})


class ContainerResources(Struct, frozen=True):
    """All requests of a container, by name of the resource."""

    requests: dict[str, Quantity] | None = None


class PodContainer(Struct, frozen=True, rename="camel"):
    """A container of the pod."""

    resources: ContainerResources | None = None
    restart_policy: str | None = None


class Preference(Struct, frozen=True):
    """One preferred term with its weight."""

    weight: int
    preference: Json


class RequiredTerms(Struct, frozen=True, rename="camel"):
    """Terms of which one must hold, each as it is written."""

    node_selector_terms: list[Json] | None = None


class PodNodeAffinity(Struct, frozen=True):
    """What is required and preferred of nodes."""

    required: RequiredTerms | None = field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )
    preferred: list[Preference] | None = field(
        default=None, name="preferredDuringSchedulingIgnoredDuringExecution"
    )


class PodAffinity(Struct, frozen=True, rename="camel"):
    """The pod's affinity, only that towards nodes."""

    node_affinity: PodNodeAffinity | None = None


class OriginalSpec(Struct, frozen=True, rename="camel"):
    """What decides where the pod may run.

    Attributes:
        node_selector: labels that its node must have.
        affinity: rules for its node.
        tolerations: taints that it tolerates, each as it is written.
        containers: its containers.
        init_containers: its init containers, sidecars included.
    """

    node_selector: dict[str, str] | None = None
    affinity: PodAffinity | None = None
    tolerations: list[dict[str, object]] | None = None
    containers: list[PodContainer] | None = None
    init_containers: list[PodContainer] | None = None


class OriginalMetadata(Struct, frozen=True):
    """The pod's metadata, only its uid."""

    uid: str


class Original(Struct, frozen=True):
    """The pod that will take the placeholder's room."""

    metadata: OriginalMetadata
    spec: OriginalSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceholderSpec:
    """What a placeholder takes over from the pod that will take its room.

    Attributes:
        node_selector: labels that its node must have.
        node_affinity: rules for its node, as JSON.
        tolerations: taints that it tolerates, each as it is written.
        requests: requests beside CPU and memory, which the call gives.
        limits: limits of devices and huge pages, which the server wants to equal their requests.
        annotations: what the provisioner wants the placeholder to carry.
    """

    node_selector: dict[str, str]
    node_affinity: Json
    tolerations: list[dict[str, object]]
    requests: dict[str, str]
    limits: dict[str, str]
    annotations: Mapping[str, str]


class UnsatisfiableError(ValueError):
    """The pod itself rules out what is asked for; the text says what."""


def placeholder_spec(
    call: CreatePlaceholder, wanted: WantedNodes, spec: OriginalSpec
) -> PlaceholderSpec:
    """Return what a placeholder for this pod has to look like.

    Args:
        call: whose room is asked for, and in which zone.
        wanted: what the provisioner says nodes must be like.
        spec: the pod as it is.

    Raises:
        UnsatisfiableError: the pod's own selector contradicts the call.
        ValueError: a quantity cannot be read.
    """
    tolerations = [t for t in spec.tolerations or () if t.get("key") != UNSCHEDULABLE]
    requests = _other_requests(spec, call.n_pods)
    return PlaceholderSpec(
        node_selector=_selector(call, wanted, spec.node_selector or {}),
        node_affinity=_affinity(wanted, spec, tolerations),
        tolerations=tolerations,
        requests=requests,
        # The server wants limits of devices and huge pages to equal their requests.
        limits={name: n for name, n in requests.items() if name not in _UNLIMITED},
        annotations=wanted.annotations,
    )


def _selector(
    call: CreatePlaceholder, wanted: WantedNodes, own: Mapping[str, str]
) -> dict[str, str]:
    """Add to the pod's selector what is wanted; nothing of the pod's is ever dropped."""
    demanded = dict(wanted.labels) | ({ZONE: call.zone} if call.zone else {})
    for key, value in demanded.items():
        if key in own and not _is_same(key, own[key], value):
            raise UnsatisfiableError(f"{call.for_pod} itself demands {key}={own[key]}, not {value}")
    for rule in wanted.all_of:
        if rule.key in own and (own[rule.key] in rule.values) is not (rule.operator is _IN):
            said = f"{rule.operator} {', '.join(rule.values)}"
            raise UnsatisfiableError(
                f"{call.for_pod} itself demands {rule.key}={own[rule.key]}, not {said}"
            )
    return demanded | dict(own)


def _is_same(key: str, own: str, wanted: str) -> bool:
    return own == wanted or (key == CAPACITY_TYPE and normalised(own) == wanted)


def _affinity(
    wanted: WantedNodes, spec: OriginalSpec, tolerations: Iterable[Mapping[str, object]]
) -> Json:
    own = spec.affinity and spec.affinity.node_affinity
    required = (own and own.required and own.required.node_selector_terms) or []
    always = [*map(_rule, wanted.all_of), *_always(tolerations)]
    either = [list(map(_rule, rules)) for rules in wanted.any_of]
    terms = list(_terms(required, either, always))
    found: Json = {}
    if terms:
        found["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    if own and own.preferred:
        found["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": p.weight, "preference": p.preference} for p in own.preferred
        ]
    return found


def _always(tolerations: Iterable[Mapping[str, object]]) -> list[Json]:
    """Keep a pod that tolerates everything off the nodes that the controller cordoned.

    The cordon's own toleration was left out, but one without a key cannot be narrowed, so the
    controller's label of cordoned nodes says it. Such a placeholder may still get a node that a
    person cordoned: there the pod itself may run as well.
    """
    if any(not t.get("key") for t in tolerations):
        return [{"key": labels.CORDONED, "operator": "DoesNotExist"}]
    return []


def _rule(rule: NodeRule) -> Json:
    return {"key": rule.key, "operator": rule.operator.value, "values": list(rule.values)}


def _terms(required: list[Json], either: list[list[Json]], always: list[Json]) -> Iterator[Json]:
    """Combine each of the pod's terms, of which one must hold, with each of the call's."""
    if not (either or always):
        yield from required
        return
    for rules in [[*always, *group] for group in either] or [always]:
        for term in required or [_ANYWHERE]:
            yield term if term == {} else _with(term, rules)


_ANYWHERE: Final[Json] = {"matchExpressions": []}
"""Stands for a pod without terms; an empty term matches no node, and has to stay so."""


def _with(term: Json, added: list[Json]) -> Json:
    known = term.get("matchExpressions")
    expressions = list(known) if isinstance(known, list) else []
    return term | {"matchExpressions": [*expressions, *added]}


def _other_requests(spec: OriginalSpec, n_pods: int) -> dict[str, str]:
    """Sum what so many pods ask for beside CPU and memory: devices, huge pages, scratch space.

    As the scheduler does: the larger of what runs together and what any init container needs.
    """
    together: dict[str, int] = {}
    most: dict[str, int] = {}
    init = spec.init_containers or []
    sidecars = [c for c in init if c.restart_policy == "Always"]
    for name, amount in _amounts([*(spec.containers or ()), *sidecars]):
        together[name] = together.get(name, 0) + amount
    for name, amount in _amounts(c for c in init if c.restart_policy != "Always"):
        most[name] = max(most.get(name, 0), amount)
    names = sorted(together.keys() | most.keys())
    return {name: str(n_pods * max(together.get(name, 0), most.get(name, 0))) for name in names}


def _amounts(containers: Iterable[PodContainer]) -> Iterator[tuple[str, int]]:
    for container in containers:
        requests = (container.resources and container.resources.requests) or {}
        for name, quantity in requests.items():
            if name not in _GIVEN:
                yield name, memory_bytes(quantity)
