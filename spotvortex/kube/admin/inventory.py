"""What the controller has left in a cluster, read once.

Comes in: a client and the controller's namespace. Goes out: an `Inventory`. Things are found by the
controller's labels and annotations on nodes, and by label and name in its namespace; of nodes and
ConfigMaps only metadata is listed. May not write.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final, TypeVar

from spotvortex.core.domain import labels as label_names
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.uninstall import (
    Inventory,
    Leftover,
    ObjectKind,
    describe_journal,
    describe_node,
)
from spotvortex.errors import NotServedError
from spotvortex.kube.api import paths
from spotvortex.kube.api.patient_reads import PatientReads
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.cache.inputs import METADATA_LIST

ANSWER_S: Final = 15.0
PAGE_SIZE: Final = 500
NODES: Final = "/api/v1/nodes"


class _Meta(wire.Wire, frozen=True, gc=False):
    name: str
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Object(wire.Wire, frozen=True, gc=False):
    metadata: _Meta


class _NodeSpec(wire.Wire, frozen=True, gc=False):
    unschedulable: bool | None = None


class _Node(_Object, frozen=True, gc=False):
    spec: _NodeSpec | None = None


class _PodStatus(wire.Wire, frozen=True, gc=False):
    phase: str | None = None


class _Pod(_Object, frozen=True, gc=False):
    status: _PodStatus | None = None


class _ConfigMap(_Object, frozen=True, gc=False):
    data: dict[str, str] | None = None


class _LeaseSpec(wire.Wire, frozen=True, gc=False):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    renew_time: dt.datetime | None = None


class _Lease(_Object, frozen=True, gc=False):
    spec: _LeaseSpec | None = None


_Kind = TypeVar("_Kind", bound=_Object)


def collections(namespace: str) -> dict[ObjectKind, str]:
    """Return the path of the collection in which each kind of object lies."""
    return {
        ObjectKind.NODE_POOL: paths.NODE_POOLS,
        ObjectKind.NODE: NODES,
        ObjectKind.POD: paths.pods(namespace),
        ObjectKind.TETHER: paths.jobs(namespace),
        ObjectKind.STATE: paths.config_maps(namespace),
        ObjectKind.LEASE: paths.leases(namespace),
        ObjectKind.FREEZE: paths.config_maps(namespace),
    }


async def take(reads: PatientReads, namespace: str, now: float) -> Inventory:
    """Read all that the controller has left.

    Args:
        reads: of whoever looks.
        namespace: the controller's own.
        now: seconds since the epoch, against which a Lease's renewal is held.

    Raises:
        ApiError: something cannot be read.
    """
    leftovers: list[Leftover] = [node async for node in _nodes(reads)]
    leftovers += [pool async for pool in _node_pools(reads)]
    where, daemons = collections(namespace), list[str]()
    async for pod in _listed(reads, where[ObjectKind.POD], _Pod):
        leftovers += _our_pod(pod)
        daemons += _daemon(pod)
    async for job in _listed(reads, where[ObjectKind.TETHER], _Object):
        leftovers += _our_job(job)
    async for configmap in _listed(reads, where[ObjectKind.STATE], _Object, METADATA_LIST):
        leftovers += _our_configmap(configmap)
        if configmap.metadata.name == label_names.GROWTHS:
            leftovers[-1] = await _journal(reads, where[ObjectKind.STATE], leftovers[-1])
    async for lease in _listed(reads, where[ObjectKind.LEASE], _Lease):
        if lease.metadata.name == label_names.LEASE:
            leftovers.append(_leftover(ObjectKind.LEASE, lease.metadata, _holder(lease)))
            daemons += [f"lease of {_holder(lease)}"] if _is_held(lease, now) else []
    return Inventory(leftovers=tuple(leftovers), daemons=tuple(daemons))


async def node(reads: PatientReads, name: str) -> Leftover | None:
    """Read one node, None where it is gone or carries no mark of the controller.

    Raises:
        ApiError: it cannot be read.
    """
    try:
        body = await reads.get_bytes(paths.node(name), timeout=ANSWER_S)
    except NotServedError:
        return None
    found = decoded(body, _Node)
    ours = _marks_of(found.metadata)
    if not ours:
        return None
    cordoned = bool(found.spec and found.spec.unschedulable)
    return Leftover(
        thing=ObjectKind.NODE,
        name=found.metadata.name,
        uid=found.metadata.uid,
        version=found.metadata.resource_version,
        detail=describe_node(ours, cordoned=cordoned),
        marks=ours,
        cordoned=cordoned,
    )


async def _nodes(reads: PatientReads) -> AsyncIterator[Leftover]:
    async for listed in _listed(reads, NODES, _Object, METADATA_LIST):
        if _marks_of(listed.metadata):
            found = await node(reads, listed.metadata.name)
            if found is not None:
                yield found


async def _node_pools(reads: PatientReads) -> AsyncIterator[Leftover]:
    """Yield the NodePools that carry our note; none where the cluster knows none."""
    try:
        async for listed in _listed(reads, paths.NODE_POOLS, _Object, METADATA_LIST):
            if label_names.RESTORE in (listed.metadata.annotations or {}):
                detail = "steered by SpotVortex: weight and CPU limit"
                yield _leftover(ObjectKind.NODE_POOL, listed.metadata, detail)
    except NotServedError:
        return


async def _journal(reads: PatientReads, where: str, left: Leftover) -> Leftover:
    """Add what the journal of groups says, which no listing of names tells."""
    try:
        body = await reads.get_bytes(paths.named(where, left.name), timeout=ANSWER_S)
    except NotServedError:
        return left
    n_growths = len(decoded(body, _ConfigMap).data or {})
    return replace(left, n_growths=n_growths, detail=describe_journal(n_growths))


def _marks_of(meta: _Meta) -> frozenset[str]:
    labels = (meta.labels or {}).keys() & set(label_names.NODE_LABELS)
    notes = (meta.annotations or {}).keys() & set(label_names.NODE_ANNOTATIONS)
    return frozenset(labels | notes)


def _our_pod(pod: _Pod) -> list[Leftover]:
    labels = pod.metadata.labels or {}
    kind = labels.get(label_names.KIND, "")
    if labels.get(label_names.MANAGED_BY) != label_names.MANAGER or kind not in set(PodKind):
        return []
    return [replace(_leftover(ObjectKind.POD, pod.metadata, kind), pod=PodKind(kind))]


def _daemon(pod: _Pod) -> list[str]:
    if (pod.metadata.labels or {}).get(label_names.APP) != label_names.MANAGER:
        return []
    ended = pod.status is not None and pod.status.phase in {"Succeeded", "Failed"}
    return [] if ended else [f"pod {pod.metadata.name}"]


def _our_job(job: _Object) -> list[Leftover]:
    labels, name = job.metadata.labels or {}, job.metadata.name
    ours = labels.get(label_names.MANAGED_BY) == label_names.MANAGER and name.startswith(
        label_names.TETHER_PREFIX
    )
    return [_leftover(ObjectKind.TETHER, job.metadata, "tether of its pods")] if ours else []


def _our_configmap(configmap: _Object) -> list[Leftover]:
    name = configmap.metadata.name
    if name == label_names.FREEZE:
        return [_leftover(ObjectKind.FREEZE, configmap.metadata, "ConfigMap")]
    if name == label_names.STATE or name.startswith(f"{label_names.STATE}-"):
        return [_leftover(ObjectKind.STATE, configmap.metadata, "state")]
    if name == label_names.MEMORY:
        return [_leftover(ObjectKind.STATE, configmap.metadata, "memory")]
    if name == label_names.LEDGER:
        return [_leftover(ObjectKind.STATE, configmap.metadata, "ledger")]
    return []


def _holder(lease: _Lease) -> str:
    return (lease.spec and lease.spec.holder_identity) or "nobody"


def _is_held(lease: _Lease, now: float) -> bool:
    spec = lease.spec
    if spec is None or not spec.holder_identity or spec.renew_time is None:
        return False
    return now < spec.renew_time.timestamp() + (spec.lease_duration_seconds or 0)


def _leftover(thing: ObjectKind, meta: _Meta, detail: str) -> Leftover:
    return Leftover(
        thing=thing, name=meta.name, uid=meta.uid, version=meta.resource_version, detail=detail
    )


async def _listed(
    reads: PatientReads, path: str, kind: type[_Kind], accept: str | None = None
) -> AsyncIterator[_Kind]:
    token = ""
    while True:  # ends with the page that names no further one
        query = {"limit": str(PAGE_SIZE)} | ({"continue": token} if token else {})
        body = await reads.get_bytes(path, query, accept=accept, timeout=ANSWER_S, verb="list")
        page = decoded(body, wire.ObjectList[kind])  # type: ignore[valid-type]
        for found in page.items or []:
            yield found
        token = page.metadata.token or ""
        if not token:
            return
