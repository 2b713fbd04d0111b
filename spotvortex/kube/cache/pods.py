"""What is kept of a pod: about half a kilobyte, made of small shared values.

Comes in: a pod as the server sends it. Goes out: a `PodRecord`. A quantity that cannot be read is a
ValueError. May not know other pods: what depends on them (single replica, budgets) is found later.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from msgspec import Struct

from spotvortex.core.domain.types import Blocker, CapacityType
from spotvortex.kube.api.node_labels import CAPACITY_TYPE_LABELS, NODEGROUP, NODEPOOL, normalised
from spotvortex.kube.api.quantities import cpu_milli, memory_bytes
from spotvortex.kube.api.wire import objects as wire

DEFAULT_GRACE_S: Final = 30.0
PENDING: Final = "Pending"
FINISHED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two kinds of node that a pod can be tied to.

    `other` is what its NotIn has to name, `suffix` how a NodePool of that side is called.
    """

    kinds: frozenset[CapacityType]
    other: CapacityType
    suffix: str


_ON_DEMAND: Final = _Side(
    frozenset({CapacityType.ON_DEMAND, CapacityType.RESERVED}), CapacityType.SPOT, "-od"
)
_SPOT: Final = _Side(frozenset({CapacityType.SPOT}), CapacityType.ON_DEMAND, "-spot")


class PodCosts(Struct, frozen=True, gc=False):
    """What an interruption and a start of a pod cost, as its owner says; None where unsaid.

    Attributes:
        outage_hours: hours, from the annotation `spotvortex.io/outage-penalty` ("10h" or "10"),
            else from the name of its PriorityClass; see `OUTAGE_HOURS`.
        startup_s: seconds, from the annotation `spotvortex.io/startup-time`.
        word: what must stay after a loss, from the annotation of the pod itself, "" where unsaid.
        critical: the annotation `spotvortex.io/critical` is "true", or the name of its
            PriorityClass has "high" or "system" in it.
    """

    outage_hours: float | None = None
    startup_s: float | None = None
    word: str = ""
    critical: bool = False


_UNSAID: Final = PodCosts()
_CRITICAL_NAMES: Final = ("high", "system")
OUTAGE_HOURS: Final = (("critical", 48.0), ("high", 12.0), ("low", 1.0), ("default", 4.0))
"""What an interruption costs a pod of whose owner nothing is said, in hours of its node's on-demand
price, by the first of these words that the name of its PriorityClass has. Of another name, or
without a class, the setting speaks."""

_MAX_OUTAGE_HOURS: Final = 1000.0
_MAX_STARTUP_S: Final = 86_400.0


class PodRecord(Struct, frozen=True, gc=False):
    """One unfinished pod.

    Attributes:
        key: `namespace/name`.
        uid: the pod's uid.
        node: name of the node that it is bound to, "" while it waits.
        owner: `namespace/Kind/name` of its controller, "" for a bare pod.
        label_set: number of its interned labels.
        cpu_milli: what the scheduler counts for it, in thousandths of a core.
        memory_bytes: what the scheduler counts for it.
        grace_s: its termination grace period, in seconds.
        ready: its Ready condition.
        pending: its phase is Pending.
        terminating: it is being deleted.
        stays: a drain leaves it: a DaemonSet or mirror pod, or one that the controller made.
        blockers: what holds it in place by itself, other pods and budgets aside.
        costs: what an interruption and a start cost, as its owner says.
    """

    key: str
    uid: str
    node: str
    owner: str
    label_set: int
    cpu_milli: int
    memory_bytes: int
    grace_s: float
    ready: bool
    pending: bool
    terminating: bool
    stays: bool
    blockers: tuple[Blocker, ...]
    costs: PodCosts


LabelSetOf = Callable[[str, dict[str, str]], int]
"""Gives the number under which a namespace's set of labels is interned."""


def is_finished(pod: wire.Pod) -> bool:
    """Tell whether a pod has run to its end; it takes no room any more."""
    return pod.status is not None and pod.status.phase in FINISHED


