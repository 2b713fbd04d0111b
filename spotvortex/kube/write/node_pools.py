"""The few words of ours on a NodePool of a pair: its weight, its CPU limit, and their owner's own.

Comes in: calls. Goes out: answers. A NodePool is read first; then one server-side apply sets what
is wanted under a field manager of our own, together with a note of what its owner had, so that
both are there or neither. It names uid and resource version, so what was read still holds. May not
write anything else of it.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec

from spotvortex.core.decision.weights import cpu_text
from spotvortex.core.domain import labels
from spotvortex.core.drain.calls import Again, Answer, Done, Gone, Refused
from spotvortex.core.drain.group_calls import RestoreGroup, SteerGroup
from spotvortex.errors import ConflictError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import APPLY_PATCH, MERGE_PATCH
from spotvortex.kube.api.quantities import Quantity
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.api.wire.karpenter import (
    NodePool,
    Settable,
    owners_of,
    settable_of,
    used_cpu_milli,
)
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.kube.write.manifests import Json

MAX_TRIES: Final = 3
"""Times that a NodePool is read and written where it changes in between, as by its provisioner."""

_MANAGER: Final = {"fieldManager": labels.STEERING, "force": "true"}


class _Managed(msgspec.Struct, frozen=True):
    metadata: _ManagedMeta


class _ManagedMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    managed_fields: list[dict[str, object]] = []


async def steer(call: SteerGroup, requests: BoundedRequests) -> Answer:
    """Set weight and limit of a NodePool, and keep its owner's own in it.

    Raises:
        ApiError: the server did not do it.
    """
    words = ""
    for _ in range(MAX_TRIES):
        pool = decoded(await requests.get(paths.node_pool(call.group)), NodePool)
        if pool.metadata.uid != call.uid:
            return Gone()
        try:
            owners = owners_of(pool) or settable_of(pool)
        except ValueError as error:
            return Refused(reason=str(error))
        used = used_cpu_milli(pool)
        if call.cpu_limit_milli is not None and call.cpu_limit_milli < used:
            return Again(reason=f"the nodes of {call.group} use {used}m CPU by now")
        cpu = owners.cpu if call.cpu_limit_milli is None else cpu_text(call.cpu_limit_milli)
        wanted = Settable(weight=call.weight, cpu=cpu)
        try:
            await _apply(pool, wanted, _note(owners, wanted), requests)
        except ConflictError as error:
            words = str(error)
            continue
        return Done()
    return Again(reason=words)


async def restore(call: RestoreGroup, requests: BoundedRequests) -> Answer:
    """Give a NodePool its owner's own values back, and our name as manager of its fields.

    Raises:
        ApiError: the server did not do it.
    """
    words = ""
    for _ in range(MAX_TRIES):
        body = await requests.get(paths.node_pool(call.group))
        pool = decoded(body, NodePool)
        if pool.metadata.uid != call.uid:
            return Gone()
        try:
            owners = owners_of(pool)
        except ValueError as error:
            return Refused(reason=str(error))
        try:
            if owners is not None:
                body = await _apply(pool, owners, None, requests)
            await _disown(call.group, body, owners or Settable(), requests)
        except ConflictError as error:
            words = str(error)
            continue
        return Done()
    return Again(reason=words)


async def _apply(
    pool: NodePool, wanted: Settable, note: str | None, requests: BoundedRequests
) -> bytes:
    """Apply what is wanted; a field that is left out, and only ours, goes."""
    spec: Json = {}
    if wanted.weight is not None:
        spec["weight"] = wanted.weight
    if wanted.cpu is not None:
        spec["limits"] = {"cpu": wanted.cpu}
    metadata: Json = {
        "name": pool.metadata.name,
        "uid": pool.metadata.uid,
        "resourceVersion": pool.metadata.resource_version,
    }
    if note is not None:
        metadata["annotations"] = {labels.RESTORE: note}
    body: Json = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": metadata}
    path = paths.node_pool(pool.metadata.name)
    patch = body | ({"spec": spec} if spec else {})
    return await requests.send("PATCH", path, patch, query=_MANAGER, content_type=APPLY_PATCH)


async def _disown(name: str, applied: bytes, owners: Settable, requests: BoundedRequests) -> None:
    """Take our name off the fields: their owner's next apply would else meet a conflict.

    What an apply left, since it is not ours by the server's books any more, goes in words.
    """
    managed, left = decoded(applied, _Managed).metadata, decoded(applied, NodePool)
    others = [one for one in managed.managed_fields if one.get("manager") != labels.STEERING]
    # An empty list would be taken for no change; one empty entry clears it.
    metadata: Json = {
        "resourceVersion": managed.resource_version,
        "managedFields": others or [{}],
    }
    patch: Json = {"metadata": metadata}
    if labels.RESTORE in (left.metadata.annotations or {}):
        metadata["annotations"] = {labels.RESTORE: None}
        patch["spec"] = {"weight": owners.weight, "limits": {"cpu": owners.cpu}}
    elif len(others) == len(managed.managed_fields):
        return
    await requests.send("PATCH", paths.node_pool(name), patch, content_type=MERGE_PATCH)


def _note(owners: Settable, wanted: Settable) -> str:
    note: dict[str, Quantity | dict[str, Quantity | None] | None] = {
        "weight": owners.weight,
        "cpu": owners.cpu,
        "set": {"weight": wanted.weight, "cpu": wanted.cpu},
    }
    return json.dumps(note, sort_keys=True)