def record_of(
    key: str, pod: wire.Pod, label_set_of: LabelSetOf, *, ours: bool = False
) -> PodRecord:
    """Reduce a pod; one that the controller made (`ours`) is no workload and blocks no move.

    Raises:
        ValueError: a quantity cannot be read.
    """
    meta, spec = pod.metadata, pod.spec or wire.PodSpec()
    namespace = sys.intern(meta.namespace or "")
    kind, owner = _owner(namespace, meta)
    stays = ours or kind in ("DaemonSet", "Node") or _is_mirror(meta)
    cpu, memory = requests_of(spec)
    grace_s = spec.termination_grace_period_seconds
    return PodRecord(
        key=key,
        uid=meta.uid or "",
        node=sys.intern(spec.node_name or ""),
        owner=owner,
        label_set=label_set_of(namespace, meta.labels or {}),
        cpu_milli=cpu,
        memory_bytes=memory,
        grace_s=DEFAULT_GRACE_S if grace_s is None else grace_s,
        ready=pod.status is not None and wire.is_true(pod.status.conditions, "Ready"),
        pending=pod.status is not None and pod.status.phase == PENDING,
        terminating=meta.deletion_timestamp is not None,
        stays=stays,
        blockers=() if ours else _shared(tuple(_blockers(meta, spec, owner, stays=stays))),
        costs=_costs_of(meta.annotations, spec.priority_class_name),
    )


def _costs_of(notes: wire.PodAnnotations | None, priority_class: str | None) -> PodCosts:
    if notes is None:
        return _read_costs(None, None, None, None, priority_class) if priority_class else _UNSAID
    return _read_costs(
        notes.outage_penalty,
        notes.startup_time,
        notes.min_available_after_loss,
        notes.critical,
        priority_class,
    )


@lru_cache(maxsize=1024)
def _read_costs(
    outage: str | None,
    startup: str | None,
    word: str | None,
    critical: str | None,
    priority_class: str | None,
) -> PodCosts:
    """Read what a pod says of itself; a number that is none in its bounds says nothing."""
    found = PodCosts(
        outage_hours=_outage_hours(outage, priority_class),
        startup_s=_number((startup or "").removesuffix("s"), _MAX_STARTUP_S),
        word=word or "",
        critical=critical == "true" or any(n in (priority_class or "") for n in _CRITICAL_NAMES),
    )
    return _UNSAID if found == _UNSAID else found


def _outage_hours(said: str | None, priority_class: str | None) -> float | None:
    found = _number((said or "").removesuffix("h"), _MAX_OUTAGE_HOURS)
    if found is not None:
        return found
    name = priority_class or ""
    return next((hours for word, hours in OUTAGE_HOURS if word in name), None)


def _number(text: str, most: float) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= most else None


def _owner(namespace: str, meta: wire.PodMeta) -> tuple[str, str]:
    for reference in meta.owner_references or ():
        if reference.controller:
            return reference.kind, sys.intern(f"{namespace}/{reference.kind}/{reference.name}")
    return "", ""


def _is_mirror(meta: wire.PodMeta) -> bool:
    return meta.annotations is not None and meta.annotations.mirror is not None


@lru_cache(maxsize=256)
def _shared(blockers: tuple[Blocker, ...]) -> tuple[Blocker, ...]:
    """Return the same object for equal blockers: half a million pods share a few dozen."""
    return blockers


def _blockers(
    meta: wire.PodMeta, spec: wire.PodSpec, owner: str, *, stays: bool
) -> Iterator[Blocker]:
    notes = meta.annotations
    if notes is not None and _wants_peace(notes, stays=stays):
        yield Blocker.DO_NOT_DISRUPT
    if stays:
        return
    if not owner:
        yield Blocker.BARE_POD
    volumes = spec.volumes or ()
    # An emptyDir is the pod's own scratch space and goes with any restart, so it does not block.
    # Whether a claim is bound to a node's local disk cannot be told from the pod.
    if any(v.host_path is not None for v in volumes):
        yield Blocker.LOCAL_STORAGE
    if any(v.persistent_volume_claim is not None or v.ephemeral is not None for v in volumes):
        yield Blocker.VOLUME
    if (pin := pin_of(spec)) is not None:
        yield pin


def _wants_peace(notes: wire.PodAnnotations, *, stays: bool) -> bool:
    """Tell whether a pod asks not to be disrupted.

    Karpenter heeds its annotation on every pod, DaemonSets included, and takes "true" or a duration
    (https://karpenter.sh/docs/concepts/disruption/); a duration is taken as "true" here, the more
    careful reading. Cluster Autoscaler never asks a DaemonSet pod.
    """
    if notes.do_not_disrupt not in (None, "", "false"):
        return True
    return notes.safe_to_evict == "false" and not stays


def requests_of(spec: wire.PodSpec) -> tuple[int, int]:
    """Return what the scheduler counts for a pod: milli-CPU and bytes.

    The larger of what runs together and what any init container needs at its turn, sidecars
    included, plus overhead; a request of the pod itself replaces that of its containers
    (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers).
    """
    cpu = memory = 0
    for container in spec.containers or ():
        more_cpu, more_memory = _amounts(_requests(container.resources))
        cpu += more_cpu
        memory += more_memory
    if spec.init_containers:
        cpu, memory = _with_init(spec.init_containers, cpu, memory)
    whole = _requests(spec.resources)
    if whole is not None:
        pod_cpu, pod_memory = _amounts(whole)
        cpu = cpu if whole.cpu is None else pod_cpu
        memory = memory if whole.memory is None else pod_memory
    over_cpu, over_memory = _amounts(spec.overhead)
    return cpu + over_cpu, memory + over_memory


def _with_init(init: Iterable[wire.Container], cpu: int, memory: int) -> tuple[int, int]:
    side_cpu = side_memory = most_cpu = most_memory = 0
    for container in init:
        own_cpu, own_memory = _amounts(_requests(container.resources))
        if container.restart_policy == "Always":
            side_cpu += own_cpu
            side_memory += own_memory
            own_cpu = own_memory = 0
        most_cpu = max(most_cpu, side_cpu + own_cpu)
        most_memory = max(most_memory, side_memory + own_memory)
    return max(cpu + side_cpu, most_cpu), max(memory + side_memory, most_memory)


def _requests(resources: wire.Resources | None) -> wire.Requests | None:
    return None if resources is None else resources.requests


def _amounts(requests: wire.Requests | None) -> tuple[int, int]:
    if requests is None:
        return 0, 0
    cpu = 0 if requests.cpu is None else cpu_milli(requests.cpu)
    return cpu, 0 if requests.memory is None else memory_bytes(requests.memory)


def pin_of(spec: wire.PodSpec) -> Blocker | None:
    """Return to which kind of node a pod's own words tie it, None for any."""
    if _demands(spec, _ON_DEMAND):
        return Blocker.PINNED_ON_DEMAND
    return Blocker.PINNED_SPOT if _demands(spec, _SPOT) else None


def _demands(spec: wire.PodSpec, wanted: _Side) -> bool:
    """Tell whether a pod may run on one side only, by its selector or required affinity."""
    selector = spec.node_selector
    if selector and any(_means(wanted, key, (value,)) for key, value in selector.items()):
        return True
    affinity = spec.affinity and spec.affinity.node_affinity
    terms = affinity and affinity.required and affinity.required.node_selector_terms
    return bool(terms) and all(_term_demands(wanted, term) for term in terms or ())


def _term_demands(wanted: _Side, term: wire.NodeSelectorTerm) -> bool:
    return any(
        _excludes_other(wanted, rule)
        if rule.operator == "NotIn"
        else rule.operator == "In" and _means(wanted, rule.key, rule.values or ())
        for rule in term.match_expressions or ()
    )


def _excludes_other(wanted: _Side, rule: wire.Requirement) -> bool:
    named = {normalised(value) for value in rule.values or ()}
    return rule.key in CAPACITY_TYPE_LABELS and wanted.other in named


def _means(wanted: _Side, key: str, values: Iterable[str]) -> bool:
    """Tell whether a label with one of these values is found on nodes of one side only.

    A NodePool, or a node group, is taken for a side of a pair by its name.
    """
    if key in CAPACITY_TYPE_LABELS:
        kinds = {normalised(value) for value in values}
        return bool(kinds) and kinds <= wanted.kinds
    if key in (NODEPOOL, NODEGROUP):
        names = list(values)
        return bool(names) and all(name.endswith(wanted.suffix) for name in names)
    return False
